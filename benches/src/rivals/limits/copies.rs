//! What it costs to copy, in seconds a MiB.

use std::hint::black_box;
use std::time::Instant;

use super::super::memory::FreshMemory;

/// Into memory that was written before.
pub(super) fn warm(mebibytes: usize, times: usize) -> f64 {
    let from = vec![1_u8; mebibytes << 20];
    let mut to = vec![2_u8; mebibytes << 20];
    let start = Instant::now();
    for _ in 0..times {
        black_box(&mut to[..]).copy_from_slice(black_box(&from));
    }
    start.elapsed().as_secs_f64() / (times * mebibytes) as f64
}

/// Into memory that nobody has touched.
pub(super) fn fresh(mebibytes: usize, times: usize, make: fn(usize) -> FreshMemory) -> f64 {
    let from = vec![1_u8; mebibytes << 20];
    let mut took = 0.0;
    for _ in 0..times {
        let mut to = make(from.len());
        let start = Instant::now();
        black_box(to.bytes()).copy_from_slice(black_box(&from));
        took += start.elapsed().as_secs_f64();
    }
    took / (times * mebibytes) as f64
}
