//! Handles of jobs that a client keeps for a while, looks at and finishes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use pool::{AsyncResult, Error, Result};

use crate::random::Random;
use crate::round::{Facts, JobFacts, Round, lock};

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

pub(crate) struct Handle<R> {
    pub(crate) handle: Option<AsyncResult<R>>,
    pub(crate) job: JobFacts,
    pub(crate) judge: Judge<R>,
}

impl<R> Handle<R> {
    fn hand_over(&self, round: &Round, result: Result<R>) {
        let by_deadline = self.job.deadline && matches!(result, Err(Error::TimedOut { .. }));
        if self.job.cancelled && !by_deadline && !matches!(result, Err(Error::Cancelled { .. })) {
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
                if !self.job.cancelled && !self.job.fail_fast && !self.job.deadline && !refused {
                    lock(&self.job.pool.orphans).push(self.job.items.clone());
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
