//! Arguments and results that do not survive the trip.

use std::error::Error as _;

use pool::{Error, Part, Pool, Result, StartMethod, Task, pool_task};

use crate::support::fickle::{Mood, Shy, Sly};
use crate::support::{start, tasks};

crate::cases![
    arguments_that_do_not_encode,
    arguments_that_do_not_decode,
    results_that_do_not_encode,
    results_that_do_not_decode,
    one_bad_item_does_not_harm_its_neighbours,
    references_fail_like_values,
    formats_that_describe_themselves_are_refused_with_a_reason,
    arguments_that_do_not_encode_fail_fast,
];

#[pool_task]
fn takes_shy(shy: Shy) -> bool {
    shy.0 == Mood::Good
}

#[pool_task]
fn takes_sly(sly: Sly) -> bool {
    sly.0 == Mood::Good
}

#[pool_task]
fn returns_shy(mood: Mood) -> Shy {
    Shy(mood)
}

#[pool_task]
fn returns_sly(mood: Mood) -> Sly {
    Sly(mood)
}

/// All calls with one bad item at index 3, and one alone.
fn check<A, T>(method: StartMethod, task: T, good: A, bad: A, is_it: impl Fn(&Error) -> bool)
where
    A: Copy,
    T: for<'a> Task<Args<'a> = (A,)>,
    T::Output: Send,
{
    let pool: Pool = start(method, 2);
    let pids = pool.worker_pids();
    let check = |error: Option<Error>, index| {
        let error = error.expect("an error");
        assert!(is_it(&error), "{error:?}");
        assert_eq!((error.task(), error.index()), (Some(T::NAME), Some(index)));
        assert!(!error.source().expect("a cause").to_string().is_empty());
    };
    let items = || (0..10).map(|n| if n == 3 || n == 7 { bad } else { good });
    for _ in 0..3 {
        check(pool.apply(task, (bad,)).err(), 0);
        check(pool.apply_async(task, (bad,)).get().err(), 0);
        let handle = pool.apply_async(task, (bad,)).inspect(|_| panic!("called"));
        check(handle.get().err(), 0);
        for size in [1, 2, 10] {
            let options = pool.options().chunk_size(size);
            check(options.map(task, items()).err(), 3);
            check(options.map_async(task, items()).get().err(), 3);
            let results: Vec<Result<_>> = options.imap(task, items()).collect();
            assert_eq!(results.len(), 10);
            for (n, result) in results.into_iter().enumerate() {
                match n {
                    3 | 7 => check(result.err(), n),
                    _ => assert!(result.is_ok()),
                }
            }
            assert_eq!(options.imap_unordered(task, items()).filter(Result::is_ok).count(), 8);
        }
        assert!(pool.apply(task, (good,)).is_ok());
    }
    assert_eq!(pool.worker_pids(), pids, "no worker was lost");
    pool.close();
    pool.join().unwrap();
}

fn arguments_that_do_not_encode(method: StartMethod) {
    for mood in Mood::BAD {
        let is_it = |error: &Error| matches!(error, Error::Encode { part: Part::Argument, .. });
        check(method, takes_shy, Shy(Mood::Good), Shy(mood), is_it);
    }
}

fn arguments_that_do_not_decode(method: StartMethod) {
    for mood in Mood::BAD {
        let is_it = |error: &Error| matches!(error, Error::Decode { part: Part::Argument, .. });
        check(method, takes_sly, Sly(Mood::Good), Sly(mood), is_it);
    }
}

fn results_that_do_not_encode(method: StartMethod) {
    for mood in Mood::BAD {
        let is_it = |error: &Error| matches!(error, Error::Encode { part: Part::Result, .. });
        check(method, returns_shy, Mood::Good, mood, is_it);
    }
}

fn results_that_do_not_decode(method: StartMethod) {
    for mood in Mood::BAD {
        let is_it = |error: &Error| matches!(error, Error::Decode { part: Part::Result, .. });
        check(method, returns_sly, Mood::Good, mood, is_it);
    }
}

fn one_bad_item_does_not_harm_its_neighbours(method: StartMethod) {
    let pool = start(method, 1);
    let moods = || (0..1000).map(|n| if n % 10 == 3 { Mood::BAD[n / 10 % 2] } else { Mood::Good });
    let options = pool.options().chunk_size(1000);
    assert_eq!(options.imap(takes_shy, moods().map(Shy)).filter(Result::is_ok).count(), 900);
    assert_eq!(options.imap(takes_sly, moods().map(Sly)).filter(Result::is_ok).count(), 900);
    assert_eq!(options.imap(returns_shy, moods()).filter(Result::is_ok).count(), 900);
    assert_eq!(options.imap(returns_sly, moods()).filter(Result::is_ok).count(), 900);
}

#[pool_task]
fn borrows(shy: &Shy, sly: &Sly, list: &[Sly], text: &str) -> usize {
    usize::from(shy.0 == Mood::Good && sly.0 == Mood::Good) + list.len() + text.len()
}

fn references_fail_like_values(method: StartMethod) {
    let pool = start(method, 1);
    let (shy, sly) = (Shy(Mood::Good), Sly(Mood::Good));
    assert_eq!(pool.apply(borrows, (&shy, &sly, &[sly; 3], "four")).unwrap(), 8);
    for mood in Mood::BAD {
        let part = |error: Error| match error {
            Error::Encode { part, .. } => ("encode", part),
            Error::Decode { part, .. } => ("decode", part),
            other => panic!("{other}"),
        };
        let error = pool.apply(borrows, (&Shy(mood), &sly, &[sly; 3], "four")).unwrap_err();
        assert_eq!(part(error), ("encode", Part::Argument));
        let error = pool.apply(borrows, (&shy, &Sly(mood), &[sly; 3], "four")).unwrap_err();
        assert_eq!(part(error), ("decode", Part::Argument));
        let error = pool.apply(borrows, (&shy, &sly, &[sly, Sly(mood)], "four")).unwrap_err();
        assert_eq!(part(error), ("decode", Part::Argument));
    }
    assert_eq!(pool.apply(tasks::square, (3,)).unwrap(), 9);
}

#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(u64),
}

#[pool_task]
fn takes_untagged(untagged: Untagged) -> u64 {
    let Untagged::Number(number) = untagged;
    number
}

fn formats_that_describe_themselves_are_refused_with_a_reason(method: StartMethod) {
    let pool = start(method, 1);
    let error = pool.apply(takes_untagged, (Untagged::Number(3),)).unwrap_err();
    assert!(matches!(error, Error::Decode { part: Part::Argument, .. }), "{error}");
    assert!(error.source().unwrap().to_string().contains("untagged"));
}

fn arguments_that_do_not_encode_fail_fast(method: StartMethod) {
    let pool = start(method, 1);
    let options = pool.options().fail_fast(true).chunk_size(2);
    let items = || (0..1000).map(|n| Shy(if n == 500 { Mood::Fails } else { Mood::Good }));
    assert_eq!(options.map(takes_shy, items()).unwrap_err().index(), Some(500));
    assert_eq!(options.map_async(takes_shy, items()).get().unwrap_err().index(), Some(500));
    let results: Vec<_> = options.imap(takes_shy, items()).collect();
    assert!(results.len() <= 1000, "{}", results.len());
    let mut errors = results.into_iter().filter_map(Result::err);
    assert!(errors.any(|error| matches!(error, Error::Encode { index: 500, .. })));
}
