#![deny(warnings, missing_docs)]
//! `handle` and `name`, each and together, and names of the crate in the types.

use pool::{pool_task, Pool, Task};

/// Keeps its name.
#[pool_task(handle = Square)]
pub fn square(x: u64) -> u64 {
    x * x
}

#[pool_task(name = "thumb/v2")]
fn thumb(size: u32) -> u32 {
    size
}

#[pool_task(name = "both", handle = Both,)]
const fn both() -> u8 {
    7
}

const BOTH: u8 = both();
const SIZE: usize = 2;

#[pool_task]
fn array(array: [u8; SIZE]) -> [u8; SIZE + 1] {
    [array[0], array[1], 0]
}

fn main() -> pool::Result<()> {
    let pool = Pool::new()?;
    assert_eq!(pool.map(Square, 0..3)?, [0, 1, 4]);
    assert_eq!((0..3).map(square).sum::<u64>(), 5);
    let square = square(3) + Square(2);
    assert_eq!(square, 13);
    assert!(Square::NAME.ends_with("::square"));
    assert_eq!(pool.apply(thumb, (1,))?, 1);
    assert_eq!(thumb::NAME, "thumb/v2");
    assert_eq!(pool.apply(Both, ())?, BOTH);
    assert_eq!(Both::NAME, "both");
    assert_eq!(pool.apply(array, ([1, 2],))?, [1, 2, 0]);
    Ok(())
}
