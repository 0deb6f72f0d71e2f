//! Processes that are killed from outside: idle workers, the zygote, several at once, at any moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pool::{Exit, Pool, StartMethod, pool_task};
use rustix::process::Signal;

use super::{Scene, follow, lost, row, squares};
use crate::support::{Log, Over, Random, note, processes, start, tasks, wait_until};

crate::cases![
    an_idle_worker_is_replaced,
    all_idle_workers_are_replaced,
    an_idle_pool_fills_its_places_though_nobody_asks,
    the_zygote_is_missed_by_nobody,
    zygote_and_workers_at_once_are_replaced,
    anything_killed_at_any_moment_costs_what_ran_there,
];

/// One of the zygotes of a pool, if it has any, once its workers are all there.
fn zygote(pool: &Pool, method: StartMethod) -> Option<u32> {
    let mut found = None;
    wait_until("workers and zygotes are there", || {
        found = processes::zygotes_of(pool, method);
        found.is_some()
    });
    found?.first().copied()
}

fn kill(pids: &[u32]) {
    pids.iter().for_each(|pid| processes::kill(*pid));
}

/// Kills processes that have nothing to do, such that none of them begins something before the signal reaches it.
fn kill_at_rest(pids: &[u32]) {
    pids.iter().for_each(|pid| processes::signal(*pid, Signal::STOP));
    wait_until("they are at rest", || {
        pids.iter().all(|pid| processes::is_stopped(*pid) || !processes::is_alive(*pid))
    });
    kill(pids);
}

fn replaced(pool: &Pool, old: &[u32]) {
    wait_until("other workers are there", || {
        let pids = pool.worker_pids();
        pids.len() == pool.worker_count() && old.iter().all(|pid| !pids.contains(pid))
    });
}

fn an_idle_worker_is_replaced(method: StartMethod) {
    let scene = Scene::set(method);
    for _ in 0..5 {
        // The other one is the bystander's.
        let idle = scene.pool.apply(tasks::own_pid, ()).unwrap();
        kill_at_rest(&[idle]);
        assert_eq!(scene.pool.map(tasks::square, 0..100).unwrap(), squares(100));
        replaced(&scene.pool, &[idle]);
    }
    scene.check();
}

fn all_idle_workers_are_replaced(method: StartMethod) {
    let pool = start(method, 2);
    for _ in 0..5 {
        // Results that nobody has taken, and a lazy call that has not begun.
        let done = pool.map_async(tasks::square, 0..100);
        done.wait();
        let lazy = pool.imap(tasks::square, 0..100);
        let pids = pool.worker_pids();
        kill_at_rest(&pids);
        // At once, when nobody may have noticed yet.
        assert_eq!(pool.map(tasks::square, 0..100).unwrap(), squares(100));
        assert_eq!(lazy.collect::<pool::Result<Vec<_>>>().unwrap(), squares(100));
        assert_eq!(done.get().unwrap(), squares(100));
        replaced(&pool, &pids);
    }
    follow(&pool);
}

fn an_idle_pool_fills_its_places_though_nobody_asks(method: StartMethod) {
    let pool = start(method, 2);
    for _ in 0..5 {
        let pids = pool.worker_pids();
        kill(&pids);
        replaced(&pool, &pids);
    }
    follow(&pool);
}

fn the_zygote_is_missed_by_nobody(method: StartMethod) {
    row(method, |pool| {
        for _ in 0..3 {
            let zygote = zygote(pool, method);
            let pids = pool.worker_pids();
            if let Some(zygote) = zygote {
                kill(&[zygote]);
                wait_until("the zygote is collected", || processes::state(zygote).is_none());
            }
            assert_eq!(pool.worker_pids(), pids, "workers do not depend on it");
            // The next worker does, or on another one.
            let (_, pid, _) = lost(pool.apply(tasks::die, ("kill",)).unwrap_err());
            replaced(pool, &[pid]);
        }
    });
}

fn zygote_and_workers_at_once_are_replaced(method: StartMethod) {
    let pool = start(method, 2);
    for round in 0..6 {
        let done = pool.map_async(tasks::square, 0..100);
        done.wait();
        let zygote = zygote(&pool, method);
        let pids = pool.worker_pids();
        let all: Vec<u32> = match round % 2 {
            0 => zygote.iter().chain(&pids).copied().collect(),
            _ => pids.iter().chain(&zygote).copied().collect(),
        };
        kill_at_rest(&all);
        assert_eq!(pool.map(tasks::square, 0..100).unwrap(), squares(100));
        assert_eq!(done.get().unwrap(), squares(100));
        replaced(&pool, &pids);
    }
    follow(&pool);
}

#[pool_task]
fn works(log: &str, n: u64) -> u64 {
    note(log, n);
    std::thread::sleep(Duration::from_micros(300));
    n
}

/// What a thread that kills has done.
#[derive(Default)]
struct Killings {
    workers: BTreeSet<u32>,
    zygotes: usize,
}

/// Kills until told to stop; in between, somebody must have got something done.
fn kill_at_random(pool: &Pool, method: StartMethod, is_over: &AtomicBool, log: &Log) -> Killings {
    let mut random = Random::new();
    let mut killed = Killings::default();
    let mut seen = 0;
    while !is_over.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_micros(random.below(5000) as u64));
        let count = log.count();
        if count == seen {
            continue;
        }
        seen = count;
        let some: Vec<u32> = pool.worker_pids().into_iter().filter(|_| random.below(2) == 0).collect();
        kill(&some);
        killed.workers.extend(some);
        if random.below(4) == 0 {
            let zygote = zygote(pool, method);
            kill(zygote.as_slice());
            killed.zygotes += zygote.iter().count();
        }
    }
    killed
}

fn anything_killed_at_any_moment_costs_what_ran_there(method: StartMethod) {
    const ITEMS: u64 = 200;
    let pool = start(method, 3);
    let (is_over, log) = (AtomicBool::new(false), Log::new());
    let mut lost_at: BTreeMap<u32, usize> = BTreeMap::new();
    let mut done = BTreeSet::new();
    let killed = std::thread::scope(|scope| {
        let over = Over(&is_over);
        let killer = scope.spawn(|| kill_at_random(&pool, method, &is_over, &log));
        for round in 0..30 {
            let numbers = round * ITEMS..(round + 1) * ITEMS;
            let options = pool.options().chunk_size([1, 5, 100][round as usize % 3]);
            let items = || numbers.clone().map(|n| (log.path(), n));
            let results: Vec<_> = match round % 2 {
                0 => options.istarmap(works, items()).collect(),
                _ => items()
                    .map(|args| pool.apply_async(works, args))
                    .collect::<Vec<_>>()
                    .into_iter()
                    .map(|handle| handle.get())
                    .collect(),
            };
            assert_eq!(results.len() as u64, ITEMS);
            for (n, result) in numbers.zip(results) {
                match result {
                    Ok(value) => assert!(value == n && done.insert(n)),
                    Err(error) => {
                        let (_, pid, exit) = lost(error);
                        assert_eq!(exit, Exit::Signal(9));
                        *lost_at.entry(pid).or_default() += 1;
                    }
                }
            }
        }
        drop(over);
        killer.join().expect("the killer finds what it looks for")
    });
    println!(
        "{} done, {} lost, {} workers and {} zygotes killed",
        done.len(),
        lost_at.len(),
        killed.workers.len(),
        killed.zygotes
    );
    for (pid, items) in lost_at {
        assert!(killed.workers.contains(&pid), "worker {pid} was not killed");
        assert_eq!(items, 1, "worker {pid} cost {items} items");
    }
    let ran = log.sorted();
    let once = BTreeSet::from_iter(ran.iter().copied());
    assert_eq!(ran.len(), once.len(), "no item ran twice");
    assert!(done.is_subset(&once), "what has a result ran");
    follow(&pool);
}
