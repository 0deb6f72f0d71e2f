//! The state machine that moves frames and decides: who gets which chunk, what ended, what is lost.
//!
//! It knows links and bytes, neither types nor processes. It has no thread and no lock of its own; [`pump`] calls
//! it under one, and afterwards, without the lock, carries out its [`Effects`]. Every item that is pushed
//! ends exactly once: delivered to its job, or gone with a job that was ended as a whole.

pub(crate) mod callbacks;
mod chunk;
mod dispatch;
mod in_flight;
mod jobs;
mod limits;
pub(crate) mod pump;
mod recall;
mod retries;
mod shares;
mod timers;
mod workers;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::body::{Entries, Shape};
use crate::error::Error;
use crate::frame::{FrameHeader, Kind, Status};
use crate::id::{JobKey, TaskId};
use crate::job::block::Block;
use crate::job::few::Few;
use crate::job::{Job, Rest, Results, sink};
use crate::share::original::Home;
use crate::transport::link::{Corrupt, Held, Link};
use chunk::Rule;
use in_flight::Completed;
pub(crate) use jobs::{Extras, JobOptions};
use jobs::{Jobs, OpenJob};
pub(crate) use limits::Limits;
pub(crate) use retries::{Question, RetryIf, drop_caught};
use timers::Timers;
use workers::{Slot, State};

/// Bytes that are kept to receive the next frame's body.
const MOST_KEPT: usize = 64 << 10;

/// A call that every worker makes once: the initializer or the finalizer.
#[derive(Clone, Debug)]
pub(crate) struct Once {
    pub(crate) task: TaskId,
    pub(crate) name: &'static str,
    /// One item: the encoded arguments.
    pub(crate) block: Block,
}

/// What a driver is told when it is made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    pub(crate) initializer: Option<Once>,
    pub(crate) finalizer: Option<Once>,
    /// Items after which a worker is replaced.
    pub(crate) max_items: Option<u64>,
}

/// What is to be done once the lock is released.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// Jobs with news.
    pub(crate) notify: Few<Arc<Job>>,
    /// Places and process ids of workers that are of no more use.
    pub(crate) kill: Vec<(usize, u32)>,
    /// The same of workers that are to be ended gently first.
    pub(crate) end: Vec<(usize, u32)>,
    /// Of workers that were told to leave and have nothing left to run.
    pub(crate) leave: Vec<(usize, u32)>,
    /// Items whose fate user code decides; the answers come back by [`Driver::answer`].
    pub(crate) ask: Vec<Question>,
    /// Of jobs that ended. What they captured may use the pool when it is dropped.
    pub(crate) done_with: Vec<RetryIf>,
    /// The supervisor should look: workers were told to leave.
    pub(crate) wake_supervisor: bool,
    /// All workers are to be ended.
    pub(crate) end_workers: bool,
    /// Something is due earlier than a sleeping leader knows, or nothing is left to lead for.
    pub(crate) wake_leader: bool,
}

/// Whether the pool takes and runs jobs.
#[derive(Clone, Debug)]
enum Phase {
    Open,
    /// No new jobs; those that are there go on.
    Closed,
    /// Nothing runs any more, for this reason.
    Ended(Error),
}

/// The driver of one pool.
#[derive(Debug)]
pub(crate) struct Driver<L> {
    slots: Vec<Slot<L>>,
    /// Links of workers that are gone; see [`take_gone`](Self::take_gone).
    gone: Vec<L>,
    jobs: Jobs,
    rule_list: Vec<Rule>,
    rule_of: BTreeMap<TaskId, u32>,
    rules: Rules,
    phase: Phase,
    effects: Effects,
    chunks_sent: u64,
    /// Frames with results that came in; and how many had by the last [`nudge`](Self::nudge).
    answers: u64,
    answers_at_nudge: u64,
    /// A worker could not be told to leave, because its ring was full.
    leave_again: bool,
    timers: Timers,
    /// Some worker got ready, so that the initializer can work.
    any_was_ready: bool,
    /// Where the bodies of frames are received.
    body: Vec<u8>,
    /// Items that user code is asked about.
    asked: Vec<(JobKey, usize)>,
    /// How many jobs ended whose `retry_if` is still to be dropped.
    undropped: usize,
    /// Tells whether shared values are gone that workers still have.
    home: Arc<Home>,
}

impl<L: Link> Driver<L> {
    /// Bytes that each worker's place takes.
    pub(crate) const PLACE: usize = size_of::<Slot<L>>();

    pub(crate) fn new(workers: usize, rules: Rules) -> Self {
        Self {
            slots: (0..workers).map(|_| Slot { worker: None }).collect(),
            gone: Vec::new(),
            jobs: Jobs::default(),
            rule_list: Vec::new(),
            rule_of: BTreeMap::new(),
            rules,
            phase: Phase::Open,
            effects: Effects::default(),
            chunks_sent: 0,
            answers: 0,
            answers_at_nudge: 0,
            leave_again: false,
            timers: Timers::default(),
            any_was_ready: false,
            body: Vec::new(),
            asked: Vec::new(),
            undropped: 0,
            home: Arc::new(Home::new()),
        }
    }

    pub(crate) fn home(&self) -> &Arc<Home> {
        &self.home
    }

    pub(crate) fn take_effects(&mut self) -> Effects {
        if self.home.take_loss() {
            self.forget_shares();
        }
        std::mem::take(&mut self.effects)
    }

    /// Open jobs, and whatever else needs somebody to drive.
    pub(crate) fn open_jobs(&self) -> usize {
        let has_more =
            self.leave_again || self.is_being_dropped() || self.jobs.is_empty() && self.has_unanswered();
        self.jobs.len() + usize::from(has_more)
    }

    /// Tells whether the user's code is still to drop what jobs that ended had captured. The end of the pool does not wait for that.
    fn is_being_dropped(&self) -> bool {
        self.undropped > 0 && !matches!(self.phase, Phase::Ended(_))
    }

    /// Tells whether workers are still at items of jobs that are gone. They may need memory, or room for results, before
    /// they can do what comes after, and the time of these items counts.
    fn has_unanswered(&self) -> bool {
        let mut workers = self.slots.iter().filter_map(Slot::get);
        !matches!(self.phase, Phase::Ended(_)) && workers.any(|worker| !worker.in_flight.is_empty())
    }

    pub(crate) fn worker_pids(&self) -> Vec<u32> {
        self.slots.iter().filter_map(|slot| slot.worker.as_ref()).map(|worker| worker.pid).collect()
    }

    // Jobs.

    /// Takes a job in.
    ///
    /// # Errors
    ///
    /// If the pool takes none any more.
    pub(crate) fn open(&mut self, job: Arc<Job>, task: TaskId, options: JobOptions) -> Result<JobKey, Error> {
        self.check_open()?;
        let rule_list = &mut self.rule_list;
        let rule = *self.rule_of.entry(task).or_insert_with(|| {
            rule_list.push(Rule::default());
            (rule_list.len() - 1) as u32
        });
        let job = OpenJob::new(job, task, rule, options);
        let deadline = job.deadline();
        let key = self.jobs.insert(job);
        if let Some(deadline) = deadline {
            self.timers.set_deadline(deadline, key);
        }
        Ok(key)
    }

    /// Tells whether the pool takes jobs.
    ///
    /// # Errors
    ///
    /// Why it does not.
    pub(crate) fn check_open(&self) -> Result<(), Error> {
        match &self.phase {
            Phase::Open => Ok(()),
            Phase::Closed | Phase::Ended(Error::Terminated) => Err(Error::Closed),
            Phase::Ended(error) => Err(error.clone()),
        }
    }

    /// Adds items to a job.
    pub(crate) fn push(&mut self, key: JobKey, block: Block) {
        // A job that was ended meanwhile takes no more.
        let Some(job) = self.jobs.get(key) else { return };
        if !job.input_open {
            return;
        }
        job.unended += block.count as usize;
        job.uses_shares |= !block.shares().is_empty();
        job.push_back(block);
        self.jobs.queue(key);
    }

    /// Ends an item that never leaves the caller.
    pub(crate) fn fail_item(&mut self, key: JobKey, index: usize, error: Error) {
        if let Some(job) = self.jobs.get(key) {
            job.pushed = job.pushed.max(index + 1);
            job.unended += 1;
            self.fail(key, index, error);
        }
    }

    /// Says that a job gets no more items.
    pub(crate) fn finish_input(&mut self, key: JobKey) {
        if let Some(job) = self.jobs.get(key) {
            job.input_open = false;
            if job.is_over() {
                self.notify_and_close(key);
            }
        }
    }

    /// Cancels a job; false if it had ended.
    pub(crate) fn cancel(&mut self, key: JobKey, rest: Rest) -> bool {
        self.end_job(key, rest, |task, index| Error::Cancelled { task, index })
    }

    /// Takes a job out of the table.
    fn remove_job(&mut self, key: JobKey) -> Option<Arc<Job>> {
        let job = self.jobs.get(key)?;
        if let Some(deadline) = job.deadline() {
            self.timers.clear_deadline(deadline, key);
        }
        self.effects.done_with.extend(job.take_retry_if().inspect(|_| self.undropped += 1));
        if job.uses_shares {
            self.release_shares(key);
        }
        self.jobs.remove(key)
    }

    /// Asks workers to skip what they have of a job and have not started.
    fn revoke(&mut self, key: JobKey) {
        for worker in self.slots.iter_mut().filter_map(|slot| slot.worker.as_mut()) {
            for chunk in worker.in_flight.iter().filter(|chunk| chunk.job == key) {
                worker.link.revoke(chunk.sent);
            }
        }
    }

    /// Ends everything of a job that has not started, after its first failure.
    fn give_up_rest(&mut self, key: JobKey) {
        let Some(job) = self.jobs.get(key) else { return };
        job.input_open = false;
        job.gave_up = true;
        job.unended -= job.drop_unsent() + self.timers.drop_retries(key);
        self.revoke(key);
    }

    /// Tells the caller of a job that there is news, and takes the job out if that was all.
    fn notify_and_close(&mut self, key: JobKey) {
        let Some(job) = self.jobs.get(key) else { return };
        if job.is_over() {
            job.job.settle();
            if let Some(job) = self.remove_job(key) {
                self.effects.notify.push(job);
            }
            self.leave_if_done();
        } else if !self.effects.notify.last().is_some_and(|last| Arc::ptr_eq(last, &job.job)) {
            let job = job.job.clone();
            self.effects.notify.push(job);
        }
    }

    // Frames.

    /// Takes in what workers have sent, hands out what waits, wakes whom it concerns. Tells whether
    /// anything came in.
    pub(crate) fn turn(&mut self) -> bool {
        let mut progress = false;
        for place in 0..self.slots.len() {
            progress |= self.receive(place);
        }
        self.end_if_refused();
        self.keep_time();
        self.dispatch();
        self.share_out();
        if std::mem::take(&mut self.leave_again) {
            (0..self.slots.len()).for_each(|place| self.retire_if_spent(place));
        }
        self.ring();
        progress
    }

    /// Wakes workers that have something to do and may have missed that; called now and then.
    pub(crate) fn nudge(&mut self) {
        let workers = self.slots.iter_mut().filter_map(|slot| slot.worker.as_mut());
        workers.filter(|worker| !worker.in_flight.is_empty()).for_each(|worker| worker.link.nudge());
        self.relieve_the_stopped();
    }

    /// Tells whether a [`turn`](Self::turn) would find something that came in.
    pub(crate) fn has_more(&self) -> bool {
        let mut workers = self.slots.iter().filter_map(Slot::get);
        // What comes of a worker that is given up is not looked at any more.
        workers.any(|worker| worker.corrupt.is_none() && worker.link.has_more())
    }

    /// When a [`turn`](Self::turn) is due even if nothing comes in.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.timers.due()
    }

    fn receive(&mut self, place: usize) -> bool {
        let mut progress = false;
        while let Some(worker) = &mut self.slots[place].worker {
            if !worker.link.has_more() || worker.corrupt.is_some() {
                break;
            }
            let mut body = std::mem::take(&mut self.body);
            body.clear();
            let received = worker.link.receive(&mut body);
            progress = true;
            worker.to_ring = true;
            worker.is_full = false;
            let taken = match received {
                Ok(Some(header)) => self.take_in(place, header, &mut body),
                Ok(None) => Ok(()),
                Err(corrupt) => Err(corrupt),
            };
            if body.capacity() <= MOST_KEPT {
                self.body = body;
            }
            if let Err(Corrupt(reason)) = taken {
                self.give_worker_up(place, reason);
            }
        }
        progress
    }

    fn take_in(&mut self, place: usize, header: FrameHeader, body: &mut Vec<u8>) -> Result<(), Corrupt> {
        let Some(worker) = &mut self.slots[place].worker else { return Ok(()) };
        match header.kind() {
            Some(Kind::Done) => {
                worker.watched = None;
                self.answers += 1;
                let held = worker.link.take_held();
                let completed = worker.in_flight.complete(&header, is_skipped(&header, body))?;
                self.settle(completed, &header, body, held);
                self.see_off(place);
                if header.revoked == FrameHeader::SPENT {
                    self.send_away(place);
                }
                Ok(())
            }
            Some(Kind::Ready) if !worker.was_ready => {
                self.any_was_ready = true;
                worker.was_ready = true;
                if worker.state == State::Starting {
                    worker.state = State::Ready;
                }
                self.see_off(place);
                Ok(())
            }
            Some(Kind::Refused) if !worker.was_ready => {
                let Some((entry, bytes)) = Entries::new(body).next() else {
                    return Err(Corrupt("a refusal without a reason".to_owned()));
                };
                worker.refusal = Some(sink::refusal(entry.status, bytes));
                Ok(())
            }
            other => Err(Corrupt(format!("a frame of kind {other:?} where none can be"))),
        }
    }

    /// Delivers results to their job.
    fn settle(
        &mut self,
        completed: Option<Completed>,
        header: &FrameHeader,
        body: &mut Vec<u8>,
        held: Option<Held>,
    ) {
        let Some(completed) = completed else { return };
        let (key, first) = (completed.job, completed.first);
        let Some(job) = self.jobs.get(key) else { return };
        if let (Some(block), true, false) = (&completed.block, completed.is_recalled, job.gave_up) {
            job.push_front(block.clone());
            self.jobs.queue(key);
            return;
        }
        if !is_skipped(header, body) {
            let rule = &mut self.rule_list[job.rule as usize];
            rule.learn(header.count, header.task_or_nanos);
            rule.settle();
        }
        if completed.decided.is_some() || header.failed > 0 && job.retry_if().is_some() {
            return self.settle_one_by_one(&completed, header, body);
        }
        job.unended -= header.count as usize;
        job.forget_attempts(first, header.count);
        let (count, shape) = (header.count, Shape::from_raw(header.shape));
        match held {
            Some(held) => job.job.deliver_large(first, held),
            None => job.job.deliver(Results { first, count, shape }, body),
        }
        if header.failed > 0 && job.fails_fast {
            self.give_up_rest(key);
        }
        self.notify_and_close(key);
    }

    /// Tells whether an empty place should get a worker.
    pub(crate) fn wants_worker(&self) -> bool {
        match self.phase {
            Phase::Open => true,
            Phase::Closed => !self.jobs.is_empty(),
            Phase::Ended(_) => false,
        }
    }

    /// Why the pool ended, if it was not told to.
    pub(crate) fn failure(&self) -> Option<Error> {
        match &self.phase {
            Phase::Ended(Error::Terminated) | Phase::Open | Phase::Closed => None,
            Phase::Ended(error) => Some(error.clone()),
        }
    }

    /// Tells whether the pool goes on until told otherwise.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    // Life and death of the pool.

    /// Takes no more jobs. When those that are there have ended, the workers leave.
    pub(crate) fn close(&mut self) {
        if self.is_open() {
            self.phase = Phase::Closed;
            self.leave_if_done();
        }
    }

    /// Ends every job, now and for ever, with this error. The first reason stays.
    pub(crate) fn end(&mut self, error: Error) {
        if matches!(self.phase, Phase::Ended(_)) {
            return;
        }
        for key in self.jobs.keys() {
            let Some(job) = self.remove_job(key) else { continue };
            job.abort(error.clone());
            self.effects.notify.push(job);
        }
        self.timers = Timers::default();
        self.phase = Phase::Ended(error);
        self.effects.end_workers = true;
    }
}

/// Tells whether a worker skipped all items that a frame is about.
fn is_skipped(header: &FrameHeader, body: &[u8]) -> bool {
    // Chunks are skipped whole or from some item on, so that a frame is of one kind if its first entry is.
    header.failed == header.count
        && Entries::new(body).next().is_some_and(|(entry, _)| entry.status == Status::Skipped)
}
