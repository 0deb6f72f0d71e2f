#![deny(warnings)]
//! A task is also a plain function, and literals get their type from it.

use pool::{pool_task, Pool};

mod tasks {
    use pool::pool_task;

    /// Squares.
    #[pool_task]
    pub fn square(x: u64) -> u64 {
        x * x
    }

    #[pool_task]
    pub(crate) fn count(text: &str) -> usize {
        let mut count = 0;
        for _ in text.split(' ') {
            count += 1;
        }
        count
    }

    #[pool_task]
    pub fn add(a: i64, b: i64) -> i64 {
        a + b
    }
}

pub use tasks::square as sq;

#[pool_task]
fn factorial(n: u64) -> u64 {
    if n < 2 {
        1
    } else {
        n * factorial(n - 1)
    }
}

/// Its name is a pattern where the generated code has its bindings.
mod unlucky_names {
    use pool::pool_task;

    #[pool_task]
    pub fn args(x: u8, y: &str) -> u8 {
        x + y.len() as u8
    }

    #[pool_task]
    pub fn call() {}

    #[pool_task]
    pub fn r#match(r#type: u8) -> u8 {
        r#type
    }

    macro_rules! tasks {
        ($($name:ident)*) => { $(#[pool_task] pub fn $name(x: u8) -> u8 { x })* };
    }
    tasks!(input out output run result name deref encode decode read write begin end finish square);
}

fn apply_plain(f: impl Fn(u64) -> u64) -> u64 {
    f(2)
}

fn main() -> pool::Result<()> {
    let pool = Pool::new()?;
    assert_eq!(pool.map(tasks::square, 0..4)?, [0, 1, 4, 9]);
    assert_eq!(pool.map(sq, [1, 2])?, [1, 4]);
    assert_eq!(pool.map(tasks::square, (0..3).map(|i| i * 2))?, [0, 4, 16]);
    assert_eq!(pool.map(tasks::count, ["a", "b c"])?, [1, 2]);
    let lines = ["a b".to_owned()];
    assert_eq!(pool.map(tasks::count, lines.iter().map(String::as_str))?, [2]);
    assert_eq!(pool.map(factorial, [5])?, [120]);
    assert_eq!(pool.starmap(tasks::add, [(1, 2), (3, 4)])?, [3, 7]);
    assert_eq!(pool.apply(unlucky_names::args, (1, "a"))?, 2);
    assert_eq!(pool.apply(unlucky_names::r#match, (1,))?, 1);
    assert_eq!(pool.apply(unlucky_names::input, (1,))?, 1);
    pool.apply(unlucky_names::call, ())?;

    assert_eq!(tasks::square(3), 9);
    assert_eq!(tasks::count(&lines[0]), 2);
    assert_eq!((1..4).map(*sq).sum::<u64>(), 14);
    assert_eq!(["a b"].iter().copied().map(*tasks::count).sum::<usize>(), 2);
    let plain: fn(u64) -> u64 = *sq;
    assert_eq!(plain(3), 9);
    assert_eq!(apply_plain(*sq), 4);

    assert!(<sq as pool::Task>::NAME.ends_with("::tasks::square"));
    assert!(<unlucky_names::r#match as pool::Task>::NAME.ends_with("::unlucky_names::match"));
    Ok(())
}
