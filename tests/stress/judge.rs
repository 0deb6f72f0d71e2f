//! Judges every outcome against the plan and the ledger.

use std::sync::atomic::Ordering;
use std::time::Instant;

use pool::{Error, Exit, Result, TimeLimit};

use crate::round::{JobFacts, Round, lock};
use crate::tasks::{Act, Checked, Fall, Item};

/// Tells whether an error is about the job or the pool, if its job was not cancelled.
pub(crate) fn is_whole(error: &Error) -> bool {
    match error {
        Error::TimedOut { limit, .. } => *limit == TimeLimit::Deadline,
        Error::Terminated | Error::Closed | Error::Spawn { .. } | Error::Initializer { .. } => true,
        _ => false,
    }
}

impl Round {
    /// Judges the error of a job as a whole, which was the end of this many items; false if it is about an item.
    pub(crate) fn judge_whole(&self, job: &JobFacts, error: &Error, items: u64) -> bool {
        let terminating = job.pool.terminating.load(Ordering::SeqCst);
        let (allowed, verdict) = match error {
            Error::Cancelled { .. } if job.cancelled => (true, "items_cancelled"),
            Error::TimedOut { limit: TimeLimit::Deadline, pid, attempts, .. } => {
                let is_due = job.control.deadline.is_some_and(|deadline| deadline <= Instant::now());
                (is_due && pid.is_none() && *attempts == 0, "items_past_deadline")
            }
            Error::Terminated => (terminating, "items_terminated"),
            Error::Closed => {
                let clean = job.items.iter().all(|item| self.ledger.mark(item.id) == (0, 0));
                let closing = terminating || job.pool.closing.load(Ordering::SeqCst);
                (closing && clean, "items_refused")
            }
            Error::Spawn { .. } | Error::Initializer { .. } => {
                self.totals.add("jobs_ended_by_hopeless_pool", 1);
                (job.pool.may_be_hopeless(), "items_without_workers")
            }
            _ => return false,
        };
        if !allowed {
            self.wrong(&format!("{} ended with {error:?}, cancelled {}", job.call, job.cancelled));
        }
        self.verdict(verdict, items);
        self.totals.add("jobs_ended_as_a_whole", 1);
        true
    }

    /// Judges the result of a job of one item.
    pub(crate) fn judge_single<R: Checked>(&self, job: &JobFacts, result: Result<R>) {
        match result {
            Err(error) if self.judge_whole(job, &error, 1) => self.ledger.progress(),
            result => self.judge_item(job, 0, result),
        }
    }

    /// Judges one result of a job.
    pub(crate) fn judge_item<R: Checked>(&self, job: &JobFacts, index: usize, result: Result<R>) {
        self.ledger.progress();
        let item = &job.items[index];
        match result {
            Ok(answer) => {
                self.verdict("items_right", 1);
                let mark = self.ledger.mark(item.id);
                let fits = match item.act {
                    Act::Hang => false,
                    Act::Flaky(_, times) => u32::from(mark.0) > times,
                    _ => true,
                };
                if !answer.is_right(item) {
                    self.wrong(&format!("{}: wrong answer, of {}, for {item:?}", job.call, answer.id()));
                } else if !fits || !job.control.is_done(mark) {
                    self.wrong(&format!("{}: item {item:?} is right and has mark {mark:?}", job.call));
                }
                if answer.was_told() && job.control.soft.is_none() && job.control.deadline.is_none() {
                    self.wrong(&format!("{}: item {item:?} was interrupted for no reason", job.call));
                }
            }
            Err(error) => self.judge_failure(job, index, item, &error),
        }
    }

    fn judge_failure(&self, job: &JobFacts, index: usize, item: &Item, error: &Error) {
        let mark = self.ledger.mark(item.id);
        let (begun, finished) = mark;
        let most = job.control.most();
        // A job that fails fast gives retries up, too.
        let was_tried = |attempts: u32| {
            let enough = attempts == most || job.fail_fast && (1..most).contains(&attempts);
            enough && u32::from(begun) <= attempts
        };
        // A worker runs one item at a time, and ends once.
        let is_first = |pid: u32| lock(&self.lost).insert(pid);
        let fell = begun >= 1 && finished == 0;
        let allowed = match error {
            Error::Panicked { message, .. } => {
                self.verdict("items_panicked", 1);
                let meant = match item.act {
                    Act::Panic | Act::Flaky(Fall::Panic, _) => message == "on purpose",
                    Act::PanicAtLength(len) => message.len() == len as usize,
                    _ => false,
                };
                meant && fell
            }
            Error::WorkerLost { pid, exit, attempts, .. } => {
                self.verdict("items_lost", 1);
                let was_killed = lock(&self.killed).contains(pid) && *exit == Exit::Signal(9);
                let died = match item.act {
                    Act::Exit(code) => *exit == Exit::Code(code),
                    Act::Abort | Act::Flaky(Fall::Abort, _) => *exit == Exit::Signal(6),
                    Act::Kill(signal) => *exit == Exit::Signal(signal),
                    _ => false,
                };
                if was_killed && !died {
                    self.totals.add("items_lost_to_kills", 1);
                    if mark == (0, 0) {
                        self.totals.add("items_lost_before_begun", 1);
                    }
                }
                is_first(*pid) && was_tried(*attempts) && (was_killed || died && fell)
            }
            Error::TimedOut { limit: TimeLimit::Timeout(limit), pid: Some(pid), attempts, .. } => {
                self.verdict("items_timed_out", 1);
                let overruns = matches!(item.act, Act::Hang | Act::Flaky(Fall::Hang, _));
                let may = overruns || job.control.is_tight || lock(&self.stopped).contains(pid);
                let is_due = Some(*limit) == job.control.timeout && job.since.elapsed() >= *limit;
                may && is_due && is_first(*pid) && was_tried(*attempts)
            }
            Error::Cancelled { .. } => {
                self.verdict("items_skipped", 1);
                job.fail_fast && (mark == (0, 0) || job.control.retries > 0)
            }
            _ => false,
        };
        if !allowed || error.index() != Some(index) || u32::from(begun) > most {
            let control = &job.control;
            self.wrong(&format!(
                "{}: item {index} {item:?}, mark {mark:?}, of {control:?}, ended with {error:?}",
                job.call
            ));
        }
    }

    /// Judges the result of a job of many items that returns them all.
    pub(crate) fn judge_all<R: Checked>(&self, job: &JobFacts, result: Result<Vec<R>>) {
        let count = job.items.len();
        match result {
            Ok(answers) => {
                if answers.len() != count {
                    let got = answers.len();
                    let last = job.items.last().map(|item| self.ledger.mark(item.id));
                    let fast = job.fail_fast;
                    self.wrong(&format!(
                        "{}: {got} answers for {count} items, the last has {last:?}, fail_fast {fast}",
                        job.call
                    ));
                }
                for (index, answer) in answers.into_iter().take(count).enumerate() {
                    self.judge_item(job, index, Ok(answer));
                }
            }
            Err(error) => {
                self.ledger.progress();
                if self.judge_whole(job, &error, count as u64) {
                    return;
                }
                let Some(index) = error.index().filter(|index| *index < count) else {
                    return self.wrong(&format!("{}: ended with {error:?}", job.call));
                };
                self.judge_failure(job, index, &job.items[index], &error);
                self.verdict("items_unseen", count as u64 - 1);
                if !job.fail_fast {
                    let low = job.items[..index]
                        .iter()
                        .find(|item| !job.control.is_done(self.ledger.mark(item.id)));
                    if let Some(item) = low {
                        let mark = self.ledger.mark(item.id);
                        self.wrong(&format!("{}: {item:?} before the lowest error has {mark:?}", job.call));
                    }
                    self.judge_unseen(job, index + 1);
                }
            }
        }
    }

    /// Judges items, from this one on, that must have run, and whose outcome nobody saw.
    pub(crate) fn judge_unseen(&self, job: &JobFacts, first: usize) {
        for item in &job.items[first..] {
            let mark = self.ledger.mark(item.id);
            let (begun, finished) = mark;
            let ended = match item.act {
                Act::Hang | Act::Flaky(..) => begun >= 1 && finished <= begun,
                // It may have run out of time before it noted anything.
                _ if job.control.is_tight => finished <= begun,
                Act::Nothing | Act::Spin(_) | Act::Sleep(_) | Act::UntilTold | Act::Print => {
                    job.control.is_done(mark)
                }
                _ => begun >= 1 && finished == 0,
            };
            if !ended {
                self.unexplained.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}
