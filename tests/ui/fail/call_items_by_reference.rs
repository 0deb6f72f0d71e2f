use pool::{Pool, pool_task};

#[pool_task]
fn square(x: u64) -> u64 {
    x * x
}

fn main() -> pool::Result<()> {
    let numbers = vec![1, 2, 3];
    Pool::new()?.map(square, &numbers)?;
    Ok(())
}
