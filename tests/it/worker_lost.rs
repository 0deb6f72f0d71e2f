//! Workers that die. The ways in which they can are in `faults/deaths.rs`.

use std::time::Duration;

use pool::{Error, Exit, Pool, StartMethod};

use crate::support::{Gate, Log, Random, ask_until, processes, start, tasks, wait_until};

crate::cases![
    only_the_running_item_fails_when_its_worker_is_killed,
    a_killed_worker_is_replaced,
    all_workers_may_die_at_once,
    workers_that_die_on_every_item_fail_every_item,
    chunks_behind_the_lost_one_run_elsewhere,
    other_jobs_do_not_notice,
    a_large_result_on_its_way_is_not_torn,
    fail_fast_counts_a_lost_worker_as_a_failure,
    handles_learn_of_it_though_nobody_waits,
];

fn lost(error: Error) -> (usize, u32, Exit) {
    let Error::WorkerLost { index, pid, exit, .. } = error else { panic!("{error:?}") };
    (index, pid, exit)
}

fn replaced(pool: &Pool, old: &[u32]) {
    wait_until("other workers are there", || {
        let pids = pool.worker_pids();
        pids.len() == pool.worker_count() && old.iter().all(|pid| !pids.contains(pid))
    });
}

fn only_the_running_item_fails_when_its_worker_is_killed(method: StartMethod) {
    for size in [1, 10] {
        // A new pool, which does not know yet how long items take, and gives each worker one chunk.
        let pool = start(method, 2);
        let (log, gate) = (Log::new(), Gate::new());
        let items = (0..50).map(|n| (log.path(), gate.path(), n));
        let mut results = pool.options().chunk_size(size).window(50).istarmap(tasks::noted_gated, items);
        ask_until(&mut results, "both workers run an item", || log.count() == 2);
        let victim = pool.worker_pids()[0];
        processes::kill(victim);
        let mut early = Vec::new();
        wait_until("another worker took its place", || {
            early.extend(results.next_timeout(Duration::from_millis(1)).flatten());
            let pids = pool.worker_pids();
            pids.len() == 2 && !pids.contains(&victim)
        });
        gate.open();
        let results: Vec<_> = early.into_iter().chain(results).collect();
        let errors: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).cloned().collect();
        assert_eq!((results.len(), errors.len()), (50, 1), "{errors:?}");
        let (index, pid, exit) = lost(errors[0].clone());
        assert!(results[index].is_err());
        assert_eq!((pid, exit), (victim, Exit::Signal(9)));
        assert_eq!(log.sorted(), (0..50).collect::<Vec<_>>(), "no item ran twice");
    }
}

fn a_killed_worker_is_replaced(method: StartMethod) {
    let pool = start(method, 2);
    for _ in 0..5 {
        let before = pool.worker_pids();
        let (_, pid, _) = lost(pool.apply(tasks::die, ("kill",)).unwrap_err());
        replaced(&pool, &[pid]);
        assert!(before.contains(&pid));
        assert_eq!(pool.map(tasks::square, 0..100).unwrap().len(), 100);
    }
}

fn all_workers_may_die_at_once(method: StartMethod) {
    let pool = start(method, 3);
    let (log, gate) = (Log::new(), Gate::new());
    let handles: Vec<_> =
        (0..20).map(|n| pool.apply_async(tasks::noted_gated, (log.path(), gate.path(), n))).collect();
    log.wait_for(3);
    pool.worker_pids().into_iter().for_each(processes::kill);
    log.wait_for(6);
    gate.open();
    let results: Vec<_> = handles.into_iter().map(|handle| handle.get()).collect();
    assert_eq!(results.iter().filter(|result| result.is_err()).count(), 3, "{results:?}");
    assert_eq!(log.sorted(), (0..20).collect::<Vec<_>>());
}

fn workers_that_die_on_every_item_fail_every_item(method: StartMethod) {
    let pool = start(method, 2);
    for size in [1, 20] {
        let options = pool.options().chunk_size(size);
        let results: Vec<_> = options.imap(tasks::die, ["kill"; 20]).collect();
        let indices: Vec<_> = results.into_iter().map(|result| lost(result.unwrap_err()).0).collect();
        assert_eq!(indices, (0..20).collect::<Vec<_>>());
        assert_eq!(lost(options.map(tasks::die, ["exit"; 10]).unwrap_err()).0, 0);
    }
    assert_eq!(pool.apply(tasks::square, (3,)).unwrap(), 9);
}

fn chunks_behind_the_lost_one_run_elsewhere(method: StartMethod) {
    let pool = start(method, 1);
    // Fast items first, so that the worker gets several chunks ahead.
    assert_eq!(pool.map(tasks::dies_on_nothing, 0..10_000).unwrap().len(), 10_000);
    for bad in [100, 5000, 9999] {
        let items = || (0..10_000).map(|n| (bad, "kill", n));
        let results: Vec<_> = pool.istarmap(tasks::dies_on, items()).collect();
        let bad_ones: Vec<_> =
            (0..).zip(&results).filter(|(_, result)| result.is_err()).map(|(n, _)| n).collect();
        assert_eq!((results.len(), bad_ones), (10_000, vec![bad]));
    }
}

fn other_jobs_do_not_notice(method: StartMethod) {
    let pool = start(method, 2);
    std::thread::scope(|scope| {
        let others: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| (0..20).map(|_| pool.map(tasks::square, 0..2000)).collect::<Vec<_>>()))
            .collect();
        for _ in 0..10 {
            lost(pool.apply(tasks::die, ("kill",)).unwrap_err());
        }
        for other in others {
            assert!(other.join().unwrap().into_iter().all(|result| result.unwrap().len() == 2000));
        }
    });
}

fn a_large_result_on_its_way_is_not_torn(method: StartMethod) {
    let pool = start(method, 1);
    let mut random = Random::new();
    let (mut whole, mut torn) = (0, 0);
    for _ in 0..15 {
        let handle = pool.apply_async(tasks::bytes, (20 << 20,));
        std::thread::sleep(Duration::from_micros(random.below(20_000) as u64));
        pool.worker_pids().into_iter().for_each(processes::kill);
        match handle.get() {
            Ok(bytes) => {
                assert!(bytes.len() == 20 << 20 && bytes.iter().all(|byte| *byte == 7));
                whole += 1;
            }
            Err(error) => {
                lost(error);
                torn += 1;
            }
        }
    }
    println!("{whole} whole, {torn} lost");
}

fn fail_fast_counts_a_lost_worker_as_a_failure(method: StartMethod) {
    let pool = start(method, 2);
    let items = (0..10_000).map(|n| (50, "kill", n));
    let error = pool.options().chunk_size(1).fail_fast(true).starmap(tasks::dies_on, items).unwrap_err();
    assert_eq!(lost(error).0, 50);
    assert_eq!(pool.apply(tasks::square, (3,)).unwrap(), 9);
}

fn handles_learn_of_it_though_nobody_waits(method: StartMethod) {
    let pool = start(method, 1);
    let handle = pool.apply_async(tasks::die, ("abort",));
    let behind = pool.apply_async(tasks::square, (3,));
    wait_until("both handles are ready", || handle.ready() && behind.ready());
    assert_eq!(lost(handle.get().unwrap_err()).2, Exit::Signal(6));
    assert_eq!(behind.get().unwrap(), 9);
}
