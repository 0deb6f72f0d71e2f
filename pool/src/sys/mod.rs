//! The only platform code: what the rest asks of Linux.

pub(crate) mod barrier;
pub(crate) mod clock;
pub(crate) mod descriptors;
pub(crate) mod event;
pub(crate) mod execute;
pub(crate) mod futex;
pub(crate) mod limits;
pub(crate) mod memory;
pub(crate) mod process;
pub(crate) mod signals;
pub(crate) mod socket;
pub(crate) mod thread;
