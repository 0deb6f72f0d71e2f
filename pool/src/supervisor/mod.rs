//! Keeps the pool's places filled: starts, watches, replaces and reaps workers.
//!
//! One thread, which lives as long as the pool, because the kernel's parent-death signal follows the thread that
//! made a process. It sleeps in `poll` on the processes' handles and on [`Commands`]. What it learns goes to
//! the [`Roster`], the driver's side; when that wants no more workers and all are gone, the thread ends.
//!
//! A new process may take long to load. Meanwhile the thread [attends](Places::attend) to the other workers.

mod commands;
mod places;
mod setbacks;
mod slot;
mod spares;

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::Sender;

use crate::error::Error;
use crate::exit::Ended;
use crate::handshake::Complaint;
use crate::start::Starter;
use crate::sys::signals;
use crate::transport::control::{Setup, Terms, WorkerEnd};
use crate::transport::ring_link::RingLink;
pub(crate) use commands::Commands;
pub(crate) use places::{Places, Rules};
pub(crate) use spares::Spares;

/// So many workers are on order at a time while a pool starts.
const AHEAD: usize = 2;

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

/// The supervisor's own state; see [`Supervisor::run`].
pub(crate) struct Supervisor {
    pub(crate) starter: Starter,
    pub(crate) roster: Arc<dyn Roster>,
    pub(crate) spares: Spares,
    pub(crate) terms: Terms,
    pub(crate) places: Places,
}

impl Supervisor {
    /// Starts a worker for every place, says how that went, and keeps the places filled until no worker is wanted.
    pub(crate) fn run(mut self, built: Sender<Result<(), Error>>) {
        // A handler of the program's that ran here would interrupt calls that do not expect it.
        let _blocked = signals::Blocked::new();
        // If the pool ended meanwhile, because of its initializer, it is the calls that are told so.
        let failure = self.start_all().err().filter(|_| self.roster.wants_worker());
        if failure.is_some() {
            // Which has the workers that were started ended.
            self.roster.fail(Error::Terminated);
        } else {
            // The builder waits for this, or its thread is gone.
            let _ = built.send(Ok(()));
        }
        self.supervise();
        drop((self.starter, self.spares));
        if let Some(error) = failure {
            // Only now, so that a builder that returns an error leaves nothing behind.
            let _ = built.send(Err(error));
        }
    }

    /// Fills all places. While one process is made, the next is on order.
    fn start_all(&mut self) -> Result<(), Error> {
        spares::glance()?;
        self.expect()?;
        // One more than is wanted now: there is time.
        self.spares.fill_up(self.places.count().min(AHEAD) + 1);
        let mut ordered = VecDeque::new();
        for place in 0..self.places.count() {
            if ordered.len() == AHEAD {
                ordered.pop_front().map_or(Ok(()), |(first, link)| self.take(first, link))?;
            }
            let spare = self.spare()?;
            ordered.push_back((place, self.order(place, spare)?));
            self.spares.fill_up(1);
        }
        ordered.into_iter().try_for_each(|(place, link)| self.take(place, link))
    }

    fn supervise(&mut self) {
        loop {
            let wants_workers = self.places.attend();
            for place in 0..self.places.count() {
                // It may be over by now.
                if wants_workers && self.places.is_due(place) && self.roster.wants_worker() {
                    self.fill(place);
                }
            }
            self.roster.clear_away();
            if wants_workers {
                self.spares.fill_up(1);
            }
            if !wants_workers && self.places.are_all_empty() && !self.roster.wants_worker() {
                return;
            }
            self.places.sleep(self.starter.helpers(), wants_workers);
            let (starter, places) = (&mut self.starter, &mut self.places);
            starter.collect_helpers(&mut || places.attend());
        }
    }

    fn expect(&mut self) -> Result<(), Error> {
        let (starter, places) = (&mut self.starter, &mut self.places);
        guarded(|| starter.expect(&mut || places.attend()))
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
        let (starter, places) = (&mut self.starter, &mut self.places);
        guarded(|| starter.order(Setup { end, terms }, &mut || places.attend()))?;
        Ok(link)
    }

    /// Puts the worker that was ordered first into its place.
    fn take(&mut self, place: usize, link: RingLink) -> Result<(), Error> {
        let (starter, places) = (&mut self.starter, &mut self.places);
        let process = guarded(|| starter.take(&mut || places.attend()))?;
        self.places.occupy(place, process, link);
        Ok(())
    }

    fn start(&mut self, place: usize) -> Result<(), Error> {
        // First, so that no process is made for which there is no link.
        let spare = self.spare()?;
        self.expect()?;
        let link = self.order(place, spare)?;
        self.spares.fill_up(1);
        self.take(place, link)
    }

    /// Fills a place later on, when a failure need not be the pool's end.
    fn fill(&mut self, place: usize) {
        if let Err(error) = self.start(place) {
            self.places.stay_empty(place, error);
        }
    }
}

/// The library below panics where descriptors or memory run out, in spite of all glances. Then what was being made is
/// dropped by unwinding, and the supervisor goes on.
fn guarded<R>(start: impl FnOnce() -> Result<R, Error>) -> Result<R, Error> {
    catch_unwind(AssertUnwindSafe(start))
        .unwrap_or_else(|_| Err(Error::spawn("starting it", io::ErrorKind::OutOfMemory)))
}
