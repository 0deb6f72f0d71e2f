#![deny(warnings)]
//! What a `Shared` is of is known from the value, from the task, or from a type at the `let`.

use std::collections::HashMap;

use pool::{Pool, Shared, pool_task};
use serde::{Deserialize, Serialize};

#[pool_task]
fn look_up(table: &Shared<HashMap<String, u32>>, key: &str) -> Option<u32> {
    table.get(key).copied()
}

#[pool_task]
fn total(numbers: Shared<[f64]>) -> f64 {
    numbers.iter().sum()
}

#[pool_task]
fn sum(numbers: &Shared<Vec<i32>>) -> i32 {
    numbers.iter().sum()
}

#[pool_task]
fn letters(text: &Shared<str>, letter: char) -> usize {
    text.matches(letter).count()
}

#[derive(Serialize, Deserialize)]
struct Part {
    of: Shared<[u8]>,
    from: usize,
}

#[pool_task]
fn first(part: Part) -> u8 {
    part.of[part.from]
}

fn main() -> pool::Result<()> {
    let pool = Pool::new()?;
    // From the value, before any task.
    let table = pool.share(HashMap::from([("one".to_owned(), 1)]))?;
    assert_eq!(table.len(), 1);
    assert_eq!(pool.starmap(look_up, ["one", "two"].map(|key| (&table, key)))?, [Some(1), None]);
    // From the task.
    let numbers = pool.share(vec![0.5; 4])?;
    assert_eq!(pool.map(total, vec![numbers; 2])?, [2.0; 2]);
    let numbers = pool.share(vec![1, 2])?;
    assert_eq!(pool.apply(sum, (&numbers,))?, 3);
    let text = pool.share("banana")?;
    assert_eq!(pool.starmap(letters, "an".chars().map(|letter| (&text, letter)))?, [3, 2]);
    // From the `let`, and from a field.
    let bytes: Shared<[u8]> = pool.share(&[7, 8][..])?;
    assert_eq!(pool.map(first, (0..2).map(|from| Part { of: bytes.clone(), from }))?, [7, 8]);
    let part = Part { of: pool.share(vec![9])?, from: 0 };
    assert_eq!(first(part), 9);
    Ok(())
}
