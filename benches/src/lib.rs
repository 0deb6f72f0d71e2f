//! What the benchmarks share.

pub mod rivals;
pub mod tasks;
