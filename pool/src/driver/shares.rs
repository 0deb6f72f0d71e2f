//! Which shared values each worker has: they are sent before the first chunk that uses them, and taken back when they
//! are gone here.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Weak};

use crate::driver::Driver;
use crate::driver::pump::Pump;
use crate::driver::workers::{State, Worker};
use crate::frame::{FrameHeader, Kind};
use crate::id::JobKey;
use crate::job::block::Block;
use crate::share::original::{Original, Owner};
use crate::transport::link::Link;

/// The shared values that a worker has, by their ids.
#[derive(Debug, Default)]
pub(super) struct Shares {
    by_id: BTreeMap<u64, Weak<Original>>,
}

impl<L: Link> Worker<L> {
    /// Sends the shared values of a block that the worker does not have. False if some cannot be sent now; then no frame
    /// may overtake them.
    #[inline]
    pub(super) fn send_shares(&mut self, block: &Block) -> io::Result<bool> {
        for share in block.shares() {
            if self.shares.by_id.contains_key(&share.id()) {
                continue;
            }
            if !self.link.try_share(share)? {
                return Ok(false);
            }
            self.to_ring = true;
            self.shares.by_id.insert(share.id(), Arc::downgrade(share));
        }
        Ok(true)
    }

    /// Tells the worker of those that are gone; false if there is no room to say so.
    fn forget_shares(&mut self) -> bool {
        let Self { link, shares, to_ring, .. } = self;
        let mut is_full = false;
        shares.by_id.retain(|id, share| {
            if is_full || share.strong_count() > 0 {
                return true;
            }
            let header = FrameHeader { chunk: *id, ..FrameHeader::new(Kind::Forget) };
            is_full = !matches!(link.try_send(header, &[]), Ok(Some(_)));
            *to_ring |= !is_full;
            is_full
        });
        !is_full
    }
}

impl<L: Link> Driver<L> {
    /// Lets go of the shared values of a job that is gone, also where a worker has not answered yet that it skipped some
    /// of it: nobody may be there to hear it.
    pub(super) fn release_shares(&mut self, key: JobKey) {
        let workers = self.slots.iter_mut().filter_map(|slot| slot.worker.as_mut());
        workers.for_each(|worker| worker.in_flight.release_shares(key));
    }

    /// Tells all workers which shared values are gone.
    pub(super) fn forget_shares(&mut self) {
        let workers = self.slots.iter_mut().filter_map(|slot| slot.worker.as_mut());
        // To one that was told to leave nothing more is said.
        for worker in workers.filter(|worker| worker.state != State::Leaving) {
            if !worker.forget_shares() {
                // It has something to answer, and then there is room.
                self.home.note_loss();
            }
        }
        self.ring();
    }
}

impl Owner for Pump {
    fn forget_originals(&self) {
        if self.check_owner().is_ok() {
            // The driver looks for them whenever it was used.
            self.with_driver(|_| ());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::tests::{block, chunks_of, delivered, echo_all, echoed, open, ready};
    use crate::driver::{JobOptions, Rules};
    use crate::share::original::Keeper;
    use crate::share::sending::Used;
    use crate::transport::in_memory::{FakeWorker, InMemoryLink, link};

    /// A driver and a worker that is ready, with room for so many frames between them.
    fn narrow(capacity: usize) -> (Driver<InMemoryLink>, FakeWorker) {
        let mut driver = Driver::new(1, Rules::default());
        let (link, fake) = link(capacity);
        driver.attach(0, link, 100);
        fake.get_ready();
        driver.turn();
        (driver, fake)
    }

    /// A job whose items, the numbers up to `count`, all use these values.
    fn users(
        driver: &mut Driver<InMemoryLink>,
        count: u8,
        options: JobOptions,
        used: &[Arc<Keeper>],
    ) -> Arc<crate::job::Job> {
        let (job, key) = open(driver, options);
        driver.push(key, block(0, count).using(&Used::of(used)));
        driver.finish_input(key);
        driver.turn();
        job
    }

    /// The kinds of the frames that wait, and of which shared value.
    fn take_all(fake: &FakeWorker) -> Vec<(Kind, u64)> {
        let frames = std::iter::from_fn(|| fake.take()).map(|frame| frame.header);
        frames.filter_map(|header| Some((header.kind()?, header.chunk))).collect()
    }

    #[test]
    fn a_worker_gets_a_shared_value_once_and_before_the_first_chunk_that_uses_it() {
        let (mut driver, fakes) = ready(1, Rules::default());
        let (one, two) = (Keeper::unowned(driver.home()), Keeper::unowned(driver.home()));
        users(&mut driver, 1, chunks_of(1), &[one.clone(), one.clone()]);
        assert_eq!(take_all(&fakes[0]), [(Kind::Share, one.id()), (Kind::Run, 1)]);
        users(&mut driver, 1, chunks_of(1), &[two.clone(), one.clone()]);
        assert!(take_all(&fakes[0]).is_empty(), "the worker has not answered");
        driver.detach(0, &crate::exit::Exit::Signal(9).into());
        let next = crate::driver::tests::add_worker(&mut driver, 0);
        let frames = take_all(&next);
        assert_eq!(
            frames[..2],
            [(Kind::Share, one.id().min(two.id())), (Kind::Share, one.id().max(two.id()))]
        );
        assert_eq!(frames[2..], [(Kind::Run, 1)], "the new worker has neither");
    }

    #[test]
    fn chunks_wait_until_all_that_they_use_could_be_sent() {
        let (mut driver, fake) = narrow(2);
        let used: Vec<_> = (0..5).map(|_| Keeper::unowned(driver.home())).collect();
        let (job, key) = open(&mut driver, chunks_of(1));
        driver.push(key, block(0, 1).using(&Used::of(&used)));
        driver.finish_input(key);
        let mut frames = Vec::new();
        while !frames.iter().any(|(kind, _)| *kind == Kind::Run) {
            driver.turn();
            let sent = take_all(&fake);
            assert!((1..=2).contains(&sent.len()), "{sent:?}");
            frames.extend(sent);
            fake.answer(FrameHeader::new(Kind::Kept), &[]);
        }
        let expected = used.iter().map(|keeper| (Kind::Share, keeper.id())).chain([(Kind::Run, 1)]);
        assert!(frames.into_iter().eq(expected));
        assert!(!job.is_settled());
    }

    #[test]
    fn workers_forget_what_no_handle_and_no_item_needs() {
        let (mut driver, fakes) = ready(1, Rules::default());
        let (gone, kept) = (Keeper::unowned(driver.home()), Keeper::unowned(driver.home()));
        let (gone_id, rings) = (gone.id(), fakes[0].rings());
        let job = users(&mut driver, 3, chunks_of(3), &[gone.clone(), kept.clone()]);
        drop(gone);
        driver.take_effects();
        let chunk = loop {
            match fakes[0].take().expect("the chunk was sent") {
                frame if frame.header.kind() == Some(Kind::Run) => break frame,
                _ => {}
            }
        };
        assert!(fakes[0].is_empty(), "items use it");
        fakes[0].echo(&chunk, 0, 3);
        driver.turn();
        driver.take_effects();
        assert_eq!(take_all(&fakes[0]), [(Kind::Forget, gone_id)]);
        assert!(fakes[0].rings() > rings + 1, "the worker was called");
        assert_eq!(delivered(&job), echoed(0..3));
        driver.turn();
        driver.take_effects();
        assert!(fakes[0].is_empty(), "it is said once");
        assert!(kept.original().id() > 0);
    }

    #[test]
    fn a_job_that_is_gone_needs_nothing_though_workers_have_not_answered() {
        let (mut driver, fakes) = ready(2, Rules::default());
        // Measured as short, so that chunks are queued at workers.
        users(&mut driver, 1, chunks_of(1), &[]);
        echo_all(&mut driver, &fakes);
        let (gone, cancelled) = (Keeper::unowned(driver.home()), Keeper::unowned(driver.home()));
        let originals = [&gone, &cancelled].map(|keeper| Arc::downgrade(keeper.original()));
        let job = users(&mut driver, 20, chunks_of(1), &[gone]);
        let stuck = fakes.iter().position(|fake| !fake.is_empty()).expect("somebody has something");
        let first = fakes[stuck].take().and_then(|_| fakes[stuck].take()).expect("a value and a chunk");
        let other = &fakes[1 - stuck..][..1];
        echo_all(&mut driver, other);
        // Until all that is queued at the stuck one went elsewhere.
        while driver.timers.stall.is_some() {
            driver.turn();
            echo_all(&mut driver, other);
        }
        fakes[stuck].echo(&first, 0, 1);
        driver.turn();
        assert!(job.is_settled() && !fakes[stuck].is_empty());
        assert_eq!(originals[0].strong_count(), 0, "the frames that were taken back hold nothing");
        let (_, key) = open(&mut driver, chunks_of(1));
        driver.push(key, block(0, 10).using(&Used::of(&[cancelled])));
        driver.turn();
        assert!(driver.cancel(key, crate::job::Rest::Finishes));
        assert_eq!(originals[1].strong_count(), 0, "nor do those that were sent");
    }

    #[test]
    fn a_full_ring_delays_what_is_to_be_forgotten() {
        let (mut driver, fake) = narrow(1);
        // Measured as short, so that chunks are queued at the worker.
        users(&mut driver, 1, chunks_of(1), &[]);
        echo_all(&mut driver, std::slice::from_ref(&fake));
        let gone = Keeper::unowned(driver.home());
        let gone_id = gone.id();
        users(&mut driver, 1, chunks_of(1), &[gone]);
        assert_eq!(take_all(&fake), [(Kind::Share, gone_id)]);
        fake.answer(FrameHeader::new(Kind::Kept), &[]);
        driver.turn();
        let chunk = fake.take().expect("there is room now");
        users(&mut driver, 1, chunks_of(1), &[]);
        fake.echo(&chunk, 0, 1);
        driver.turn();
        driver.take_effects();
        assert_eq!(take_all(&fake), [(Kind::Run, 3)], "nothing else fits");
        driver.take_effects();
        assert_eq!(take_all(&fake), [(Kind::Forget, gone_id)]);
    }
}
