//! Time limits: what an item may take, and the end of workers whose items took more.
//!
//! A worker is first halted: it begins nothing more, so that whatever ends it hits the item that it is at and no other.
//! If it is at another item by then, it goes on. What becomes of its items is settled in
//! [`detach`](Driver::detach), once its process is gone; only an item that ran out of time and is not tried
//! again is told at once.

use std::time::{Duration, Instant};

use crate::driver::Driver;
use crate::driver::in_flight::Chunk;
use crate::driver::workers::State;
use crate::error::{Error, TimeLimit};
use crate::id::JobKey;
use crate::job::Rest;
use crate::transport::link::{Link, Running};

/// How long the running item of a cancelled job has to come to its end before its worker is ended.
const CANCEL_GRACE: Duration = Duration::from_millis(10);
/// A worker that begins nothing for so long, though it has something to do whose time counts, is stopped or stuck.
const UNRESPONSIVE: Duration = Duration::from_secs(1);

/// Time between two looks at a worker whose limited item has not begun, however short the limit is.
const SHORTEST_LOOK: Duration = Duration::from_millis(1);

/// What each item of a job may take, from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Then its task is told.
    pub(crate) soft: Option<Duration>,
    /// Then its worker is ended.
    pub(crate) hard: Option<Duration>,
}

impl Limits {
    pub(crate) fn is_set(self) -> bool {
        self != Self::default()
    }

    /// The first of the two.
    pub(super) fn first(self) -> Option<Duration> {
        self.soft.into_iter().chain(self.hard).min()
    }
}

/// Where a worker was when it was looked at last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    running: Running,
    /// The chunk that is due.
    number: u64,
    since: Instant,
    is_told: bool,
}

/// Why a worker is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The item that it is at took longer than this.
    RanTooLong(Duration),
    /// The job of the item that it is at was ended.
    Unwanted,
    /// It does not begin what it should, or what it ran is not answered, longer than this and [`UNRESPONSIVE`].
    Unresponsive(Duration),
}

/// A worker that was halted and is to be ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sentence {
    verdict: Verdict,
    /// The last item that it began.
    pub(super) running: Running,
    /// Place in its job of the item that ran too long.
    index: usize,
}

impl Sentence {
    /// The limit that this item exceeded.
    pub(super) fn limit_of(&self, index: usize) -> Option<Duration> {
        match self.verdict {
            Verdict::RanTooLong(limit) | Verdict::Unresponsive(limit) if self.index == index => Some(limit),
            _ => None,
        }
    }
}

impl<L: Link> Driver<L> {
    /// Does what is due now.
    pub(super) fn keep_time(&mut self) {
        let Some(due) = self.timers.due() else { return };
        let now = Instant::now();
        if due > now {
            return;
        }
        while let Some(key) = self.timers.next_deadline(now) {
            self.end_job(key, Rest::IsEnded, |task, index| {
                let limit = TimeLimit::Deadline;
                Error::TimedOut { task, index, limit, pid: None, attempts: 0 }
            });
        }
        self.queue_retries(now);
        if self.timers.limits.is_some_and(|time| time <= now) {
            self.timers.limits = None;
            for place in 0..self.slots.len() {
                if let Some(next) = self.look_at_worker(place, now) {
                    self.timers.look_at_limits(next);
                }
            }
        }
    }

    /// Ends a job as a whole; false if it had ended.
    pub(super) fn end_job(
        &mut self,
        key: JobKey,
        rest: Rest,
        error: impl FnOnce(&'static str, usize) -> Error,
    ) -> bool {
        let index = self.lowest_unended(key);
        let deadline = self.jobs.get(key).and_then(|job| job.deadline());
        let Some(job) = self.remove_job(key) else { return false };
        job.abort(error(job.task, index));
        self.effects.notify.push(job);
        self.timers.drop_retries(key);
        self.revoke(key);
        match rest {
            Rest::IsEnded => {
                self.interrupt_running(key);
                self.end_running(key, Instant::now() + CANCEL_GRACE);
            }
            // What may finish has as long as it had before.
            Rest::Finishes => deadline.into_iter().for_each(|deadline| self.end_running(key, deadline)),
        }
        self.leave_if_done();
        true
    }

    /// The lowest item of a job that has not ended, if only because it was not read.
    fn lowest_unended(&mut self, key: JobKey) -> usize {
        let workers = self.slots.iter().filter_map(|slot| slot.get());
        let chunks = workers.flat_map(|worker| worker.in_flight.iter());
        let in_flight = chunks.filter(|chunk| chunk.job == key).filter_map(Chunk::next_index).min();
        let retried = self.timers.retries_of(key).map(|block| block.first).min();
        let asked = self.asked.iter().filter(|(job, _)| *job == key).map(|(_, index)| *index).min();
        let Some(job) = self.jobs.get(key) else { return 0 };
        [in_flight, retried, asked, job.lowest_unsent()].into_iter().flatten().min().unwrap_or(job.pushed)
    }

    /// Tells the running items of a job that they should come to an end.
    fn interrupt_running(&mut self, key: JobKey) {
        for worker in self.slots.iter_mut().filter_map(|slot| slot.worker.as_mut()) {
            let running = worker.link.running();
            if worker.in_flight.find_running(running).is_some_and(|chunk| chunk.job == key) {
                worker.link.interrupt(running);
            }
        }
    }

    /// Sees to it that no worker runs an item of this job after that.
    fn end_running(&mut self, key: JobKey, by: Instant) {
        for worker in self.slots.iter_mut().filter_map(|slot| slot.worker.as_mut()) {
            if worker.in_flight.end_chunks_of(key, by) {
                self.timers.look_at_limits(by);
            }
        }
    }

    /// Looks at the item that a worker is at; tells when to look again.
    fn look_at_worker(&mut self, place: usize, now: Instant) -> Option<Instant> {
        let worker = self.slots[place].worker.as_mut()?;
        if worker.sentence.is_some() {
            return None;
        }
        let running = worker.link.running();
        let at = worker.in_flight.find_running(running);
        if at.and_then(|chunk| chunk.end_by).is_some_and(|end_by| end_by <= now) {
            return self.sentence(place, Verdict::Unwanted, running);
        }
        let ended = match worker.in_flight.end_by() {
            Some(end_by) if end_by > now => Some(end_by),
            // It may have looked whether to skip the item before it was told to, and begin it yet.
            Some(_) if at.is_none() => Some(now + CANCEL_GRACE),
            // What is behind an item that runs will be skipped.
            Some(_) => {
                worker.in_flight.forget_ends(now);
                worker.in_flight.end_by()
            }
            None => None,
        };
        // What is queued may begin at any time, and its time counts from then.
        let queued =
            worker.in_flight.shortest_limit_after(running).map(|limit| now + limit.max(SHORTEST_LOOK));
        let first = self.look_at_first_limited(place, now, running);
        let is_sentenced = self.slots[place].get().is_none_or(|worker| worker.sentence.is_some());
        if is_sentenced { None } else { [ended, queued, first].into_iter().flatten().min() }
    }

    /// Looks at the first item whose time is limited, if a worker is at it or it is due; tells when to look again.
    fn look_at_first_limited(&mut self, place: usize, now: Instant, running: Running) -> Option<Instant> {
        let worker = self.slots[place].worker.as_mut()?;
        let at = worker.in_flight.find_running(running);
        let Some((ahead, number, limits)) = worker.in_flight.first_limited() else {
            worker.seen = None;
            return None;
        };
        let first = limits.first()?.max(SHORTEST_LOOK);
        if ahead {
            return None;
        }
        let seen = match worker.seen {
            Some(seen) if seen.running == running && seen.number == number => seen,
            _ => Seen { running, number, since: now, is_told: false },
        };
        worker.seen = Some(seen);
        let measured = worker.link.running_for().filter(|_| at.is_some_and(|chunk| chunk.number() == number));
        let (Some(measured), true) = (measured, worker.link.running() == running) else {
            // Between two items, or stopped there.
            let Some(hard) = limits.hard else { return Some(now + first) };
            let due = seen.since + hard.max(UNRESPONSIVE);
            if due > now {
                return Some(due.min(now + first));
            }
            return self.sentence(place, Verdict::Unresponsive(hard), running);
        };
        // What a worker says of its own clock cannot make it live longer than what was seen.
        let age = measured.max(now - seen.since);
        if let Some(hard) = limits.hard.filter(|hard| age >= *hard) {
            return self.sentence(place, Verdict::RanTooLong(hard), running);
        }
        if !seen.is_told && limits.soft.is_some_and(|soft| age >= soft) {
            worker.link.interrupt(running);
            worker.seen = Some(Seen { is_told: true, ..seen });
        }
        let soft_left = limits.soft.and_then(|soft| soft.checked_sub(age)).filter(|left| !left.is_zero());
        let hard_left = limits.hard.map(|hard| hard - age);
        soft_left.into_iter().chain(hard_left).min().map(|left| now + left)
    }

    /// Halts a worker and has it ended, if it is still where it was seen; returns when to look again if not.
    fn sentence(&mut self, place: usize, verdict: Verdict, seen: Running) -> Option<Instant> {
        let worker = self.slots[place].worker.as_mut()?;
        worker.link.halt();
        self.receive(place);
        let worker = self.slots[place].worker.as_mut()?;
        let running = worker.link.running();
        // An item that was answered by now has ended, even if the worker still says that it is at it.
        let chunk = worker.in_flight.find_running(running);
        let is_there = match verdict {
            Verdict::RanTooLong(_) => running == seen && chunk.is_some(),
            Verdict::Unwanted => chunk.is_some_and(|chunk| chunk.end_by.is_some()),
            Verdict::Unresponsive(_) => running == seen && !worker.in_flight.is_empty(),
        };
        if !is_there {
            worker.link.resume();
            return Some(Instant::now());
        }
        let (key, index) =
            chunk.map_or((JobKey::NONE, usize::MAX), |chunk| (chunk.job, chunk.index_of(running.item)));
        worker.sentence = Some(Sentence { verdict, running, index });
        worker.state = State::Leaving;
        let pid = worker.pid;
        self.effects.end.push((place, pid));
        if let Verdict::RanTooLong(limit) = verdict {
            self.time_out(place, key, index, limit);
        }
        None
    }

    /// Tells at once of an item that ran too long, unless it is to be tried again, which takes the end of its worker.
    fn time_out(&mut self, place: usize, key: JobKey, index: usize, limit: Duration) {
        let Some(job) = self.jobs.get(key) else { return };
        if job.may_retry(index) {
            return;
        }
        let attempts = job.count_attempt(index);
        let task = job.job.task;
        let Some(worker) = &mut self.slots[place].worker else { return };
        if let Some(sentence) = worker.sentence {
            worker.in_flight.decide(sentence.running);
        }
        let pid = Some(worker.pid);
        let limit = TimeLimit::Timeout(limit);
        self.fail(key, index, Error::TimedOut { task, index, limit, pid, attempts });
    }
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
