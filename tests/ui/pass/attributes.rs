#![deny(warnings, missing_docs)]
//! Each attribute of the function goes to the items that it is about.

use pool::{pool_task, Pool};

/// Documented, over
/// two lines.
#[pool_task]
#[inline(never)]
#[must_use]
#[track_caller]
#[doc(alias = "twice")]
pub fn double(#[allow(unused)] x: u64) -> u64 {
    #![allow(unused_variables)]
    let nothing = 1;
    x * 2
}

#[pool_task]
#[cfg(any())]
fn absent(x: NoSuchType) {}

#[pool_task]
#[cfg_attr(all(), cfg(any()))]
fn absent_too(x: NoSuchType) {}

#[pool_task]
#[cfg_attr(all(), doc = "Documented", inline, allow(clippy::needless_pass_by_value))]
pub fn conditional(x: String) -> usize {
    x.len()
}

/// Deprecated.
#[pool_task]
#[deprecated(note = "use `double`")]
pub fn old(x: u64) -> u64 {
    x
}

#[deprecated]
#[derive(serde::Serialize, serde::Deserialize)]
struct Old;

#[pool_task]
#[expect(deprecated, reason = "until the next release")]
fn takes_old(value: Old) -> Old {
    value
}

#[pool_task]
#[expect(unused_variables)]
fn unused(x: u8) {}

#[pool_task]
#[allow(non_snake_case)]
fn Loud(x: u8) -> u8 {
    x
}

fn main() -> pool::Result<()> {
    let pool = Pool::new()?;
    assert_eq!(pool.map(double, 0..2)?, [0, 2]);
    assert_eq!(pool.map(conditional, ["a".to_owned()])?, [1]);
    #[allow(deprecated)]
    {
        assert_eq!(pool.map(old, [1])?, [1]);
        pool.map(takes_old, [Old])?;
    }
    pool.map(unused, [1])?;
    assert_eq!(pool.map(Loud, [1])?, [1]);
    Ok(())
}
