//! Workers, helpers and callbacks that do not want to end: `terminate` and drop end them, or leave them alone.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use pool::{Error, Pool, StartMethod, pool_task};
use rustix::process::Signal;

use crate::support::{Log, PATIENCE, note, processes, report, start, tasks, wait_until};

crate::cases![
    busy_workers_that_ignore_sigterm_are_killed,
    busy_workers_that_block_every_signal_are_killed,
    starting_workers_that_block_every_signal_are_killed,
    leaving_workers_that_block_every_signal_are_killed,
    stopped_workers_are_killed_whatever_they_do,
    a_stopped_worker_that_starts_is_killed,
    a_helper_that_is_stopped_in_the_middle_of_a_start_holds_up_nobody,
    a_callback_that_does_not_return_is_left_alone,
    a_question_that_is_not_answered_is_left_alone,
    workers_are_ended_while_a_question_is_not_answered,
    a_pool_may_be_terminated_while_it_asks,
];

/// What tasks do against their end.
fn resist(how: &str) {
    match how {
        // SAFETY: this installs no code.
        "ignore" => drop(unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) }),
        "block" => {
            // SAFETY: all zeros is a set of signals, and it is filled before it is used.
            let mut all: libc::sigset_t = unsafe { std::mem::zeroed() };
            // SAFETY: the set is ours.
            unsafe { libc::sigfillset(&mut all) };
            // SAFETY: the set is initialized, and the old one is not asked for.
            unsafe { libc::sigprocmask(libc::SIG_BLOCK, &all, std::ptr::null_mut()) };
        }
        other => panic!("no such way: {other}"),
    }
}

#[pool_task]
fn resists(log: &str, how: &str) {
    resist(how);
    note(log, std::process::id());
    report::linger();
}

/// Ends the pool in both ways, one after the other.
fn comes_to_an_end(begin: impl Fn() -> Pool) {
    let pool = begin();
    pool.terminate();
    assert!(matches!(pool.join_timeout(PATIENCE), Some(Ok(()))));
    assert!(processes::children().is_empty());
    drop(pool);
    drop(begin());
    wait_until("no process is left", || processes::children().is_empty());
}

fn busy(method: StartMethod, how: &str) -> Pool {
    let pool = start(method, 2);
    let log = Log::new();
    for _ in 0..2 {
        drop(pool.apply_async(resists, (log.path(), how)));
    }
    log.wait_for(2);
    pool
}

fn busy_workers_that_ignore_sigterm_are_killed(method: StartMethod) {
    comes_to_an_end(|| busy(method, "ignore"));
}

fn busy_workers_that_block_every_signal_are_killed(method: StartMethod) {
    comes_to_an_end(|| busy(method, "block"));
}

fn starting_workers_that_block_every_signal_are_killed(method: StartMethod) {
    comes_to_an_end(|| {
        let log = Log::new();
        let builder = Pool::builder().start_method(method).workers(2);
        let pool = builder.initializer(resists, (log.path(), "block")).build().unwrap();
        log.wait_for(2);
        pool
    });
}

fn leaving_workers_that_block_every_signal_are_killed(method: StartMethod) {
    comes_to_an_end(|| {
        let log = Log::new();
        let builder = Pool::builder().start_method(method).workers(2);
        let pool = builder.finalizer(resists, (log.path(), "block")).build().unwrap();
        pool.close();
        log.wait_for(2);
        pool
    });
}

fn stop(pid: u32) {
    processes::signal(pid, Signal::STOP);
    wait_until("it is stopped", || processes::state(pid).is_some_and(|(state, _)| state == 'T'));
}

fn stopped_workers_are_killed_whatever_they_do(method: StartMethod) {
    comes_to_an_end(|| {
        let pool = start(method, 3);
        let log = Log::new();
        drop(pool.apply_async(tasks::linger, (log.path(),)));
        drop(pool.apply_async(resists, (log.path(), "block")));
        log.wait_for(2);
        pool.worker_pids().into_iter().for_each(stop);
        pool
    });
}

fn a_stopped_worker_that_starts_is_killed(method: StartMethod) {
    comes_to_an_end(|| {
        let log = Log::new();
        let builder = Pool::builder().start_method(method).workers(1);
        let pool = builder.initializer(tasks::linger, (log.path(),)).build().unwrap();
        log.wait_for(1);
        stop(pool.worker_pids()[0]);
        pool
    });
}

fn a_helper_that_is_stopped_in_the_middle_of_a_start_holds_up_nobody(method: StartMethod) {
    if method == StartMethod::Spawn {
        // It has none.
        return;
    }
    comes_to_an_end(|| {
        let pool = start(method, 1);
        assert_eq!(pool.apply(tasks::square, (3,)).unwrap(), 9);
        if method == StartMethod::Fork {
            wait_until("there is a spare", || processes::zygotes().len() == 2);
        }
        processes::zygotes().into_iter().for_each(stop);
        let worker = pool.worker_pids()[0];
        processes::kill(worker);
        wait_until("the worker is replaced, in vain", || pool.worker_pids().is_empty());
        pool
    });
}

/// Waits until the other end is gone.
fn hang(gate: &mpsc::Receiver<()>) {
    let _ = gate.recv_timeout(2 * PATIENCE);
}

fn a_callback_that_does_not_return_is_left_alone(method: StartMethod) {
    let pool = start(method, 1);
    let (open, gate) = mpsc::channel();
    let (begins, has_begun) = mpsc::channel();
    drop(pool.apply_async(tasks::square, (3,)).callback(move |_| {
        begins.send(()).unwrap();
        hang(&gate);
    }));
    has_begun.recv_timeout(PATIENCE).unwrap();
    drop(pool);
    assert!(processes::children().is_empty());
    drop(open);
}

/// A pool whose `retry_if` is being asked and does not answer before the sender is dropped.
fn asking(method: StartMethod) -> (Pool, pool::AsyncResult<u64>, mpsc::Sender<()>) {
    let pool = start(method, 2);
    let (open, gate) = mpsc::channel();
    let (begins, has_begun) = mpsc::channel();
    let (gate, begins) = (std::sync::Mutex::new(gate), std::sync::Mutex::new(begins));
    let ask = move |_: &Error| {
        begins.lock().unwrap().send(()).unwrap();
        hang(&gate.lock().unwrap());
        false
    };
    let asks = pool.options().retries(1).retry_if(ask).apply_async(tasks::only_even, (1,));
    has_begun.recv_timeout(PATIENCE).unwrap();
    (pool, asks, open)
}

fn a_question_that_is_not_answered_is_left_alone(method: StartMethod) {
    let (pool, asks, open) = asking(method);
    drop(pool);
    assert!(processes::children().is_empty());
    assert!(matches!(asks.get(), Err(Error::Terminated)));
    drop(open);
}

fn workers_are_ended_while_a_question_is_not_answered(method: StartMethod) {
    let (pool, asks, open) = asking(method);
    pool.terminate();
    assert!(matches!(pool.join_timeout(PATIENCE), Some(Ok(()))));
    assert!(processes::children().is_empty());
    assert!(matches!(asks.get(), Err(Error::Terminated)));
    drop(open);
}

fn a_pool_may_be_terminated_while_it_asks(method: StartMethod) {
    let pool = Arc::new(start(method, 2));
    let was_asked = Arc::new(AtomicBool::new(false));
    let (weak, asked) = (Arc::downgrade(&pool), was_asked.clone());
    let ask = move |_: &Error| {
        weak.upgrade().expect("it waits for the answer").terminate();
        asked.store(true, Ordering::SeqCst);
        true
    };
    let error = pool.options().retries(1).retry_if(ask).apply(tasks::only_even, (1,)).unwrap_err();
    assert!(matches!(error, Error::Terminated), "{error:?}");
    // The call may return before what ended it does.
    wait_until("the caller was asked, and ended the pool", || was_asked.load(Ordering::SeqCst));
    assert!(matches!(pool.join_timeout(Duration::MAX), Some(Ok(()))));
}
