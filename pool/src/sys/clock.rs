//! The clock that all processes of a machine share.

use std::num::NonZero;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A moment on the monotonic clock, as a number that means the same in every process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Nanos(NonZero<u64>);

impl Nanos {
    pub(crate) fn now() -> Self {
        let now = clock_gettime(ClockId::Monotonic);
        let nanos = now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64;
        // Only the first nanosecond after the machine was started is 0.
        Self(NonZero::new(nanos).unwrap_or(NonZero::<u64>::MIN))
    }

    pub(crate) fn raw(self) -> u64 {
        self.0.get()
    }

    pub(crate) fn from_raw(raw: u64) -> Option<Self> {
        NonZero::new(raw).map(Self)
    }

    /// Time since then; zero if it lies in the future.
    pub(crate) fn elapsed(self) -> Duration {
        Duration::from_nanos(Self::now().raw().saturating_sub(self.raw()))
    }
}
