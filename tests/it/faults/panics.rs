//! Tasks that panic, and values that panic when they are dropped. What a panic says is in `panics.rs`.

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};

use pool::{Error, Pool, StartMethod, Task, pool_task};
use serde::{Deserialize, Serialize};

use super::{hold_callbacks, row};
use crate::support::tasks::PanicsWhenDropped;
use crate::support::{panic_of, tasks};

crate::cases![
    a_panic_fails_its_item_and_costs_no_worker,
    a_message_of_ten_mebibytes_arrives,
    a_payload_that_is_no_string_is_named_as_such,
    a_payload_that_panics_when_dropped_fails_its_item,
    a_result_that_panics_when_dropped_in_the_worker_fails_its_item,
    an_argument_that_panics_when_dropped_in_the_worker_fails_its_item,
    an_argument_that_panics_when_dropped_in_the_caller_is_the_callers_panic,
    a_result_that_panics_when_dropped_in_the_caller_is_the_callers_panic,
];

/// The task panics for `bad`, alone and among a thousand, and for nothing else; no worker is lost.
fn check<A, T>(pool: &Pool, task: T, good: A, bad: A, message: impl Fn(&str) -> bool)
where
    A: Clone,
    T: for<'a> Task<Args<'a> = (A,)>,
    T::Output: Send,
{
    let pids = pool.worker_pids();
    let check = |error: Error, place| {
        let Error::Panicked { task, index, message: text, .. } = error else { panic!("{error:?}") };
        assert_eq!((task, index), (T::NAME, place));
        assert!(message(&text), "{}", &text[..text.len().min(100)]);
    };
    check(pool.apply(task, (bad.clone(),)).map(|_| ()).unwrap_err(), 0);
    check(pool.apply_async(task, (bad.clone(),)).get().map(|_| ()).unwrap_err(), 0);
    for size in [1, 1000] {
        let items = (0..1000).map(|n| if n == 500 { bad.clone() } else { good.clone() });
        let results = pool.options().chunk_size(size).imap(task, items);
        for (n, result) in results.enumerate() {
            match result {
                Ok(_) => assert_ne!(n, 500),
                Err(error) => check(error, 500),
            }
        }
    }
    assert_eq!(pool.worker_pids(), pids, "no worker is lost");
}

fn a_panic_fails_its_item_and_costs_no_worker(method: StartMethod) {
    row(method, |pool| check(pool, tasks::only_even, 2, 3, |text| text == "3 is odd"));
}

#[pool_task]
fn panics_at_length(bytes: usize) {
    assert!(bytes == 0, "{}", "x".repeat(bytes));
}

fn a_message_of_ten_mebibytes_arrives(method: StartMethod) {
    row(method, |pool| {
        check(pool, panics_at_length, 0, 10 << 20, |text| {
            text.len() == 10 << 20 && text.bytes().all(|byte| byte == b'x')
        });
    });
}

#[pool_task]
fn panics_with_a_number(number: u64) {
    if number > 0 {
        panic_any(number);
    }
}

fn a_payload_that_is_no_string_is_named_as_such(method: StartMethod) {
    row(method, |pool| check(pool, panics_with_a_number, 0, 1, |text| text == "a value that is no string"));
}

#[pool_task]
fn panics_with_an_explosive(really: bool) {
    if really {
        panic_any(PanicsWhenDropped);
    }
}

fn a_payload_that_panics_when_dropped_fails_its_item(method: StartMethod) {
    row(method, |pool| check(pool, panics_with_an_explosive, false, true, |_| true));
}

/// Panics when it is dropped, in the worker or in the process that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Fuse {
    None,
    InWorker(u32),
    InCaller(u32),
}

/// A value with a fuse, and something to make it large.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Loaded(Fuse, String);

impl Loaded {
    fn with(fuse: Fuse, bytes: usize) -> Self {
        Self(fuse, "x".repeat(bytes))
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        let caller = std::process::id();
        match self.0 {
            Fuse::InWorker(other) if other != caller => panic!("dropped in the worker"),
            Fuse::InCaller(own) if own == caller => panic!("dropped in the caller"),
            _ => {}
        }
    }
}

#[pool_task]
fn makes(fuse: Fuse) -> Loaded {
    Loaded::with(fuse, 10)
}

#[pool_task]
fn makes_large(fuse: Fuse) -> Loaded {
    Loaded::with(fuse, 3 << 20)
}

fn a_result_that_panics_when_dropped_in_the_worker_fails_its_item(method: StartMethod) {
    let fuse = Fuse::InWorker(std::process::id());
    row(method, |pool| {
        check(pool, makes, Fuse::None, fuse, |text| text == "dropped in the worker");
        let error = pool.apply(makes_large, (fuse,)).unwrap_err();
        assert!(matches!(error, Error::Panicked { message, .. } if message == "dropped in the worker"));
        assert_eq!(pool.apply(makes_large, (Fuse::None,)).unwrap().1.len(), 3 << 20);
    });
}

#[pool_task]
fn takes(loaded: Loaded) -> usize {
    loaded.1.len()
}

#[pool_task]
fn looks_at(loaded: &Loaded) -> usize {
    loaded.1.len()
}

fn an_argument_that_panics_when_dropped_in_the_worker_fails_its_item(method: StartMethod) {
    let fuse = Fuse::InWorker(std::process::id());
    row(method, |pool| {
        for bytes in [10, 3 << 20] {
            let (good, bad) = (Loaded::with(Fuse::None, bytes), Loaded::with(fuse, bytes));
            for error in [
                pool.apply(takes, (bad.clone(),)).unwrap_err(),
                // It is dropped when the task has returned.
                pool.apply(looks_at, (&bad,)).unwrap_err(),
            ] {
                assert!(
                    matches!(&error, Error::Panicked { message, .. } if message == "dropped in the worker"),
                    "{error:?}"
                );
            }
            assert_eq!(pool.apply(looks_at, (&good,)).unwrap(), bytes);
        }
        let (good, bad) = (Loaded::with(Fuse::None, 10), Loaded::with(fuse, 10));
        check(pool, takes, good, bad, |text| text == "dropped in the worker");
    });
}

fn an_argument_that_panics_when_dropped_in_the_caller_is_the_callers_panic(method: StartMethod) {
    let bad = || Loaded::with(Fuse::InCaller(std::process::id()), 10);
    row(method, |pool| {
        assert_eq!(panic_of(|| pool.apply(takes, (bad(),))), "dropped in the caller");
        assert_eq!(panic_of(|| drop(pool.apply_async(takes, (bad(),)))), "dropped in the caller");
        let items = || (0..100).map(|n| if n == 50 { bad() } else { Loaded::with(Fuse::None, 10) });
        assert_eq!(panic_of(|| pool.map(takes, items())), "dropped in the caller");
        assert_eq!(panic_of(|| drop(pool.map_async(takes, items()))), "dropped in the caller");
        assert_eq!(panic_of(|| pool.imap(takes, items()).count()), "dropped in the caller");
    });
}

fn a_result_that_panics_when_dropped_in_the_caller_is_the_callers_panic(method: StartMethod) {
    let fuse = Fuse::InCaller(std::process::id());
    row(method, |pool| {
        assert_eq!(panic_of(|| drop(pool.apply(makes, (fuse,)))), "dropped in the caller");
        let many = |fuses: [Fuse; 3]| pool.options().chunk_size(3).map(makes, fuses);
        assert_eq!(panic_of(|| drop(many([Fuse::None, fuse, Fuse::None]))), "dropped in the caller");
        // The one before it is dropped because the job failed.
        let failing = pool.options().chunk_size(2).map_async(makes_or_panics, [Some(fuse), None]);
        let outcome = catch_unwind(AssertUnwindSafe(|| drop(failing.get())));
        assert!(outcome.is_err());
        // Nobody takes these, so they never become values.
        drop(pool.apply_async(makes, (fuse,)));
        // On the callbacks' thread, which has others to call.
        let hold = hold_callbacks(pool);
        drop(pool.apply_async(makes, (fuse,)).inspect(|_| {}));
        drop(pool.apply_async(makes, (fuse,)).callback(|_| {}));
        drop(pool.apply_async(makes, (fuse,)).error_callback(|_| {}));
        drop(hold);
        assert!(matches!(
            pool.apply_async(makes, (fuse,)).callback(drop).get(),
            Err(Error::CallbackPanicked { message, .. }) if message == "dropped in the caller"
        ));
        assert_eq!(pool.apply_async(tasks::square, (3,)).inspect(|_| {}).get().unwrap(), 9);
    });
}

#[pool_task]
fn makes_or_panics(fuse: Option<Fuse>) -> Loaded {
    Loaded::with(fuse.expect("a fuse"), 10)
}
