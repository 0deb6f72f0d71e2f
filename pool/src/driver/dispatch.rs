//! Who gets which chunk, and when callers are asked for more input.
//!
//! Jobs with something to send take turns, a chunk each. Chunks that are queued at a worker that makes no
//! progress go to others.

use std::time::{Duration, Instant};

use crate::codec::CodecError;
use crate::driver::Driver;
use crate::driver::chunk::Rule;
use crate::driver::workers::{Slot, Watched, Worker};
use crate::error::{Error, Part};
use crate::frame::{FrameHeader, Kind};
use crate::id::JobKey;
use crate::job::Demand;
use crate::job::block::{Block, Bytes};
use crate::transport::link::Link;

/// How long a worker may make no progress before chunks that are queued at it go to idle ones, unless what it
/// has in hand is known to be long.
const PATIENCE: Duration = Duration::from_millis(1);

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
                    worker.unrung = true;
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
            let rank = (load.chunks > 0, rule.runs(load), u64::MAX - worker.last_used);
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

    /// Takes chunks back that are queued at a worker that makes no progress, while another one has nothing to do.
    ///
    /// Chunks are queued at a worker because items like them were short, or so that it need not wait for the next one. An
    /// item that takes longer, or that waits for another one, must not hold up those behind it.
    pub(super) fn share_out(&mut self) {
        self.timers.stall = None;
        let is_idle = |worker: &Worker<L>| worker.takes_more() && worker.in_flight.is_empty();
        if self.jobs.whose_turn().is_some() || !self.slots.iter().filter_map(Slot::get).any(is_idle) {
            return;
        }
        let mut taken = Vec::new();
        for worker in self.slots.iter_mut().filter_map(|slot| slot.worker.as_mut()) {
            let Some(due) = worker.in_flight.due().filter(|due| due.has_queued) else { continue };
            let (number, done) = (due.number, due.done);
            let rule = self.jobs.get(due.job).map(|job| &self.rule_list[job.rule as usize]);
            let is_long = rule.is_some_and(|rule| rule.is_long(worker.in_flight.load()));
            let patience = if is_long { Duration::ZERO } else { PATIENCE };
            let now = Instant::now();
            let watched =
                worker.watched.get_or_insert(Watched { number, done, since: now, is_stalled: false });
            if (watched.number, watched.done) != (number, done) {
                *watched = Watched { number, done, since: now, is_stalled: false };
            }
            let due = watched.since + patience;
            if due > now {
                self.timers.stall = Some(self.timers.stall.map_or(due, |other| other.min(due)));
                continue;
            }
            watched.is_stalled = true;
            let link = &mut worker.link;
            taken.extend(worker.in_flight.recall(|sent, number| link.recall(sent, number)));
        }
        if taken.is_empty() {
            return;
        }
        self.requeue(taken);
        self.timers.stall = Some(Instant::now() + PATIENCE);
        self.dispatch();
    }

    /// Takes the chunk that is due back from workers that did not begin it from one nudge to the next, while another
    /// one has nothing to do: they are stopped, or their processes get no CPU.
    ///
    /// That takes so long, and not [`PATIENCE`], because a worker may wake up late on a busy machine. All of them may, and
    /// then chunks would wander from one to the other and be run by none.
    pub(super) fn relieve_the_stopped(&mut self) {
        let is_idle = |worker: &Worker<L>| worker.takes_more() && worker.in_flight.is_empty();
        let has_idle = self.slots.iter().filter_map(Slot::get).any(is_idle);
        let mut taken = Vec::new();
        for worker in self.slots.iter_mut().filter_map(|slot| slot.worker.as_mut()) {
            let begun = worker.link.running().chunk;
            let due = worker.in_flight.due().map(|due| due.number);
            let unbegun = due.filter(|number| (*number as u32).wrapping_sub(begun) as i32 > 0);
            if let (Some(number), true) = (unbegun, has_idle && unbegun == worker.unbegun) {
                let link = &mut worker.link;
                taken.extend(worker.in_flight.recall_front(|sent, number| link.recall(sent, number)));
                worker.watched = Some(Watched { number, done: 0, since: Instant::now(), is_stalled: true });
            }
            worker.unbegun = unbegun;
        }
        self.requeue(taken);
    }

    /// Lets one caller know that its input is wanted, if it is. The others wait on, in their order.
    fn feed_the_hungry(&mut self) {
        let mut hungry = self.jobs.take_hungry();
        if let Some(wanted) = hungry.iter().position(|key| self.wants_input(*key)) {
            if let Some(job) = hungry.remove(wanted).and_then(|key| self.jobs.get(key)) {
                job.job.set_news();
                self.effects.notify.push(job.job.clone());
            }
        }
        hungry.into_iter().for_each(|key| self.jobs.set_hungry(key));
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
            if std::mem::take(&mut worker.unrung) {
                worker.link.ring();
            }
        }
    }
}

#[cfg(test)]
#[path = "dispatch_tests.rs"]
mod tests;
