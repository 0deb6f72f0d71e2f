//! Runs users' callbacks such that a panic ends none of the pool's threads.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Waker;

use crate::error::Error;
use crate::payload::message_of;

/// What a callback panicked with.
pub(crate) struct Caught {
    message: String,
}

impl Caught {
    /// The error that the job has from now on; `source` is the one that the callback was given.
    pub(crate) fn into_error(self, source: Option<Error>) -> Error {
        Error::CallbackPanicked { message: self.message, source: source.map(Arc::new) }
    }
}

/// Calls user code.
pub(crate) fn catch(callback: impl FnOnce()) -> Result<(), Caught> {
    catch_unwind(AssertUnwindSafe(callback)).map_err(|payload| {
        let message = message_of(&*payload);
        // A payload may panic when it is dropped.
        std::mem::forget(payload);
        Caught { message }
    })
}

/// Whether a thread is in code of the user's of some kind.
pub(crate) struct Within(Cell<bool>);

impl Within {
    pub(crate) const fn nothing() -> Self {
        Self(Cell::new(false))
    }

    pub(crate) fn is_on(&self) -> bool {
        self.0.get()
    }

    /// `code` does not panic.
    pub(crate) fn during<R>(&self, code: impl FnOnce() -> R) -> R {
        let before = self.0.replace(true);
        let result = code();
        self.0.set(before);
        result
    }
}

thread_local! {
    /// Whether this thread wakes a future. It may hold the lead then, or be one that others wait for.
    static WAKES: Within = const { Within::nothing() };
}

/// Wakes a future: an executor's code, on whichever thread this is. What it panics with is not ours to tell.
pub(crate) fn wake(waker: Waker) {
    let _ = WAKES.with(|wakes| wakes.during(|| catch(|| waker.wake())));
}

/// Tells whether the calling thread wakes a future.
pub(crate) fn is_waking() -> bool {
    WAKES.with(Within::is_on)
}

/// Finds out whether the calling thread may wait for the pool.
///
/// # Errors
///
/// In a waker, which may run on the very thread that is to be waited for.
pub(crate) fn check_waiting(call: &'static str) -> Result<(), Error> {
    if is_waking() { Err(Error::WouldDeadlock { call }) } else { Ok(()) }
}
