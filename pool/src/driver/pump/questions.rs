//! The thread that runs a user's `retry_if`, and drops it when its job has ended.
//!
//! Such code takes as long as it likes, and may wait for a lock that somebody holds who waits for a job. So it runs on no
//! thread that drives, nor on that of callbacks, which may wait for a job with such questions. It is there from
//! the first call with a `retry_if`. An item that is asked about has not ended, so its job is open until the answer is there.

use std::time::Instant;

use super::Pump;
use crate::driver::{Question, RetryIf, drop_caught};
use crate::error::Error;
use crate::job::callback::{self, Within};

thread_local! {
    /// Whether this thread runs a user's `retry_if`, or drops it.
    static ASKS: Within = const { Within::nothing() };
}

/// Tells whether the calling thread may wait for a job: not if the job may wait for it.
///
/// # Errors
///
/// [`Error::WouldDeadlock`] in a `retry_if` of any pool, because what another pool does may wait for this one, too.
pub(super) fn check_caller() -> Result<(), Error> {
    if ASKS.with(Within::is_on) { Err(Error::WouldDeadlock { call: "a call to the pool" }) } else { Ok(()) }
}

/// Runs code of the user's, of which nothing may get out.
fn run(code: impl FnOnce()) {
    // It is caught where it can be told; this is for what nobody could be told of.
    let _ = ASKS.with(|asks| asks.during(|| callback::catch(code)));
}

impl Pump {
    /// Sees to it that there is a thread for questions, before there can be any.
    ///
    /// # Errors
    ///
    /// [`Error::Spawn`] if none can be had.
    pub(crate) fn prepare_questions(&self) -> Result<(), Error> {
        self.questions.prepare().map(|_| ())
    }

    /// Ends the thread for questions; waits until the deadline for what is being asked.
    pub(crate) fn end_questions(&self, deadline: Instant) {
        self.questions.end(deadline);
    }

    pub(super) fn queue_question(&self, question: Question) {
        let me = self.me.clone();
        self.questions.queue(Box::new(move || {
            run(move || match me.upgrade() {
                Some(pump) => pump.ask(question),
                None => drop(question.pass_over()),
            });
        }));
    }

    pub(super) fn queue_drop(&self, retry_if: RetryIf) {
        let me = self.me.clone();
        self.questions.queue(Box::new(move || {
            run(move || {
                drop_caught(retry_if);
                if let Some(pump) = me.upgrade() {
                    pump.with_driver(|driver| driver.note_dropped());
                }
            });
        }));
    }

    fn ask(&self, question: Question) {
        let is_awaited = self.with_driver(|driver| driver.awaits(&question));
        let answer = if is_awaited { question.ask() } else { question.pass_over() };
        self.with_driver(|driver| driver.answer(answer));
        self.look_after();
    }
}
