#![deny(warnings, missing_docs, missing_debug_implementations, unreachable_pub, unused_qualifications)]
//! Every kind of parameter and result travels to the task and back.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use pool::{pool_task, Pool};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Big {
    name: String,
    numbers: Vec<f64>,
    inner: Option<Box<Big>>,
}

type Text = str;
type Bytes = [u8];

#[pool_task]
fn owned(number: u64, text: String, big: Big) -> (u64, String, Big) {
    (number, text, big)
}

#[pool_task]
fn texts(text: &str, word: &str) -> usize {
    text.matches(word).count()
}

#[pool_task]
fn bytes(bytes: &[u8]) -> Vec<u8> {
    bytes.to_vec()
}

#[pool_task]
fn floats(floats: &[f64]) -> f64 {
    floats.iter().sum()
}

#[pool_task]
fn slice_of_structs(all: &[Big]) -> usize {
    all.len()
}

#[pool_task]
#[expect(clippy::ptr_arg)]
fn lent(big: &Big, map: &HashMap<String, u8>, vec: &Vec<u16>, number: &u8, array: &[u8; 3]) -> usize {
    big.numbers.len() + map.len() + vec.len() + usize::from(*number) + array.len()
}

#[pool_task]
fn path(path: &Path) -> PathBuf {
    path.join("x")
}

#[pool_task]
fn aliases(text: &Text, raw: &Bytes) -> usize {
    text.len() + raw.len()
}

#[pool_task]
fn cow(text: Cow<'static, str>) -> Cow<'static, str> {
    text
}

#[pool_task]
fn changed(mut numbers: Vec<u64>, mut times: u8) -> Vec<u64> {
    while times > 0 {
        numbers.reverse();
        times -= 1;
    }
    numbers
}

#[pool_task]
fn ignored(_: u8, _unused: &str) {}

#[pool_task]
fn fallible(ok: bool) -> Result<Option<u8>, String> {
    if ok {
        Ok(None)
    } else {
        Err("no".to_owned())
    }
}

#[pool_task]
fn none() -> Vec<f64> {
    vec![1.5]
}

#[pool_task]
#[allow(clippy::too_many_arguments)]
fn twelve(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8, i: u8, j: u8, k: &str, l: &[u8]) -> u64 {
    [a, b, c, d, e, f, g, h, i, j].into_iter().map(u64::from).sum::<u64>() + k.len() as u64 + l.len() as u64
}

#[pool_task]
const fn constant(x: u8) -> u8 {
    x
}

fn main() -> pool::Result<()> {
    let pool = Pool::new()?;
    let big = Big { name: "b".to_owned(), numbers: vec![1.0, 2.0], inner: Some(Box::default()) };
    assert_eq!(pool.apply(owned, (1, "a".to_owned(), big.clone()))?, (1, "a".to_owned(), big.clone()));
    let line = "a b a".to_owned();
    assert_eq!(pool.apply(texts, (&line, "a"))?, 2);
    assert_eq!(pool.apply(bytes, (b"xyz",))?, b"xyz");
    assert_eq!(pool.apply(floats, (&[0.5, 1.0],))?, 1.5);
    assert_eq!(pool.apply(slice_of_structs, (&[big.clone(), big.clone()],))?, 2);
    let map = HashMap::from([("k".to_owned(), 1)]);
    assert_eq!(pool.apply(lent, (&big, &map, &vec![1, 2], &3, &[1, 2, 3]))?, 11);
    assert_eq!(pool.apply(path, (Path::new("/images"),))?, Path::new("/images/x"));
    assert_eq!(pool.apply(aliases, ("a", b"bc"))?, 3);
    assert_eq!(pool.apply(cow, (Cow::Borrowed("a"),))?, "a");
    assert_eq!(pool.apply(changed, (vec![1, 2], 1))?, [2, 1]);
    pool.apply(ignored, (1, "x"))?;
    assert_eq!(pool.apply(fallible, (true,))?, Ok(None));
    assert_eq!(pool.apply(fallible, (false,))?, Err("no".to_owned()));
    assert_eq!(pool.apply(none, ())?, [1.5]);
    assert_eq!(pool.apply(twelve, (1, 1, 1, 1, 1, 1, 1, 1, 1, 1, "ab", b"c"))?, 13);
    assert_eq!(pool.apply(constant, (7,))?, 7);
    assert_eq!(constant(7), 7);
    Ok(())
}
