use pool::{Pool, pool_task};

#[pool_task]
fn square(x: u64) -> u64 {
    x * x
}

fn main() -> pool::Result<()> {
    Pool::new()?.apply(square, 3)?;
    Ok(())
}
