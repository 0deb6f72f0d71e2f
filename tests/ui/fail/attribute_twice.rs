use pool::pool_task;

#[pool_task]
#[pool_task(name = "double")]
fn double(x: u64) -> u64 {
    x * 2
}

fn main() {}
