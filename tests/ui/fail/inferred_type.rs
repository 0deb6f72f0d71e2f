use pool::pool_task;

#[pool_task]
fn length(items: Vec<_>) -> usize {
    items.len()
}

fn main() {}
