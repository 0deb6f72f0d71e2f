//! A plain loop in one thread: the same work without any pool.

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use super::system::System;
use super::work::prefixes::Prefixes;
use super::work::{Kind, Pace, Payload, SLEEPERS, Work, durations, image, payloads, prefixes};
use crate::tasks;

/// No pool at all.
pub(super) struct PlainLoop {
    pub(super) workers: usize,
}

impl System for PlainLoop {
    fn key(&self) -> &'static str {
        "loop"
    }

    fn name(&self) -> String {
        "plain loop".to_owned()
    }

    fn pace(&self, _: &Work) -> Pace {
        Pace::Fast
    }

    fn measure(&mut self, work: &Work, items: usize) -> Result<Vec<f64>, String> {
        let n = items as u64;
        let each = match work.kind {
            Kind::Start(_)
            | Kind::Replace
            | Kind::Constant
            | Kind::Workers { .. }
            | Kind::Submitters { .. } => {
                return Err("–".to_owned());
            }
            // One thread would need as many times as long, which is not worth the time.
            Kind::Skewed | Kind::Sawtooth if self.workers > 1 => return Err("–".to_owned()),
            Kind::Sleep { .. } if SLEEPERS > 1 => return Err("–".to_owned()),
            Kind::Skewed => timed(1, || durations::skewed(items).into_iter().for_each(durations::work_for)),
            Kind::Sawtooth => {
                timed(1, || durations::sawtooth(items).into_iter().for_each(durations::work_for))
            }
            Kind::Sleep { millis } => {
                timed(1, || (0..items).for_each(|_| thread::sleep(Duration::from_millis(millis))))
            }
            Kind::Apply | Kind::ApplyPaused | Kind::ApplyAsync => run(items, *tasks::square),
            Kind::Imap | Kind::ImapUnordered | Kind::ImapChunks => run(items, *tasks::square),
            Kind::ConcurrentImap => run(items, *tasks::identity) * items as f64,
            Kind::Map | Kind::MapChunks | Kind::MapOne | Kind::Items { .. } => timed(items, || {
                black_box((0..n).map(|x| tasks::square(black_box(x))).collect::<Vec<_>>());
            }),
            Kind::Payload { what, kibibytes } => payload(what, kibibytes, items),
            Kind::Convolve => {
                let image = image::image();
                let filters = image::filters(items);
                timed(items, || {
                    for filter in &filters {
                        black_box(image::convolve(&image, filter));
                    }
                })
            }
            Kind::Prefixes => {
                let documents: Vec<Vec<u8>> = (0..items).map(prefixes::document).collect();
                timed(items, || {
                    let mut counts = Prefixes::default();
                    documents.iter().for_each(|document| counts.add(document));
                    black_box(counts.popular());
                })
            }
        };
        let mut figures = vec![each];
        // A loop has no second figure: single turns are too short for a clock.
        figures.resize(work.rows.len(), f64::NAN);
        Ok(figures)
    }
}

fn timed(items: usize, work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64() / items as f64
}

fn run(items: usize, task: impl Fn(u64) -> u64) -> f64 {
    timed(items, || {
        for x in 0..items as u64 {
            black_box(task(black_box(x)));
        }
    })
}

fn payload(what: Payload, kibibytes: usize, items: usize) -> f64 {
    let each = match what {
        Payload::Bytes => repeat(items, &payloads::bytes(kibibytes), |data| tasks::echo_bytes(data)),
        Payload::BytesIn => repeat(items, &payloads::bytes(kibibytes), |data| tasks::last_byte(data)),
        Payload::Numbers => repeat(items, &payloads::numbers(kibibytes), |data| tasks::echo_numbers(data)),
        Payload::NumbersIn => repeat(items, &payloads::numbers(kibibytes), |data| tasks::last_number(data)),
        Payload::Strings => {
            repeat(items, &payloads::strings(kibibytes), |data| tasks::echo_strings(data.clone()))
        }
        Payload::Nested => {
            repeat(items, &payloads::records(kibibytes), |data| tasks::echo_records(data.clone()))
        }
    };
    each / (kibibytes >> 10).max(1) as f64
}

fn repeat<T, R>(items: usize, data: &T, task: impl Fn(&T) -> R) -> f64 {
    timed(items, || {
        for _ in 0..items {
            black_box(task(black_box(data)));
        }
    })
}
