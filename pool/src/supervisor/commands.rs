//! What other threads have the supervisor do.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};

use crate::sys::event::Event;

/// Orders to the supervisor, from any thread.
#[derive(Debug)]
pub(crate) struct Commands {
    queue: Mutex<Vec<Command>>,
    event: Event,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// End the worker in this place, if it is still the one with this process id.
    Kill(usize, u32),
    /// The same, gently first.
    End(usize, u32),
    /// See to it that the worker in this place leaves, which was told to.
    Leave(usize, u32),
    /// End all workers, gently first.
    Terminate,
}

impl Commands {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { queue: Mutex::new(Vec::new()), event: Event::new()? })
    }

    /// Has the supervisor look at its roster again.
    pub(crate) fn wake(&self) {
        self.event.raise();
    }

    pub(crate) fn kill(&self, place: usize, pid: u32) {
        self.give(Command::Kill(place, pid));
    }

    /// Ends a worker and its process group: SIGTERM, and SIGKILL if it is still there after a grace.
    pub(crate) fn end(&self, place: usize, pid: u32) {
        self.give(Command::End(place, pid));
    }

    /// Starts the time that a worker which was told to leave, and has nothing left to run, may take for it.
    pub(crate) fn leave(&self, place: usize, pid: u32) {
        self.give(Command::Leave(place, pid));
    }

    pub(crate) fn terminate(&self) {
        self.give(Command::Terminate);
    }

    fn give(&self, command: Command) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push(command);
        self.wake();
    }

    pub(super) fn take(&self) -> Vec<Command> {
        self.event.lower();
        std::mem::take(&mut self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Readable while there is something to take or to look at.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_come_in_the_order_in_which_they_were_given_and_once() {
        let commands = Commands::new().unwrap();
        commands.end(1, 20);
        commands.kill(0, 10);
        commands.terminate();
        assert_eq!(commands.take(), [Command::End(1, 20), Command::Kill(0, 10), Command::Terminate]);
        assert_eq!(commands.take(), []);
    }
}
