//! A program with two tasks of one name.

use pool::{Error, Pool, pool_task};

#[pool_task(name = "twin")]
fn one() -> u8 {
    1
}

#[pool_task(name = "twin")]
fn other(n: u8) -> u8 {
    n
}

fn main() {
    assert_eq!(one(), 1);
    assert_eq!(other(1), 1);
    let method = std::env::args().nth(2).map(|name| tests::support::program::method_named(&name)).unwrap();
    let error = Pool::builder().start_method(method).workers(1).build().unwrap_err();
    assert!(matches!(error, Error::DuplicateTask { first: "twin", second: "twin" }), "{error}");
}
