use pool::{Pool, Shared, pool_task};

#[pool_task]
fn plus(base: Shared<u64>, n: u64) -> u64 {
    *base + n
}

fn main() -> pool::Result<()> {
    let pool = Pool::new()?;
    pool.apply(plus, (100, 1))?;
    Ok(())
}
