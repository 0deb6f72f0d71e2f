//! Waiting for the end of a pool, but not for ever.

use std::sync::mpsc;
use std::time::Duration;

use pool::{Error, Pool, StartMethod, pool_task};

use crate::support::{Gate, Log, PATIENCE, note, processes, report, start, tasks};

crate::cases![
    is_none_while_work_is_open_and_may_be_repeated,
    is_none_while_a_callback_runs,
    is_none_while_a_finalizer_runs_and_terminate_ends_that,
    on_an_open_pool_is_an_error,
    in_a_callback_is_refused,
    reports_what_ended_the_pool,
    returns_to_some_threads_while_others_join,
    beyond_the_end_of_time_is_join,
];

/// Short, for what is known not to happen meanwhile.
const MOMENT: Duration = Duration::from_millis(20);

fn is_over(pool: &Pool) {
    assert!(matches!(pool.join_timeout(PATIENCE), Some(Ok(()))));
    assert!(processes::children().is_empty());
    assert!(matches!(pool.join_timeout(Duration::ZERO), Some(Ok(()))));
    pool.join().unwrap();
}

fn is_none_while_work_is_open_and_may_be_repeated(method: StartMethod) {
    let pool = start(method, 2);
    let gate = Gate::new();
    let many = pool.starmap_async(tasks::gated, (0..10).map(|n| (gate.path(), n)));
    pool.close();
    for timeout in [MOMENT, Duration::ZERO, MOMENT] {
        assert!(pool.join_timeout(timeout).is_none());
    }
    gate.open();
    is_over(&pool);
    assert_eq!(many.get().unwrap().len(), 10);
}

fn is_none_while_a_callback_runs(method: StartMethod) {
    let pool = start(method, 1);
    let (open, gate) = mpsc::channel::<()>();
    let held_up = pool.apply_async(tasks::square, (3,)).callback(move |_| {
        let _ = gate.recv_timeout(PATIENCE);
    });
    pool.close();
    assert!(pool.join_timeout(MOMENT).is_none());
    drop(open);
    is_over(&pool);
    assert!(held_up.ready());
}

#[pool_task]
fn notes_and_lingers(log: &str) {
    note(log, std::process::id());
    report::linger();
}

fn is_none_while_a_finalizer_runs_and_terminate_ends_that(method: StartMethod) {
    let log = Log::new();
    let builder = Pool::builder().start_method(method).workers(2);
    let pool = builder.finalizer(notes_and_lingers, (log.path(),)).build().unwrap();
    assert_eq!(pool.apply(tasks::square, (3,)).unwrap(), 9);
    pool.close();
    log.wait_for(2);
    assert!(pool.join_timeout(MOMENT).is_none());
    pool.terminate();
    is_over(&pool);
}

fn on_an_open_pool_is_an_error(method: StartMethod) {
    let pool = start(method, 1);
    assert!(matches!(pool.join_timeout(PATIENCE), Some(Err(Error::StillRunning))));
    assert_eq!(pool.apply(tasks::square, (3,)).unwrap(), 9);
}

fn in_a_callback_is_refused(method: StartMethod) {
    let pool = std::sync::Arc::new(start(method, 1));
    let (sender, receiver) = mpsc::channel();
    let own = pool.clone();
    let handle = pool.apply_async(tasks::square, (3,)).callback(move |_| {
        own.close();
        let _ = sender.send(own.join_timeout(PATIENCE));
    });
    let outcome = receiver.recv_timeout(PATIENCE).unwrap();
    assert!(matches!(outcome, Some(Err(Error::WouldDeadlock { call: "join" }))), "{outcome:?}");
    handle.wait();
    is_over(&pool);
}

#[pool_task]
fn refuses() -> Result<(), String> {
    Err("no model".to_owned())
}

fn reports_what_ended_the_pool(method: StartMethod) {
    let pool = Pool::builder().start_method(method).workers(1).initializer(refuses, ()).build().unwrap();
    assert!(pool.apply(tasks::square, (3,)).is_err());
    pool.close();
    assert!(matches!(pool.join_timeout(PATIENCE), Some(Err(Error::Initializer { .. }))));
}

fn returns_to_some_threads_while_others_join(method: StartMethod) {
    let pool = start(method, 2);
    let gate = Gate::new();
    let handle = pool.apply_async(tasks::gated, (gate.path(), 7));
    pool.close();
    std::thread::scope(|scope| {
        let patient: Vec<_> = (0..3).map(|_| scope.spawn(|| pool.join())).collect();
        let hasty: Vec<_> = (0..3).map(|_| scope.spawn(|| pool.join_timeout(MOMENT))).collect();
        assert!(hasty.into_iter().all(|join| join.join().unwrap().is_none()));
        assert!(!patient.iter().any(|join| join.is_finished()));
        gate.open();
        assert!(patient.into_iter().all(|join| join.join().unwrap().is_ok()));
    });
    assert_eq!(handle.get().unwrap(), 7);
}

fn beyond_the_end_of_time_is_join(method: StartMethod) {
    let pool = start(method, 1);
    pool.close();
    assert!(matches!(pool.join_timeout(Duration::MAX), Some(Ok(()))));
}
