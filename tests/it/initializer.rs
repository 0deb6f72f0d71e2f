//! What workers run first and last.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pool::{Error, Pool, StartMethod, pool_task};

use crate::support::report::{is_first, scratch_path};
use crate::support::{Gate, Log, comes_true, note, pass, processes, start, tasks, wait_until};

crate::cases![
    runs_once_in_every_worker_before_its_first_item,
    runs_again_in_replaced_workers,
    failing_always_is_the_error_of_every_call,
    being_killed_always_is_the_error_of_every_call,
    failing_starts_no_storm_of_processes,
    failing_in_a_replaced_worker_ends_the_pool,
    dying_once_is_forgiven,
    slow_ones_are_waited_for,
    arguments_that_do_not_decode_are_its_error,
    finalizer_runs_once_in_every_worker_when_the_pool_is_closed,
    finalizer_runs_when_a_worker_has_run_its_share,
    finalizer_does_not_run_when_the_pool_is_terminated,
    failing_finalizer_is_of_no_consequence,
    an_error_that_the_initializer_returns_is_its_failure,
    an_error_that_is_longer_than_a_frame_is_told,
];

static FACTOR: AtomicU64 = AtomicU64::new(0);

#[pool_task]
fn set_factor(log: &str, factor: u64) {
    FACTOR.fetch_add(factor, Ordering::SeqCst);
    note(log, std::process::id());
}

#[pool_task]
fn scale(n: u64) -> u64 {
    n * FACTOR.load(Ordering::SeqCst)
}

fn distinct(log: &Log) -> BTreeSet<String> {
    log.lines().into_iter().collect()
}

fn runs_once_in_every_worker_before_its_first_item(method: StartMethod) {
    let log = Log::new();
    let builder = Pool::builder().start_method(method).workers(3).initializer(set_factor, (log.path(), 10));
    let pool = builder.build().unwrap();
    assert_eq!(pool.map(scale, 0..1000).unwrap(), (0..1000).map(|n| 10 * n).collect::<Vec<_>>());
    // Workers that were not needed run it as well.
    log.wait_for(3);
    assert_eq!(pool.map(scale, 0..1000).unwrap().len(), 1000);
    let pids: BTreeSet<String> = pool.worker_pids().iter().map(u32::to_string).collect();
    assert_eq!(distinct(&log), pids);
    assert_eq!(log.count(), 3);
}

fn runs_again_in_replaced_workers(method: StartMethod) {
    let log = Log::new();
    let builder = Pool::builder().start_method(method).workers(1).initializer(set_factor, (log.path(), 10));
    let pool = builder.build().unwrap();
    for deaths in 1..4 {
        assert!(pool.apply(tasks::die, ("kill",)).is_err());
        assert_eq!(pool.apply(scale, (3,)).unwrap(), 30);
        assert_eq!((log.count(), distinct(&log).len()), (deaths + 1, deaths + 1));
    }
    drop(pool);
    let log = Log::new();
    let builder = Pool::builder().start_method(method).workers(1).initializer(set_factor, (log.path(), 10));
    let pool = builder.max_tasks_per_worker(2).build().unwrap();
    assert_eq!(pool.map(scale, 0..10).unwrap(), (0..10).map(|n| 10 * n).collect::<Vec<_>>());
    assert!(log.count() >= 5);
}

#[pool_task]
fn fails(log: &str, how: &str) {
    note(log, std::process::id());
    match how {
        "panic" => panic!("cannot begin"),
        how => crate::support::tasks::end_process(how),
    }
}

fn is_initializer_error(error: Option<Error>) {
    match error {
        Some(Error::Initializer { task, reason }) => {
            assert!(task.ends_with("initializer::fails"), "{task}");
            assert!(!reason.is_empty());
        }
        other => panic!("{other:?}"),
    }
}

fn failing_always_is_the_error_of_every_call(method: StartMethod) {
    for how in ["panic", "exit", "abort"] {
        every_call_has_its_error(method, how);
    }
}

fn being_killed_always_is_the_error_of_every_call(method: StartMethod) {
    // Somebody else may have killed them, so a hundred in a row are tried.
    every_call_has_its_error(method, "kill");
}

fn every_call_has_its_error(method: StartMethod, how: &str) {
    let log = Log::new();
    let builder = Pool::builder().start_method(method).workers(2).initializer(fails, (log.path(), how));
    let pool = builder.build().unwrap();
    let early = pool.apply_async(tasks::square, (3,));
    let many = pool.map_async(tasks::square, 0..100);
    is_initializer_error(pool.apply(tasks::square, (3,)).err());
    is_initializer_error(early.get().err());
    is_initializer_error(many.get().err());
    is_initializer_error(pool.apply_async(tasks::square, (3,)).get().err());
    is_initializer_error(pool.map(tasks::square, 0..3).err());
    is_initializer_error(pool.map_async(tasks::square, 0..3).get().err());
    is_initializer_error(pool.imap(tasks::square, 0..3).next().unwrap().err());
    is_initializer_error(pool.imap_unordered(tasks::square, 0..3).next().unwrap().err());
    is_initializer_error(pool.starmap(tasks::add, [(1, 2)]).err());
    pool.close();
    is_initializer_error(pool.join().err());
}

fn failing_starts_no_storm_of_processes(method: StartMethod) {
    for how in ["panic", "exit"] {
        let log = Log::new();
        let builder = Pool::builder().start_method(method).workers(2).initializer(fails, (log.path(), how));
        let pool = builder.build().unwrap();
        is_initializer_error(pool.apply(tasks::square, (3,)).err());
        wait_until("no process is left", || processes::children().is_empty());
        let started = log.count();
        assert!(started <= 20, "{started} processes were started");
        assert!(!comes_true(Duration::from_millis(200), || log.count() > started), "it goes on");
        drop(pool);
    }
}

#[pool_task]
fn fails_the_second_time(path: &str) {
    assert!(is_first(path), "cannot begin again");
}

fn failing_in_a_replaced_worker_ends_the_pool(method: StartMethod) {
    let path = scratch_path("first");
    let args = (path.to_str().unwrap(),);
    let builder = Pool::builder().start_method(method).workers(1).initializer(fails_the_second_time, args);
    let pool = builder.build().unwrap();
    assert_eq!(pool.apply(tasks::square, (3,)).unwrap(), 9);
    let queued = pool.map_async(tasks::dies_on_number, [1, 0, 2]);
    assert!(matches!(queued.get(), Err(Error::Initializer { .. })));
    assert!(
        matches!(pool.apply(tasks::square, (3,)), Err(Error::Initializer { reason, .. }) if reason.contains("cannot begin again"))
    );
}

#[pool_task]
fn dies_the_first_time(path: &str) {
    if is_first(path) {
        crate::support::tasks::end_process("kill");
    }
}

fn dying_once_is_forgiven(method: StartMethod) {
    let path = scratch_path("first");
    let args = (path.to_str().unwrap(),);
    let builder = Pool::builder().start_method(method).workers(1).initializer(dies_the_first_time, args);
    let pool = builder.build().unwrap();
    assert_eq!(pool.map(tasks::square, 0..3).unwrap(), [0, 1, 4]);
}

#[pool_task]
fn waits(gate: &str) {
    pass(gate);
}

fn slow_ones_are_waited_for(method: StartMethod) {
    let gate = Gate::new();
    let builder = Pool::builder().start_method(method).workers(2).initializer(waits, (gate.path(),));
    let pool = builder.build().unwrap();
    let handle = pool.map_async(tasks::square, 0..100);
    assert!(!handle.wait_timeout(Duration::from_millis(50)));
    gate.open();
    assert_eq!(handle.get().unwrap().len(), 100);
}

#[pool_task]
fn takes_sly(_sly: crate::support::fickle::Sly) {}

fn arguments_that_do_not_decode_are_its_error(method: StartMethod) {
    use crate::support::fickle::{Mood, Sly};
    for mood in Mood::BAD {
        let builder = Pool::builder().start_method(method).workers(1).initializer(takes_sly, (Sly(mood),));
        let pool = builder.build().unwrap();
        let error = pool.apply(tasks::square, (3,)).unwrap_err();
        assert!(matches!(error, Error::Initializer { .. }), "{error}");
    }
}

#[pool_task]
fn leaves(log: &str) {
    note(log, std::process::id());
}

fn finalizer_runs_once_in_every_worker_when_the_pool_is_closed(method: StartMethod) {
    let log = Log::new();
    let pool =
        Pool::builder().start_method(method).workers(3).finalizer(leaves, (log.path(),)).build().unwrap();
    let pids: BTreeSet<String> = pool.worker_pids().iter().map(u32::to_string).collect();
    assert_eq!(pool.map(tasks::square, 0..100).unwrap().len(), 100);
    assert_eq!(log.count(), 0);
    pool.close();
    pool.join().unwrap();
    assert_eq!((log.count(), distinct(&log)), (3, pids));
}

fn finalizer_runs_when_a_worker_has_run_its_share(method: StartMethod) {
    for call in ["single items", "chunks of a share", "chunks of any size"] {
        let log = Log::new();
        let builder = Pool::builder().start_method(method).workers(1).finalizer(leaves, (log.path(),));
        let pool = builder.max_tasks_per_worker(3).build().unwrap();
        let pids = match call {
            "single items" => (0..9).map(|_| pool.apply(tasks::own_pid, ()).unwrap()).collect(),
            "chunks of a share" => pool.options().chunk_size(3).map(tasks::pid_for, 0..9).unwrap(),
            _ => pool.map(tasks::pid_for, 0..9).unwrap(),
        };
        let ran: BTreeSet<String> = pids.iter().map(u32::to_string).collect();
        if call == "chunks of any size" {
            // What is queued at a worker that is stuck for a moment may be run by the next one, and its share be smaller.
            assert!(ran.len() >= 3, "{ran:?}");
            log.wait_for(ran.len() - 1);
            assert!(distinct(&log).is_subset(&ran));
        } else {
            assert_eq!(ran.len(), 3);
            log.wait_for(3);
            assert_eq!(distinct(&log), ran);
        }
        pool.close();
        pool.join().unwrap();
        assert!(distinct(&log).is_superset(&ran));
        assert_eq!(log.count(), distinct(&log).len(), "once in each");
    }
}

fn finalizer_does_not_run_when_the_pool_is_terminated(method: StartMethod) {
    let log = Log::new();
    let pool =
        Pool::builder().start_method(method).workers(2).finalizer(leaves, (log.path(),)).build().unwrap();
    assert_eq!(pool.map(tasks::square, 0..100).unwrap().len(), 100);
    pool.terminate();
    pool.join().unwrap();
    drop(pool);
    drop(Pool::builder().start_method(method).workers(2).finalizer(leaves, (log.path(),)).build().unwrap());
    assert_eq!(log.count(), 0);
}

fn failing_finalizer_is_of_no_consequence(method: StartMethod) {
    for how in ["panic", "exit", "kill"] {
        let log = Log::new();
        let builder = Pool::builder().start_method(method).workers(2).finalizer(fails, (log.path(), how));
        let pool = builder.max_tasks_per_worker(5).build().unwrap();
        assert_eq!(pool.map(tasks::square, 0..50).unwrap().len(), 50);
        pool.close();
        pool.join().unwrap();
        assert!(log.count() >= 10);
    }
    let pool = start(method, 1);
    assert_eq!(pool.apply(tasks::square, (3,)).unwrap(), 9);
}

#[pool_task]
fn returns_an_error(how: u8) -> Result<(), String> {
    if how == 0 { Ok(()) } else { Err("no model to load".to_owned()) }
}

fn an_error_that_the_initializer_returns_is_its_failure(method: StartMethod) {
    let pool =
        Pool::builder().start_method(method).workers(1).initializer(returns_an_error, (0,)).build().unwrap();
    assert_eq!(pool.apply(tasks::square, (3,)).unwrap(), 9);
    drop(pool);
    let pool =
        Pool::builder().start_method(method).workers(1).initializer(returns_an_error, (1,)).build().unwrap();
    let error = pool.apply(tasks::square, (3,)).unwrap_err();
    assert!(matches!(error, Error::Initializer { .. }), "{error}");
}

#[pool_task]
fn fails_at_length(length: usize) -> Result<(), String> {
    Err("x".repeat(length))
}

fn an_error_that_is_longer_than_a_frame_is_told(method: StartMethod) {
    let builder = Pool::builder().start_method(method).workers(1).initializer(fails_at_length, (1 << 20,));
    let error = builder.build().unwrap().apply(tasks::square, (3,)).unwrap_err();
    assert!(matches!(error, Error::Initializer { .. }), "{error}");
    assert!(error.to_string().contains(&"x".repeat(1 << 20)));
}
