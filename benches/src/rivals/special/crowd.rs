//! More workers than CPUs, and more threads than either.

use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use pool::Pool;

use super::super::ours;
use super::super::stats::sorted_middle;
use crate::tasks::square;

const CROWD: usize = 8;

/// The median of calls back to back.
pub(super) fn apply(_: usize, less: usize) -> pool::Result<f64> {
    let pool = ours::make(CROWD)?;
    let mut times = Vec::new();
    for x in 0..5_000 / less as u64 {
        let start = Instant::now();
        assert_eq!(pool.apply(square, (x,))?, x * x);
        times.push(start.elapsed().as_secs_f64());
    }
    Ok(sorted_middle(times))
}

/// Two pools in turns, so that both meet the same machine.
pub(super) fn map(workers: usize, less: usize) -> pool::Result<f64> {
    let (few, many) = (ours::make(workers)?, ours::make(CROWD)?);
    let time = |pool: &Pool| -> pool::Result<f64> {
        let start = Instant::now();
        pool.options().chunk_size(1).map(square, 0..50_000 / less as u64)?;
        Ok(start.elapsed().as_secs_f64())
    };
    let mut ratios = Vec::new();
    for _ in 0..5 {
        let few = time(&few)?;
        ratios.push(time(&many)? / few);
    }
    Ok(sorted_middle(ratios))
}

/// Each of them waits for its own answer before it asks again.
pub(super) fn blocked(workers: usize, less: usize) -> pool::Result<f64> {
    const THREADS: usize = 64;
    let pool = ours::make(workers)?;
    let calls = 400 / less;
    let start = Barrier::new(THREADS + 1);
    let call = || -> pool::Result<()> {
        start.wait();
        (0..calls as u64).try_for_each(|x| pool.apply(square, (x,)).map(|y| assert_eq!(y, x * x)))
    };
    thread::scope(|scope| {
        let all: Vec<_> = (0..THREADS).map(|_| scope.spawn(call)).collect();
        start.wait();
        let start = Instant::now();
        for thread in all {
            thread.join().expect("none of them panics")?;
        }
        Ok(start.elapsed().as_secs_f64() / (THREADS * calls) as f64)
    })
}
