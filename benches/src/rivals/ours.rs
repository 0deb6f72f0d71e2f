//! This pool.

use std::hint::black_box;
use std::time::{Duration, Instant};

use pool::{Pool, StartMethod};
use rustix::process::{Pid, Signal, kill_process};

use super::stats::quantile;
use super::system::System;
use super::work::{IMAP_CHUNK, Kind, MAP_CHUNK, Method, Pace, Work};
use crate::tasks::{echo_bytes, echo_numbers, last_number, own_pid, square};

/// How long a worker that was killed may take to be replaced.
const PATIENCE: Duration = Duration::from_secs(5);

/// This pool, with its default start method.
pub(super) struct Ours {
    pool: Pool,
    workers: usize,
}

impl Ours {
    pub(super) fn new(workers: usize) -> pool::Result<Self> {
        Ok(Self { pool: Pool::builder().workers(workers).build()?, workers })
    }

    fn run(&self, kind: Kind, items: usize) -> Result<Vec<f64>, pool::Error> {
        let pool = &self.pool;
        let n = items as u64;
        let start = Instant::now();
        match kind {
            Kind::Apply => {
                let mut times = Vec::with_capacity(items);
                for x in 0..n {
                    let start = Instant::now();
                    assert_eq!(pool.apply(square, (x,))?, x * x);
                    times.push(start.elapsed().as_secs_f64());
                }
                times.sort_by(f64::total_cmp);
                return Ok(vec![quantile(&times, 0.5), quantile(&times, 0.99)]);
            }
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
            Kind::Bytes { mebibytes } => {
                let data = bytes(mebibytes);
                return per_mebibyte(items, mebibytes, || {
                    assert_eq!(pool.apply(echo_bytes, (&data,))?.len(), data.len());
                    Ok(())
                });
            }
            Kind::Numbers { mebibytes } => {
                let data = numbers(mebibytes);
                return per_mebibyte(items, mebibytes, || {
                    assert_eq!(pool.apply(echo_numbers, (&data,))?.len(), data.len());
                    Ok(())
                });
            }
            Kind::NumbersIn { mebibytes } => {
                let data = numbers(mebibytes);
                return per_mebibyte(items, mebibytes, || {
                    assert_eq!(pool.apply(last_number, (&data,))?, 1.0);
                    Ok(())
                });
            }
            Kind::Start(method) => return self.start(method, items),
            Kind::Replace => return self.replace(items),
        }
        Ok(vec![start.elapsed().as_secs_f64() / items as f64])
    }

    /// From no pool at all to its first result; ending it is not counted.
    fn start(&self, method: Method, times: usize) -> Result<Vec<f64>, pool::Error> {
        let method = match method {
            Method::Fork => StartMethod::Fork,
            Method::ForkServer => StartMethod::ForkServer,
            Method::Spawn => StartMethod::Spawn,
        };
        let mut samples = Vec::new();
        for _ in 0..times {
            let start = Instant::now();
            let pool = Pool::builder().workers(self.workers).start_method(method).build()?;
            assert_eq!(pool.apply(square, (3,))?, 9);
            samples.push(start.elapsed().as_secs_f64());
        }
        Ok(vec![middle(samples)])
    }

    /// From SIGKILL to an answer of the next worker, in a pool of one.
    fn replace(&self, times: usize) -> Result<Vec<f64>, pool::Error> {
        let pool = Pool::builder().workers(1).build()?;
        let mut samples = Vec::new();
        for _ in 0..times {
            let old = pool.apply(own_pid, ())?;
            let pid = Pid::from_raw(old as i32).expect("a worker has a process id");
            let start = Instant::now();
            kill_process(pid, Signal::KILL).expect("a worker of ours lives and may be killed");
            loop {
                match pool.apply(own_pid, ()) {
                    Ok(new) if new != old => break,
                    // It went to the worker that was about to die.
                    Ok(_) | Err(pool::Error::WorkerLost { .. }) if start.elapsed() < PATIENCE => {}
                    Ok(_) => panic!("worker {old} answers {PATIENCE:?} after it was killed"),
                    Err(error) => return Err(error),
                }
            }
            samples.push(start.elapsed().as_secs_f64());
        }
        Ok(vec![middle(samples)])
    }
}

impl System for Ours {
    fn name(&self) -> String {
        "this pool".to_owned()
    }

    fn pace(&self, _: &Work) -> Pace {
        Pace::Fast
    }

    fn measure(&mut self, work: &Work, items: usize) -> Result<Vec<f64>, String> {
        if work.kind == Kind::Start(Method::Fork) {
            return Err("needs a program with one thread".to_owned());
        }
        self.run(work.kind, items).map_err(|error| error.to_string())
    }
}

fn check(squares: &[u64], items: usize) {
    assert_eq!(squares.len(), items);
    assert_eq!(squares.last(), Some(&(items as u64 - 1).pow(2)));
}

fn sum_up(squares: impl Iterator<Item = pool::Result<u64>>) -> pool::Result<()> {
    let mut sum = 0_u64;
    for result in squares {
        sum = sum.wrapping_add(result?);
    }
    black_box(sum);
    Ok(())
}

/// The median of single calls, so that what the first one finds cold does not count for all.
fn per_mebibyte(
    items: usize,
    mebibytes: usize,
    mut call: impl FnMut() -> pool::Result<()>,
) -> pool::Result<Vec<f64>> {
    let mut samples = Vec::with_capacity(items);
    for _ in 0..items {
        let start = Instant::now();
        call()?;
        samples.push(start.elapsed().as_secs_f64() / mebibytes as f64);
    }
    Ok(vec![middle(samples)])
}

fn middle(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    quantile(&samples, 0.5)
}

/// What is sent where bytes are.
pub(super) fn bytes(mebibytes: usize) -> Vec<u8> {
    vec![1; mebibytes << 20]
}

/// What is sent where numbers are.
pub(super) fn numbers(mebibytes: usize) -> Vec<f64> {
    vec![1.0; (mebibytes << 20) / size_of::<f64>()]
}
