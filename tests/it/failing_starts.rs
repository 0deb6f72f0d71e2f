//! Workers that do not get ready: at first, or only later, when others work.

use std::time::Duration;

use pool::{Error, Pool, StartMethod, pool_task};

use crate::support::tasks::end_process;
use crate::support::{Gate, Log, comes_true, note, processes, report, tasks, wait_until};

crate::cases![
    a_later_failure_is_tried_again_while_the_others_work,
    later_failures_that_go_on_end_the_pool_after_a_few_starts,
    an_initializer_that_hangs_is_the_error_of_every_call,
    an_initializer_that_hangs_later_is_killed_and_tried_again,
    an_initializer_that_hangs_in_a_closed_pool_does_not_hold_up_join,
    no_time_to_start_is_refused,
    a_limit_beyond_the_end_of_time_is_none,
    idle_workers_that_keep_dying_make_no_storm_of_processes,
];

/// Notes its turn, counted from 1 over all processes; fails from one turn to another.
#[pool_task]
fn fails_from_to(log: &str, how: &str, from: usize, to: usize) {
    fail_from_to(log, how, from, to);
}

/// The same, and the turns that come after those pass the gate first.
#[pool_task]
fn fails_from_to_and_waits(log: &str, gate: &str, how: &str, from: usize, to: usize) {
    if fail_from_to(log, how, from, to) > to {
        report::pass(gate);
    }
}

fn fail_from_to(log: &str, how: &str, from: usize, to: usize) -> usize {
    note(log, std::process::id());
    let own = std::process::id().to_string();
    let lines = std::fs::read_to_string(log).unwrap();
    let turn = 1 + lines.lines().position(|line| line == own).unwrap();
    if (from..=to).contains(&turn) {
        match how {
            "panic" => panic!("cannot begin the {turn}. time"),
            "hang" => report::linger(),
            how => end_process(how),
        }
    }
    turn
}

const WAYS: [&str; 3] = ["panic", "exit", "abort"];

fn a_later_failure_is_tried_again_while_the_others_work(method: StartMethod) {
    for how in WAYS {
        let (log, gate) = (Log::new(), Gate::new());
        let builder = Pool::builder().start_method(method).workers(2);
        let args = (log.path(), gate.path(), how, 3, 6);
        let pool = builder.initializer(fails_from_to_and_waits, args).build().unwrap();
        log.wait_for(2);
        assert_eq!(pool.map(tasks::square, 0..100).unwrap().len(), 100);
        let [gone, stays] = pool.worker_pids()[..] else { panic!("two workers") };
        processes::kill(gone);
        wait_until("the next worker was tried", || log.count() > 2);
        assert_eq!(pool.apply(tasks::own_pid, ()).unwrap(), stays);
        gate.open();
        wait_until("there are two workers that work", || {
            let pids = pool.worker_pids();
            log.count() == 7 && pids.len() == 2 && pids.contains(&stays) && !pids.contains(&gone)
        });
        assert_eq!(pool.map(tasks::square, 0..100).unwrap().len(), 100);
        pool.close();
        pool.join().unwrap();
        assert_eq!(log.count(), 7, "no start in vain");
    }
}

fn later_failures_that_go_on_end_the_pool_after_a_few_starts(method: StartMethod) {
    for (how, text) in [
        ("panic", "cannot begin the 7. time"),
        ("exit", "its process never got ready and exited with code 3"),
        ("abort", "its process never got ready and killed by signal 6 (SIGABRT)"),
    ] {
        let (log, gate) = (Log::new(), Gate::new());
        let builder = Pool::builder().start_method(method).workers(2);
        let builder = builder.initializer(fails_from_to, (log.path(), how, 3, usize::MAX));
        let pool = builder.build().unwrap();
        log.wait_for(2);
        assert_eq!(pool.map(tasks::square, 0..100).unwrap().len(), 100);
        let busy: Vec<_> = (0..2).map(|_| pool.apply_async(tasks::gated, (gate.path(), 1))).collect();
        processes::kill(pool.worker_pids()[0]);
        let mut reasons = Vec::new();
        for handle in busy {
            match handle.get() {
                Err(Error::Initializer { reason, .. }) => reasons.push(reason),
                Err(Error::WorkerLost { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
        let late = pool.apply(tasks::square, (3,)).unwrap_err();
        let Error::Initializer { task, reason } = late else { panic!("{late}") };
        assert!(task.ends_with("fails_from_to") && reason.contains(text), "{task}: {reason}");
        assert!(reasons.iter().all(|other| *other == reason), "{reasons:?}");
        assert!(matches!(pool.join(), Err(Error::StillRunning)));
        pool.close();
        assert!(matches!(pool.join(), Err(Error::Initializer { .. })));
        assert_eq!(log.count(), 2 + 5);
    }
}

fn did_not_get_ready(error: Option<Error>) {
    let Some(Error::Initializer { reason, .. }) = &error else { panic!("{error:?}") };
    assert!(reason.contains("did not get ready within 100ms"), "{reason}");
}

fn an_initializer_that_hangs_is_the_error_of_every_call(method: StartMethod) {
    let log = Log::new();
    let builder = Pool::builder().start_method(method).workers(2).start_timeout(Duration::from_millis(100));
    let pool = builder.initializer(tasks::linger, (log.path(),)).build().unwrap();
    let early = pool.map_async(tasks::square, 0..100);
    did_not_get_ready(pool.apply(tasks::square, (3,)).err());
    did_not_get_ready(early.get().err());
    did_not_get_ready(pool.imap(tasks::square, 0..3).next().unwrap().err());
    wait_until("no process is left", || processes::children().is_empty());
    assert!(log.count() <= 2, "{} processes were started", log.count());
    pool.close();
    did_not_get_ready(pool.join().err());
}

fn an_initializer_that_hangs_later_is_killed_and_tried_again(method: StartMethod) {
    let log = Log::new();
    // Long enough that a worker which does not hang gets ready on a busy machine.
    let builder = Pool::builder().start_method(method).workers(2).start_timeout(Duration::from_secs(3));
    let pool = builder.initializer(fails_from_to, (log.path(), "hang", 3, 3)).build().unwrap();
    log.wait_for(2);
    assert_eq!(pool.map(tasks::square, 0..100).unwrap().len(), 100);
    let first = pool.worker_pids();
    processes::kill(first[0]);
    log.wait_for(3);
    assert_eq!(pool.apply(tasks::own_pid, ()).unwrap(), first[1]);
    log.wait_for(4);
    let hanging: u32 = log.lines()[2].parse().unwrap();
    assert!(!processes::is_alive(hanging));
    wait_until("both work", || {
        let pids = pool.worker_pids();
        pids.len() == 2 && !pids.contains(&hanging)
    });
    assert_eq!(pool.map(tasks::square, 0..100).unwrap().len(), 100);
}

fn an_initializer_that_hangs_in_a_closed_pool_does_not_hold_up_join(method: StartMethod) {
    let log = Log::new();
    let builder = Pool::builder().start_method(method).workers(2).start_timeout(Duration::from_millis(100));
    let pool = builder.initializer(tasks::linger, (log.path(),)).build().unwrap();
    pool.close();
    did_not_get_ready(pool.join().err());
}

fn no_time_to_start_is_refused(method: StartMethod) {
    let builder = Pool::builder().start_method(method).start_timeout(Duration::ZERO);
    let error = builder.build().unwrap_err();
    assert!(matches!(error, Error::InvalidOption { option: "start_timeout", .. }), "{error}");
}

fn a_limit_beyond_the_end_of_time_is_none(method: StartMethod) {
    let pool = Pool::builder().start_method(method).workers(1).start_timeout(Duration::MAX).build().unwrap();
    assert_eq!(pool.apply(tasks::square, (3,)).unwrap(), 9);
}

/// The worker gets ready, and dies as soon as it has nothing more to do.
#[pool_task]
fn bears_the_seed_of_death(log: &str) {
    note(log, std::process::id());
    let worker = rustix::thread::gettid();
    std::thread::spawn(move || {
        wait_until("the worker is at rest", || processes::rests(worker));
        end_process("kill");
    });
}

fn idle_workers_that_keep_dying_make_no_storm_of_processes(method: StartMethod) {
    let log = Log::new();
    let builder = Pool::builder().start_method(method).workers(1);
    let pool = builder.initializer(bears_the_seed_of_death, (log.path(),)).build().unwrap();
    log.wait_for(4);
    assert!(!comes_true(Duration::from_millis(1000), || log.count() > 12), "{} starts", log.count());
    drop(pool);
}
