//! The driver's workers: they come, are told to leave, and are gone.
//!
//! The supervisor calls [`attach`](Driver::attach) and [`detach`](Driver::detach); everything else here is for the
//! state machine in `mod.rs`.

use std::time::{Duration, Instant};

use crate::driver::in_flight::{Begun, InFlight};
use crate::driver::limits::{Seen, Sentence};
use crate::driver::shares::Shares;
use crate::driver::{Driver, Once, Phase};
use crate::error::{Error, TimeLimit};
use crate::exit::{Ended, Exit};
use crate::frame::{FrameHeader, Kind};
use crate::handshake::Complaint;
use crate::id::JobKey;
use crate::job::block::{Block, Bytes};
use crate::transport::link::Link;
use crate::transport::stock;

/// The place of one worker; workers come and go.
#[derive(Debug)]
pub(super) struct Slot<L> {
    pub(super) worker: Option<Worker<L>>,
}

#[derive(Debug)]
pub(super) struct Worker<L> {
    pub(super) link: L,
    pub(super) pid: u32,
    pub(super) state: State,
    pub(super) in_flight: InFlight,
    pub(super) shares: Shares,
    /// Items that it may still be given.
    pub(super) quota: u64,
    /// Something was sent or received since its link was rung.
    pub(super) to_ring: bool,
    /// A larger frame than there is room for waits; no other may overtake it.
    pub(super) is_full: bool,
    /// When it was given something last, by the driver's count of chunks.
    pub(super) last_used: u64,
    pub(super) corrupt: Option<String>,
    /// It got as far as to say that it is ready.
    pub(super) was_ready: bool,
    /// What its initializer said against it.
    pub(super) refusal: Option<Complaint>,
    pub(super) watched: Option<Watched>,
    /// The chunk that was due, and not begun, when it was nudged last.
    pub(super) unbegun: Option<u64>,
    pub(super) seen: Option<Seen>,
    /// It was halted and is being ended.
    pub(super) sentence: Option<Sentence>,
}

/// What a worker with something queued was at when it was looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watched {
    /// The item that was due: chunk and place in it.
    pub(super) number: u64,
    pub(super) done: u32,
    pub(super) since: Instant,
    /// It made no progress for too long, and gets nothing more until it does.
    pub(super) gets_nothing: bool,
}

impl<L> Worker<L> {
    /// Tells whether it may be given a chunk at all.
    pub(super) fn takes_more(&self) -> bool {
        self.state == State::Ready
            && self.quota > 0
            && !self.is_full
            && !self.watched.is_some_and(|watched| watched.gets_nothing)
    }
}

impl<L> Slot<L> {
    pub(super) fn get(&self) -> Option<&Worker<L>> {
        self.worker.as_ref()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Starting,
    Ready,
    /// It was told to exit, or is to be killed.
    Leaving,
}

/// What is known when a worker is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Detached {
    /// It had started properly.
    pub(crate) was_ready: bool,
    /// It had been given items.
    pub(crate) was_used: bool,
    /// Some worker had started properly, this one or another.
    pub(crate) any_was_ready: bool,
    /// What its initializer said against it, or what was wrong with what it sent.
    pub(crate) complaint: Option<Complaint>,
}

impl<L: Link> Driver<L> {
    /// Gives memory back that workers have not used for long; returns when to try again, if there is some.
    pub(crate) fn trim(&mut self, now: Instant) -> Option<Instant> {
        let mut next = None;
        for worker in self.slots.iter_mut().filter_map(|slot| slot.worker.as_mut()) {
            let Some(used) = worker.link.memory_used() else { continue };
            let due = used + stock::IDLE;
            if due > now || !worker.in_flight.is_empty() || !worker.link.empty_memory() {
                let again = if due > now { due } else { now + stock::IDLE };
                next = Some(next.map_or(again, |next: Instant| next.min(again)));
            }
        }
        next
    }

    /// Puts a new worker into an empty place and tells it to start.
    pub(crate) fn attach(&mut self, place: usize, mut link: L, pid: u32) {
        let (header, body) = frame(Kind::Start, self.rules.initializer.as_ref());
        let mut corrupt = None;
        if let Err(error) = link.try_send(header, body) {
            corrupt = Some(format!("no shared memory for the initializer's arguments: {error}"));
        }
        link.ring();
        self.slots[place].worker = Some(Worker {
            link,
            pid,
            state: State::Starting,
            in_flight: InFlight::default(),
            shares: Shares::default(),
            quota: self.rules.max_items.unwrap_or(u64::MAX),
            to_ring: false,
            is_full: false,
            last_used: 0,
            corrupt: None,
            was_ready: false,
            refusal: None,
            watched: None,
            unbegun: None,
            seen: None,
            sentence: None,
        });
        if let Some(reason) = corrupt {
            self.give_worker_up(place, reason);
        }
        self.leave_if_done();
    }

    /// Takes a worker out whose process is gone: keeps what it finished, queues what it had not started,
    /// ends the item that it was running.
    pub(crate) fn detach(&mut self, place: usize, ended: &Ended) -> Detached {
        // All of them: what is said of this one depends on whether another one got ready.
        for place in 0..self.slots.len() {
            self.receive(place);
        }
        self.end_if_refused();
        let Some(mut worker) = self.slots[place].worker.take() else {
            return Detached::default();
        };
        let complaint = worker.refusal.take().or_else(|| worker.corrupt.clone().map(Complaint::Told));
        let mut ended = ended.clone();
        let aborted = ended.exit.is_abort();
        let mut body = Vec::new();
        if let Some(reason) = worker.corrupt.take() {
            ended.exit = Exit::Corrupt(reason);
        } else if let Some(header) = worker.link.recover(&mut body) {
            if let Ok(completed) = worker.in_flight.complete(&header, super::is_skipped(&header, &body)) {
                self.settle(completed, &header, &mut body, None);
            }
        }
        // What a halted worker said after that it did not mean.
        let running = worker.sentence.map_or_else(|| worker.link.running(), |sentence| sentence.running);
        let lost = worker.in_flight.lose(running, worker.sentence.is_some());
        self.requeue(lost.unstarted);
        let last = lost.started.len().saturating_sub(1);
        let begun = lost.started.into_iter().enumerate();
        for (place, Begun { job, item, .. }) in begun.filter(|(_, begun)| !begun.is_decided) {
            let limit = worker.sentence.and_then(|sentence| sentence.limit_of(item.first));
            let mut ended = ended.clone();
            // Only the last of them was running.
            ended.report.panic =
                (aborted && place == last).then(|| worker.link.last_words(running)).flatten();
            self.lose_item(job, item, worker.pid, limit, ended);
        }
        self.dispatch();
        self.ring();
        self.gone.push(worker.link);
        Detached {
            was_ready: worker.was_ready,
            was_used: worker.last_used > 0,
            any_was_ready: self.any_was_ready,
            complaint,
        }
    }

    /// Takes out the links of workers that are gone.
    pub(crate) fn take_gone(&mut self) -> Vec<L> {
        std::mem::take(&mut self.gone)
    }

    /// Puts what workers had and did not start at the front of its jobs' queues.
    pub(super) fn requeue(&mut self, blocks: Vec<(JobKey, Block)>) {
        // Backwards, because each goes to the front.
        for (key, block) in blocks.into_iter().rev() {
            let Some(job) = self.jobs.get(key) else { continue };
            if job.gave_up {
                job.unended -= block.count as usize;
                self.notify_and_close(key);
            } else {
                job.push_front(block);
                self.jobs.queue(key);
            }
        }
    }

    /// Ends the pool if a worker was refused, by its initializer or the pool's conditions, before any got ready: the next one would fare no better.
    ///
    /// Later on it may be the fault of the moment, and the supervisor tries again.
    pub(super) fn end_if_refused(&mut self) {
        if self.any_was_ready {
            return;
        }
        let mut workers = self.slots.iter_mut().filter_map(|slot| slot.worker.as_mut());
        if let Some(complaint) = workers.find_map(|worker| worker.refusal.clone()) {
            let initializer = self.rules.initializer.as_ref().map(|once| once.name);
            self.end(complaint.into_error(initializer));
        }
    }

    /// Sees to it that a worker which is not ready gets nothing any more, so that it can be ended.
    pub(crate) fn give_up_if_starting(&mut self, place: usize) -> bool {
        self.receive(place);
        match &mut self.slots[place].worker {
            Some(worker) if !worker.was_ready => {
                worker.state = State::Leaving;
                true
            }
            _ => false,
        }
    }

    /// Ends an item whose worker is gone: because of this limit, if there is one.
    fn lose_item(&mut self, key: JobKey, item: Block, pid: u32, limit: Option<Duration>, ended: Ended) {
        let Some(job) = self.jobs.get(key) else { return };
        let (task, index) = (job.job.task, item.first);
        self.end_or_retry(key, item, |attempts| match limit {
            Some(limit) => {
                let limit = TimeLimit::Timeout(limit);
                Error::TimedOut { task, index, limit, pid: Some(pid), attempts }
            }
            None => {
                let Ended { exit, report } = ended;
                Error::WorkerLost { task, index, pid, exit, report: Box::new(report), attempts }
            }
        });
    }

    /// Has a worker killed that sent what makes no sense; [`detach`](Self::detach) does the rest.
    pub(super) fn give_worker_up(&mut self, place: usize, reason: String) {
        if let Some(worker) = &mut self.slots[place].worker {
            worker.corrupt = Some(reason);
            worker.state = State::Leaving;
            self.effects.kill.push((place, worker.pid));
        }
    }

    /// Tells a worker to exit once it has run its last item.
    pub(super) fn retire_if_spent(&mut self, place: usize) {
        let is_spent = |worker: &Worker<L>| worker.quota == 0 && worker.state != State::Leaving;
        if self.slots[place].get().is_some_and(is_spent) {
            self.tell_to_leave(place);
        }
    }

    /// Has a worker leave that begins nothing more, because it has too much memory.
    pub(super) fn send_away(&mut self, place: usize) {
        let Some(worker) = &mut self.slots[place].worker else { return };
        worker.quota = 0;
        let rest = worker.in_flight.take_back_all();
        self.requeue(rest);
        self.retire_if_spent(place);
    }

    /// Once a closed pool has nothing left to do, its workers leave.
    pub(super) fn leave_if_done(&mut self) {
        if matches!(self.phase, Phase::Closed) && self.jobs.is_empty() {
            for place in 0..self.slots.len() {
                if self.slots[place].get().is_some_and(|worker| worker.state != State::Leaving) {
                    self.tell_to_leave(place);
                }
            }
            self.effects.wake_supervisor = true;
        }
    }

    /// Limits the time that a worker which was told to leave takes for it, once it has nothing left to run. (Until it is ready
    /// there is another limit.)
    pub(super) fn see_off(&mut self, place: usize) {
        let Some(worker) = &self.slots[place].worker else { return };
        if worker.state == State::Leaving && worker.was_ready && worker.in_flight.is_empty() {
            self.effects.leave.push((place, worker.pid));
        }
    }

    /// If there is no room to say so the worker gets nothing more, and it is tried again.
    fn tell_to_leave(&mut self, place: usize) {
        let Some(worker) = &mut self.slots[place].worker else { return };
        let (header, body) = frame(Kind::Exit, self.rules.finalizer.as_ref());
        worker.quota = 0;
        match worker.link.try_send(header, body) {
            Ok(Some(_)) => {
                worker.state = State::Leaving;
                // Nothing more is sent to it, and nobody looks after it any more: it is woken even if it says that it is awake.
                worker.link.nudge();
                self.see_off(place);
            }
            Ok(None) => self.leave_again = true,
            // There may be memory when it is done with what it has, which must not be lost for that.
            Err(_) if !worker.in_flight.is_empty() => self.leave_again = true,
            Err(error) => {
                let reason = format!("no shared memory for the finalizer's arguments: {error}");
                self.give_worker_up(place, reason);
            }
        }
    }
}

/// A frame that has a worker make a call, if there is one to make.
fn frame(kind: Kind, once: Option<&Once>) -> (FrameHeader, &[u8]) {
    let header = FrameHeader::new(kind);
    match once {
        Some(Once { task, block, .. }) => {
            let (task_or_nanos, count, shape) = (task.raw(), block.count, block.shape.to_raw());
            let Bytes::Here(body) = block.bytes() else { unreachable!("it is encoded without a stock") };
            (FrameHeader { task_or_nanos, count, shape, ..header }, body)
        }
        None => (header, &[]),
    }
}

#[cfg(test)]
#[path = "workers_tests.rs"]
mod tests;
