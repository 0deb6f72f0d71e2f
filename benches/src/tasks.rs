//! The tasks that are measured; `python/tasks.py` has the same ones.

use pool::pool_task;

/// The smallest task there is: what remains is what a call costs.
#[pool_task]
pub fn square(x: u64) -> u64 {
    x.wrapping_mul(x)
}

/// Sends bytes back.
#[pool_task]
pub fn echo_bytes(data: &[u8]) -> Vec<u8> {
    data.to_vec()
}

/// Sends numbers back.
#[pool_task]
pub fn echo_numbers(data: &[f64]) -> Vec<f64> {
    data.to_vec()
}

/// Takes numbers and sends next to nothing back.
#[pool_task]
pub fn last_number(data: &[f64]) -> f64 {
    data.last().copied().unwrap_or(0.0)
}

/// Tells which worker ran it.
#[pool_task]
pub fn own_pid() -> u32 {
    std::process::id()
}
