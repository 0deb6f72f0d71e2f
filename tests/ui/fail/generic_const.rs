use pool::pool_task;

#[pool_task]
fn sum<const N: usize>(items: [u8; N]) -> u8 {
    items.iter().sum()
}

fn main() {}
