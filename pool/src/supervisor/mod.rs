//! Keeps the pool's places filled: starts, watches, replaces and reaps workers.
//!
//! One thread, which lives as long as the pool, because the kernel's parent-death signal follows the thread that
//! made a process. It sleeps in `poll` on the processes' handles and on [`Commands`]. What it learns goes to
//! the [`Roster`], the driver's side; when that wants no more workers and all are gone, the thread ends.

mod setbacks;
mod slot;
mod spares;

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::exit::{Ended, Exit};
use crate::handshake::Complaint;
use crate::start::Starter;
use crate::sys::event::{self, Event};
use crate::sys::process::Process;
use crate::sys::signals;
use crate::transport::control::{Setup, Terms, WorkerEnd};
use crate::transport::ring_link::RingLink;
use setbacks::Setback;
use slot::Slot;
pub(crate) use spares::Spares;

/// Numbers of signals, the same on every Linux machine.
const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;
/// So many workers are on order at a time while a pool starts.
const AHEAD: usize = 2;
/// How long a worker has to leave after SIGTERM before SIGKILL.
const GRACE: Duration = Duration::from_millis(300);

/// What the driver's side does with what the supervisor learns.
pub(crate) trait Roster: Send + Sync {
    /// A new worker is in this place.
    fn attach(&self, place: usize, link: RingLink, pid: u32);
    /// The worker in this place is gone.
    fn detach(&self, place: usize, ended: &Ended) -> Departed;
    /// Takes the links apart of workers that are gone, which takes a while and can wait.
    fn clear_away(&self);
    /// Gives up the worker in this place if it is not ready; then it gets nothing more.
    fn give_up_if_starting(&self, place: usize) -> bool;
    /// Should empty places be filled?
    fn wants_worker(&self) -> bool;
    /// No worker can be had.
    fn fail(&self, error: Error);
}

/// What the driver's side knew of a worker that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Departed {
    /// It had started properly, so that its end says nothing about the next one.
    pub(crate) was_ready: bool,
    /// It had been given items.
    pub(crate) was_used: bool,
    /// Some worker of this pool got ready, this one or another.
    pub(crate) any_was_ready: bool,
    /// Why it is of no use: what its initializer said, or what was wrong with what it sent.
    pub(crate) complaint: Option<Complaint>,
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
    pub(crate) spares: Spares,
    pub(crate) terms: Terms,
    /// Why a worker that never gets ready is the fault of the pool's user, and whose fault it is.
    pub(crate) initializer: Option<&'static str>,
    /// How long a worker may take to get ready once its process is made.
    pub(crate) start_timeout: Duration,
}

impl Supervisor {
    /// Starts `workers` workers, says how that went, and keeps that number until none is wanted.
    pub(crate) fn run(mut self, workers: usize, built: Sender<Result<(), Error>>) {
        // A handler of the program's that ran here would interrupt calls that do not expect it.
        let _blocked = signals::Blocked::new();
        let mut slots: Vec<Slot> = (0..workers).map(|_| Slot::empty()).collect();
        let outcome = self.start_all(&mut slots);
        let failed = outcome.is_err();
        if failed {
            self.roster.fail(Error::Terminated);
            self.terminate(&mut slots);
        }
        if !failed {
            // The builder waits for this, or its thread is gone.
            let _ = built.send(Ok(()));
        }
        self.supervise(&mut slots);
        drop((self.starter, self.spares));
        if failed {
            // Only now, so that a builder that returns an error leaves nothing behind.
            let _ = built.send(outcome);
        }
    }

    /// Fills all places. While one process is made, the next is on order.
    fn start_all(&mut self, slots: &mut [Slot]) -> Result<(), Error> {
        spares::glance()?;
        self.expect()?;
        // One more than is wanted now: there is time.
        self.spares.fill_up(slots.len().min(AHEAD) + 1);
        let mut ordered = VecDeque::new();
        for place in 0..slots.len() {
            if ordered.len() == AHEAD {
                ordered.pop_front().map_or(Ok(()), |(first, link)| self.take(slots, first, link))?;
            }
            let spare = self.spare()?;
            ordered.push_back((place, self.order(place, spare)?));
            self.spares.fill_up(1);
        }
        ordered.into_iter().try_for_each(|(place, link)| self.take(slots, place, link))
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
                if slots[place].should_be_ready(now) && self.roster.give_up_if_starting(place) {
                    slots[place].give_up();
                }
                slots[place].kill_if_due(now);
            }
            self.roster.clear_away();
            if wants_workers {
                self.spares.fill_up(1);
            }
            if !wants_workers
                && slots.iter().all(|slot| slot.process().is_none())
                && !self.roster.wants_worker()
            {
                return;
            }
            self.sleep(slots, wants_workers);
            for (place, slot) in slots.iter_mut().enumerate() {
                if let Some(mut ended) = slot.collect() {
                    ended.report.limit = self.terms.conditions.limit_behind(&ended);
                    let departed = self.roster.detach(place, &ended);
                    self.judge(slot, departed, &ended);
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

    fn expect(&mut self) -> Result<(), Error> {
        let (starter, roster) = (&mut self.starter, &self.roster);
        guarded(|| starter.expect(&|| roster.wants_worker()))
    }

    /// Takes a link for the next worker.
    fn spare(&mut self) -> Result<(RingLink, WorkerEnd), Error> {
        self.spares.take().or_else(|_| {
            // What is in the way may be what is left of another one.
            self.roster.clear_away();
            self.spares.take()
        })
    }

    /// Orders a worker for a place; returns the link to it.
    fn order(&mut self, place: usize, (link, end): (RingLink, WorkerEnd)) -> Result<RingLink, Error> {
        let terms = Terms { conditions: self.terms.conditions.for_place(place), ..self.terms.clone() };
        let (starter, roster) = (&mut self.starter, &self.roster);
        guarded(|| starter.order(Setup { end, terms }, &|| roster.wants_worker()))?;
        Ok(link)
    }

    /// Puts the worker that was ordered first into its place.
    fn take(&mut self, slots: &mut [Slot], place: usize, link: RingLink) -> Result<(), Error> {
        let (starter, roster) = (&mut self.starter, &self.roster);
        let process = guarded(|| starter.take(&|| roster.wants_worker()))?;
        let pid = process.pid();
        // A limit beyond the end of time is none.
        slots[place].occupy(process, Instant::now().checked_add(self.start_timeout));
        self.roster.attach(place, link, pid);
        Ok(())
    }

    fn start(&mut self, slots: &mut [Slot], place: usize) -> Result<(), Error> {
        // First, so that no process is made for which there is no link.
        let spare = self.spare()?;
        self.expect()?;
        let link = self.order(place, spare)?;
        self.spares.fill_up(1);
        self.take(slots, place, link)
    }

    /// Fills a place later on, when a failure need not be the pool's end.
    fn fill(&mut self, slots: &mut [Slot], place: usize) {
        if let Err(error) = self.start(slots, place) {
            slots[place].back_off(Setback::NotMade);
            if slots[place].is_hopeless() && slots.iter().all(|slot| slot.process().is_none()) {
                self.roster.fail(error);
            }
        }
    }

    /// Decides what the end of a worker means for the next one.
    fn judge(&self, slot: &mut Slot, departed: Departed, ended: &Ended) {
        let is_overdue = slot.is_overdue();
        if departed.was_ready && !is_overdue {
            if departed.was_used {
                slot.setbacks().forget_all();
            } else {
                slot.setbacks().forget_starts();
                slot.back_off(Setback::Unused);
            }
            return;
        }
        slot.back_off(match (&ended.exit, &departed.complaint) {
            // Nothing in a process does that to itself by mistake.
            (Exit::Signal(SIGKILL | SIGTERM), None) if !is_overdue => Setback::Killed,
            _ => Setback::NotReady,
        });
        // Trying again for as long as that takes each time would look like a hang.
        let is_first = is_overdue && !departed.any_was_ready;
        if is_first || slot.is_hopeless() && self.roster.wants_worker() {
            let complaint = departed.complaint.unwrap_or_else(|| {
                Complaint::Told(if is_overdue {
                    format!("its worker did not get ready within {:?}", self.start_timeout)
                } else {
                    format!("its process never got ready and {ended}")
                })
            });
            self.roster.fail(complaint.into_error(self.initializer));
        }
    }

    fn terminate(&self, slots: &mut [Slot]) {
        let deadline = Instant::now() + GRACE;
        slots.iter_mut().for_each(|slot| slot.terminate(deadline));
    }
}

/// The library below panics where descriptors or memory run out, in spite of all glances. Then what was being made is
/// dropped by unwinding, and the supervisor goes on.
fn guarded<R>(start: impl FnOnce() -> Result<R, Error>) -> Result<R, Error> {
    catch_unwind(AssertUnwindSafe(start))
        .unwrap_or_else(|_| Err(Error::spawn("starting it", io::ErrorKind::OutOfMemory)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::start::StartMethod;
    use crate::transport::control::Helm;
    use crate::transport::ring_link::ParentBell;
    use crate::transport::stock::Stock;

    /// A driver's side that only remembers why it failed.
    #[derive(Default)]
    struct Failures(Mutex<Vec<String>>);

    impl Roster for Failures {
        fn attach(&self, _: usize, _: RingLink, _: u32) {}
        fn detach(&self, _: usize, _: &Ended) -> Departed {
            unreachable!("no process was made")
        }
        fn clear_away(&self) {}
        fn give_up_if_starting(&self, _: usize) -> bool {
            true
        }
        fn wants_worker(&self) -> bool {
            true
        }
        fn fail(&self, error: Error) {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            self.0.lock().unwrap().push(format!("{error}; {}", source.unwrap_or_default()));
        }
    }

    fn never(_: Helm) -> ! {
        unreachable!("`Spawn` does not fork")
    }

    fn supervisor(initializer: Option<&'static str>) -> (Supervisor, Arc<Failures>) {
        let roster = Arc::new(Failures::default());
        let terms =
            Terms { parent: 0, depth: 1, may_spin: false, is_image: false, conditions: Default::default() };
        let supervisor = Supervisor {
            starter: Starter::new(StartMethod::Spawn, 1, never).unwrap(),
            roster: roster.clone(),
            commands: Arc::new(Commands::new().unwrap()),
            spares: Spares::new(ParentBell::new().unwrap(), Stock::new(1)),
            terms,
            initializer,
            start_timeout: Duration::from_secs(5),
        };
        (supervisor, roster)
    }

    fn judged(supervisor: &Supervisor, slot: &mut Slot, departed: &Departed, exit: Exit, times: u32) {
        (0..times).for_each(|_| supervisor.judge(slot, departed.clone(), &exit.clone().into()));
    }

    const NEVER_READY: Departed =
        Departed { was_ready: false, was_used: false, any_was_ready: true, complaint: None };

    #[test]
    fn a_place_that_never_gets_a_worker_ready_ends_the_pool_with_the_last_reason() {
        let (supervisor, roster) = supervisor(Some("init"));
        let mut slot = Slot::empty();
        judged(&supervisor, &mut slot, &NEVER_READY, Exit::Code(1), 4);
        assert!(roster.0.lock().unwrap().is_empty());
        let refused = Departed { complaint: Some(Complaint::Told("no model".to_owned())), ..NEVER_READY };
        judged(&supervisor, &mut slot, &refused, Exit::Code(123), 1);
        assert_eq!(*roster.0.lock().unwrap(), ["the pool's initializer `init` failed: no model; "]);
    }

    #[test]
    fn a_worker_that_gets_ready_is_a_new_beginning_for_its_place() {
        let (supervisor, roster) = supervisor(Some("init"));
        let mut slot = Slot::empty();
        for was_used in [true, false] {
            judged(&supervisor, &mut slot, &NEVER_READY, Exit::Code(1), 4);
            let ready = Departed { was_ready: true, was_used, ..NEVER_READY };
            judged(&supervisor, &mut slot, &ready, Exit::Signal(9), 1);
        }
        judged(&supervisor, &mut slot, &NEVER_READY, Exit::Code(1), 4);
        assert!(roster.0.lock().unwrap().is_empty());
    }

    #[test]
    fn the_first_worker_of_a_pool_that_is_not_ready_in_time_ends_it() {
        for (initializer, text) in [
            (Some("init"), "the pool's initializer `init` failed: its worker did not get ready within 5s; "),
            (
                None,
                "cannot start a worker process: starting it failed; its worker did not get ready within 5s",
            ),
        ] {
            let (supervisor, roster) = supervisor(initializer);
            let mut slot = Slot::empty();
            slot.give_up();
            judged(&supervisor, &mut slot, &NEVER_READY, Exit::Signal(9), 4);
            assert!(roster.0.lock().unwrap().is_empty(), "others got ready");
            // Even one that got ready at the last moment says nothing for the next one.
            let late = Departed { was_ready: true, ..NEVER_READY };
            judged(&supervisor, &mut slot, &late, Exit::Signal(9), 1);
            assert_eq!(*roster.0.lock().unwrap(), [text]);
            let mut other = Slot::empty();
            other.give_up();
            let first = Departed { any_was_ready: false, ..NEVER_READY };
            judged(&supervisor, &mut other, &first, Exit::Signal(9), 1);
            assert_eq!(*roster.0.lock().unwrap(), [text, text]);
        }
    }

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
