use pool::{Pool, pool_task};

#[pool_task]
fn square(x: u64) -> u64 {
    x * x
}

fn main() -> pool::Result<()> {
    let results = {
        let pool = Pool::new()?;
        pool.imap(square, 0..4)
    };
    for result in results {
        result?;
    }
    Ok(())
}
