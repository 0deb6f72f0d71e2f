//! What a pool costs while it has nothing to do, or one thing that takes long.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use super::super::limits;
use super::super::ours;
use super::proc;
use crate::tasks::{sleep_millis, square};

/// How long the idle pool is watched.
const WATCH: Duration = Duration::from_secs(2);
/// What a pool may do after its last item before it counts as idle.
const SETTLE: Duration = Duration::from_millis(300);

/// A pool that had work, and the processes that it made.
fn used_pool(workers: usize) -> pool::Result<(pool::Pool, Vec<u32>)> {
    let before: BTreeSet<u32> = proc::children().into_iter().collect();
    let pool = ours::make(workers)?;
    pool.map(square, 0..100_000)?;
    thread::sleep(SETTLE);
    let made = proc::children().into_iter().filter(|pid| !before.contains(pid)).collect();
    Ok((pool, made))
}

/// Of all processes of the pool, and of the program's threads that are the pool's. Those of other pools are idle, too.
pub(super) fn idle_cpu(workers: usize, _: usize) -> pool::Result<f64> {
    let (_pool, made) = used_pool(workers)?;
    let used = || {
        let processes: f64 = made.iter().map(|pid| proc::cpu_time(&pid.to_string(), "")).sum();
        processes + proc::cpu_time("self", "pool-")
    };
    let before = used();
    thread::sleep(WATCH);
    Ok((used() - before) / WATCH.as_secs_f64())
}

/// What is the worker's alone, and the whole of what it shares with the parent: rings and segments. The program's file is
/// not in it, nor what a worker still shares with the zygote.
pub(super) fn idle_memory(workers: usize, _: usize) -> pool::Result<f64> {
    let (pool, _) = used_pool(workers)?;
    let of_worker = |pid: u32| {
        let field = |field| proc::memory(&pid.to_string(), "smaps_rollup", field);
        field("Pss_Anon") + 2.0 * field("Pss_Shmem")
    };
    let pids = pool.worker_pids();
    Ok(pids.iter().map(|pid| of_worker(*pid)).sum::<f64>() / pids.len() as f64)
}

/// The part of the time in which the calling thread uses a CPU.
pub(super) fn waiting_cpu(workers: usize, _: usize) -> pool::Result<f64> {
    let pool = ours::make(workers)?;
    pool.map(square, 0..100_000)?;
    let before = proc::own_cpu_time();
    pool.apply(sleep_millis, (1_000,))?;
    Ok(proc::own_cpu_time() - before)
}

/// The same for the caller, all workers and the pool's threads.
pub(super) fn waiting_cpu_of_all(workers: usize, _: usize) -> pool::Result<f64> {
    let (pool, made) = used_pool(workers)?;
    let used = || {
        let processes: f64 = made.iter().map(|pid| proc::cpu_time(&pid.to_string(), "")).sum();
        processes + proc::cpu_time("self", "pool-") + proc::own_cpu_time()
    };
    let before = used();
    pool.apply(sleep_millis, (1_000,))?;
    Ok(used() - before)
}

/// What sleeping costs beyond its time where there is no pool.
pub(super) fn sleepers(millis: u64, items: usize) -> f64 {
    const THREADS: usize = super::super::work::SLEEPERS;
    let ideal = (items / THREADS) as f64 * millis as f64 * 1e-3;
    limits::sleepers(THREADS, items, millis) / ideal - 1.0
}
