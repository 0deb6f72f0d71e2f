//! What stays of a pool that is dropped: nothing.

use std::cell::Cell;
use std::sync::Arc;

use pool::{Error, Pool, StartMethod};

use crate::support::{
    Gate, Log, drop_in_time, leaves_no_process, no_process_is_left, panic_of, start, tasks,
};

crate::cases![
    ends_open_handles_with_terminated,
    handles_with_results_outlive_their_pool,
    ends_busy_workers,
    an_unused_pool_leaves_nothing,
    unwinding_drops_the_pool_like_anything_else,
    on_another_thread_leaves_nothing,
    after_close_does_not_wait_for_queued_work,
    right_after_build_leaves_nothing,
    wakes_who_waits_for_a_handle,
];

fn ends_open_handles_with_terminated(method: StartMethod) {
    let pool = start(method, 1);
    let gate = Gate::new();
    let running = pool.apply_async(tasks::gated, (gate.path(), 1));
    let queued: Vec<_> = (0..100).map(|n| pool.apply_async(tasks::gated, (gate.path(), n))).collect();
    let many = pool.starmap_async(tasks::gated, (0..100).map(|n| (gate.path(), n)));
    drop(pool);
    assert!(matches!(running.get(), Err(Error::Terminated)));
    assert!(queued.into_iter().all(|handle| matches!(handle.get(), Err(Error::Terminated))));
    assert!(matches!(many.get(), Err(Error::Terminated)));
}

fn handles_with_results_outlive_their_pool(method: StartMethod) {
    let pool = start(method, 1);
    let done = pool.map_async(tasks::square, 0..3);
    done.wait();
    drop(pool);
    assert!(done.wait_timeout(std::time::Duration::ZERO));
    assert!(!done.cancel());
    assert_eq!(done.get().unwrap(), [0, 1, 4]);
}

fn ends_busy_workers(method: StartMethod) {
    let pool = start(method, 2);
    let log = Log::new();
    let _busy = [0; 2].map(|_| pool.apply_async(tasks::linger, (log.path(),)));
    log.wait_for(2);
    leaves_no_process(pool);
}

fn an_unused_pool_leaves_nothing(method: StartMethod) {
    leaves_no_process(start(method, 2));
}

/// Drops a pool and tells whether that was in time.
struct Timed<'t>(Option<Pool>, &'t Cell<Option<bool>>);

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        self.1.set(Some(drop_in_time(self.0.take())));
    }
}

fn unwinding_drops_the_pool_like_anything_else(method: StartMethod) {
    let was_in_time = Cell::new(None);
    let message = panic_of(|| {
        let pool = start(method, 2);
        let timed = Timed(Some(pool), &was_in_time);
        for result in timed.0.iter().flat_map(|pool| pool.imap(tasks::square, 0..)) {
            assert!(result.unwrap() < 1000, "enough");
        }
    });
    assert_eq!(message, "enough");
    no_process_is_left(was_in_time.get().expect("it was dropped"));
}

fn on_another_thread_leaves_nothing(method: StartMethod) {
    let pool = start(method, 2);
    assert_eq!(pool.apply(tasks::square, (3,)).unwrap(), 9);
    no_process_is_left(std::thread::spawn(move || drop_in_time(pool)).join().unwrap());
}

fn after_close_does_not_wait_for_queued_work(method: StartMethod) {
    let pool = start(method, 1);
    let gate = Gate::new();
    let handle = pool.apply_async(tasks::gated, (gate.path(), 1));
    pool.close();
    drop(pool);
    assert!(matches!(handle.get(), Err(Error::Terminated)));
}

fn right_after_build_leaves_nothing(method: StartMethod) {
    for workers in [1, 2, 3, 8] {
        leaves_no_process(start(method, workers));
    }
}

fn wakes_who_waits_for_a_handle(method: StartMethod) {
    let pool = Arc::new(start(method, 1));
    let (log, gate) = (Log::new(), Gate::new());
    let handle = pool.apply_async(tasks::noted_gated, (log.path(), gate.path(), 1));
    let waiting = std::thread::spawn(move || handle.get());
    log.wait_for(1);
    drop(pool);
    assert!(matches!(waiting.join().unwrap(), Err(Error::Terminated)));
}
