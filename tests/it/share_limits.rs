//! What cannot be done with shared values, and what becomes of them then.

use std::fs;
use std::os::unix::fs::FileExt;

use pool::{Error, Part, Pool, Shared, StartMethod, pool_task};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::share::{held, mapped, plus_lent, total};
use crate::support::start;

crate::cases![
    only_its_own_pool_sends_it,
    it_is_no_result,
    a_value_that_cannot_be_encoded_is_not_shared,
    a_value_that_cannot_be_decoded_fails_its_items_only,
    it_outlives_its_pool_here,
    a_closed_pool_shares_nothing,
    nobody_sees_what_a_worker_does_to_its_mapping,
];

#[track_caller]
fn refused<R: std::fmt::Debug>(result: pool::Result<R>, part: Part, words: &str) {
    match result.unwrap_err() {
        Error::Encode { part: found, source, .. } if found == part => {
            assert!(source.to_string().contains(words), "{source}");
        }
        other => panic!("{other:?}"),
    }
}

#[pool_task]
fn pass_on(base: &Shared<u64>) -> String {
    let pool = Pool::builder().workers(1).build().unwrap();
    let own = pool.share(1).unwrap();
    assert_eq!(pool.apply(plus_lent, (&own, 1)).unwrap(), 2);
    match pool.apply(plus_lent, (base, 1)) {
        Err(Error::Encode { source, .. }) => source.to_string(),
        other => panic!("{other:?}"),
    }
}

#[pool_task]
fn prepare(_base: Shared<u64>) {}

fn only_its_own_pool_sends_it(method: StartMethod) {
    let pool = start(method, 1);
    // A process that has threads makes the next one otherwise.
    let other = start(StartMethod::Spawn, 1);
    let (base, foreign) = (pool.share(5u64).unwrap(), other.share(6).unwrap());
    refused(pool.apply(plus_lent, (&foreign, 1)), Part::Argument, "made by another pool");
    let results: Vec<_> = pool
        .istarmap(plus_lent, [(&base, 1), (&foreign, 2), (&base, 3)])
        .map(|result| result.map_err(|error| error.index()))
        .collect();
    assert_eq!(results, [Ok(6), Err(Some(1)), Ok(8)]);
    assert_eq!(other.apply(plus_lent, (&foreign, 1)).unwrap(), 7);
    drop(other);
    refused(pool.apply(plus_lent, (&foreign, 1)), Part::Argument, "made by another pool");
    let words = pool.apply(pass_on, (&base,)).unwrap();
    assert!(words.contains("another pool cannot pass it on"), "{words}");
    let built = Pool::builder().initializer(prepare, (base.clone(),)).build();
    refused(built, Part::Argument, "or to an initializer");
}

#[pool_task]
fn give_back(base: Shared<u64>, n: u64) -> Option<Shared<u64>> {
    (n % 2 == 1).then_some(base)
}

fn it_is_no_result(method: StartMethod) {
    let pool = start(method, 1);
    let base = pool.share(5u64).unwrap();
    let mut results: Vec<_> = pool.istarmap(give_back, (0..4).map(|n| (base.clone(), n))).collect();
    for index in [3, 1] {
        refused(results.remove(index), Part::Result, "not as a result");
    }
    assert!(results.into_iter().all(|result| result.unwrap().is_none()));
}

#[derive(Debug)]
struct Stubborn(&'static str);

impl Serialize for Stubborn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            "refuses to be encoded" => Err(serde::ser::Error::custom("no")),
            "panics when it is encoded" => panic!("no"),
            how => how.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Stubborn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match &*String::deserialize(deserializer)? {
            "panics when it is decoded" => panic!("no"),
            _ => Err(serde::de::Error::custom("no")),
        }
    }
}

fn a_value_that_cannot_be_encoded_is_not_shared(method: StartMethod) {
    let pool = start(method, 1);
    let base = pool.share(5u64).unwrap();
    let words = |error: pool::Result<Shared<_>>| match error.unwrap_err() {
        Error::Share { value, source } => (value, source.to_string()),
        other => panic!("{other:?}"),
    };
    let (value, reason) = words(pool.share(Stubborn("refuses to be encoded")).map(|_| base.clone()));
    assert!(value.ends_with("Stubborn") && reason.contains("returned an error"), "{value}: {reason}");
    let (_, reason) = words(pool.share(Stubborn("panics when it is encoded")).map(|_| base.clone()));
    assert!(reason.contains("panicked"), "{reason}");
    let (_, reason) = words(pool.share(vec![base.clone()]).map(|_: Shared<Vec<_>>| base.clone()));
    assert!(reason.contains("in another shared value"), "{reason}");
    assert_eq!(held(), 1);
    assert_eq!(pool.apply(plus_lent, (&base, 1)).unwrap(), 6);
}

#[pool_task]
fn uses_stubborn(value: &Shared<Stubborn>, _n: u64) -> usize {
    value.0.len()
}

fn a_value_that_cannot_be_decoded_fails_its_items_only(method: StartMethod) {
    let pool = start(method, 1);
    let pids = pool.worker_pids();
    let base = pool.share(5u64).unwrap();
    for (how, words) in
        [("fails when it is decoded", "returned an error"), ("panics when it is decoded", "no")]
    {
        let value = pool.share(Stubborn(how)).unwrap();
        for result in pool.istarmap(uses_stubborn, (0..10).map(|n| (&value, n))) {
            let Err(Error::Decode { part: Part::Argument, source, .. }) = result else {
                panic!("{result:?}")
            };
            assert!(source.to_string().contains(words), "{source}");
        }
        assert_eq!(pool.apply(plus_lent, (&base, 1)).unwrap(), 6);
    }
    assert_eq!(pool.worker_pids(), pids);
}

fn it_outlives_its_pool_here(method: StartMethod) {
    let pool = start(method, 2);
    let (numbers, base): (Shared<[f64]>, _) =
        (pool.share(vec![0.5; 100]).unwrap(), pool.share(5u64).unwrap());
    assert_eq!(pool.apply(plus_lent, (&base, 1)).unwrap(), 6);
    pool.terminate();
    assert!(matches!(pool.apply(plus_lent, (&base, 1)), Err(Error::Closed)));
    pool.join().unwrap();
    drop(pool);
    assert_eq!((total(&numbers), *base, held()), (50.0, 5, 2));
    drop((numbers, base));
    assert_eq!((mapped(std::process::id()), held()), (0, 0));
}

fn a_closed_pool_shares_nothing(method: StartMethod) {
    let pool = start(method, 2);
    let base = pool.share(5u64).unwrap();
    let queued = pool.starmap_async(plus_lent, (0..1000).map(|n| (&base, n)));
    pool.close();
    drop(base);
    assert!(matches!(pool.share(6u64), Err(Error::Closed)));
    assert!(queued.get().unwrap().into_iter().eq(5..1005));
    pool.join().unwrap();
    assert_eq!(held(), 0);
}

#[pool_task]
fn overwrite(numbers: Shared<[u64]>) -> u64 {
    let memory = fs::OpenOptions::new().write(true).open("/proc/self/mem").unwrap();
    memory.write_at(&[255; 8], numbers.as_ptr() as u64).unwrap();
    numbers[0]
}

#[pool_task]
fn first_of(numbers: Shared<[u64]>) -> u64 {
    numbers[0]
}

fn nobody_sees_what_a_worker_does_to_its_mapping(method: StartMethod) {
    let pool = Pool::builder().start_method(method).workers(1).max_tasks_per_worker(1).build().unwrap();
    let numbers: Shared<[u64]> = pool.share(vec![7]).unwrap();
    assert_eq!(pool.apply(overwrite, (numbers.clone(),)).unwrap(), u64::MAX);
    assert_eq!((pool.apply(first_of, (numbers.clone(),)).unwrap(), numbers[0]), (7, 7));
}
