//! What a program does with a pool after it forked itself: `program_forked SCENARIO START-METHOD`.
//!
//! The child has a time limit, and a wait that would never end is one that it would not keep. A scenario that goes wrong
//! panics.

use std::cell::Cell;
use std::future::Future;
use std::io::Write;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use pool::{Error, Pool, Shared, StartMethod, pool_task};
use tests::support::{Gate, PATIENCE, program, start, tasks};

/// Longer than the child may live.
const LONG: Duration = Duration::from_secs(3600);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [scenario, method] = &args[..] else { panic!("no scenario") };
    let method = program::method_named(method);
    match scenario.as_str() {
        "calls" => calls(method),
        "handles" => handles(method),
        "results" => results(method),
        "callbacks" => callbacks(method),
        "drops" => drops(method),
        "own_pool" => own_pool(method),
        "going_on" => going_on(method),
        other => panic!("no such scenario: {other:?}"),
    }
}

/// Runs `code` in a fork of this process, and panics unless it comes to its end there in time.
#[track_caller]
fn in_forked_child(code: impl FnOnce()) {
    std::io::stdout().flush().unwrap();
    // SAFETY: the pool's threads hold no lock of the allocator for long; this is what such a program risks.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let went_well = std::panic::catch_unwind(std::panic::AssertUnwindSafe(code)).is_ok();
        // SAFETY: `_exit` has no preconditions.
        unsafe { libc::_exit(i32::from(!went_well)) };
    }
    expect_success(pid);
}

/// Panics unless the forked child comes to its end in time, and well.
#[track_caller]
fn expect_success(pid: i32) {
    let mut status = 0;
    let mut done = false;
    let deadline = Instant::now() + PATIENCE;
    while !done && Instant::now() < deadline {
        // SAFETY: `status` is ours.
        done = unsafe { libc::waitpid(pid, &mut status, libc::WNOHANG) } == pid;
        std::thread::sleep(Duration::from_millis(1));
    }
    if !done {
        // SAFETY: the child is ours.
        unsafe { libc::kill(pid, libc::SIGKILL) };
        // SAFETY: `status` is ours.
        unsafe { libc::waitpid(pid, &mut status, 0) };
        panic!("the forked child hangs");
    }
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "the forked child failed: {status}");
}

#[track_caller]
fn refused<R: std::fmt::Debug>(outcome: pool::Result<R>) {
    assert!(matches!(outcome, Err(Error::ForkedChild { .. })), "{outcome:?}");
}

/// The owner's pool is as it was.
fn go_on(pool: &Pool, pids: &[u32]) {
    assert_eq!(pool.map(tasks::square, 0..3).unwrap(), [0, 1, 4]);
    assert_eq!(pool.worker_pids(), pids);
    pool.close();
    pool.join().unwrap();
}

#[pool_task]
fn plus(base: &Shared<u64>, n: u64) -> u64 {
    **base + n
}

fn calls(method: StartMethod) {
    let pool = start(method, 2);
    assert_eq!(pool.apply(tasks::square, (3,)).unwrap(), 9);
    let (owner, pids) = (std::process::id(), pool.worker_pids());
    let mut shared = Some(pool.share(7u64).unwrap());
    in_forked_child(|| {
        let error = pool.apply(tasks::square, (3,)).unwrap_err();
        assert!(matches!(error, Error::ForkedChild { owner: is } if is == owner), "{error:?}");
        refused(pool.apply_async(tasks::square, (3,)).get());
        refused(pool.map(tasks::square, 0..3));
        refused(pool.map_async(tasks::square, 0..3).get());
        refused(pool.map_async(tasks::square, []).get());
        refused(pool.starmap(tasks::add, [(1, 2)]));
        refused(pool.starmap_async(tasks::add, [(1, 2)]).get());
        refused(pool.imap(tasks::square, 0..3).next().unwrap());
        refused(pool.imap(tasks::square, 0..3).next_timeout(LONG).unwrap().unwrap());
        refused(pool.imap_unordered(tasks::square, 0..3).next().unwrap());
        refused(pool.istarmap(tasks::add, [(1, 2)]).next().unwrap());
        refused(pool.istarmap_unordered(tasks::add, [(1, 2)]).next().unwrap());
        let options = pool.options().retries(2).retry_if(|_| true).timeout(LONG).chunk_size(1);
        refused(options.map(tasks::square, 0..3));
        refused(options.apply_async(tasks::square, (3,)).get());
        refused(pool.share(3u64));
        assert_eq!(shared.as_deref(), Some(&7));
        // The last handle that this process has; the owner has its own.
        drop(shared.take());
        pool.close();
        pool.terminate();
        refused(pool.join());
        refused(pool.join_timeout(LONG).expect("nothing is waited for"));
        assert_eq!((pool.worker_count(), pool.worker_pids()), (2, vec![]));
    });
    assert_eq!(pool.apply(plus, (shared.as_ref().unwrap(), 1)).unwrap(), 8);
    go_on(&pool, &pids);
}

fn handles(method: StartMethod) {
    let pool = start(method, 1);
    let pids = pool.worker_pids();
    let gate = Gate::new();
    let mut handle = Some(pool.apply_async(tasks::gated, (gate.path(), 7)));
    let mut many = Some(pool.starmap_async(tasks::gated, [(gate.path(), 1), (gate.path(), 2)]));
    let mut lazy = pool.imap(tasks::square, 0..3);
    in_forked_child(|| {
        let mut handle = handle.take().unwrap();
        for _ in 0..2 {
            refused(handle.get_timeout(LONG).expect("nothing is waited for"));
        }
        handle.wait();
        assert!(!handle.wait_timeout(LONG) && !handle.ready() && !handle.cancel());
        assert_eq!(handle.successful(), None);
        {
            let polled = pin!(&mut handle).poll(&mut Context::from_waker(Waker::noop()));
            let Poll::Ready(outcome) = polled else { panic!("nobody would wake it") };
            refused(outcome);
        }
        refused(handle.get());
        refused(many.take().unwrap().get());
        refused(lazy.next_timeout(LONG).expect("nothing is waited for").unwrap());
        assert!(lazy.next().is_none());
    });
    gate.open();
    assert_eq!(handle.take().unwrap().get().unwrap(), 7);
    assert_eq!(many.take().unwrap().get().unwrap(), [1, 2]);
    assert_eq!(lazy.next().unwrap().unwrap(), 0);
    drop(lazy);
    go_on(&pool, &pids);
}

fn results(method: StartMethod) {
    let pool = start(method, 1);
    let pids = pool.worker_pids();
    let ready = || {
        let handle = pool.apply_async(tasks::square, (3,));
        handle.wait();
        handle
    };
    let mut handles = [(); 2].map(|()| Some(ready()));
    in_forked_child(|| {
        let [first, second] = &mut handles;
        assert_eq!(first.as_mut().unwrap().get_timeout(LONG).unwrap().unwrap(), 9);
        assert!(!first.as_ref().unwrap().cancel());
        assert_eq!(second.take().unwrap().get().unwrap(), 9);
    });
    handles.into_iter().for_each(|handle| assert_eq!(handle.unwrap().get().unwrap(), 9));
    go_on(&pool, &pids);
}

fn callbacks(method: StartMethod) {
    let pool = start(method, 1);
    let pids = pool.worker_pids();
    for has_thread in [false, true] {
        if has_thread {
            pool.apply_async(tasks::square, (3,)).callback(|_| ()).get().unwrap();
        }
        let gate = Gate::new();
        let (sender, values) = mpsc::channel();
        let ready = pool.apply_async(tasks::square, (3,));
        ready.wait();
        let early = pool.apply_async(tasks::gated, (gate.path(), 7));
        let early =
            has_thread.then(|| early.callback(move |n| sender.send((std::process::id(), n)).unwrap()));
        let late = || pool.apply_async(tasks::gated, (gate.path(), 8));
        let mut handles = Some((ready, early, late(), late(), late()));
        in_forked_child(|| {
            let called = Arc::new(AtomicBool::new(false));
            let call = || {
                let called = called.clone();
                move || called.store(true, Ordering::SeqCst)
            };
            let (ready, early, first, second, third) = handles.take().unwrap();
            let calls: [_; 4] = std::array::from_fn(|_| call());
            let [one, two, three, four] = calls;
            refused(ready.callback(move |_| one()).get());
            early.into_iter().for_each(|early| refused(early.get()));
            refused(first.callback(move |_| two()).get());
            refused(second.inspect(move |_| three()).get());
            refused(third.error_callback(move |_| four()).get());
            assert!(!called.load(Ordering::SeqCst));
        });
        gate.open();
        let (ready, early, first, second, third) = handles.unwrap();
        assert_eq!(ready.get().unwrap(), 9);
        if let Some(early) = early {
            early.get().unwrap();
            assert_eq!(values.recv_timeout(PATIENCE).unwrap(), (std::process::id(), 7));
        }
        assert!(values.recv().is_err(), "it was called no more than once");
        [first, second, third].into_iter().for_each(|handle| assert_eq!(handle.get().unwrap(), 8));
    }
    go_on(&pool, &pids);
}

fn drops(method: StartMethod) {
    let pool = start(method, 2);
    let pids = pool.worker_pids();
    let gate = Gate::new();
    let held = || pool.apply_async(tasks::gated, (gate.path(), 7));
    let mut handles = Some((held(), held().callback(|_| ())));
    in_forked_child(|| drop(handles.take()));
    {
        // Both workers are busy, so nothing of it ends before the gate opens.
        let mut lazy = Some(pool.imap(tasks::square, 0..3));
        let next = lazy.as_mut().unwrap().next_timeout(Duration::from_millis(1));
        assert!(next.is_none());
        in_forked_child(|| drop(lazy.take()));
        gate.open();
        assert_eq!(lazy.unwrap().map(Result::unwrap).collect::<Vec<_>>(), [0, 1, 4]);
    }
    let gate = Gate::new();
    let waiting = pool.apply_async(tasks::gated, (gate.path(), 8));
    let mut more = Some((waiting, pool.apply_async(tasks::gated, (gate.path(), 8)).callback(|_| ())));
    let mut pool = Some(pool);
    in_forked_child(|| {
        drop(pool.take());
        // Nothing there will ever end it.
        let (waiting, called) = more.take().unwrap();
        refused(waiting.get());
        refused(called.get());
    });
    gate.open();
    let ((held, first), (waiting, second)) = (handles.unwrap(), more.unwrap());
    assert_eq!((held.get().unwrap(), waiting.get().unwrap()), (7, 8));
    first.get().unwrap();
    second.get().unwrap();
    go_on(&pool.unwrap(), &pids);
}

fn own_pool(method: StartMethod) {
    let pool = start(method, 2);
    let pids = pool.worker_pids();
    in_forked_child(|| {
        let own = start(method, 2);
        assert_eq!(own.map(tasks::square, 0..3).unwrap(), [0, 1, 4]);
        assert!(own.worker_pids().iter().all(|pid| !pids.contains(pid)));
        own.apply_async(tasks::square, (3,)).callback(|n| assert_eq!(n, 9)).get().unwrap();
        refused(pool.apply(tasks::square, (3,)));
        drop(own);
    });
    go_on(&pool, &pids);
}

/// Forks the program in the middle of a call, and has the child say whether that call was refused there.
fn forks_during<R: std::fmt::Debug>(call: impl FnOnce(&dyn Fn()) -> pool::Result<R>) -> pool::Result<R> {
    let child = Cell::new(None);
    let outcome = call(&|| {
        std::io::stdout().flush().unwrap();
        // SAFETY: as in `in_forked_child`.
        child.set(Some(unsafe { libc::fork() }));
    });
    let pid = child.get().expect("it forks");
    if pid == 0 {
        let is_refused = matches!(outcome, Err(Error::ForkedChild { .. }));
        if !is_refused {
            eprintln!("in the forked child: {outcome:?}");
        }
        // SAFETY: `_exit` has no preconditions.
        unsafe { libc::_exit(i32::from(!is_refused)) };
    }
    expect_success(pid);
    outcome
}

fn going_on(method: StartMethod) {
    let pool = start(method, 2);
    let pids = pool.worker_pids();
    let squares: Vec<_> = (0..1000).map(|n| n * n).collect();
    for at in [0, 1, 500, 999] {
        let forking = |fork: &dyn Fn(), n: u64| {
            if n == at {
                fork();
            }
        };
        for chunk_size in [1, 10, 1000] {
            let options = pool.options().chunk_size(chunk_size);
            let mapped =
                forks_during(|fork| options.map(tasks::square, (0..1000).inspect(|n| forking(fork, *n))));
            assert_eq!(mapped.unwrap(), squares);
            let lazy = forks_during(|fork| {
                options
                    .imap(tasks::square, (0..1000).inspect(|n| forking(fork, *n)))
                    .collect::<pool::Result<Vec<_>>>()
            });
            assert_eq!(lazy.unwrap(), squares);
            let pushed = forks_during(|fork| {
                options.map_async(tasks::square, (0..1000).inspect(|n| forking(fork, *n))).get()
            });
            assert_eq!(pushed.unwrap(), squares);
        }
    }
    go_on(&pool, &pids);
}
