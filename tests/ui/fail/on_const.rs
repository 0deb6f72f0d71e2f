use pool::pool_task;

#[pool_task]
const SQUARE: fn(u64) -> u64 = |x| x * x;

fn main() {}
