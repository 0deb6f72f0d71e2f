//! Keeps the pool's places filled: starts, watches, replaces and reaps workers.
//!
//! One thread, which lives as long as the pool, because the kernel's parent-death signal follows the thread that
//! made a process. It sleeps in `poll` on the processes' handles and on [`Commands`]. What it learns goes to
//! the [`Roster`], the driver's side; when that wants no more workers and all are gone, the thread ends.

mod slot;

use std::io;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::exit::{Ended, Exit};
use crate::start::Starter;
use crate::sys::descriptors;
use crate::sys::event::{self, Event};
use crate::sys::process::Process;
use crate::transport::control::Terms;
use crate::transport::link::{ParentBell, RingLink};
use slot::Slot;

/// Numbers of signals, the same on every Linux machine.
const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;
/// What a new worker needs of them at the most, while it is made.
const DESCRIPTORS: usize = 24;
/// How long a worker has to leave after SIGTERM before SIGKILL.
const GRACE: Duration = Duration::from_millis(300);

/// What the driver's side does with what the supervisor learns.
pub(crate) trait Roster: Send + Sync {
    /// A new worker is in this place.
    fn attach(&self, place: usize, link: RingLink, pid: u32);
    /// The worker in this place is gone.
    fn detach(&self, place: usize, ended: &Ended) -> Departed;
    /// Should empty places be filled?
    fn wants_worker(&self) -> bool;
    /// No worker can be had.
    fn fail(&self, error: Error);
}

/// What the driver's side knew of a worker that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Departed {
    /// It had started properly, so that its end says nothing about the next one.
    pub(crate) was_ready: bool,
}

/// Orders to the supervisor, from any thread.
#[derive(Debug)]
pub(crate) struct Commands {
    queue: Mutex<Vec<Command>>,
    event: Event,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    /// End the worker in this place, if it is still the one with this process id.
    Kill(usize, u32),
    /// The same, gently first.
    End(usize, u32),
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

    /// Ends a worker and its process group: SIGTERM, and SIGKILL if it is still there after [`GRACE`].
    pub(crate) fn end(&self, place: usize, pid: u32) {
        self.give(Command::End(place, pid));
    }

    pub(crate) fn terminate(&self) {
        self.give(Command::Terminate);
    }

    fn give(&self, command: Command) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push(command);
        self.wake();
    }

    fn take(&self) -> Vec<Command> {
        self.event.lower();
        std::mem::take(&mut self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The supervisor's own state; see [`Supervisor::run`].
pub(crate) struct Supervisor {
    pub(crate) starter: Starter,
    pub(crate) roster: Arc<dyn Roster>,
    pub(crate) commands: Arc<Commands>,
    pub(crate) bell: ParentBell,
    pub(crate) terms: Terms,
    /// Why a worker that never gets ready is the fault of the pool's user, and whose fault it is.
    pub(crate) initializer: Option<&'static str>,
}

impl Supervisor {
    /// Starts `workers` workers, says how that went, and keeps that number until none is wanted.
    pub(crate) fn run(mut self, workers: usize, built: Sender<Result<(), Error>>) {
        let mut slots: Vec<Slot> = (0..workers).map(|_| Slot::empty()).collect();
        let mut outcome = Ok(());
        for place in 0..workers {
            outcome = self.start(&mut slots, place);
            if outcome.is_err() {
                self.roster.fail(Error::Terminated);
                self.terminate(&mut slots);
                break;
            }
        }
        let failed = outcome.is_err();
        if !failed {
            // The builder waits for this, or its thread is gone.
            let _ = built.send(Ok(()));
        }
        self.supervise(&mut slots);
        self.starter.shut_down();
        if failed {
            // Only now, so that a builder that returns an error leaves nothing behind.
            let _ = built.send(outcome);
        }
    }

    fn supervise(&mut self, slots: &mut [Slot]) {
        loop {
            for command in self.commands.take() {
                match command {
                    Command::Kill(place, pid) => slots[place].kill_only(pid),
                    Command::End(place, pid) => slots[place].end_only(pid, Instant::now() + GRACE),
                    Command::Terminate => self.terminate(slots),
                }
            }
            let wants_workers = self.roster.wants_worker();
            let now = Instant::now();
            for place in 0..slots.len() {
                if wants_workers && slots[place].is_due(now) {
                    self.fill(slots, place);
                }
                slots[place].kill_if_due(now);
            }
            if !wants_workers
                && slots.iter().all(|slot| slot.process().is_none())
                && !self.roster.wants_worker()
            {
                return;
            }
            self.sleep(slots, wants_workers);
            for place in 0..slots.len() {
                if let Some(ended) = slots[place].collect() {
                    let departed = self.roster.detach(place, &ended);
                    self.judge(slots, place, departed, &ended.exit);
                }
            }
            let roster = &self.roster;
            self.starter.collect_helpers(&|| roster.wants_worker());
        }
    }

    /// Sleeps until a process ends, a command comes or a time is due.
    fn sleep(&self, slots: &[Slot], wants_workers: bool) {
        let processes = slots.iter().filter_map(Slot::process).chain(self.starter.helpers());
        let fds: Vec<_> =
            std::iter::once(self.commands.event.as_fd()).chain(processes.map(Process::as_fd)).collect();
        let due = slots.iter().filter_map(|slot| slot.due(wants_workers)).min();
        event::sleep_on(&fds, due.map(|due| due.saturating_duration_since(Instant::now())));
    }

    fn start(&mut self, slots: &mut [Slot], place: usize) -> Result<(), Error> {
        descriptors::probe(DESCRIPTORS).map_err(|error| Error::spawn("opening descriptors", error))?;
        let roster = &self.roster;
        let (starter, bell, terms) = (&mut self.starter, &self.bell, self.terms);
        // The library below panics where descriptors or memory run out, in spite of the glance above. Then all that was
        // made is dropped by unwinding, and the supervisor goes on.
        let made = catch_unwind(AssertUnwindSafe(|| {
            let (link, setup) = RingLink::new(bell, terms)
                .map_err(|error| Error::spawn("making the shared memory and channels of its link", error))?;
            Ok((link, starter.start(setup, &|| roster.wants_worker())?))
        }));
        let (link, process) =
            made.unwrap_or_else(|_| Err(Error::spawn("making its link", io::ErrorKind::OutOfMemory)))?;
        let pid = process.pid();
        slots[place].occupy(process);
        self.roster.attach(place, link, pid);
        Ok(())
    }

    /// Fills a place later on, when a failure need not be the pool's end.
    fn fill(&mut self, slots: &mut [Slot], place: usize) {
        if let Err(error) = self.start(slots, place) {
            slots[place].back_off();
            if slots[place].is_hopeless() && slots.iter().all(|slot| slot.process().is_none()) {
                self.roster.fail(error);
            }
        }
    }

    /// Decides what the end of a worker means for the next one.
    fn judge(&self, slots: &mut [Slot], place: usize, departed: Departed, exit: &Exit) {
        if departed.was_ready {
            slots[place].forgive();
            return;
        }
        match exit {
            // Nothing in a process does that to itself by mistake.
            Exit::Signal(SIGKILL | SIGTERM) => slots[place].back_off_from_killer(),
            _ => slots[place].back_off(),
        }
        if slots[place].is_hopeless() && self.roster.wants_worker() {
            let reason = format!("its process never got ready and {exit}");
            self.roster.fail(match self.initializer {
                Some(task) => Error::Initializer { task, reason },
                None => Error::spawn("starting it", io::Error::other(reason)),
            });
        }
    }

    fn terminate(&self, slots: &mut [Slot]) {
        let deadline = Instant::now() + GRACE;
        slots.iter_mut().for_each(|slot| slot.terminate(deadline));
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
