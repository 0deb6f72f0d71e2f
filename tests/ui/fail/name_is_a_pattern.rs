use pool::{Pool, pool_task};

#[pool_task]
fn square(x: u64) -> u64 {
    x * x
}

fn main() -> pool::Result<()> {
    let square = Pool::new()?.apply(square, (1,))?;
    let _ = square;
    Ok(())
}
