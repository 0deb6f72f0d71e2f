//! Pools in tasks of pools.

use pool::{Error, Pool, StartMethod, pool_task};

use crate::support::program::{method_name, method_named};
use crate::support::{start, tasks};

crate::cases![
    a_task_may_have_a_pool_of_its_own,
    pools_nested_too_deeply_are_refused,
    nested_pools_end_with_the_outer_one,
    a_task_may_keep_a_pool_for_later_items,
];

#[pool_task]
fn sum_of_squares(method: &str, end: u64) -> u64 {
    let pool = start(method_named(method), 2);
    let squares = pool.map(tasks::square, 0..end).unwrap();
    pool.close();
    pool.join().unwrap();
    squares.into_iter().sum()
}

fn a_task_may_have_a_pool_of_its_own(method: StartMethod) {
    let pool = start(method, 2);
    let name = method_name(method);
    let sums = pool.starmap(sum_of_squares, (0..6).map(|end| (name, end))).unwrap();
    assert_eq!(sums, [0, 0, 1, 5, 14, 30]);
    // Other methods than its own, too.
    assert_eq!(pool.apply(sum_of_squares, ("spawn", 3)).unwrap(), 5);
    assert_eq!(pool.apply(sum_of_squares, ("fork-server", 3)).unwrap(), 5);
}

/// Goes as deep as it is let; returns how deep that was and what stopped it. (Inside, `dive` is the plain function.)
#[pool_task]
fn dive(method: &str, depth: u32) -> (u32, String) {
    let built = Pool::builder().start_method(method_named(method)).workers(1).build();
    match built {
        Ok(pool) => pool.apply(self::dive, (method, depth + 1)).unwrap(),
        Err(error @ Error::TooDeep { .. }) => (depth, error.to_string()),
        Err(other) => panic!("{other}"),
    }
}

fn pools_nested_too_deeply_are_refused(method: StartMethod) {
    let (depth, message) = start(method, 1).apply(dive, (method_name(method), 1)).unwrap();
    assert!((2..10).contains(&depth), "{depth}");
    assert_eq!(message, format!("pools are nested {depth} deep, and {depth} is the limit"));
}

#[pool_task]
fn lingers_in_a_nested_pool(method: &str, log: &str) {
    let pool = start(method_named(method), 1);
    let _ = pool.apply(tasks::linger, (log,));
}

fn nested_pools_end_with_the_outer_one(method: StartMethod) {
    let pool = start(method, 1);
    let log = crate::support::Log::new();
    let handle = pool.apply_async(lingers_in_a_nested_pool, (method_name(method), log.path()));
    log.wait_for(1);
    let inner: u32 = log.lines()[0].parse().unwrap();
    drop(pool);
    assert!(matches!(handle.get(), Err(Error::Terminated)));
    crate::support::wait_until("the inner worker is gone", || !crate::support::processes::is_alive(inner));
}

#[pool_task]
fn uses_a_kept_pool(method: &str, n: u64) -> u64 {
    static KEPT: std::sync::OnceLock<Pool> = std::sync::OnceLock::new();
    KEPT.get_or_init(|| start(method_named(method), 1)).apply(tasks::square, (n,)).unwrap()
}

fn a_task_may_keep_a_pool_for_later_items(method: StartMethod) {
    let pool = start(method, 1);
    let name = method_name(method);
    assert_eq!(pool.starmap(uses_a_kept_pool, (0..4).map(|n| (name, n))).unwrap(), [0, 1, 4, 9]);
    pool.close();
    pool.join().unwrap();
}
