//! Wakes who sleeps until something was published, and costs a load if nobody sleeps.
//!
//! An event count. The sleeper says that it will sleep ([`Bell::prepare`]), looks once more at what it waits
//! for, and then sleeps unless the bell rang since. Whoever publishes rings afterwards. A full
//! fence on each side between its store and its load makes it impossible that both miss the other.
//! `sleeping` is written by the sleeper only and `rings` by the ringers, so a ringer that stops or dies half-way
//! keeps nobody else from ringing. Sleeps are numbered, and nobody rings twice for the same one: between the wake-up and
//! the moment when the sleeper runs again a ringer may publish a lot. Their numbers are odd if the sleeper waits for room, so that
//! who makes room, which happens with everything that is received, wakes nobody who waits for something else.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Marks the number of a sleep that waits for room.
const ROOM: u32 = 1;

/// The two words of a bell and the futex below them; loom has its own.
pub(crate) trait Words {
    /// The number of the sleep, or 0.
    fn set_sleeping(&self, sleep: u32);
    fn sleeping(&self) -> u32;
    fn rings(&self) -> u32;
    fn count_ring(&self);
    /// A sequentially consistent fence.
    fn fence(&self);
    /// Sleeps while `rings` is `seen`; may return early. `None` is for ever.
    fn sleep(&self, seen: u32, timeout: Option<Duration>);
    /// Ends every [`sleep`](Self::sleep).
    fn wake(&self);
}

/// A bell; both sides make one of the same words. All sleepers on them share one `Bell`.
#[derive(Debug)]
pub(crate) struct Bell<W> {
    words: W,
    /// Sleeper: the number of its last sleep.
    last_sleep: AtomicU32,
    /// Ringer: the last sleep that it ended.
    last_rung: AtomicU32,
}

impl<W: Words> Bell<W> {
    pub(crate) fn new(words: W) -> Self {
        Self { words, last_sleep: AtomicU32::new(0), last_rung: AtomicU32::new(0) }
    }

    /// Says that the caller will sleep. It must look for work after this and before [`sleep`](Self::sleep).
    pub(crate) fn prepare(&self) -> u32 {
        self.prepare_for(0)
    }

    fn prepare_for(&self, mark: u32) -> u32 {
        let seen = self.words.rings();
        let sleep = self.last_sleep.load(Ordering::Relaxed).checked_add(2).unwrap_or(2);
        self.last_sleep.store(sleep, Ordering::Relaxed);
        self.words.set_sleeping(sleep | mark);
        self.words.fence();
        seen
    }

    /// Sleeps until the bell rings or the time is over; `seen` is what [`prepare`](Self::prepare) returned.
    pub(crate) fn sleep(&self, seen: u32, timeout: Option<Duration>) {
        self.words.sleep(seen, timeout);
        self.cancel();
    }

    /// Takes back a [`prepare`](Self::prepare): there is work after all.
    pub(crate) fn cancel(&self) {
        self.words.set_sleeping(0);
    }

    /// Sleeps until there is what the caller waits for, whoever rings for what.
    pub(crate) fn wait_until(&self, is_there: impl FnMut() -> bool) {
        self.wait_with(0, is_there);
    }

    /// The same for room, of which [`ring_for_room`](Self::ring_for_room) tells.
    pub(crate) fn wait_for_room(&self, is_there: impl FnMut() -> bool) {
        self.wait_with(ROOM, is_there);
    }

    fn wait_with(&self, mark: u32, mut is_there: impl FnMut() -> bool) {
        while !is_there() {
            let seen = self.prepare_for(mark);
            if is_there() {
                self.cancel();
                return;
            }
            self.sleep(seen, None);
        }
    }

    /// Wakes the sleeper, if there is one. Call it after publishing.
    pub(crate) fn ring(&self) {
        self.ring_if(|_| true);
    }

    /// Wakes the sleeper, if it waits for room. Call it after making some.
    pub(crate) fn ring_for_room(&self) {
        self.ring_if(|sleep| sleep & ROOM != 0);
    }

    fn ring_if(&self, concerns: impl FnOnce(u32) -> bool) {
        self.words.fence();
        let sleep = self.words.sleeping();
        // Before its next sleep, which has another number, the sleeper looks again behind a fence of its own.
        if sleep != 0 && sleep != self.last_rung.load(Ordering::Relaxed) && concerns(sleep) {
            self.wake();
            self.last_rung.store(sleep, Ordering::Relaxed);
        }
    }

    /// Wakes the sleeper, whether it says that it sleeps or not.
    pub(crate) fn ring_anyway(&self) {
        self.words.fence();
        self.wake();
    }

    fn wake(&self) {
        self.words.count_ring();
        self.words.wake();
    }
}

#[cfg(test)]
#[path = "bell_tests.rs"]
pub(super) mod tests;
