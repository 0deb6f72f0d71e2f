//! Runs users' callbacks such that a panic ends none of the pool's threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

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
