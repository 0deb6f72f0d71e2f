use pool::pool_task;

#[pool_task]
#[target_feature(enable = "sse2")]
fn double(x: u64) -> u64 {
    x * 2
}

fn main() {}
