//! Links that are made before there is a worker for them.
//!
//! To make one takes about as long as to make a process, so that is done while a process is being made. Whoever starts a
//! worker takes a link from here in any case.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::Error;
use crate::sys::descriptors;
use crate::transport::control::WorkerEnd;
use crate::transport::ring_link::{ParentBell, RingLink};
use crate::transport::stock::Stock;

/// What it takes at the most to make a link, and then a process for it.
const DESCRIPTORS: usize = 24;

/// Both ends of links that nobody has yet, and what is needed to make them.
#[derive(Debug)]
pub(crate) struct Spares {
    bell: ParentBell,
    stock: Stock,
    made: Vec<(RingLink, WorkerEnd)>,
}

impl Spares {
    pub(crate) fn new(bell: ParentBell, stock: Stock) -> Self {
        Self { bell, stock, made: Vec::new() }
    }

    /// Takes a link, or makes one if there is none. There are descriptors then for what follows as well: helpers that
    /// live and work are not to be given up for want of those.
    ///
    /// # Errors
    ///
    /// [`Error::Spawn`] if the system is out of what it takes.
    pub(super) fn take(&mut self) -> Result<(RingLink, WorkerEnd), Error> {
        glance()?;
        match self.made.pop() {
            Some(spare) => Ok(spare),
            None => self.make(),
        }
    }

    /// Makes links until there are so many, as far as possible. That one cannot be had is told to who takes it.
    pub(super) fn fill_up(&mut self, wanted: usize) {
        while self.made.len() < wanted {
            match glance().and_then(|()| self.make()) {
                Ok(spare) => self.made.push(spare),
                Err(_) => return,
            }
        }
    }

    fn make(&self) -> Result<(RingLink, WorkerEnd), Error> {
        // The library below panics where descriptors or memory run out, in spite of the glance before. Then all that was
        // made is dropped by unwinding.
        let made = catch_unwind(AssertUnwindSafe(|| RingLink::new(&self.bell, &self.stock)));
        made.unwrap_or_else(|_| Err(io::ErrorKind::OutOfMemory.into()))
            .map_err(|error| Error::spawn("making the shared memory and channels of its link", error))
    }
}

/// Sees whether there are descriptors for a worker.
pub(super) fn glance() -> Result<(), Error> {
    descriptors::probe(DESCRIPTORS).map_err(|error| Error::spawn("opening descriptors", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_more_than_wanted_and_always_one_to_take() {
        let mut spares = Spares::new(ParentBell::new().unwrap(), Stock::new(1));
        spares.fill_up(2);
        spares.fill_up(1);
        assert_eq!(spares.made.len(), 2);
        (0..3).for_each(|_| drop(spares.take().unwrap()));
        assert!(spares.made.is_empty());
    }
}
