//! Whether there are descriptors left.

use std::io;

use crate::sys::event::Event;

/// Tries whether `count` descriptors can be had, because the library that needs them panics where they cannot. The
/// answer is a moment old when it is used.
pub(crate) fn probe(count: usize) -> io::Result<()> {
    (0..count).map(|_| Event::new()).collect::<io::Result<Vec<_>>>().map(drop)
}
