//! Who gets which chunk, and when callers are asked for more input.
//!
//! Jobs with something to send take turns, a chunk each.

use std::time::Instant;

use crate::codec::CodecError;
use crate::driver::Driver;
use crate::driver::chunk::Rule;
use crate::driver::workers::Slot;
use crate::error::{Error, Part};
use crate::frame::{FrameHeader, Kind};
use crate::id::JobKey;
use crate::job::Demand;
use crate::job::block::{Block, Bytes};
use crate::transport::link::Link;

impl<L: Link> Driver<L> {
    /// Tells how large the next chunk of a job should be, if one is wanted now; if not, the job has news once
    /// it is. Looks at the rings first.
    pub(crate) fn demand(&mut self, key: JobKey, remaining: Option<usize>) -> Option<Demand> {
        self.turn();
        if !self.wants_input(key) {
            self.jobs.set_hungry(key);
            return None;
        }
        let workers = self.slots.len();
        let job = self.jobs.get(key)?;
        let rule = &self.rule_list[job.rule as usize];
        let (items, ahead) = match job.chunk_size.map(|size| size as usize) {
            None => (rule.size(workers, remaining), rule.ahead(workers)),
            Some(size) => {
                // Small chunks are asked for as many at once as there is room for; the driver cuts them apart.
                let open = self.slots.iter().filter_map(Slot::get).filter(|worker| worker.takes_more());
                let chunks: usize = open.map(|worker| rule.room(worker.in_flight.load(), size)).sum();
                (size.saturating_mul(chunks.max(1)), size.saturating_mul(4 * workers))
            }
        };
        Some(Demand { items, bytes: L::MAX_BODY, ahead })
    }

    /// Gives workers what waits, in turns.
    pub(super) fn dispatch(&mut self) {
        while let Some(key) = self.jobs.whose_turn() {
            let workers = self.slots.len();
            let Some(job) = self.jobs.get(key) else { continue };
            let rule = job.rule as usize;
            let Some(place) = self.pick(&self.rule_list[rule]) else { break };
            let Some(job) = self.jobs.get(key) else { continue };
            let Some(worker) = &mut self.slots[place].worker else { continue };
            let remaining = (!job.input_open).then_some(job.unsent);
            let size = job.chunk_size.unwrap_or_else(|| self.rule_list[rule].size(workers, remaining) as u32);
            let size = size.min(u32::try_from(worker.quota).unwrap_or(u32::MAX));
            let Some(block) = job.cut(size, L::MAX_BODY) else { continue };
            let limits = job.limits();
            let header = FrameHeader {
                chunk: worker.in_flight.next_number(),
                task_or_nanos: job.task.raw(),
                count: block.count,
                shape: block.shape.to_raw(),
                failed: if limits.is_set() { FrameHeader::TIMED } else { 0 },
                ..FrameHeader::new(Kind::Run)
            };
            let no_memory = |error| format!("no shared memory for {} bytes: {error}", block.len());
            let sent = match (worker.send_shares(&block), block.bytes()) {
                (Ok(true), Bytes::Here(body)) => worker.link.try_send(header, body).map_err(no_memory),
                (Ok(true), Bytes::Lent(item)) => worker.link.try_send_lent(header, item).map_err(no_memory),
                (Ok(false), _) => Ok(None),
                (Err(error), _) => Err(format!("a shared value that it uses cannot be sent: {error}")),
            };
            match sent {
                Ok(Some(sent)) => {
                    self.chunks_sent += 1;
                    worker.last_used = self.chunks_sent;
                    worker.quota -= u64::from(block.count);
                    worker.to_ring = true;
                    self.rule_list[rule].sent(block.count as usize);
                    worker.in_flight.insert(key, block, sent, limits);
                    if let Some(first) = limits.first() {
                        self.timers.look_at_limits(Instant::now() + first);
                    }
                    self.retire_if_spent(place);
                    self.jobs.rotate();
                }
                Ok(None) => {
                    worker.is_full = true;
                    job.push_front(block);
                }
                Err(reason) => self.fail_unsendable(key, &block, &reason),
            }
        }
        self.feed_the_hungry();
    }

    /// The worker that should get the next chunk of a task with this rule: one that has nothing, and of those the one
    /// that had something last, because it may still be awake; else the one with the least, but what is short goes to the
    /// same one in [runs](Rule::runs).
    fn pick(&self, rule: &Rule) -> Option<usize> {
        let mut best: Option<(usize, (bool, usize, u64))> = None;
        for (place, slot) in self.slots.iter().enumerate() {
            let Some(worker) = &slot.worker else { continue };
            let load = worker.in_flight.load();
            if !worker.takes_more() || !rule.has_room(load) {
                continue;
            }
            let rank = (!worker.in_flight.is_empty(), rule.runs(load), u64::MAX - worker.last_used);
            if best.is_none_or(|(_, other)| rank < other) {
                best = Some((place, rank));
            }
        }
        best.map(|(place, _)| place)
    }

    /// Ends the items of a chunk that cannot be sent to any worker.
    fn fail_unsendable(&mut self, key: JobKey, block: &Block, reason: &str) {
        let Some(job) = self.jobs.get(key) else { return };
        job.unended -= block.count as usize;
        for index in block.first..block.first + block.count as usize {
            let source = CodecError::new(reason);
            let error = Error::Encode { task: job.job.task, index, part: Part::Argument, source };
            job.job.deliver_failure(index, error);
        }
        if job.fails_fast {
            self.give_up_rest(key);
        }
        self.notify_and_close(key);
    }

    /// Lets one caller know that its input is wanted, if it is. The others wait on, in their order.
    fn feed_the_hungry(&mut self) {
        let mut is_fed = false;
        for _ in 0..self.jobs.hungry() {
            let Some(key) = self.jobs.next_hungry() else { break };
            if is_fed || !self.wants_input(key) {
                self.jobs.set_hungry(key);
            } else if let Some(job) = self.jobs.get(key) {
                job.job.set_news();
                self.effects.notify.push(job.job.clone());
                is_fed = true;
            }
        }
    }

    /// Tells whether a job that reads its input as it goes should read the next chunk now.
    fn wants_input(&mut self, key: JobKey) -> bool {
        // Where others wait for a worker, a job must have something to take its turn with.
        let others_wait = self.jobs.whose_turn().is_some();
        let Some(job) = self.jobs.get(key) else { return false };
        let rule = &self.rule_list[job.rule as usize];
        job.input_open && !job.has_unsent() && (others_wait || self.pick(rule).is_some())
    }

    pub(super) fn ring(&mut self) {
        for worker in self.slots.iter_mut().filter_map(|slot| slot.worker.as_mut()) {
            if std::mem::take(&mut worker.to_ring) {
                worker.link.ring();
            }
        }
    }
}
