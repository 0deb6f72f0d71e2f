//! rayon: the same work in threads, the bound for what it costs to have processes.

use std::hint::black_box;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use rayon::iter::{
    IndexedParallelIterator, IntoParallelIterator, IntoParallelRefIterator, ParallelBridge, ParallelIterator,
};
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::stats::{middle, quantile, sorted_middle};
use super::system::System;
use super::work::prefixes::Prefixes;
use super::work::{
    CONSTANT, Kind, Pace, Payload, SLEEPERS, Work, calls_of, durations, image, payloads, prefixes,
};
use crate::tasks;

/// A pool of threads.
pub(super) struct Rayon {
    pool: ThreadPool,
    workers: usize,
}

impl Rayon {
    pub(super) fn new(workers: usize) -> Result<Self, String> {
        Ok(Self { pool: make(workers)?, workers })
    }

    fn single(&self, items: usize, between: impl Fn()) -> Vec<f64> {
        let call = |x| {
            between();
            let start = Instant::now();
            black_box(self.pool.install(|| tasks::square(black_box(x))));
            start.elapsed().as_secs_f64()
        };
        let mut times: Vec<f64> = (0..items as u64).map(call).collect();
        times.sort_by(f64::total_cmp);
        vec![middle(&times), quantile(&times, 0.99)]
    }

    /// Each task sends its result through a channel, which is as near to a handle as rayon comes.
    fn submit(&self, items: usize) {
        let (sender, results) = channel();
        for x in 0..items as u64 {
            let sender = sender.clone();
            self.pool.spawn(move || {
                let _ = sender.send(tasks::square(x));
            });
        }
        assert_eq!(results.iter().take(items).count(), items);
    }

    fn payload(&self, what: Payload, kibibytes: usize, items: usize) -> f64 {
        match what {
            Payload::Bytes => self.each(items, &payloads::bytes(kibibytes), |data| tasks::echo_bytes(&data)),
            Payload::BytesIn => self.each(items, &payloads::bytes(kibibytes), |data| tasks::last_byte(&data)),
            Payload::Numbers => {
                self.each(items, &payloads::numbers(kibibytes), |data| tasks::echo_numbers(&data))
            }
            Payload::NumbersIn => {
                self.each(items, &payloads::numbers(kibibytes), |data| tasks::last_number(&data))
            }
            Payload::Strings => self.each(items, &payloads::strings(kibibytes), *tasks::echo_strings),
            Payload::Nested => self.each(items, &payloads::records(kibibytes), *tasks::echo_records),
        }
    }

    fn each<T: Clone + Send, R: Send>(&self, items: usize, data: &T, task: fn(T) -> R) -> f64 {
        let call = |_| {
            let data = data.clone();
            let start = Instant::now();
            black_box(self.pool.install(|| task(data)));
            start.elapsed().as_secs_f64()
        };
        sorted_middle((0..items).map(call).collect())
    }
}

impl System for Rayon {
    fn key(&self) -> &'static str {
        "rayon"
    }

    fn name(&self) -> String {
        "rayon (threads)".to_owned()
    }

    fn pace(&self, _: &Work) -> Pace {
        Pace::Fast
    }

    fn measure(&mut self, work: &Work, items: usize) -> Result<Vec<f64>, String> {
        let n = items;
        let pool = &self.pool;
        let map = |pool: &ThreadPool, chunk| {
            timed(items, || {
                let squares = (0..n).into_par_iter().with_min_len(chunk).map(|x| tasks::square(x as u64));
                black_box(pool.install(|| squares.collect::<Vec<u64>>()));
            })
        };
        let each = match work.kind {
            Kind::Apply => return Ok(self.single(items, || {})),
            Kind::ApplyPaused => return Ok(self.single(items, || thread::sleep(Duration::from_millis(1)))),
            Kind::ApplyAsync => timed(items, || self.submit(items)),
            Kind::Map => map(pool, 1),
            Kind::Items { .. } => sorted_middle((0..calls_of(items)).map(|_| map(pool, 1)).collect()),
            Kind::MapChunks => map(pool, super::work::MAP_CHUNK),
            // Its items are taken one by one, and given back by nobody in particular.
            Kind::MapOne => timed(items, || {
                pool.install(|| {
                    (0..n).into_par_iter().with_max_len(1).for_each(|x| {
                        black_box(tasks::square(x as u64));
                    })
                })
            }),
            Kind::Imap | Kind::ImapChunks | Kind::Replace => return Err("no such call".to_owned()),
            Kind::ImapUnordered => timed(items, || {
                black_box(pool.install(|| (0..n).par_bridge().map(|x| tasks::square(x as u64)).sum::<u64>()));
            }),
            Kind::Payload { what, kibibytes } => {
                self.payload(what, kibibytes, items) / (kibibytes >> 10).max(1) as f64
            }
            Kind::Start(_) => {
                let start = Instant::now();
                let pool = make(self.workers)?;
                assert_eq!(pool.install(|| tasks::square(3)), 9);
                start.elapsed().as_secs_f64()
            }
            Kind::Sleep { millis } => {
                let pool = make(SLEEPERS)?;
                timed(1, || {
                    let sleep = |_| thread::sleep(Duration::from_millis(millis));
                    pool.install(|| (0..items).into_par_iter().for_each(sleep));
                })
            }
            Kind::Skewed => work_for(pool, &durations::skewed(items)),
            Kind::Sawtooth => work_for(pool, &durations::sawtooth(items)),
            Kind::ConcurrentImap => {
                let start = Instant::now();
                let pool = make(2)?;
                black_box(pool.install(|| {
                    (0..n)
                        .into_par_iter()
                        .with_min_len(10)
                        .map(|x| tasks::identity(x as u64))
                        .collect::<Vec<_>>()
                }));
                start.elapsed().as_secs_f64()
            }
            Kind::Constant => {
                let numbers = payloads::numbers(CONSTANT);
                let pick = |at: usize| numbers[at % numbers.len()];
                let first = timed(1, || assert_eq!(pool.install(|| pick(0)), 1.0)) / (CONSTANT >> 10) as f64;
                let each = timed(items, || {
                    black_box(pool.install(|| (0..items).into_par_iter().map(pick).collect::<Vec<_>>()));
                });
                return Ok(vec![first, each]);
            }
            Kind::Convolve => {
                let image = image::image();
                let filters = image::filters(items);
                timed(items, || {
                    pool.install(|| {
                        filters.par_iter().for_each(|filter| {
                            black_box(image::convolve(&image, filter));
                        })
                    })
                })
            }
            Kind::Prefixes => {
                let documents: Vec<Vec<u8>> = (0..items).map(prefixes::document).collect();
                timed(items, || {
                    // A count for each thread, as the processes have it.
                    let parts: Vec<_> = documents.chunks(items.div_ceil(self.workers)).collect();
                    black_box(pool.install(|| {
                        let count = |part: &[Vec<u8>]| {
                            let mut counts = Prefixes::default();
                            part.iter().for_each(|document| counts.add(document));
                            counts.popular()
                        };
                        parts.into_par_iter().map(count).reduce(Default::default, |mut one, other| {
                            one.extend(other);
                            one
                        })
                    }));
                })
            }
            Kind::Workers { count } => map(&make(count)?, 1),
            Kind::Submitters { threads } => {
                let share = (items / threads).max(1);
                timed(share * threads, || {
                    thread::scope(|scope| {
                        for _ in 0..threads {
                            scope.spawn(|| self.submit(share));
                        }
                    });
                })
            }
        };
        Ok(vec![each])
    }
}

fn make(workers: usize) -> Result<ThreadPool, String> {
    ThreadPoolBuilder::new().num_threads(workers).build().map_err(|error| error.to_string())
}

fn timed(items: usize, work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64() / items as f64
}

fn work_for(pool: &ThreadPool, durations: &[f64]) -> f64 {
    timed(1, || pool.install(|| durations.par_iter().for_each(|seconds| durations::work_for(*seconds))))
}
