use pool::{Pool, pool_task};

#[pool_task]
fn square(x: u64) -> u64 {
    x * x
}

fn main() -> pool::Result<()> {
    Pool::new()?.map(*square, 0..4)?;
    Ok(())
}
