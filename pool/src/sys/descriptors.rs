//! Whether there are descriptors left, and what stands at the first of them.

use std::fs::File;
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

/// Tells whether there is something at descriptor 0.
pub(crate) fn is_stdin_open() -> bool {
    rustix::io::fcntl_getfd(rustix::stdio::stdin()).is_ok()
}

/// Has stdin end at once.
pub(crate) fn empty_stdin() -> io::Result<()> {
    Ok(rustix::stdio::dup2_stdin(File::open("/dev/null")?)?)
}
