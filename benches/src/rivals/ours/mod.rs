//! This pool.

mod calls;
mod growth;
mod payload;
mod programs;
mod start;
mod uneven;

use pool::Pool;

pub(super) use programs::constant_item;
pub(super) use start::start_fork;

use super::book::OURS;
use super::system::System;
use super::work::{Kind, Method, Pace, Work};

/// This pool, with its default start method.
pub(super) struct Ours {
    pool: Pool,
    workers: usize,
}

impl Ours {
    pub(super) fn new(workers: usize) -> pool::Result<Self> {
        Ok(Self { pool: make(workers)?, workers })
    }

    fn run(&self, kind: Kind, items: usize) -> pool::Result<Vec<f64>> {
        let pool = &self.pool;
        match kind {
            Kind::Apply
            | Kind::ApplyPaused
            | Kind::ApplyAsync
            | Kind::Map
            | Kind::MapChunks
            | Kind::MapOne
            | Kind::Imap
            | Kind::ImapUnordered
            | Kind::ImapChunks => calls::run(pool, kind, items),
            Kind::Payload { what, kibibytes } => payload::run(pool, what, kibibytes, items),
            Kind::Start(method) => start::start(self.workers, method, items),
            Kind::Replace => start::replace(items),
            Kind::Sleep { millis } => uneven::sleep(millis, items),
            Kind::Skewed => uneven::skewed(pool, items),
            Kind::Sawtooth => uneven::sawtooth(pool, items),
            Kind::ConcurrentImap => programs::concurrent_imap(items),
            Kind::Convolve => programs::convolve(self.workers, items),
            Kind::Constant => programs::constant(pool, items),
            Kind::Prefixes => programs::prefixes(self.workers, items),
            Kind::Workers { count } => growth::workers(count, items),
            Kind::Items { .. } => growth::items(pool, items),
            Kind::Submitters { threads } => growth::submitters(pool, threads, items),
        }
    }
}

/// A pool of so many workers.
pub(super) fn make(workers: usize) -> pool::Result<Pool> {
    Pool::builder().workers(workers).build()
}

impl System for Ours {
    fn key(&self) -> &'static str {
        OURS
    }

    fn name(&self) -> String {
        "this pool".to_owned()
    }

    fn pace(&self, _: &Work) -> Pace {
        Pace::Fast
    }

    fn measure(&mut self, work: &Work, items: usize) -> Result<Vec<f64>, String> {
        if work.kind == Kind::Start(Method::Fork) {
            // It needs a program with one thread.
            return start::start_fork_elsewhere(self.workers, items);
        }
        self.run(work.kind, items).map_err(|error| error.to_string())
    }
}
