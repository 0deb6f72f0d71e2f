//! Workers that are replaced after a number of items.

use std::collections::BTreeMap;

use pool::{Pool, StartMethod, pool_task};

use crate::support::{Log, note, start, tasks, wait_until};

crate::cases![
    items_are_counted_not_chunks,
    items_of_short_chunks_are_counted_as_well,
    it_counts_across_jobs,
    every_item_may_have_a_worker_of_its_own,
    no_item_is_lost_or_run_twice,
    failures_count_as_well,
    without_a_limit_workers_stay,
    close_and_join_while_workers_are_replaced,
];

fn limited(method: StartMethod, workers: usize, items: u64) -> Pool {
    let builder = Pool::builder().start_method(method).workers(workers).max_tasks_per_worker(items);
    builder.build().unwrap()
}

fn runs(pids: &[u32]) -> Vec<usize> {
    let mut counts = BTreeMap::new();
    pids.iter().for_each(|pid| *counts.entry(*pid).or_insert(0) += 1);
    counts.into_values().collect()
}

/// How many items in a row had the same worker.
fn shares(pids: &[u32]) -> Vec<usize> {
    pids.chunk_by(|one, next| one == next).map(<[u32]>::len).collect()
}

fn items_are_counted_not_chunks(method: StartMethod) {
    for size in [1, 2, 3, 10, 100] {
        let pool = limited(method, 1, 3);
        let pids: Vec<_> = match size {
            // No chunk is sent before the one ahead of it was answered: a worker that was stuck for a moment would lose
            // what is queued at it to the next one, and leave with a smaller share.
            1 | 2 => {
                let options = pool.options().chunk_size(size);
                let chunk = |first| options.map(tasks::pid_for, first..first + size as u64).unwrap();
                (0..10).step_by(size).flat_map(chunk).collect()
            }
            _ => pool.options().chunk_size(size).map(tasks::pid_for, 0..10).unwrap(),
        };
        assert_eq!(shares(&pids), [3, 3, 3, 1], "chunk size {size}");
        assert_eq!(runs(&pids).len(), 4, "none comes again");
    }
}

fn items_of_short_chunks_are_counted_as_well(method: StartMethod) {
    for size in [1, 2] {
        let pool = limited(method, 1, 3);
        let log = Log::new();
        let items = (0..10).map(|n| (log.path(), n));
        let pids = pool.options().chunk_size(size).starmap(noted_pid, items).unwrap();
        let counts = runs(&pids);
        assert!(counts.iter().all(|items| *items <= 3) && counts.len() >= 4, "chunk size {size}: {counts:?}");
        assert_eq!(log.sorted(), (0..10).collect::<Vec<_>>(), "chunk size {size}");
    }
}

/// Notes the number, and returns the worker's process id.
#[pool_task]
fn noted_pid(log: &str, n: u64) -> u32 {
    note(log, n);
    std::process::id()
}

fn it_counts_across_jobs(method: StartMethod) {
    let pool = limited(method, 1, 4);
    let mut pids = vec![pool.apply(tasks::own_pid, ()).unwrap()];
    pids.extend(pool.map(tasks::pid_for, 0..2).unwrap());
    pids.extend(pool.imap(tasks::pid_for, 0..3).map(Result::unwrap));
    pids.push(pool.apply_async(tasks::own_pid, ()).get().unwrap());
    pids.push(pool.apply(tasks::own_pid, ()).unwrap());
    assert_eq!(runs(&pids), [4, 4]);
    assert_eq!(pids[0], pids[3]);
}

fn every_item_may_have_a_worker_of_its_own(method: StartMethod) {
    let pool = limited(method, 2, 1);
    let pids = pool.map(tasks::pid_for, 0..20).unwrap();
    assert_eq!(runs(&pids), [1; 20]);
}

fn no_item_is_lost_or_run_twice(method: StartMethod) {
    let pool = limited(method, 2, 7);
    let log = Log::new();
    let items = || (0..300).map(|n| (log.path(), n));
    assert_eq!(pool.starmap(tasks::noted, items()).unwrap(), (0..300).collect::<Vec<_>>());
    assert_eq!(log.sorted(), (0..300).collect::<Vec<_>>());
    let handles: Vec<_> = items().map(|args| pool.apply_async(tasks::noted, args)).collect();
    for (n, handle) in (0..).zip(handles) {
        assert_eq!(handle.get().unwrap(), n);
    }
    assert_eq!(log.count(), 600);
}

fn failures_count_as_well(method: StartMethod) {
    let pool = limited(method, 1, 2);
    let first = pool.apply(tasks::own_pid, ()).unwrap();
    assert!(pool.apply(tasks::only_even, (1,)).is_err());
    assert_ne!(pool.apply(tasks::own_pid, ()).unwrap(), first);
}

fn without_a_limit_workers_stay(method: StartMethod) {
    let pool = start(method, 2);
    let before = pool.worker_pids();
    for _ in 0..5 {
        assert_eq!(pool.map(tasks::square, 0..10_000).unwrap().len(), 10_000);
    }
    assert_eq!(pool.worker_pids(), before);
}

fn close_and_join_while_workers_are_replaced(method: StartMethod) {
    let pool = limited(method, 2, 2);
    let handle = pool.map_async(tasks::square, 0..100);
    pool.close();
    pool.join().unwrap();
    assert_eq!(handle.get().unwrap().len(), 100);
    drop(pool);
    let pool = limited(method, 2, 1);
    assert_eq!(pool.map(tasks::square, 0..3).unwrap(), [0, 1, 4]);
    wait_until("all places are filled again", || pool.worker_pids().len() == 2);
}
