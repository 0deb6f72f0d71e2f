//! Workers that are replaced because they have too much memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pool::{Error, Pool, StartMethod, pool_task};

use crate::support::{Log, Over, Random, note, processes, start, tasks, wait_until};

crate::cases![
    a_worker_is_replaced_between_items_once_it_has_too_much,
    every_worker_runs_one_item_at_least,
    no_item_is_lost_or_run_twice,
    below_the_limit_and_without_one_workers_stay,
    the_finalizer_runs_in_workers_that_are_replaced,
    the_first_failure_ends_a_job_whose_workers_are_replaced,
    close_and_join_while_workers_are_replaced,
    a_job_is_cancelled_while_workers_are_replaced,
    every_item_ends_once_while_workers_are_replaced_and_killed,
];

const MIB: u64 = 1 << 20;

fn limited(method: StartMethod, workers: usize, bytes: u64) -> Pool {
    Pool::builder().start_method(method).workers(workers).max_memory_per_worker(bytes).build().unwrap()
}

/// Keeps 10 MiB for good.
#[pool_task]
fn leaks(log: &str, n: u64) -> u32 {
    std::mem::forget(std::hint::black_box(vec![1u8; 10 << 20]));
    note(log, n);
    // A worker looks once a millisecond at most.
    std::thread::sleep(Duration::from_millis(2));
    std::process::id()
}

fn runs(pids: impl IntoIterator<Item = u32>) -> Vec<usize> {
    let mut counts = BTreeMap::new();
    pids.into_iter().for_each(|pid| *counts.entry(pid).or_insert(0) += 1);
    counts.into_values().collect()
}

fn a_worker_is_replaced_between_items_once_it_has_too_much(method: StartMethod) {
    for size in [1, 3, 30] {
        let pool = limited(method, 1, 100 * MIB);
        let log = Log::new();
        let items = (0..30).map(|n| (log.path(), n));
        let pids = pool.options().chunk_size(size).starmap(leaks, items).unwrap();
        // What they have of themselves is less than 50 MiB.
        let mut runs = runs(pids);
        assert!(runs.iter().all(|items| *items <= 10), "{runs:?}");
        runs.sort_unstable();
        // The last one may not have come to its end.
        assert!(runs[1..].iter().all(|items| *items >= 5), "{runs:?}");
        assert_eq!(log.sorted(), (0..30).collect::<Vec<_>>(), "chunk size {size}");
    }
}

fn every_worker_runs_one_item_at_least(method: StartMethod) {
    for size in [1, 10] {
        let pool = limited(method, 1, 1);
        let pids = pool.options().chunk_size(size).map(tasks::pid_for, 0..10).unwrap();
        assert_eq!(runs(pids), [1; 10]);
    }
}

fn no_item_is_lost_or_run_twice(method: StartMethod) {
    for bytes in [1, 40 * MIB] {
        let pool = limited(method, 2, bytes);
        let log = Log::new();
        let items = || (0..50).map(|n| (log.path(), n));
        assert_eq!(pool.starmap(tasks::noted, items()).unwrap(), (0..50).collect::<Vec<_>>());
        let lazily: Vec<_> = pool.options().chunk_size(7).istarmap(leaks, items()).collect();
        assert!(lazily.iter().all(Result::is_ok), "{lazily:?}");
        let handles: Vec<_> = items().map(|args| pool.apply_async(leaks, args)).collect();
        assert!(handles.into_iter().all(|handle| handle.get().is_ok()));
        let expected: Vec<_> = (0..50).flat_map(|n| [n; 3]).collect();
        assert_eq!(log.sorted(), expected);
        wait_until("all places are filled again", || pool.worker_pids().len() == 2);
    }
}

fn below_the_limit_and_without_one_workers_stay(method: StartMethod) {
    let log = Log::new();
    for limit in [Some(2048 * MIB), None] {
        let pool = limit.map_or_else(|| start(method, 2), |bytes| limited(method, 2, bytes));
        let before = pool.worker_pids();
        assert_eq!(pool.map(tasks::square, 0..10_000).unwrap().len(), 10_000);
        assert_eq!(pool.starmap(leaks, (0..20).map(|n| (log.path(), n))).unwrap().len(), 20);
        assert_eq!(pool.worker_pids(), before);
    }
}

#[pool_task]
fn leaves(log: &str) {
    note(log, std::process::id());
}

fn the_finalizer_runs_in_workers_that_are_replaced(method: StartMethod) {
    let log = Log::new();
    let builder = Pool::builder().start_method(method).workers(1).finalizer(leaves, (log.path(),));
    let pool = builder.max_memory_per_worker(1).max_tasks_per_worker(2).build().unwrap();
    let mut ran: Vec<String> = pool.map(tasks::pid_for, 0..5).unwrap().iter().map(u32::to_string).collect();
    log.wait_for(5);
    let mut left = log.lines();
    left[..5].sort();
    ran.sort();
    assert_eq!(left[..5], ran);
}

fn the_first_failure_ends_a_job_whose_workers_are_replaced(method: StartMethod) {
    let pool = limited(method, 2, 1);
    let items = (0..1000).map(|n| if n == 3 { 1 } else { 2 * n });
    let error = pool.options().chunk_size(10).fail_fast(true).map(tasks::only_even, items).unwrap_err();
    assert!(matches!(error, Error::Panicked { index: 3, .. }), "{error}");
    assert_eq!(pool.map(tasks::square, 0..3).unwrap(), [0, 1, 4]);
}

fn close_and_join_while_workers_are_replaced(method: StartMethod) {
    let pool = limited(method, 2, 1);
    let handle = pool.map_async(tasks::square, 0..20);
    pool.close();
    pool.join().unwrap();
    assert_eq!(handle.get().unwrap().len(), 20);
}

fn a_job_is_cancelled_while_workers_are_replaced(method: StartMethod) {
    let pool = limited(method, 2, 1);
    for _ in 0..3 {
        let log = Log::new();
        let items = (0..20_000).map(|n| (log.path(), n));
        let handle = pool.options().chunk_size(100).starmap_async(tasks::noted, items);
        log.wait_for(3);
        assert!(handle.cancel());
        assert!(matches!(handle.get(), Err(Error::Cancelled { .. })));
        assert_eq!(pool.map(tasks::square, 0..3).unwrap(), [0, 1, 4]);
    }
}

fn every_item_ends_once_while_workers_are_replaced_and_killed(method: StartMethod) {
    let pool = limited(method, 3, 60 * MIB);
    let is_over = AtomicBool::new(false);
    let jobs = [1, 5, 40, 1, 5, 40].map(|size| (size, Log::new()));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random::new();
            let mut at_last_kill = 0;
            while !is_over.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_micros(500 + random.below(20_000) as u64));
                // Where workers are killed faster than they start, none runs anything and the pool gives up.
                let ran: usize = jobs.iter().map(|(_, log)| log.count()).sum();
                if ran == at_last_kill {
                    continue;
                }
                at_last_kill = ran;
                let pids = pool.worker_pids();
                if !pids.is_empty() {
                    processes::kill(pids[random.below(pids.len())]);
                }
            }
        });
        let _over = Over(&is_over);
        let (mut done, mut gone) = (0, 0);
        for (size, log) in &jobs {
            let items = (0..60).map(|n| (log.path(), n));
            let results: Vec<_> = pool.options().chunk_size(*size).istarmap(leaks, items).collect();
            assert_eq!(results.len(), 60);
            let ran = log.sorted();
            assert!(ran.windows(2).all(|pair| pair[0] != pair[1]), "no item ran twice");
            for (n, result) in (0u64..).zip(results) {
                match result {
                    Ok(_) => {
                        assert!(ran.contains(&n));
                        done += 1;
                    }
                    Err(error) => {
                        assert!(matches!(error, Error::WorkerLost { .. }), "{error}");
                        gone += 1;
                    }
                }
            }
        }
        println!("{done} done, {gone} lost");
    });
    assert_eq!(pool.map(tasks::square, 0..100).unwrap().len(), 100);
}
