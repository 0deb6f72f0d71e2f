use pool::pool_task;

#[pool_task(name)]
fn square(x: u64) -> u64 {
    x * x
}

fn main() {}
