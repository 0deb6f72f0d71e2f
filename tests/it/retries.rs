//! Items that are tried again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use pool::{Error, Pool, StartMethod, TimeLimit};

use crate::support::{Gate, Log, PATIENCE, limited, start, tasks, wait_until};

crate::cases![
    an_item_that_lost_its_worker_is_tried_again,
    an_item_that_cost_too_many_workers_is_given_up_and_says_so,
    an_item_that_ran_too_long_is_tried_again,
    an_item_that_runs_too_long_each_time_says_how_often,
    without_retries_nothing_is_tried_again,
    other_items_of_the_job_are_not_run_again,
    failures_are_tried_again_if_the_caller_says_so,
    the_caller_is_asked_about_failures_only,
    a_caller_that_panics_when_asked_ends_the_item,
    a_caller_that_uses_the_pool_when_asked_gets_an_error,
    what_the_caller_gave_along_may_use_the_pool_when_it_is_dropped,
    what_the_caller_gave_along_is_dropped_with_the_options_if_the_job_has_ended,
    what_the_caller_gave_along_is_dropped_when_the_last_attempt_was_lost,
    everything_goes_on_while_the_caller_is_asked,
    everything_goes_on_while_what_the_caller_gave_along_is_dropped,
    the_caller_is_not_asked_about_a_job_that_has_ended,
    a_caller_may_cancel_when_asked,
    a_job_that_is_cancelled_is_not_tried_again,
    fail_fast_counts_the_last_failure,
    a_closed_pool_tries_again_what_it_took,
];

fn an_item_that_lost_its_worker_is_tried_again(method: StartMethod) {
    let pool = start(method, 2);
    let log = Log::new();
    assert_eq!(pool.options().retries(3).apply(limited::die_at_first, (log.path(), 3)).unwrap(), 4);
    assert_eq!(log.count(), 4);
}

fn an_item_that_cost_too_many_workers_is_given_up_and_says_so(method: StartMethod) {
    let pool = start(method, 2);
    let log = Log::new();
    let error = pool.options().retries(2).apply(limited::die_at_first, (log.path(), 100)).unwrap_err();
    assert!(matches!(error, Error::WorkerLost { attempts: 3, index: 0, .. }), "{error:?}");
    assert!(error.to_string().contains("it was tried 3 times"), "{error}");
    assert_eq!(log.count(), 3);
    assert_eq!(pool.apply(tasks::square, (3,)).unwrap(), 9);
}

fn an_item_that_ran_too_long_is_tried_again(method: StartMethod) {
    let pool = start(method, 2);
    let log = Log::new();
    let options = pool.options().retries(2).timeout(Duration::from_secs(1));
    assert_eq!(options.apply(limited::hang_at_first, (log.path(), 2)).unwrap(), 3);
    assert_eq!(log.count(), 3);
}

fn an_item_that_runs_too_long_each_time_says_how_often(method: StartMethod) {
    let (log, starts) = (Log::new(), Log::new());
    let builder = Pool::builder().start_method(method).workers(2);
    let pool = builder.initializer(tasks::noted, (starts.path(), 1)).build().unwrap();
    let options = pool.options().retries(1).timeout(Duration::from_millis(500));
    let error = options.apply(limited::hang_at_first, (log.path(), 100)).unwrap_err();
    let limit = TimeLimit::Timeout(Duration::from_millis(500));
    assert!(matches!(error, Error::TimedOut { attempts: 2, limit: l, .. } if l == limit), "{error:?}");
    assert_eq!(log.count(), 2);
    // Each time cost a worker, which was replaced.
    starts.wait_for(4);
    pool.close();
    pool.join().unwrap();
    assert_eq!(starts.count(), 4);
}

fn without_retries_nothing_is_tried_again(method: StartMethod) {
    let pool = start(method, 2);
    let log = Log::new();
    let error = pool.apply(limited::die_at_first, (log.path(), 1)).unwrap_err();
    assert!(matches!(error, Error::WorkerLost { attempts: 1, .. }), "{error:?}");
    assert_eq!(log.count(), 1);
}

fn other_items_of_the_job_are_not_run_again(method: StartMethod) {
    let pool = start(method, 2);
    let (log, deaths) = (Log::new(), Log::new());
    let items = (0..300).map(|n| (log.path(), deaths.path(), n));
    let sums = pool.options().chunk_size(100).retries(1).starmap(limited::noted_dies_once_at_50, items);
    assert_eq!(sums.unwrap(), (0..300).collect::<Vec<_>>());
    let mut expected: Vec<_> = (0..300).chain([50]).collect();
    expected.sort_unstable();
    assert_eq!(log.sorted(), expected);
}

fn failures_are_tried_again_if_the_caller_says_so(method: StartMethod) {
    let pool = start(method, 2);
    let log = Log::new();
    let again = |error: &Error| matches!(error, Error::Panicked { message, .. } if message == "not yet");
    let options = pool.options().retries(5).retry_if(again);
    assert_eq!(options.apply(limited::panic_at_first, (log.path(), 4)).unwrap(), 5);
    let error = options.apply(limited::panic_at_first, (Log::new().path(), 100)).unwrap_err();
    assert!(matches!(error, Error::Panicked { .. }), "{error:?}");
}

fn the_caller_is_asked_about_failures_only(method: StartMethod) {
    let pool = start(method, 2);
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let never = move |_: &Error| {
        count.fetch_add(1, Ordering::SeqCst);
        false
    };
    let options = pool.options().chunk_size(50).retries(1).retry_if(never);
    let results: Vec<_> = options.imap(tasks::only_even, 0..200).collect();
    for (n, result) in results.iter().enumerate() {
        assert_eq!(result.is_err(), n % 2 == 1, "{n}: {result:?}");
        assert!(result.as_ref().err().is_none_or(|error| error.index() == Some(n)));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 100);
}

fn a_caller_that_panics_when_asked_ends_the_item(method: StartMethod) {
    let pool = start(method, 1);
    let options = pool.options().retries(1).retry_if(|_| panic!("no idea"));
    let error = options.apply(tasks::only_even, (1,)).unwrap_err();
    let Error::CallbackPanicked { message, source: Some(source) } = error else { panic!("{error:?}") };
    assert_eq!(message, "no idea");
    assert!(matches!(*source, Error::Panicked { .. }));
    assert_eq!(pool.apply(tasks::square, (3,)).unwrap(), 9);
}

fn a_caller_that_uses_the_pool_when_asked_gets_an_error(method: StartMethod) {
    let pool = Arc::new(start(method, 1));
    let again = Arc::downgrade(&pool);
    let ask = move |_: &Error| {
        let pool: Arc<Pool> = again.upgrade().expect("it waits for the answer");
        assert!(matches!(pool.apply(tasks::square, (3,)), Err(Error::WouldDeadlock { .. })));
        assert!(pool.imap(tasks::square, [3]).next().unwrap().is_err());
        false
    };
    let error = pool.options().retries(1).retry_if(ask).apply(tasks::only_even, (1,)).unwrap_err();
    assert!(matches!(error, Error::Panicked { .. }), "{error:?}");
}

fn a_job_that_is_cancelled_is_not_tried_again(method: StartMethod) {
    let pool = start(method, 1);
    let log = Log::new();
    let doomed = pool.options().retries(1000).apply_async(limited::die_at_first, (log.path(), 1000));
    wait_until("it is tried again", || log.count() >= 2);
    assert!(doomed.cancel());
    assert!(matches!(doomed.get(), Err(Error::Cancelled { .. })));
    pool.close();
    pool.join().unwrap();
}

fn fail_fast_counts_the_last_failure(method: StartMethod) {
    let pool = start(method, 1);
    let (log, other) = (Log::new(), Log::new());
    let items = [(log.path(), 1), (other.path(), 100), (log.path(), 0)];
    let options = pool.options().chunk_size(1).retries(1).fail_fast(true);
    let error = options.starmap(limited::die_at_first, items).unwrap_err();
    assert!(matches!(error, Error::WorkerLost { index: 1, attempts: 2, .. }), "{error:?}");
}

fn a_closed_pool_tries_again_what_it_took(method: StartMethod) {
    let pool = start(method, 1);
    let log = Log::new();
    let stubborn = pool.options().retries(3).apply_async(limited::die_at_first, (log.path(), 3));
    pool.close();
    pool.join().unwrap();
    assert_eq!(stubborn.get().unwrap(), 4);
}

/// Says what it got when it used the pool while it was dropped.
struct UsesThePool(Weak<Pool>, Sender<pool::Result<u64>>);

impl Drop for UsesThePool {
    fn drop(&mut self) {
        // Not for longer: the test's own thread is to be the one that drops the pool.
        let got = self.0.upgrade().map(|pool| pool.apply(tasks::square, (3,)));
        if let Some(got) = got {
            let _ = self.1.send(got);
        }
        panic!("on purpose");
    }
}

/// A `retry_if` that uses the pool when it is dropped, and where it says what it got.
fn ask_that_uses(
    pool: &Arc<Pool>,
) -> (impl Fn(&Error) -> bool + Send + Sync + 'static, Receiver<pool::Result<u64>>) {
    let (sender, receiver) = mpsc::channel();
    let guard = UsesThePool(Arc::downgrade(pool), sender);
    (move |_: &Error| guard.0.strong_count() == 0, receiver)
}

fn what_the_caller_gave_along_may_use_the_pool_when_it_is_dropped(method: StartMethod) {
    let pool = Arc::new(start(method, 1));
    let (ask, said) = ask_that_uses(&pool);
    let gate = Gate::new();
    // The options end with the statement and the item does not, so the pool has what was given along.
    let handle = pool.options().retries(1).retry_if(ask).apply_async(tasks::gated, (gate.path(), 4));
    gate.open();
    assert_eq!(handle.get().unwrap(), 4);
    let got = said.recv_timeout(PATIENCE).unwrap();
    assert!(matches!(got, Err(Error::WouldDeadlock { .. })), "{got:?}");
    assert_eq!(pool.apply(tasks::square, (5,)).unwrap(), 25);
}

fn what_the_caller_gave_along_is_dropped_with_the_options_if_the_job_has_ended(method: StartMethod) {
    let pool = Arc::new(start(method, 1));
    let (ask, said) = ask_that_uses(&pool);
    let options = pool.options().retries(1).retry_if(ask);
    assert_eq!(options.apply(tasks::square, (4,)).unwrap(), 16);
    assert!(said.try_recv().is_err(), "the options still have it");
    // The job has ended for the caller, which need not mean that the driver is rid of it.
    pool.close();
    pool.join().unwrap();
    let panic = catch_unwind(AssertUnwindSafe(|| drop(options))).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"on purpose"));
    let got = said.try_recv().unwrap();
    assert!(matches!(got, Err(Error::Closed)), "{got:?}");
}

fn what_the_caller_gave_along_is_dropped_when_the_last_attempt_was_lost(method: StartMethod) {
    let pool = start(method, 1);
    for _ in 0..10 {
        let (given, kept) = mpsc::channel::<()>();
        let keep = move |_: &Error| given.send(()).is_err();
        let error = pool.options().retries(1).retry_if(keep).apply(tasks::die, ("kill",)).unwrap_err();
        assert!(matches!(error, Error::WorkerLost { attempts: 2, .. }), "{error:?}");
        // The pool is not used again meanwhile.
        assert_eq!(kept.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
    }
}

/// Says that it was reached, and waits until the other end says so or is gone; then says whether that came in time.
struct Held {
    reached: Sender<()>,
    gate: Mutex<Receiver<()>>,
    in_time: Sender<bool>,
}

/// The other end of what is [`Held`].
struct Holds {
    reached: Receiver<()>,
    gate: Sender<()>,
    in_time: Receiver<bool>,
}

fn held() -> (Held, Holds) {
    let ((reaches, reached), (opens, gate)) = (mpsc::channel(), mpsc::channel());
    let (says, in_time) = mpsc::channel();
    let held = Held { reached: reaches, gate: Mutex::new(gate), in_time: says };
    (held, Holds { reached, gate: opens, in_time })
}

impl Held {
    fn hold(&self) {
        self.reached.send(()).unwrap();
        let ended = self.gate.lock().unwrap().recv_timeout(PATIENCE);
        self.in_time.send(ended != Err(RecvTimeoutError::Timeout)).unwrap();
    }
}

/// Uses the pool in every way that must not wait for code of the user's that is held, and then lets it go.
fn use_meanwhile(pool: &Pool, holds: Holds) {
    holds.reached.recv_timeout(PATIENCE).unwrap();
    assert_eq!(pool.apply(tasks::square, (3,)).unwrap(), 9);
    assert_eq!(pool.map(tasks::square, 0..100).unwrap().len(), 100);
    let (called, values) = mpsc::channel();
    drop(pool.apply_async(tasks::square, (4,)).callback(move |n| called.send(n).unwrap()));
    assert_eq!(values.recv_timeout(PATIENCE).unwrap(), 16);
    let log = Log::new();
    let limit = pool.options().timeout(Duration::from_millis(100));
    let error = limit.apply(tasks::linger, (log.path(),)).unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
    let deadline = pool.options().deadline(Instant::now() + Duration::from_millis(100));
    let error = deadline.apply(tasks::linger, (log.path(),)).unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
    let retried = pool.options().retries(2).apply(limited::die_at_first, (Log::new().path(), 2));
    assert_eq!(retried.unwrap(), 3);
    drop(holds.gate);
    assert_eq!(holds.in_time.recv_timeout(PATIENCE), Ok(true));
}

fn everything_goes_on_while_the_caller_is_asked(method: StartMethod) {
    let pool = start(method, 2);
    // Be it the caller's thread that drives or another one.
    for waits in [false, true] {
        let (held, holds) = held();
        let ask = move |_: &Error| {
            held.hold();
            false
        };
        let options = pool.options().retries(1).retry_if(ask);
        std::thread::scope(|scope| {
            let call = || options.apply(tasks::only_even, (1,));
            let waiting = waits.then(|| scope.spawn(call));
            let asked = (!waits).then(|| options.apply_async(tasks::only_even, (1,)));
            use_meanwhile(&pool, holds);
            let waited = waiting.map(|waiting| waiting.join().unwrap());
            let outcome = waited.or(asked.map(|asked| asked.get())).expect("it is one of the two");
            assert!(matches!(outcome, Err(Error::Panicked { .. })), "{outcome:?}");
        });
    }
}

struct HoldsDrop(Held);

impl Drop for HoldsDrop {
    fn drop(&mut self) {
        self.0.hold();
    }
}

fn everything_goes_on_while_what_the_caller_gave_along_is_dropped(method: StartMethod) {
    let pool = start(method, 2);
    for closes in [false, true] {
        let (held, holds) = held();
        let guard = HoldsDrop(held);
        let gate = Gate::new();
        let ask = move |_: &Error| guard.0.gate.is_poisoned();
        let job = pool.options().retries(1).retry_if(ask).apply_async(tasks::gated, (gate.path(), 4));
        gate.open();
        assert_eq!(job.get().unwrap(), 4);
        if closes {
            pool.close();
            assert!(pool.join_timeout(Duration::from_millis(10)).is_none());
            drop(holds.gate);
            pool.join().unwrap();
            assert_eq!(holds.in_time.try_recv(), Ok(true));
        } else {
            use_meanwhile(&pool, holds);
        }
    }
}

fn the_caller_is_not_asked_about_a_job_that_has_ended(method: StartMethod) {
    let pool = start(method, 1);
    let (held, holds) = held();
    let hold = move |_: &Error| {
        held.hold();
        true
    };
    let asked = pool.options().retries(1).retry_if(hold).apply_async(tasks::only_even, (1,));
    holds.reached.recv_timeout(PATIENCE).unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    let again = move |_: &Error| counter.fetch_add(1, Ordering::SeqCst) == 0;
    let options = pool.options().retries(1).retry_if(again);
    let doomed = options.apply_async(tasks::only_even, (1,));
    let awaited = options.apply_async(tasks::only_even, (3,));
    // The one worker has run both by then, and now they wait to be asked about.
    assert_eq!(pool.apply(tasks::square, (3,)).unwrap(), 9);
    assert!(doomed.cancel() && asked.cancel());
    assert!(matches!(asked.get(), Err(Error::Cancelled { .. })));
    assert!(matches!(doomed.get(), Err(Error::Cancelled { .. })));
    drop(holds.gate);
    assert_eq!(holds.in_time.recv_timeout(PATIENCE), Ok(true));
    assert!(matches!(awaited.get(), Err(Error::Panicked { .. })));
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

fn a_caller_may_cancel_when_asked(method: StartMethod) {
    let pool = Arc::new(start(method, 2));
    let gate = Gate::new();
    let other = Mutex::new(Some(pool.apply_async(tasks::gated, (gate.path(), 4))));
    let again = Arc::downgrade(&pool);
    let ask = move |_: &Error| {
        let pool: Arc<Pool> = again.upgrade().expect("it waits for the answer");
        assert_eq!(pool.worker_pids().len(), 2);
        let other = other.lock().unwrap().take().expect("it is asked once");
        assert!(other.cancel());
        assert!(matches!(other.get(), Err(Error::Cancelled { .. })));
        false
    };
    let error = pool.options().retries(1).retry_if(ask).apply(tasks::only_even, (1,)).unwrap_err();
    assert!(matches!(error, Error::Panicked { .. }), "{error:?}");
}
