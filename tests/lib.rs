//! Tasks in a library crate, as a program's dependencies may have them, and what all tests share.

pub mod support;

use pool::pool_task;

/// Doubles a number.
#[pool_task]
pub fn double(n: u64) -> u64 {
    2 * n
}
