#![deny(warnings)]
//! `#[pool::main]` keeps `main` as it is.

#[pool::main]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    #![allow(unused_variables)]
    let unused = 1;
    assert_eq!(pool::__private::MAINS.len(), 1);
    Ok(())
}
