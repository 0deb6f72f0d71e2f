#![forbid(unsafe_code)]
//! The generated code has no `unsafe` of its own, as far as lints of the user's crate can see.

#[pool::pool_task]
fn square(x: u64) -> u64 {
    x * x
}

#[pool::main]
fn main() {
    assert_eq!(square(2), 4);
}
