//! Arguments and results that fail, panic, crash or exit while they are encoded or decoded, on either side, small and
//! large. `codec_errors.rs` has all calls and what the errors say.
//!
//! What ends a process can only be tried in the worker: in the caller it would be the end of the program.

use pool::{Error, Exit, Part, Pool, StartMethod, Task, pool_task};

use super::{lost, row};
use crate::support::fickle::{Mood, Shy, Sly};

crate::cases![
    an_argument_that_does_not_encode_in_the_caller_fails_alone,
    an_argument_that_does_not_decode_in_the_worker_fails_alone,
    an_argument_whose_decoding_ends_the_worker_fails_alone,
    a_result_that_does_not_encode_in_the_worker_fails_alone,
    a_result_whose_encoding_ends_the_worker_fails_alone,
    a_result_that_does_not_decode_in_the_caller_fails_alone,
];

/// With the small ones, values fit into the ring; with the large ones each travels through a segment of its own.
const SIZES: [usize; 2] = [10, 3 << 20];

/// A value at the end of what may be megabytes, so that it is reached when most of the work is done.
type Heavy<V> = (String, V);

fn heavy<V>(bytes: usize, value: V) -> Heavy<V> {
    ("x".repeat(bytes), value)
}

#[pool_task]
fn takes_shy(heavy: Heavy<Shy>) -> usize {
    heavy.0.len()
}

#[pool_task]
fn takes_sly(heavy: Heavy<Sly>) -> usize {
    heavy.0.len()
}

#[pool_task]
fn lent_sly(heavy: &Heavy<Sly>) -> usize {
    heavy.0.len()
}

#[pool_task]
fn returns_shy(mood: (Mood, usize)) -> Heavy<Shy> {
    heavy(mood.1, Shy(mood.0))
}

#[pool_task]
fn returns_sly(mood: (Mood, usize)) -> Heavy<Sly> {
    heavy(mood.1, Sly(mood.0))
}

/// A bad item alone, and two bad ones among ten: what each of them gets must pass `check`, the others are right.
fn fails_alone<A, T>(pool: &Pool, task: T, good: A, bad: A, check: impl Fn(Error))
where
    A: Clone,
    T: for<'a> Task<Args<'a> = (A,)>,
    T::Output: std::fmt::Debug + Send,
{
    let check = |error: Error, place| {
        assert_eq!((error.task(), error.index()), (Some(T::NAME), Some(place)));
        check(error);
    };
    check(pool.apply(task, (bad.clone(),)).unwrap_err(), 0);
    check(pool.apply_async(task, (bad.clone(),)).get().unwrap_err(), 0);
    for size in [1, 10] {
        let options = pool.options().chunk_size(size);
        let items = || (0..10).map(|n| if [3, 7].contains(&n) { bad.clone() } else { good.clone() });
        let results: Vec<_> = options.imap(task, items()).collect();
        assert_eq!(results.len(), 10);
        for (n, result) in results.into_iter().enumerate() {
            match result {
                Ok(_) => assert!(![3, 7].contains(&n)),
                Err(error) => {
                    assert!([3, 7].contains(&n), "{error}");
                    check(error, n);
                }
            }
        }
        check(options.map(task, items()).unwrap_err(), 3);
    }
}

/// An error of this kind, of this part, with a reason; told apart by `is_encode`.
fn is_codec_error(is_encode: bool, expected: Part) -> impl Fn(Error) {
    move |error| match error {
        Error::Encode { part, source, .. } if is_encode => {
            assert_eq!(part, expected);
            assert!(!source.to_string().is_empty());
        }
        Error::Decode { part, source, .. } if !is_encode => {
            assert_eq!(part, expected);
            assert!(!source.to_string().is_empty());
        }
        other => panic!("{other:?}"),
    }
}

/// The end that a deadly mood makes of a worker.
fn is_end_by(mood: Mood) -> impl Fn(Error) {
    let expected = if mood == Mood::Exits { Exit::Code(3) } else { Exit::Signal(11) };
    move |error| assert_eq!(lost(error).2, expected)
}

fn an_argument_that_does_not_encode_in_the_caller_fails_alone(method: StartMethod) {
    row(method, |pool| {
        for (bytes, mood) in SIZES.into_iter().flat_map(|bytes| Mood::BAD.map(|mood| (bytes, mood))) {
            let (good, bad) = (heavy(bytes, Shy(Mood::Good)), heavy(bytes, Shy(mood)));
            fails_alone(pool, takes_shy, good, bad, is_codec_error(true, Part::Argument));
        }
    });
}

fn an_argument_that_does_not_decode_in_the_worker_fails_alone(method: StartMethod) {
    row(method, |pool| {
        for (bytes, mood) in SIZES.into_iter().flat_map(|bytes| Mood::BAD.map(|mood| (bytes, mood))) {
            let (good, bad) = (heavy(bytes, Sly(Mood::Good)), heavy(bytes, Sly(mood)));
            let is_it = is_codec_error(false, Part::Argument);
            is_it(pool.apply(lent_sly, (&bad,)).unwrap_err());
            fails_alone(pool, takes_sly, good, bad, is_it);
        }
    });
}

fn an_argument_whose_decoding_ends_the_worker_fails_alone(method: StartMethod) {
    row(method, |pool| {
        for (bytes, mood) in SIZES.into_iter().flat_map(|bytes| Mood::DEADLY.map(|mood| (bytes, mood))) {
            let (good, bad) = (heavy(bytes, Sly(Mood::Good)), heavy(bytes, Sly(mood)));
            is_end_by(mood)(pool.apply(lent_sly, (&bad,)).unwrap_err());
            fails_alone(pool, takes_sly, good, bad, is_end_by(mood));
        }
    });
}

fn a_result_that_does_not_encode_in_the_worker_fails_alone(method: StartMethod) {
    row(method, |pool| {
        for (bytes, mood) in SIZES.into_iter().flat_map(|bytes| Mood::BAD.map(|mood| (bytes, mood))) {
            let is_it = is_codec_error(true, Part::Result);
            fails_alone(pool, returns_shy, (Mood::Good, bytes), (mood, bytes), is_it);
        }
    });
}

fn a_result_whose_encoding_ends_the_worker_fails_alone(method: StartMethod) {
    row(method, |pool| {
        for (bytes, mood) in SIZES.into_iter().flat_map(|bytes| Mood::DEADLY.map(|mood| (bytes, mood))) {
            fails_alone(pool, returns_shy, (Mood::Good, bytes), (mood, bytes), is_end_by(mood));
        }
    });
}

fn a_result_that_does_not_decode_in_the_caller_fails_alone(method: StartMethod) {
    row(method, |pool| {
        for (bytes, mood) in SIZES.into_iter().flat_map(|bytes| Mood::BAD.map(|mood| (bytes, mood))) {
            let is_it = is_codec_error(false, Part::Result);
            fails_alone(pool, returns_sly, (Mood::Good, bytes), (mood, bytes), is_it);
        }
    });
}
