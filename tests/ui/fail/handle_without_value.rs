use pool::pool_task;

#[pool_task(handle)]
fn square(x: u64) -> u64 {
    x * x
}

fn main() {}
