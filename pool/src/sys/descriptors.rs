//! Whether there are descriptors left.

use std::io;
use std::os::fd::AsFd;

use crate::sys::event::Event;

/// Tries whether `count` descriptors can be had, because the library that needs them panics where they cannot. The
/// answer is a moment old when it is used.
pub(crate) fn probe(count: usize) -> io::Result<()> {
    // The first one asks the system for an open file as well; more numbers for it cost a fifth of more files.
    let first = Event::new()?;
    let more = (1..count).map(|_| first.as_fd().try_clone_to_owned());
    more.collect::<io::Result<Vec<_>>>().map(drop)
}
