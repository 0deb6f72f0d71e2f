//! More workers, more items, more threads.

use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use pool::Pool;

use super::super::stats::sorted_middle;
use super::super::work::calls_of;
use super::calls::check;
use crate::tasks::square;

/// The pool is there before time is taken.
pub(super) fn workers(count: usize, items: usize) -> pool::Result<Vec<f64>> {
    let pool = super::make(count)?;
    // Each one has answered before.
    pool.options().chunk_size(1).map(square, 0..20 * count as u64)?;
    self::items(&pool, items)
}

/// The median of several calls, if they are short.
pub(super) fn items(pool: &Pool, items: usize) -> pool::Result<Vec<f64>> {
    let mut samples = Vec::new();
    for _ in 0..calls_of(items) {
        let start = Instant::now();
        check(&pool.map(square, 0..items as u64)?, items);
        samples.push(start.elapsed().as_secs_f64() / items as f64);
    }
    Ok(vec![sorted_middle(samples)])
}

/// All items are there before the first thread collects its own.
pub(super) fn submitters(pool: &Pool, threads: usize, items: usize) -> pool::Result<Vec<f64>> {
    let start = Barrier::new(threads + 1);
    let share = (items / threads).max(1);
    let submit = || -> pool::Result<()> {
        start.wait();
        let handles: Vec<_> = (0..share as u64).map(|x| pool.apply_async(square, (x,))).collect();
        for (x, handle) in (0..).zip(handles) {
            assert_eq!(handle.get()?, x * x);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(submit)).collect();
        start.wait();
        let start = Instant::now();
        for thread in all {
            thread.join().expect("a submitter does not panic")?;
        }
        Ok(vec![start.elapsed().as_secs_f64() / (share * threads) as f64])
    })
}
