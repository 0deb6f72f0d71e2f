//! What sleeping costs without any pool.

use std::thread;
use std::time::{Duration, Instant};

/// So many bare threads, each of which sleeps its share of the items, one after the other.
pub(in super::super) fn sleepers(threads: usize, items: usize, millis: u64) -> f64 {
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| (0..items / threads).for_each(|_| thread::sleep(Duration::from_millis(millis))));
        }
    });
    start.elapsed().as_secs_f64()
}
