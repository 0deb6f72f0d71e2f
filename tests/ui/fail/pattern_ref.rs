use pool::pool_task;

#[pool_task]
fn double(ref x: u32) -> u32 {
    x * 2
}

fn main() {}
