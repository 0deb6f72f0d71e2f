#![deny(warnings)]
//! Tasks can stand in function bodies, and are registered from there.

use pool::{pool_task, Pool};

fn one(pool: &Pool) -> pool::Result<u8> {
    struct Unused;
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Local(u8);

    #[pool_task]
    fn local(value: Local) -> Local {
        Local(value.0 + 1)
    }

    let _ = Unused;
    Ok(pool.apply(local, (Local(1),))?.0)
}

fn two(pool: &Pool) -> pool::Result<u8> {
    #[pool_task(name = "two's own", handle = Inner)]
    fn inner(x: &[u8]) -> u8 {
        x[0]
    }
    pool.apply(Inner, (&[inner(&[3])],))
}

fn main() -> pool::Result<()> {
    let pool = Pool::new()?;
    assert_eq!(one(&pool)?, 2);
    assert_eq!(two(&pool)?, 3);
    Ok(())
}
