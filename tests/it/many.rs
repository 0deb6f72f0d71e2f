//! Many threads, many pools, many workers.

use std::collections::BTreeSet;
use std::sync::Barrier;

use pool::{Error, Pool, StartMethod};

use crate::support::census::Census;
use crate::support::{Random, drop_in_time, no_process_is_left, processes, start, tasks, wait_until};

crate::cases![
    twenty_threads_share_one_pool,
    twenty_threads_make_and_drop_a_pool_each,
    two_hundred_workers_work,
    pools_one_after_another_leave_nothing,
    several_pools_live_side_by_side,
    calls_use_no_more_descriptors_or_threads,
    replacements_use_no_more_descriptors_or_mappings,
];

fn twenty_threads_share_one_pool(method: StartMethod) {
    let pool = &start(method, 3);
    let seed = Random::new().below(1 << 30) as u64;
    std::thread::scope(|scope| {
        for thread in 0..20 {
            scope.spawn(move || {
                let squares: Vec<u64> = (0..200).map(|n| n * n).collect();
                for round in 0..20 {
                    match (seed + thread + round) % 8 {
                        0 => assert_eq!(pool.map(tasks::square, 0..200).unwrap(), squares),
                        1 => assert_eq!(pool.map_async(tasks::square, 0..200).get().unwrap(), squares),
                        2 => assert_eq!(
                            pool.imap(tasks::square, 0..200).map(Result::unwrap).collect::<Vec<_>>(),
                            squares
                        ),
                        3 => assert_eq!(
                            pool.imap_unordered(tasks::square, 0..).take(150).flatten().count(),
                            150
                        ),
                        4 => {
                            assert_eq!(pool.apply(tasks::add, (thread as i64, 1)).unwrap(), thread as i64 + 1)
                        }
                        5 => assert_eq!(
                            pool.options().chunk_size(9).map(tasks::square, 0..200).unwrap(),
                            squares
                        ),
                        6 => assert!(matches!(
                            pool.map(tasks::only_even, 0..200),
                            Err(Error::Panicked { index: 1, .. })
                        )),
                        _ => {
                            let handles: Vec<_> = (0..50)
                                .map(|n| pool.apply_async(tasks::square, (n,)).inspect(|_| {}))
                                .collect();
                            for (n, handle) in (0..).zip(handles) {
                                assert_eq!(handle.get().unwrap(), n * n);
                            }
                        }
                    }
                }
            });
        }
    });
}

fn twenty_threads_make_and_drop_a_pool_each(method: StartMethod) {
    if method == StartMethod::Fork {
        // Which wants a single thread; all at once in one is `several_pools_live_side_by_side`.
        return;
    }
    let barrier = Barrier::new(20);
    let make_and_drop = |workers| {
        barrier.wait();
        let is_in_time = |_| {
            let pool = start(method, workers);
            assert_eq!(pool.map(tasks::square, 0..10).unwrap().len(), 10);
            drop_in_time(pool)
        };
        // Both, however the first ends.
        [0, 1].map(is_in_time) == [true; 2]
    };
    let were_in_time = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..20).map(|thread| scope.spawn(move || make_and_drop(1 + thread % 2))).collect();
        threads.into_iter().all(|thread| thread.join().unwrap())
    });
    no_process_is_left(were_in_time);
}

fn two_hundred_workers_work(method: StartMethod) {
    let pool = start(method, 200);
    assert_eq!(BTreeSet::from_iter(pool.worker_pids()).len(), 200);
    for size in [1, 10] {
        let squares = pool.options().chunk_size(size).map(tasks::square, 0..5000).unwrap();
        assert_eq!(squares, (0..5000).map(|n| n * n).collect::<Vec<u64>>());
    }
    pool.close();
    pool.join().unwrap();
}

fn pools_one_after_another_leave_nothing(method: StartMethod) {
    let before = Census::take();
    for round in 0..20 {
        let pool = start(method, 2);
        assert_eq!(pool.map(tasks::square, 0..100).unwrap().len(), 100);
        if round % 2 == 0 {
            pool.close();
            pool.join().unwrap();
        }
        drop(pool);
        before.compare();
    }
}

fn several_pools_live_side_by_side(method: StartMethod) {
    if method == StartMethod::Fork {
        // The first one's threads forbid a second one.
        let first = start(method, 1);
        assert!(matches!(Pool::builder().start_method(method).build(), Err(Error::InvalidOption { .. })));
        assert_eq!(first.apply(tasks::square, (3,)).unwrap(), 9);
        return;
    }
    let pools: Vec<_> = (0..5).map(|_| start(method, 1)).collect();
    let handles: Vec<_> = (0..50).map(|n| pools[n as usize % 5].apply_async(tasks::square, (n,))).collect();
    drop(pools[0].imap(tasks::square, pools[1].imap(tasks::square, 0..100).flatten()));
    for (n, handle) in (0..).zip(handles) {
        assert_eq!(handle.get().unwrap(), n * n);
    }
}

fn calls_use_no_more_descriptors_or_threads(method: StartMethod) {
    let pool = start(method, 1);
    assert_eq!(pool.apply(tasks::square, (3,)).unwrap(), 9);
    let before = Census::take();
    for n in 0..20_000 {
        assert_eq!(pool.apply(tasks::square, (n,)).unwrap(), n * n);
    }
    for n in 0..2000 {
        assert_eq!(pool.map_async(tasks::square, [n]).get().unwrap(), [n * n]);
        assert_eq!(pool.imap(tasks::square, [n]).next().unwrap().unwrap(), n * n);
    }
    let after = Census::take();
    assert_eq!((before.descriptors(), before.threads()), (after.descriptors(), after.threads()));
}

fn replacements_use_no_more_descriptors_or_mappings(method: StartMethod) {
    let pool = start(method, 2);
    let held = || {
        let census = Census::take();
        (census.descriptors(), census.mappings())
    };
    let replace = |times| {
        for _ in 0..times {
            // Idle ones that were of no use are replaced ever more slowly.
            let pid = pool.apply(tasks::own_pid, ()).unwrap();
            processes::kill(pid);
            wait_until("it is replaced", || {
                let pids = pool.worker_pids();
                pids.len() == 2 && !pids.contains(&pid)
            });
        }
        assert_eq!(pool.map(tasks::square, 0..10).unwrap().len(), 10);
    };
    replace(2);
    let before = held();
    replace(20);
    // What is being made or taken apart goes up and down a little; a link has three descriptors and a mapping.
    wait_until("hardly more is held than before", || {
        let now = held();
        now.0 < before.0 + 20 && now.1 < before.1 + 15
    });
}
