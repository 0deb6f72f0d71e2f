//! smoke
use pool::{pool_task, Pool};
#[pool_task]
fn square(x: u64) -> u64 { x * x }
#[pool_task]
fn add(a: i64, b: i64) -> i64 { a + b }
#[pool_task]
fn count(text: &str, word: &str) -> usize { text.matches(word).count() }
fn main() -> pool::Result<()> {
    let t = std::time::Instant::now();
    let pool = Pool::new()?;
    println!("built {:?}", t.elapsed());
    assert_eq!(pool.apply(square, (3,))?, 9);
    println!("first {:?}", t.elapsed());
    assert_eq!(pool.map(square, 0..4)?, [0, 1, 4, 9]);           // chunks, blocks, ordered
    assert_eq!(pool.apply(add, (1, 2))?, 3);                     // one item, blocks
    assert_eq!(pool.starmap(add, [(1, 2), (3, 4)])?, [3, 7]);    // several arguments
    assert_eq!(pool.starmap(count, [("a b a", "a")])?, [2]);    // several arguments
    let sum = pool.apply_async(add, (20, 22));                   // does not block
    let _ = pool.apply_async(add, (1, 1)).callback(|n| println!("{n}")); // runs when the result arrives
    for n in pool.imap(square, 0..) { if n? > 100 { break } }    // lazy, bounded, ordered
    assert_eq!(sum.get()?, 42);
    assert_eq!(square(3), 9);                                    // still a plain call
    for _ in 0..3 {
    let t = std::time::Instant::now();
    let n = 100_000;
    for i in 0..n { assert_eq!(pool.apply(square, (i,))?, i * i); }
    println!("apply {:?}", t.elapsed() / n as u32);
    let t = std::time::Instant::now();
    let n = 1_000_000;
    let v = pool.map(square, 0..n)?;
    println!("map {:?} ns", t.elapsed().as_nanos() as f64 / n as f64);
    assert_eq!(v[999_999], 999_999 * 999_999);
    let t = std::time::Instant::now();
    let n = 100_000;
    let v = pool.options().chunk_size(1).map(square, 0..n)?;
    println!("map chunk 1 {:?} ns", t.elapsed().as_nanos() as f64 / n as f64);
    assert_eq!(v.len(), n as usize);
    let t = std::time::Instant::now();
    let v: Vec<_> = (0..n).map(|i| pool.apply_async(square, (i,))).collect();
    println!("apply_async {:?} ns", t.elapsed().as_nanos() as f64 / n as f64);
    for (i, h) in v.into_iter().enumerate() { assert_eq!(h.get()?, (i * i) as u64); }
    println!("apply_async get {:?} ns", t.elapsed().as_nanos() as f64 / n as f64);
    let t = std::time::Instant::now();
    let n = 1_000_000;
    let s = pool.imap(square, 0..n).map(|r| r.unwrap()).sum::<u64>();
    println!("imap {:?} ns", t.elapsed().as_nanos() as f64 / n as f64);
    let s2 = pool.imap_unordered(square, 0..n).map(|r| r.unwrap()).sum::<u64>();
    assert_eq!(s, s2);
    }
    pool.close();
    pool.join()
}
