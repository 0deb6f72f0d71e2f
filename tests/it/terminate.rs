//! The end at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pool::{Error, StartMethod, pool_task};

use crate::support::{Gate, Log, PATIENCE, note, processes, report, start, tasks, wait_until};

crate::cases![
    ten_thousand_queued_items_end_at_once,
    every_kind_of_handle_ends,
    waiting_callers_return,
    leaves_no_child_process,
    workers_that_ignore_sigterm_are_killed,
    stopped_workers_are_killed,
    grandchildren_go_too,
    works_while_workers_still_start,
    open_results_that_are_there_stay,
    from_another_thread_while_many_submit,
    input_without_end_is_not_read_on,
];

fn ten_thousand_queued_items_end_at_once(method: StartMethod) {
    let pool = start(method, 2);
    let (log, gate) = (Log::new(), Gate::new());
    let handles: Vec<_> =
        (0..10_000).map(|n| pool.apply_async(tasks::noted_gated, (log.path(), gate.path(), n))).collect();
    log.wait_for(2);
    let start = Instant::now();
    pool.terminate();
    pool.join().unwrap();
    // Not a mark for speed: every queued item could take for ever.
    assert!(start.elapsed() < Duration::from_secs(10), "it took {:?}", start.elapsed());
    for handle in handles {
        assert!(handle.ready());
        assert!(matches!(handle.get(), Err(Error::Terminated)));
    }
    assert_eq!(log.count(), 2);
}

fn every_kind_of_handle_ends(method: StartMethod) {
    let pool = start(method, 1);
    let gate = Gate::new();
    let mut one = pool.apply_async(tasks::gated, (gate.path(), 1));
    let many = pool.starmap_async(tasks::gated, (0..100).map(|n| (gate.path(), n)));
    let with_callback = pool.apply_async(tasks::gated, (gate.path(), 1)).callback(|_| panic!("called"));
    let mut lazy = pool.istarmap(tasks::gated, (0..).map(|n| (gate.path(), n)));
    assert!(lazy.next_timeout(Duration::from_millis(5)).is_none());
    pool.terminate();
    assert!(matches!(one.get_timeout(PATIENCE), Some(Err(Error::Terminated))));
    assert_eq!(many.successful(), Some(false));
    assert!(matches!(many.get(), Err(Error::Terminated)));
    assert!(matches!(with_callback.get(), Err(Error::Terminated)));
    assert!(matches!(lazy.next(), Some(Err(Error::Terminated))));
    assert!(lazy.next().is_none());
    drop(lazy);
    pool.join().unwrap();
}

fn waiting_callers_return(method: StartMethod) {
    let pool = start(method, 2);
    let (log, gate) = (Log::new(), Gate::new());
    std::thread::scope(|scope| {
        let (pool, log, gate) = (&pool, &log, &gate);
        let args = move |n| (log.path(), gate.path(), n);
        let apply = scope.spawn(move || pool.apply(tasks::noted_gated, args(0)).err());
        let map = scope.spawn(move || pool.starmap(tasks::noted_gated, (1..50).map(args)).err());
        let get = scope.spawn(move || pool.apply_async(tasks::noted_gated, args(100)).get().err());
        log.wait_for(2);
        pool.terminate();
        for caller in [apply, map, get] {
            assert!(matches!(caller.join().unwrap(), Some(Error::Terminated | Error::Closed)));
        }
    });
}

fn leaves_no_child_process(method: StartMethod) {
    let pool = start(method, 3);
    let log = Log::new();
    let _busy = [0; 2].map(|_| pool.apply_async(tasks::linger, (log.path(),)));
    log.wait_for(2);
    pool.terminate();
    pool.join().unwrap();
    assert!(processes::children().is_empty());
    assert!(pool.worker_pids().is_empty());
}

#[pool_task]
fn ignores_sigterm(log: &str) {
    // SAFETY: this installs no code.
    unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
    note(log, std::process::id());
    report::linger();
}

fn workers_that_ignore_sigterm_are_killed(method: StartMethod) {
    let pool = start(method, 2);
    let log = Log::new();
    let _busy = [0; 2].map(|_| pool.apply_async(ignores_sigterm, (log.path(),)));
    log.wait_for(2);
    pool.terminate();
    pool.join().unwrap();
    assert!(processes::children().is_empty());
}

fn stopped_workers_are_killed(method: StartMethod) {
    let pool = start(method, 2);
    let pid = pool.worker_pids()[0];
    processes::signal(pid, rustix::process::Signal::STOP);
    wait_until("the worker stops", || processes::state(pid).is_some_and(|(state, _)| state == 'T'));
    pool.terminate();
    pool.join().unwrap();
    assert!(processes::children().is_empty());
}

#[pool_task]
#[expect(clippy::zombie_processes, reason = "that it is left is the point")]
fn leaves_a_process(log: &str) {
    let child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    note(log, child.id());
    report::linger();
}

fn grandchildren_go_too(method: StartMethod) {
    let pool = start(method, 1);
    let log = Log::new();
    let _busy = pool.apply_async(leaves_a_process, (log.path(),));
    log.wait_for(1);
    let grandchild: u32 = log.lines()[0].parse().unwrap();
    assert!(processes::is_alive(grandchild));
    pool.terminate();
    pool.join().unwrap();
    wait_until("the worker's child is gone", || !processes::is_alive(grandchild));
}

fn works_while_workers_still_start(method: StartMethod) {
    for _ in 0..5 {
        let pool = start(method, 4);
        let handle = pool.apply_async(tasks::square, (3,));
        pool.terminate();
        assert!(matches!(handle.get(), Ok(9) | Err(Error::Terminated)));
        pool.join().unwrap();
    }
}

fn open_results_that_are_there_stay(method: StartMethod) {
    let pool = start(method, 1);
    let done = pool.apply_async(tasks::square, (3,));
    let failed = pool.apply_async(tasks::only_even, (3,));
    done.wait();
    failed.wait();
    pool.terminate();
    pool.join().unwrap();
    assert_eq!(done.get().unwrap(), 9);
    assert!(matches!(failed.get(), Err(Error::Panicked { .. })));
}

fn from_another_thread_while_many_submit(method: StartMethod) {
    let pool = start(method, 2);
    std::thread::scope(|scope| {
        for call in 0..4 {
            let pool = &pool;
            scope.spawn(move || {
                loop {
                    let error = match call {
                        0 => pool.apply(tasks::square, (3,)).err(),
                        1 => pool.map(tasks::square, 0..500).err(),
                        2 => pool.map_async(tasks::square, 0..500).get().err(),
                        _ => pool.imap(tasks::square, 0..500).find_map(Result::err),
                    };
                    match error {
                        None => {}
                        Some(Error::Terminated | Error::Closed) => break,
                        Some(other) => panic!("{other}"),
                    }
                }
            });
        }
        pool.apply(tasks::square, (3,)).unwrap_or(9);
        std::thread::sleep(Duration::from_millis(50));
        pool.terminate();
    });
    pool.join().unwrap();
}

fn input_without_end_is_not_read_on(method: StartMethod) {
    let pool = start(method, 1);
    let read = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let all = scope.spawn(|| {
            pool.map_async(tasks::square, (0..).inspect(|n| read.store(*n, Ordering::SeqCst))).get()
        });
        wait_until("some is read", || read.load(Ordering::SeqCst) > 10_000);
        pool.terminate();
        assert!(matches!(all.join().unwrap(), Err(Error::Terminated)));
    });
}
