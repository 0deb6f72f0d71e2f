use pool::pool_task;

#[pool_task]
fn numbers(count: u32) -> impl Iterator<Item = u32> {
    0..count
}

fn main() {}
