//! The one file with several mistakes: all are reported, and nothing else is.

use std::collections::HashMap;

use pool::{Pool, pool_task};

#[pool_task(handel = Lookup)]
async unsafe fn lookup<K>((table, _): (HashMap<String, u8>, u8), key: &mut str, rest: impl Iterator) -> &str {
    let _ = (table, rest);
    key
}

#[pool_task]
async fn double(x: u64) -> u64 {
    x * 2
}

fn main() -> pool::Result<()> {
    let pool = Pool::new()?;
    let value = pool.apply(lookup, (1, 2, 3))?;
    assert_eq!(value, 3);
    let doubled = pool.map(double, 0..4)?;
    assert_eq!(doubled.len() + lookup(1, 2, 3) as usize, 4);
    Ok(())
}
