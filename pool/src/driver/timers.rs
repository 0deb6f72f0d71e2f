//! What the driver has to do at a certain time, whether or not anything comes in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::id::JobKey;
use crate::job::block::Block;

/// The driver's appointments.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    /// See whether a worker still makes no progress.
    pub(crate) stall: Option<Instant>,
    /// See what the items do whose time is limited.
    pub(crate) limits: Option<Instant>,
    deadlines: BTreeSet<(Instant, JobKey)>,
    /// Items to be tried again; the number tells those of one moment apart.
    retries: BTreeMap<(Instant, u64), (JobKey, Block)>,
    last_retry: u64,
}

impl Timers {
    /// When the next one is.
    pub(crate) fn due(&self) -> Option<Instant> {
        let deadline = self.deadlines.first().map(|(time, _)| *time);
        let retry = self.retries.first_key_value().map(|((time, _), _)| *time);
        [self.stall, self.limits, deadline, retry].into_iter().flatten().min()
    }

    /// Sees to it that limits are looked at no later than this.
    pub(crate) fn look_at_limits(&mut self, time: Instant) {
        self.limits = Some(self.limits.map_or(time, |other| other.min(time)));
    }

    pub(crate) fn set_deadline(&mut self, time: Instant, job: JobKey) {
        self.deadlines.insert((time, job));
    }

    pub(crate) fn clear_deadline(&mut self, time: Instant, job: JobKey) {
        self.deadlines.remove(&(time, job));
    }

    /// Takes a job out whose deadline has come.
    pub(crate) fn next_deadline(&mut self, now: Instant) -> Option<JobKey> {
        let first = *self.deadlines.first().filter(|(time, _)| *time <= now)?;
        self.deadlines.remove(&first);
        Some(first.1)
    }

    pub(crate) fn retry_at(&mut self, time: Instant, job: JobKey, block: Block) {
        self.last_retry += 1;
        self.retries.insert((time, self.last_retry), (job, block));
    }

    /// Takes an item out whose time to be tried again has come.
    pub(crate) fn next_retry(&mut self, now: Instant) -> Option<(JobKey, Block)> {
        let first = self.retries.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(first.remove())
    }

    /// Items of a job that wait to be tried again.
    pub(crate) fn retries_of(&self, job: JobKey) -> impl Iterator<Item = &Block> {
        self.retries.values().filter(move |(key, _)| *key == job).map(|(_, block)| block)
    }

    /// Drops the items of a job that wait to be tried again; returns how many they were.
    pub(crate) fn drop_retries(&mut self, job: JobKey) -> usize {
        let before = self.retries.len();
        self.retries.retain(|_, (key, _)| *key != job);
        before - self.retries.len()
    }
}
