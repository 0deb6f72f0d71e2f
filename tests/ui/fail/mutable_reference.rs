use pool::pool_task;

#[pool_task]
fn sort(items: &mut [u32]) {
    items.sort();
}

fn main() {}
