//! Items that take long, and some longer than others. Figures are for all items together.

use std::time::Instant;

use pool::Pool;

use super::super::work::{SLEEPERS, durations};
use crate::tasks::{sleep_millis, work_for};

pub(super) fn sleep(millis: u64, items: usize) -> pool::Result<Vec<f64>> {
    let pool = super::make(SLEEPERS)?;
    // All workers are there before time is taken.
    pool.map(sleep_millis, vec![1; 2 * SLEEPERS])?;
    let start = Instant::now();
    pool.map(sleep_millis, std::iter::repeat_n(millis, items))?;
    Ok(vec![start.elapsed().as_secs_f64()])
}

pub(super) fn skewed(pool: &Pool, items: usize) -> pool::Result<Vec<f64>> {
    work(pool, durations::skewed(items))
}

pub(super) fn sawtooth(pool: &Pool, items: usize) -> pool::Result<Vec<f64>> {
    work(pool, durations::sawtooth(items))
}

fn work(pool: &Pool, durations: Vec<f64>) -> pool::Result<Vec<f64>> {
    let start = Instant::now();
    pool.map(work_for, durations)?;
    Ok(vec![start.elapsed().as_secs_f64()])
}
