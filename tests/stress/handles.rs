//! Handles that are kept for a while: looked at, cancelled, dropped, waited for, awaited.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use pool::{AsyncResult, Error, Result};

use crate::jobs::Client;
use crate::random::Random;
use crate::round::{Facts, JobFacts, Round, lock};
use crate::tasks::Act;

/// A handle that is kept for a while.
pub(crate) trait Kept {
    /// Looks at it; true when it is judged.
    fn look(&mut self, round: &Round, random: &mut Random) -> bool;
    /// Waits for it.
    fn finish(&mut self, round: &Round, random: &mut Random);
    fn call(&self) -> &'static str;
    /// Closed and joined: is it ready, as it must be?
    fn is_ready(&self) -> bool;
    fn pool(&self) -> &Arc<Facts>;
}

pub(crate) type Judge<R> = fn(&Round, &JobFacts, Result<R>);

struct Handle<R> {
    handle: Option<AsyncResult<R>>,
    job: JobFacts,
    judge: Judge<R>,
    /// A callback judges it.
    is_watched: bool,
}

impl<R> Handle<R> {
    fn hand_over(&self, round: &Round, result: Result<R>) {
        if self.job.cancelled && !matches!(result, Err(Error::Cancelled { .. })) {
            round.wrong(&format!("{}: was cancelled and did not end so", self.job.call));
        }
        (self.judge)(round, &self.job, result);
    }
}

impl<R: Send + 'static> Kept for Handle<R> {
    fn look(&mut self, round: &Round, random: &mut Random) -> bool {
        let Some(handle) = &mut self.handle else { return true };
        match random.below(12) {
            0 if !self.job.cancelled => {
                if handle.cancel() {
                    round.totals.add("cancels", 1);
                    self.job.cancelled = true;
                }
                false
            }
            1 => {
                let ready = handle.ready();
                if let (true, None) = (ready, handle.successful()) {
                    round.wrong("a handle is ready and knows not whether it was successful");
                }
                false
            }
            2 => {
                handle.wait_timeout(Duration::from_micros(random.below(3000)));
                false
            }
            3 => {
                self.handle = None;
                let refused = self.job.pool.closing.load(Ordering::SeqCst);
                let must_run = self.job.control.deadline.is_none() && !self.job.fail_fast && !refused;
                if must_run && !self.job.cancelled && !self.is_watched {
                    lock(&self.job.pool.orphans).push(self.job.clone());
                }
                if !self.is_watched {
                    round.verdict("items_of_dropped_handles", self.job.items.len() as u64);
                }
                round.totals.add("handles_dropped", 1);
                true
            }
            _ => match handle.get_timeout(Duration::from_micros(random.skewed(5000))) {
                Some(result) => {
                    self.handle = None;
                    self.hand_over(round, result);
                    true
                }
                None => false,
            },
        }
    }

    fn finish(&mut self, round: &Round, random: &mut Random) {
        let Some(handle) = self.handle.take() else { return };
        let hangs = self.job.items.iter().any(|item| item.act == Act::Hang);
        if hangs && !self.job.cancelled && random.chance(50) && handle.cancel() {
            round.totals.add("cancels", 1);
            self.job.cancelled = true;
        }
        let result = match random.below(3) {
            0 => block_on(handle),
            1 => {
                handle.wait();
                handle.get()
            }
            _ => handle.get(),
        };
        self.hand_over(round, result);
    }

    fn call(&self) -> &'static str {
        self.job.call
    }

    fn is_ready(&self) -> bool {
        self.handle.as_ref().is_none_or(AsyncResult::ready)
    }

    fn pool(&self) -> &Arc<Facts> {
        &self.job.pool
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future + Unpin>(mut future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match Pin::new(&mut future).poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

impl Client {
    pub(crate) fn keep<R: Send + 'static>(&mut self, handle: AsyncResult<R>, job: JobFacts, judge: Judge<R>) {
        match self.random.below(10) {
            0 => {
                // Judged on the callbacks' thread.
                self.round.callback_due();
                let (round, facts) = (self.round.clone(), job.clone());
                let good = move |value| {
                    round.callback_ran();
                    judge(&round, &facts, Ok(value));
                };
                let (round, facts) = (self.round.clone(), job.clone());
                let bad = move |error: &Error| {
                    round.callback_ran();
                    // The job may have been cancelled by now, which only the handle's owner knows.
                    let facts = JobFacts { cancelled: true, ..facts };
                    judge(&round, &facts, Err(error.clone()));
                };
                let handle = handle.error_callback(bad).callback(good);
                let judge: Judge<()> = |round, job, result| match result {
                    Ok(()) | Err(Error::CallbackPanicked { .. }) => round.ledger.progress(),
                    // Judged by the callback.
                    Err(_) => {
                        round.totals.add(if job.cancelled { "cancelled" } else { "failed_callbacks" }, 1)
                    }
                };
                self.kept.push(Box::new(Handle { handle: Some(handle), job, judge, is_watched: true }));
            }
            1 => {
                let round = self.round.clone();
                let pause = self.random.skewed(2000);
                let handle = handle.inspect(move |_| {
                    round.ledger.progress();
                    std::thread::sleep(Duration::from_micros(pause));
                });
                self.kept.push(Box::new(Handle { handle: Some(handle), job, judge, is_watched: false }));
            }
            _ => self.kept.push(Box::new(Handle { handle: Some(handle), job, judge, is_watched: false })),
        }
        self.look_after_kept(24);
    }

    /// Looks at some handles; waits for the oldest while there are more than `most`.
    fn look_after_kept(&mut self, most: usize) {
        let (round, random) = (self.round.clone(), &mut self.random);
        self.kept.retain_mut(|kept| !(random.chance(30) && kept.look(&round, random)));
        while self.kept.len() > most {
            let mut oldest = self.kept.remove(0);
            self.round.ledger.note(self.place, &format!("get of {}", oldest.call()));
            oldest.finish(&self.round, &mut self.random);
        }
    }

    /// Waits for all handles.
    pub(crate) fn finish(&mut self) {
        self.look_after_kept(0);
        self.round.ledger.note(self.place, "");
    }

    /// After this pool was closed and joined, all handles of its jobs are ready.
    pub(crate) fn check_joined(&self, facts: &Arc<Facts>) {
        for kept in self.kept.iter().filter(|kept| Arc::ptr_eq(kept.pool(), facts)) {
            if !kept.is_ready() {
                self.round.wrong(&format!("a handle of {} is not ready after `join`", kept.call()));
            }
        }
    }
}

/// Counts the items of handles that were dropped, after their pool was closed and joined.
pub(crate) fn judge_orphans(round: &Round, facts: &Facts) {
    if facts.may_be_hopeless() {
        // The pool may have been given up.
        return;
    }
    for job in lock(&facts.orphans).drain(..) {
        round.judge_unseen(&job, 0);
    }
}
