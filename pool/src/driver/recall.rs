//! Takes back what is queued at one worker, so that others run it.
//!
//! Chunks are queued at a worker because items like them were short, or so that it need not wait for the next one. An item that
//! takes longer, or that waits for another one, must not hold up those behind it, and nobody should have nothing to do
//! while somebody has a lot.

use std::time::{Duration, Instant};

use crate::driver::Driver;
use crate::driver::chunk::LONGEST_AHEAD;
use crate::driver::workers::{Slot, State, Watched, Worker};
use crate::id::JobKey;
use crate::job::block::Block;
use crate::transport::link::Link;

/// How long a worker may make no progress before half of what is queued at it goes to one that has nothing to do.
const PATIENCE: Duration = Duration::from_millis(1);

impl<L: Link> Worker<L> {
    fn is_idle(&self) -> bool {
        self.takes_more() && self.in_flight.is_empty()
    }

    /// Since when the item that is due has been due, as far as that was watched. `None` if nothing is queued behind it.
    fn due_since(&mut self, now: Instant) -> Option<Instant> {
        let due = self.in_flight.due().filter(|due| due.has_queued)?;
        let (number, done) = (due.number, due.done);
        let new = Watched { number, done, since: now, gets_nothing: false };
        let watched = self.watched.get_or_insert(new);
        if (watched.number, watched.done) != (number, done) {
            *watched = new;
        }
        Some(watched.since)
    }

    /// Gives it nothing more until it makes progress.
    fn pass_over(&mut self) {
        if let Some(watched) = &mut self.watched {
            watched.gets_nothing = true;
        }
    }

    /// Takes back the later half of what is queued.
    fn take_half(&mut self) -> Vec<(JobKey, Block)> {
        let link = &mut self.link;
        let taken = self.in_flight.recall_half(|sent, number| link.recall(sent, number));
        self.count_back(taken)
    }

    /// Takes back all that is queued.
    fn take_queued(&mut self) -> Vec<(JobKey, Block)> {
        let link = &mut self.link;
        let taken = self.in_flight.recall_queued(|sent, number| link.recall(sent, number));
        self.count_back(taken)
    }

    /// Takes back the chunk that is due, if none of it was answered.
    fn take_front(&mut self) -> Vec<(JobKey, Block)> {
        let link = &mut self.link;
        let taken = self.in_flight.recall_front(|sent, number| link.recall(sent, number));
        self.count_back(taken.into_iter().collect())
    }

    /// What it does not run does not count for when it leaves, unless it is to leave already.
    fn count_back(&mut self, taken: Vec<(JobKey, Block)>) -> Vec<(JobKey, Block)> {
        if self.quota > 0 {
            self.quota += taken.iter().map(|(_, block)| u64::from(block.count)).sum::<u64>();
        }
        taken
    }
}

impl<L: Link> Driver<L> {
    /// Gives a worker that has nothing to do, while nothing waits to be sent, some of what is queued at others.
    pub(super) fn share_out(&mut self) {
        self.timers.stall = None;
        while self.has_queued() && self.jobs.whose_turn().is_none() && self.has_idle() {
            let fullest = self.fullest().and_then(|place| self.slots[place].worker.as_mut());
            let taken = match fullest {
                // Nothing if it has begun all that it is asked for; then the next one is the fullest.
                Some(worker) => worker.take_half(),
                None => match self.take_from_the_stalled() {
                    taken if taken.is_empty() => return,
                    taken => taken,
                },
            };
            self.requeue(taken);
            self.dispatch();
        }
    }

    fn has_idle(&self) -> bool {
        self.slots.iter().filter_map(Slot::get).any(Worker::is_idle)
    }

    /// Of the workers that are known to have a lot in hand, the one that has most. While a caller's input is open, it is asked
    /// for more first; and who is about to leave has been told after which items.
    fn fullest(&mut self) -> Option<usize> {
        let mut best = None;
        for (place, slot) in self.slots.iter().enumerate() {
            let Some(worker) = slot.get().filter(|worker| worker.state == State::Ready) else { continue };
            let Some(due) = worker.in_flight.due().filter(|due| due.has_queued) else { continue };
            let Some(job) = self.jobs.get(due.job).filter(|job| !job.input_open) else { continue };
            let rule = &self.rule_list[job.rule as usize];
            let time = rule.too_long(worker.in_flight.load()).map(|time| (time, place));
            best = best.max(time);
        }
        best.map(|(_, place)| place)
    }

    fn take_from_the_stalled(&mut self) -> Vec<(JobKey, Block)> {
        let mut taken = Vec::new();
        let now = Instant::now();
        for worker in self.slots.iter_mut().filter_map(|slot| slot.worker.as_mut()) {
            let Some(since) = worker.due_since(now) else { continue };
            let due = since + PATIENCE;
            if due > now {
                self.timers.stall = Some(self.timers.stall.map_or(due, |other| other.min(due)));
                continue;
            }
            worker.pass_over();
            taken.extend(worker.take_half());
        }
        if !taken.is_empty() {
            self.timers.stall = Some(now + PATIENCE);
        }
        taken
    }

    /// Tells whether something is queued behind something else.
    pub(crate) fn has_queued(&self) -> bool {
        let mut workers = self.slots.iter().filter_map(Slot::get);
        workers.any(|worker| worker.in_flight.due().is_some_and(|due| due.has_queued))
    }

    /// Takes back what is queued behind an item that has been due for [`LONGEST_AHEAD`], for whoever gets to it first: as long as there
    /// is work enough, nobody has nothing to do. Called now and then.
    pub(crate) fn free_the_stuck(&mut self, now: Instant) {
        let mut taken = Vec::new();
        for worker in self.slots.iter_mut().filter_map(|slot| slot.worker.as_mut()) {
            if worker.due_since(now).is_some_and(|since| now.duration_since(since) >= LONGEST_AHEAD) {
                worker.pass_over();
                taken.extend(worker.take_queued());
            }
        }
        if !taken.is_empty() {
            self.requeue(taken);
            self.dispatch();
            self.ring();
        }
    }

    /// Takes the chunk that is due back from workers that did not begin it from one nudge to the next, while another
    /// one has nothing to do or went on: they are stopped, or their processes get no CPU.
    ///
    /// That takes so long, and not [`PATIENCE`], because a worker may wake up late on a busy machine. All of them may, and
    /// then chunks would wander from one to the other and be run by none.
    pub(super) fn relieve_the_stopped(&mut self) {
        // Calls that follow each other keep a worker busy that is idle in between.
        let goes_on = self.has_idle() || self.answers != self.answers_at_nudge;
        self.answers_at_nudge = self.answers;
        let mut taken = Vec::new();
        for worker in self.slots.iter_mut().filter_map(|slot| slot.worker.as_mut()) {
            let begun = worker.link.running().chunk;
            let due = worker.in_flight.due().map(|due| due.number);
            let unbegun = due.filter(|number| (*number as u32).wrapping_sub(begun) as i32 > 0);
            if let (Some(number), true) = (unbegun, goes_on && unbegun == worker.unbegun) {
                taken.extend(worker.take_front());
                worker.watched = Some(Watched { number, done: 0, since: Instant::now(), gets_nothing: true });
            }
            worker.unbegun = unbegun;
        }
        self.requeue(taken);
    }
}

#[cfg(test)]
#[path = "recall_tests.rs"]
mod tests;
