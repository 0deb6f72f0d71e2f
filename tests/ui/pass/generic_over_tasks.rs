//! `Task` can be a bound of the program's own.

use pool::{Pool, Task, pool_task};

#[pool_task]
fn half(n: u32) -> u32 {
    n / 2
}

fn twice<T>(pool: &Pool, task: T, n: u32) -> pool::Result<u32>
where
    T: for<'a> Task<Args<'a> = (u32,), Output = u32>,
{
    let once = pool.apply(task, (n,))?;
    pool.apply(task, (once,))
}

fn main() -> pool::Result<()> {
    assert_eq!(twice(&Pool::new()?, half, 20)?, 5);
    Ok(())
}
