//! A plain loop in one thread: the same work without any pool.

use std::hint::black_box;
use std::time::Instant;

use super::ours::{bytes, numbers};
use super::system::System;
use super::work::{Kind, Pace, Work};
use crate::tasks::{echo_bytes, echo_numbers, last_number, square};

/// No pool at all.
pub(super) struct Plain;

impl System for Plain {
    fn name(&self) -> String {
        "plain loop".to_owned()
    }

    fn pace(&self, _: &Work) -> Pace {
        Pace::Fast
    }

    fn measure(&mut self, work: &Work, items: usize) -> Result<Vec<f64>, String> {
        let n = items as u64;
        let start;
        let mut share = items as f64;
        match work.kind {
            Kind::Start(_) | Kind::Replace => return Err("–".to_owned()),
            Kind::Apply | Kind::ApplyAsync | Kind::Imap | Kind::ImapUnordered | Kind::ImapChunks => {
                start = Instant::now();
                for x in 0..n {
                    black_box(square(black_box(x)));
                }
            }
            Kind::Map | Kind::MapChunks | Kind::MapOne => {
                start = Instant::now();
                black_box((0..n).map(|x| square(black_box(x))).collect::<Vec<_>>());
            }
            Kind::Bytes { mebibytes } => {
                let data = bytes(mebibytes);
                share *= mebibytes as f64;
                start = Instant::now();
                for _ in 0..items {
                    black_box(echo_bytes(black_box(&data)));
                }
            }
            Kind::Numbers { mebibytes } => {
                let data = numbers(mebibytes);
                share *= mebibytes as f64;
                start = Instant::now();
                for _ in 0..items {
                    black_box(echo_numbers(black_box(&data)));
                }
            }
            Kind::NumbersIn { mebibytes } => {
                let data = numbers(mebibytes);
                share *= mebibytes as f64;
                start = Instant::now();
                for _ in 0..items {
                    black_box(last_number(black_box(&data)));
                }
            }
        }
        let each = start.elapsed().as_secs_f64() / share;
        let mut figures = vec![each];
        // A loop has no second figure: single turns are too short for a clock.
        figures.resize(work.rows.len(), f64::NAN);
        Ok(figures)
    }
}
