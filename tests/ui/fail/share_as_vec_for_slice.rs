use pool::{Pool, Shared, pool_task};

#[pool_task]
fn total(numbers: &Shared<[f64]>) -> f64 {
    numbers.iter().sum()
}

fn main() -> pool::Result<()> {
    let pool = Pool::new()?;
    let numbers: Shared<Vec<f64>> = pool.share(vec![0.5])?;
    pool.apply(total, (&numbers,))?;
    Ok(())
}
