//! Small items by every call there is.

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use pool::Pool;

use super::super::stats::{middle, quantile};
use super::super::work::{IMAP_CHUNK, Kind, MAP_CHUNK};
use crate::tasks::square;

pub(super) fn run(pool: &Pool, kind: Kind, items: usize) -> pool::Result<Vec<f64>> {
    let n = items as u64;
    let start = Instant::now();
    match kind {
        Kind::Apply => return single(pool, n, || {}),
        Kind::ApplyPaused => return single(pool, n, || thread::sleep(Duration::from_millis(1))),
        Kind::ApplyAsync => {
            let handles: Vec<_> = (0..n).map(|x| pool.apply_async(square, (x,))).collect();
            for (x, handle) in (0..).zip(handles) {
                assert_eq!(handle.get()?, x * x);
            }
        }
        Kind::Map => check(&pool.map(square, 0..n)?, items),
        Kind::MapChunks => check(&pool.options().chunk_size(MAP_CHUNK).map(square, 0..n)?, items),
        Kind::MapOne => check(&pool.options().chunk_size(1).map(square, 0..n)?, items),
        Kind::Imap => sum_up(pool.imap(square, 0..n))?,
        Kind::ImapUnordered => sum_up(pool.imap_unordered(square, 0..n))?,
        Kind::ImapChunks => sum_up(pool.options().chunk_size(IMAP_CHUNK).imap(square, 0..n))?,
        _ => unreachable!("not a call for small items"),
    }
    Ok(vec![start.elapsed().as_secs_f64() / items as f64])
}

/// The middle and the slowest hundredth of single calls, with something between them that is not timed.
fn single(pool: &Pool, items: u64, between: impl Fn()) -> pool::Result<Vec<f64>> {
    let mut times = Vec::with_capacity(items as usize);
    for x in 0..items {
        between();
        let start = Instant::now();
        assert_eq!(pool.apply(square, (x,))?, x * x);
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(vec![middle(&times), quantile(&times, 0.99)])
}

pub(super) fn check(squares: &[u64], items: usize) {
    assert_eq!(squares.len(), items);
    assert_eq!(squares.last(), Some(&(items as u64 - 1).pow(2)));
}

pub(super) fn sum_up(squares: impl Iterator<Item = pool::Result<u64>>) -> pool::Result<()> {
    let mut sum = 0_u64;
    for result in squares {
        sum = sum.wrapping_add(result?);
    }
    black_box(sum);
    Ok(())
}
