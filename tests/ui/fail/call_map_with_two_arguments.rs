use pool::{Pool, pool_task};

#[pool_task]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

fn main() -> pool::Result<()> {
    Pool::new()?.map(add, [(1, 2), (3, 4)])?;
    Ok(())
}
