//! procspawn's pool: closures without surroundings, their arguments through a channel of ipc-channel that is made for each call.

use std::collections::VecDeque;
use std::thread;
use std::time::{Duration, Instant};

use procspawn::{JoinHandle, Pool};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::stats::{middle, quantile, sorted_middle};
use super::system::System;
use super::work::{Kind, Pace, Payload, SLEEPERS, Work, durations, payloads};
use crate::tasks;

/// Calls that are open at once: each one holds descriptors.
const WINDOW: usize = 100;

/// Its pool.
pub(super) struct Procspawn {
    pool: Pool,
    workers: usize,
}

impl Procspawn {
    pub(super) fn new(workers: usize) -> Result<Self, String> {
        Ok(Self { pool: make(workers)?, workers })
    }

    fn single(&self, items: usize, between: impl Fn()) -> Result<Vec<f64>, String> {
        let mut times = Vec::with_capacity(items);
        for x in 0..items as u64 {
            between();
            times.push(call(&self.pool, x, *tasks::square)?);
        }
        times.sort_by(f64::total_cmp);
        Ok(vec![middle(&times), quantile(&times, 0.99)])
    }

    fn payload(&self, what: Payload, kibibytes: usize, items: usize) -> Result<f64, String> {
        let pool = &self.pool;
        match what {
            Payload::Bytes => each(pool, items, &payloads::bytes(kibibytes), |data| data),
            Payload::BytesIn => {
                each(pool, items, &payloads::bytes(kibibytes), |data| tasks::last_byte(&data))
            }
            Payload::Numbers => each(pool, items, &payloads::numbers(kibibytes), |data| data),
            Payload::NumbersIn => {
                each(pool, items, &payloads::numbers(kibibytes), |data| tasks::last_number(&data))
            }
            Payload::Strings => each(pool, items, &payloads::strings(kibibytes), |data| data),
            Payload::Nested => each(pool, items, &payloads::records(kibibytes), |data| data),
        }
    }
}

impl System for Procspawn {
    fn key(&self) -> &'static str {
        "procspawn"
    }

    fn name(&self) -> String {
        "procspawn".to_owned()
    }

    fn pace(&self, _: &Work) -> Pace {
        Pace::Slow
    }

    fn measure(&mut self, work: &Work, items: usize) -> Result<Vec<f64>, String> {
        let n = items as u64;
        let each = match work.kind {
            Kind::Apply => return self.single(items, || {}),
            Kind::ApplyPaused => return self.single(items, || thread::sleep(Duration::from_millis(1))),
            Kind::ApplyAsync | Kind::MapOne => run(&self.pool, 0..n, *tasks::square)? / items as f64,
            Kind::Payload { kibibytes, .. } if kibibytes > 16 << 10 => {
                return Err("not measured".to_owned());
            }
            Kind::Payload { what, kibibytes } => {
                self.payload(what, kibibytes, items)? / (kibibytes >> 10).max(1) as f64
            }
            Kind::Start(super::work::Method::Spawn) => {
                let start = Instant::now();
                let pool = make(self.workers)?;
                call(&pool, 3, *tasks::square)?;
                start.elapsed().as_secs_f64()
            }
            Kind::Start(_) => return Err("starts as `Spawn` does".to_owned()),
            Kind::Sleep { millis } => {
                let pool = make(SLEEPERS)?;
                run(&pool, vec![1; 2 * SLEEPERS], *tasks::sleep_millis)?;
                run(&pool, vec![millis; items], *tasks::sleep_millis)?
            }
            Kind::Skewed => run(&self.pool, durations::skewed(items), *tasks::work_for)?,
            Kind::Sawtooth => run(&self.pool, durations::sawtooth(items), *tasks::work_for)?,
            _ => return Err("no such call".to_owned()),
        };
        Ok(vec![each])
    }
}

fn make(workers: usize) -> Result<Pool, String> {
    Pool::new(workers).map_err(|error| error.to_string())
}

fn call<A, R>(pool: &Pool, args: A, task: fn(A) -> R) -> Result<f64, String>
where
    A: Serialize + DeserializeOwned,
    R: Serialize + DeserializeOwned + Send + 'static,
{
    let start = Instant::now();
    pool.spawn(args, task).join().map_err(|error| error.to_string())?;
    Ok(start.elapsed().as_secs_f64())
}

fn each<A, R>(pool: &Pool, items: usize, data: &A, task: fn(A) -> R) -> Result<f64, String>
where
    A: Clone + Serialize + DeserializeOwned,
    R: Serialize + DeserializeOwned + Send + 'static,
{
    let samples: Result<Vec<f64>, String> = (0..items).map(|_| call(pool, data.clone(), task)).collect();
    samples.map(sorted_middle)
}

/// Runs all of it, so many calls being open at once; the time for all.
fn run<A, R>(pool: &Pool, args: impl IntoIterator<Item = A>, task: fn(A) -> R) -> Result<f64, String>
where
    A: Serialize + DeserializeOwned,
    R: Serialize + DeserializeOwned + Send + 'static,
{
    let start = Instant::now();
    let mut open = VecDeque::new();
    for args in args {
        if open.len() == WINDOW {
            join(open.pop_front())?;
        }
        open.push_back(pool.spawn(args, task));
    }
    while !open.is_empty() {
        join(open.pop_front())?;
    }
    Ok(start.elapsed().as_secs_f64())
}

fn join<R: Serialize + DeserializeOwned>(call: Option<JoinHandle<R>>) -> Result<(), String> {
    call.map_or(Ok(()), |call| call.join().map(drop).map_err(|error| error.to_string()))
}
