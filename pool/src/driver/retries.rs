//! Items that failed: ended, or tried again where their job allows it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::body::{Items, Shape};
use crate::driver::Driver;
use crate::driver::in_flight::Completed;
use crate::error::Error;
use crate::frame::{FrameHeader, Status};
use crate::id::JobKey;
use crate::job::block::Block;
use crate::job::{Results, callback, sink};
use crate::transport::link::Link;

/// The pause before the first retry of an item; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Decides whether an item that failed with this error is tried again.
#[derive(Clone)]
pub(crate) struct RetryIf(pub(crate) Arc<dyn Fn(&Error) -> bool + Send + Sync>);

impl fmt::Debug for RetryIf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RetryIf(..)")
    }
}

/// An item whose fate user code decides, without the driver's lock.
#[derive(Debug)]
pub(crate) struct Question {
    key: JobKey,
    block: Block,
    attempts: u32,
    error: Error,
    retry_if: RetryIf,
}

/// What user code decided.
#[derive(Debug)]
pub(crate) struct Answer {
    key: JobKey,
    block: Block,
    attempts: u32,
    error: Error,
    /// Whether it is tried again; if not, that is its error.
    again: bool,
}

impl Question {
    /// Asks. The pool cannot be used meanwhile.
    pub(crate) fn ask(self) -> Answer {
        let mut again = false;
        match callback::catch(|| again = (self.retry_if.0)(&self.error)) {
            Err(caught) => self.answered(false, |error| caught.into_error(Some(error))),
            Ok(()) => self.answered(again, |error| error),
        }
    }

    /// Does not ask, because the answer is of no use.
    pub(crate) fn pass_over(self) -> Answer {
        self.answered(false, |error| error)
    }

    fn answered(self, again: bool, into_error: impl FnOnce(Error) -> Error) -> Answer {
        let Self { key, block, attempts, error, retry_if } = self;
        drop_caught(retry_if);
        Answer { key, block, attempts, error: into_error(error), again }
    }
}

/// Drops what may be the last of a user's `retry_if`. What that panics with then is not ours to tell.
pub(crate) fn drop_caught(retry_if: RetryIf) {
    let _ = callback::catch(|| drop(retry_if));
}

impl<L: Link> Driver<L> {
    /// Ends an item that was lost or ran for too long, or has it tried again; `error` is told what it has cost.
    pub(super) fn end_or_retry(&mut self, key: JobKey, block: Block, error: impl FnOnce(u32) -> Error) {
        let Some(job) = self.jobs.get(key) else { return };
        let attempts = job.count_attempt(block.first);
        if attempts <= job.retries() && !job.gave_up {
            self.retry(key, block, attempts);
        } else {
            let index = block.first;
            self.fail(key, index, error(attempts));
        }
    }

    fn retry(&mut self, key: JobKey, block: Block, attempts: u32) {
        let pause = FIRST_PAUSE.saturating_mul(2u32.saturating_pow(attempts - 1)).min(LONGEST_PAUSE);
        self.timers.retry_at(Instant::now() + pause, key, block);
    }

    /// Ends one item with an error.
    pub(super) fn fail(&mut self, key: JobKey, index: usize, error: Error) {
        let Some(job) = self.jobs.get(key) else { return };
        job.unended -= 1;
        job.forget_attempts(index, 1);
        job.job.deliver_failure(index, error);
        if job.fails_fast {
            self.give_up_rest(key);
        }
        self.notify_and_close(key);
    }

    /// Hands items whose pause is over to the dispatch.
    pub(super) fn queue_retries(&mut self, now: Instant) {
        while let Some((key, block)) = self.timers.next_retry(now) {
            if let Some(job) = self.jobs.get(key) {
                job.push_front(block);
                self.jobs.queue(key);
            }
        }
    }

    /// Delivers a frame of which some entries go other ways: the one that was ended before, and those that
    /// `retry_if` is asked about.
    pub(super) fn settle_one_by_one(&mut self, completed: &Completed, header: &FrameHeader, body: &[u8]) {
        let Completed { job: key, first, decided, .. } = *completed;
        let mut run = Run { first, start: 0, end: 0, count: 0 };
        let shape = Shape::from_raw(header.shape);
        let mut items = Items::new(shape, header.count, body);
        let mut any_failed = false;
        for offset in 0..header.count {
            let Some((entry, bytes)) = items.next() else { break };
            let index = first + offset as usize;
            let failed = !matches!(entry.status, Status::Ok | Status::Skipped);
            let is_decided = decided == Some(offset);
            if is_decided || failed && self.ask(completed, offset, entry.status, bytes) {
                self.deliver_run(key, &run, shape, body);
                run = Run { first: index + 1, start: items.position(), end: items.position(), count: 0 };
            } else {
                any_failed |= entry.status != Status::Ok;
                run.end = items.position();
                run.count += 1;
            }
        }
        self.deliver_run(key, &run, shape, body);
        if any_failed && self.jobs.get(key).is_some_and(|job| job.fails_fast) {
            self.give_up_rest(key);
        }
        self.notify_and_close(key);
    }

    fn deliver_run(&mut self, key: JobKey, run: &Run, shape: Shape, body: &[u8]) {
        let Some(job) = self.jobs.get(key) else { return };
        if run.count > 0 {
            job.unended -= run.count as usize;
            job.forget_attempts(run.first, run.count);
            let results = Results { first: run.first, count: run.count, shape };
            job.job.deliver(results, &mut body[run.start..run.end].to_vec());
        }
    }

    /// Has `retry_if` asked about an item that failed; false if there is nothing to ask.
    fn ask(&mut self, completed: &Completed, offset: u32, status: Status, bytes: &[u8]) -> bool {
        let key = completed.job;
        let Some(job) = self.jobs.get(key) else { return false };
        let Some(retry_if) = job.retry_if() else { return false };
        let Some(block) = completed.block.clone().and_then(|block| block.part(offset, 1)) else {
            return false;
        };
        let attempts = job.count_attempt(block.first);
        if attempts > job.retries() || job.gave_up {
            return false;
        }
        let error = sink::failure(job.job.task, block.first, status, bytes);
        self.asked.push((key, block.first));
        self.effects.ask.push(Question { key, block, attempts, error, retry_if });
        true
    }

    /// Tells whether the answer to a question matters: the job goes on, and may try items again.
    pub(crate) fn awaits(&mut self, question: &Question) -> bool {
        self.jobs.get(question.key).is_some_and(|job| !job.gave_up)
    }

    /// Notes that the `retry_if` of a job that ended was dropped.
    pub(crate) fn note_dropped(&mut self) {
        self.undropped -= 1;
    }

    /// Does what user code decided about an item.
    pub(crate) fn answer(&mut self, answer: Answer) {
        let Answer { key, block, attempts, error, again } = answer;
        self.asked.retain(|asked| *asked != (key, block.first));
        // Its job may have given up meanwhile.
        if again && self.jobs.get(key).is_some_and(|job| !job.gave_up) {
            self.retry(key, block, attempts);
        } else {
            self.fail(key, block.first, error);
        }
    }
}

/// Consecutive entries that are delivered together.
struct Run {
    first: usize,
    start: usize,
    end: usize,
    count: u32,
}
