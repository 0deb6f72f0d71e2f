//! Sleeping until one of several things happens: a process ends, or another thread calls.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};

/// A flag that one thread raises and another can sleep on.
#[derive(Debug)]
pub(crate) struct Event {
    fd: OwnedFd,
}

impl Event {
    pub(crate) fn new() -> io::Result<Self> {
        let fd = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { fd })
    }

    pub(crate) fn raise(&self) {
        // It fails only when the counter is full, and then the flag is up.
        let _ = rustix::io::write(&self.fd, &1u64.to_ne_bytes());
    }

    pub(crate) fn lower(&self) {
        let mut count = [0; 8];
        // Nothing to read means that it was down.
        let _ = rustix::io::read(&self.fd, &mut count);
    }
}

impl AsFd for Event {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Sleeps until one of the descriptors is readable or the time is over; may return early. `None` is for ever.
pub(crate) fn sleep_on(fds: &[BorrowedFd<'_>], timeout: Option<Duration>) {
    let mut fds: Vec<_> = fds.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    // An interruption is one more reason to look.
    let _ = rustix::event::poll(&mut fds, timeout.as_ref());
}
