//! What must not grow.

use std::fs;
use std::hint::black_box;

use super::super::ours;
use super::super::stats::sorted_middle;
use super::super::work::{CONSTANT, payloads};
use super::proc;
use crate::tasks::{last_number, square};

/// Faults of the program and of the one worker, a call, once everything was touched.
pub(super) fn faults(_: usize, _: usize) -> pool::Result<f64> {
    const CALLS: u32 = 20;
    let pool = ours::make(1)?;
    let data = payloads::numbers(16 << 10);
    for _ in 0..10 {
        pool.apply(last_number, (&data,))?;
    }
    let pid = pool.worker_pids()[0].to_string();
    let count = || proc::faults("self") + proc::faults(&pid);
    // Counting has faults of its own, the first time.
    count();
    let before = count();
    for _ in 0..CALLS {
        pool.apply(last_number, (&data,))?;
    }
    Ok((count() - before) / f64::from(CALLS))
}

/// In turns, so that both meet the same machine.
pub(super) fn constant_item(workers: usize, less: usize) -> pool::Result<f64> {
    let pool = ours::make(workers)?;
    let large = pool.share(payloads::numbers(CONSTANT))?;
    let small = pool.share(vec![1.0])?;
    let mut ratios = Vec::new();
    for _ in 0..9 {
        let small = ours::constant_item(&pool, &small, 100_000 / less)?;
        ratios.push(ours::constant_item(&pool, &large, 100_000 / less)? / small);
    }
    Ok(sorted_middle(ratios))
}

/// The peak of the program's memory over many items against the peak over a hundredth of them.
pub(super) fn lazy_memory(workers: usize, _: usize) -> pool::Result<f64> {
    const FEW: u64 = 20_000;
    let pool = ours::make(workers)?;
    let peak = |items: u64| -> pool::Result<f64> {
        // The peak begins anew.
        let _ = fs::write("/proc/self/clear_refs", "5");
        for result in pool.imap(square, 0..items) {
            black_box(result?);
        }
        Ok(proc::memory("self", "status", "VmHWM"))
    };
    peak(FEW)?;
    let few = peak(FEW)?;
    Ok(peak(100 * FEW)? - few)
}
