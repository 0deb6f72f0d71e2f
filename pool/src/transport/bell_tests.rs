//! Tests of the bell: loom, for the order of its loads and stores.

use std::sync::Arc;

use loom::sync::atomic::{AtomicU32, Ordering, fence};
use loom::sync::{Condvar, Mutex};
use loom::thread::JoinHandle;

use super::*;

/// The futex's promise: compare and sleep are one step to a waker. A sleep with a time limit is over at once, which is the
/// least that a sleeper can count on.
#[derive(Default)]
pub(in crate::transport) struct LoomWords {
    sleeping: AtomicU32,
    rings: AtomicU32,
    futex: Mutex<()>,
    condvar: Condvar,
}

impl Words for &LoomWords {
    fn set_sleeping(&self, sleeping: u32) {
        self.sleeping.store(sleeping, Ordering::Relaxed);
    }
    fn sleeping(&self) -> u32 {
        self.sleeping.load(Ordering::Relaxed)
    }
    fn rings(&self) -> u32 {
        self.rings.load(Ordering::Relaxed)
    }
    fn count_ring(&self) {
        self.rings.fetch_add(1, Ordering::Relaxed);
    }
    fn fence(&self) {
        fence(Ordering::SeqCst);
    }
    fn sleep(&self, seen: u32, timeout: Option<Duration>) {
        let guard = self.futex.lock().unwrap();
        if self.rings.load(Ordering::Relaxed) == seen && timeout.is_none() {
            drop(self.condvar.wait(guard).unwrap());
        }
    }
    fn wake(&self) {
        drop(self.futex.lock().unwrap());
        self.condvar.notify_all();
    }
}

/// What is published, and the bell that is rung then.
#[derive(Default)]
struct Scene {
    words: LoomWords,
    published: AtomicU32,
}

impl Scene {
    /// Publishes so many times and rings after each, on a thread of its own.
    fn publish(self: &Arc<Self>, times: u32) -> JoinHandle<()> {
        let scene = self.clone();
        loom::thread::spawn(move || {
            let bell = Bell::new(&scene.words);
            for _ in 0..times {
                scene.published.fetch_add(1, Ordering::Release);
                bell.ring();
            }
        })
    }

    fn was_published(&self, times: u32) -> bool {
        self.published.load(Ordering::Acquire) == times
    }
}

/// Waits as every user of a bell does.
pub(in crate::transport) fn sleep_until(bell: &Bell<&LoomWords>, mut is_ready: impl FnMut() -> bool) {
    while !is_ready() {
        let seen = bell.prepare();
        if is_ready() {
            bell.cancel();
        } else {
            // Loom reports a deadlock if nothing ends this.
            bell.sleep(seen, None);
        }
    }
}

/// More threads or rings make too many interleavings to try them all; bugs of this kind show with few switches.
fn with_few_switches(test: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(test);
}

#[test]
fn no_wake_up_is_lost() {
    loom::model(|| {
        let scene = Arc::new(Scene::default());
        let ringer = scene.publish(1);
        sleep_until(&Bell::new(&scene.words), || scene.was_published(1));
        ringer.join().unwrap();
    });
}

#[test]
fn no_wake_up_is_lost_of_who_waits_for_room() {
    loom::model(|| {
        let scene = Arc::new(Scene::default());
        let other = scene.clone();
        let ringer = loom::thread::spawn(move || {
            let bell = Bell::new(&other.words);
            other.published.fetch_add(1, Ordering::Release);
            bell.ring_for_room();
        });
        Bell::new(&scene.words).wait_for_room(|| scene.was_published(1));
        ringer.join().unwrap();
    });
}

#[test]
fn who_waits_for_something_else_is_not_woken_for_room() {
    loom::model(|| {
        let words = LoomWords::default();
        let (sleeper, ringer) = (Bell::new(&words), Bell::new(&words));
        let seen = sleeper.prepare();
        ringer.ring_for_room();
        assert_eq!(Words::rings(&&words), seen);
        ringer.ring();
        assert_ne!(Words::rings(&&words), seen);
    });
}

#[test]
fn no_wake_up_is_lost_after_a_sleep_whose_time_was_over() {
    loom::model(|| {
        let scene = Arc::new(Scene::default());
        let ringer = scene.publish(1);
        let bell = Bell::new(&scene.words);
        let seen = bell.prepare();
        bell.sleep(seen, Some(Duration::ZERO));
        sleep_until(&bell, || scene.was_published(1));
        ringer.join().unwrap();
    });
}

#[test]
fn no_wake_up_is_lost_after_a_sleep_that_was_cancelled() {
    with_few_switches(|| {
        let scene = Arc::new(Scene::default());
        let ringer = scene.publish(2);
        let bell = Bell::new(&scene.words);
        bell.prepare();
        bell.cancel();
        sleep_until(&bell, || scene.was_published(2));
        ringer.join().unwrap();
    });
}

#[test]
fn what_is_published_after_a_ring_for_the_same_sleep_is_seen_before_the_next_one() {
    with_few_switches(|| {
        let scene = Arc::new(Scene::default());
        let ringer = scene.publish(2);
        sleep_until(&Bell::new(&scene.words), || scene.was_published(2));
        ringer.join().unwrap();
    });
}

#[test]
fn each_of_two_ringers_is_heard() {
    with_few_switches(|| {
        let scene = Arc::new(Scene::default());
        let ringers = [scene.publish(1), scene.publish(1)];
        sleep_until(&Bell::new(&scene.words), || scene.was_published(2));
        ringers.into_iter().for_each(|ringer| ringer.join().unwrap());
    });
}

#[test]
fn a_ringer_that_stopped_half_way_keeps_nobody_from_ringing() {
    loom::model(|| {
        let scene = Arc::new(Scene::default());
        let stopped = loom::thread::spawn({
            let scene = scene.clone();
            move || {
                fence(Ordering::SeqCst);
                if Words::sleeping(&&scene.words) != 0 {
                    scene.words.rings.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let ringer = scene.publish(1);
        sleep_until(&Bell::new(&scene.words), || scene.was_published(1));
        stopped.join().unwrap();
        ringer.join().unwrap();
    });
}

#[test]
fn a_sleeper_whose_word_was_overwritten_is_woken_by_a_ring_that_does_not_ask() {
    loom::model(|| {
        let scene = Arc::new(Scene::default());
        let stray = loom::thread::spawn({
            let scene = scene.clone();
            move || scene.words.sleeping.store(0, Ordering::Relaxed)
        });
        let ringer = loom::thread::spawn({
            let scene = scene.clone();
            move || {
                scene.published.fetch_add(1, Ordering::Release);
                Bell::new(&scene.words).ring_anyway();
            }
        });
        sleep_until(&Bell::new(&scene.words), || scene.was_published(1));
        stray.join().unwrap();
        ringer.join().unwrap();
    });
}

#[test]
fn sleepers_are_woken_when_the_numbers_of_sleeps_and_rings_begin_again() {
    loom::model(|| {
        let words = LoomWords::default();
        words.rings.store(u32::MAX - 1, Ordering::Relaxed);
        let (sleeper, ringer) = (Bell::new(&words), Bell::new(&words));
        sleeper.last_sleep.store(u32::MAX - 1, Ordering::Relaxed);
        for mark in [0, ROOM, 0] {
            let seen = sleeper.prepare_for(mark);
            ringer.ring();
            assert_ne!(Words::rings(&&words), seen);
            sleeper.cancel();
        }
    });
}
