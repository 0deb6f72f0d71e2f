use pool::pool_task;

#[pool_task]
fn sum(items: impl Iterator<Item = u32>) -> u32 {
    items.sum()
}

fn main() {}
