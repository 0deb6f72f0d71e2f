use pool::pool_task;

#[pool_task(timeout = 3)]
fn square(x: u64) -> u64 {
    x * x
}

fn main() {}
