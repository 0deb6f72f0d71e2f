//! Two sides that take turns, in seconds a turn of both.

use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Barrier, Mutex, OnceLock};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use ipc_channel::ipc;
use pool::pool_task;
use rustix::thread::{CpuSet, futex, sched_getaffinity, sched_setaffinity};
use serde::{Deserialize, Serialize};

use super::super::memory::SharedWords;
use super::super::ours;
use super::super::stats::sorted_middle;

/// How the sides tell each other that it is their turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Turns {
    /// Both look at a word until it changes.
    Line,
    /// The same, with a few bytes that go through a ring.
    Ring,
    /// Both sleep until they are woken.
    Futex,
    /// The same, and nothing happens for a while between two turns.
    PausedFutex,
}

/// Where the two sides run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Places {
    /// On the first two CPUs that we may use.
    Pinned,
    Free,
}

impl Places {
    /// Binds the calling thread, the `index`th of two.
    fn take(self, index: usize) {
        let Ok(allowed) = sched_getaffinity(None) else { return };
        if self == Self::Free {
            return;
        }
        let cpus: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect();
        let mut own = CpuSet::new();
        own.set(cpus[index % cpus.len()]);
        // Where it is refused, the figure is that of free sides.
        let _ = sched_setaffinity(None, &own);
    }
}

/// The turns are timed in so many batches, so that a side that is put off the CPU spoils one of them only.
const BATCHES: usize = 100;
const PAUSE: Duration = Duration::from_millis(1);

/// One side is a thread of this process, the other one a process of its own, which a pool makes for it.
pub(super) fn between_processes(turns: Turns, times: usize, places: Places) -> f64 {
    let (words, path) = SharedWords::create();
    let pool = ours::make(1).expect("a worker can be started");
    let other = pool.apply_async(other_side, (&path, turns, times, places));
    let own_side = || {
        places.take(0);
        let side = Side { turns, words: &words };
        // The other side begins whenever it is there, so the first turn is not like the others.
        side.ping(1);
        let numbers: Vec<u32> = (2..=times as u32).collect();
        let batch = |numbers: &[u32]| {
            let mut paused = Duration::ZERO;
            let start = Instant::now();
            for turn in numbers {
                if turns == Turns::PausedFutex {
                    let start = Instant::now();
                    thread::sleep(PAUSE);
                    paused += start.elapsed();
                }
                side.ping(*turn);
            }
            (start.elapsed() - paused).as_secs_f64() / numbers.len() as f64
        };
        numbers.chunks(times.div_ceil(BATCHES)).map(batch).collect()
    };
    let took = thread::scope(|scope| scope.spawn(own_side).join().expect("this side does not panic"));
    other.get().expect("the other side does not fail");
    sorted_middle(took)
}

/// The side that answers.
#[pool_task]
fn other_side(path: &str, turns: Turns, times: usize, places: Places) {
    places.take(1);
    let words = SharedWords::open(path);
    let side = Side { turns, words: &words };
    (1..=times as u32).for_each(|turn| side.pong(turn));
}

/// Words of the shared memory; each is on a cache line of its own.
const THERE: usize = 0;
const BACK: usize = 64;
/// Where the rings begin: the count of what was written, the count of what was read, the words themselves.
const RING_THERE: usize = 128;
const RING_BACK: usize = 1024;
const READ: usize = 32;
const DATA: usize = 64;
/// Words in a ring, and in a message.
const CAPACITY: u32 = 512;
const MESSAGE: u32 = 4;

/// What either side does in its turn.
#[derive(Clone, Copy)]
struct Side<'a> {
    turns: Turns,
    words: &'a SharedWords,
}

impl Side<'_> {
    fn ping(self, turn: u32) {
        match self.turns {
            Turns::Line => {
                self.word(THERE).store(turn, Ordering::Release);
                look(self.word(BACK), turn);
            }
            Turns::Ring => {
                self.write(RING_THERE, turn);
                assert_eq!(self.read(RING_BACK, turn), turn);
            }
            Turns::Futex | Turns::PausedFutex => {
                wake(self.word(THERE), turn);
                sleep(self.word(BACK), turn);
            }
        }
    }

    fn pong(self, turn: u32) {
        match self.turns {
            Turns::Line => {
                look(self.word(THERE), turn);
                self.word(BACK).store(turn, Ordering::Release);
            }
            Turns::Ring => {
                let message = self.read(RING_THERE, turn);
                self.write(RING_BACK, message);
            }
            Turns::Futex | Turns::PausedFutex => {
                sleep(self.word(THERE), turn);
                wake(self.word(BACK), turn);
            }
        }
    }

    fn word(&self, at: usize) -> &AtomicU32 {
        &self.words.words()[at]
    }

    /// Writes the `turn`th message, once there is room for it.
    fn write(self, ring: usize, turn: u32) {
        let written = (turn - 1) * MESSAGE;
        while written - self.word(ring + READ).load(Ordering::Acquire) > CAPACITY - MESSAGE {
            spin_loop();
        }
        for word in 0..MESSAGE {
            self.word(ring + DATA + ((written + word) % CAPACITY) as usize).store(turn, Ordering::Relaxed);
        }
        self.word(ring).store(written + MESSAGE, Ordering::Release);
    }

    /// Reads the `turn`th message, once it is there.
    fn read(self, ring: usize, turn: u32) -> u32 {
        let read = (turn - 1) * MESSAGE;
        while self.word(ring).load(Ordering::Acquire) == read {
            spin_loop();
        }
        let word =
            |word| self.word(ring + DATA + ((read + word) % CAPACITY) as usize).load(Ordering::Relaxed);
        let message = (0..MESSAGE).map(word).max().expect("a message has words");
        self.word(ring + READ).store(read + MESSAGE, Ordering::Release);
        message
    }
}

fn look(word: &AtomicU32, turn: u32) {
    while word.load(Ordering::Acquire) != turn {
        spin_loop();
    }
}

fn sleep(word: &AtomicU32, turn: u32) {
    // Whatever ends the sleep, the word is looked at again.
    while word.load(Ordering::Acquire) != turn {
        let _ = futex::wait(word, futex::Flags::empty(), turn - 1, None);
    }
}

fn wake(word: &AtomicU32, turn: u32) {
    word.store(turn, Ordering::Release);
    let _ = futex::wake(word, futex::Flags::empty(), 1);
}

/// Bytes that one CPU writes and another one copies out and sends back in the same way: four copies, half of them out of the
/// other CPU's cache.
pub(super) fn bytes(kibibytes: usize, times: usize) -> f64 {
    let own = vec![1; kibibytes << 10];
    let (there, back) = (Mutex::new(own.clone()), Mutex::new(own.clone()));
    let (sent, answered) = (AtomicU32::new(0), AtomicU32::new(0));
    let turns = 1..=times as u32;
    // Nobody waits for these locks, as the sides take turns.
    let write = |place: &Mutex<Vec<u8>>, bytes: &[u8]| {
        place.lock().expect("the other side does not panic").copy_from_slice(bytes);
    };
    let read = |place: &Mutex<Vec<u8>>| place.lock().expect("the other side does not panic").clone();
    let pong = |turn| {
        look(&sent, turn);
        write(&back, &read(&there));
        answered.store(turn, Ordering::Release);
    };
    let ping = |turn| {
        let start = Instant::now();
        write(&there, &own);
        sent.store(turn, Ordering::Release);
        look(&answered, turn);
        black_box(read(&back));
        start.elapsed().as_secs_f64()
    };
    let took = thread::scope(|scope| {
        scope.spawn(|| {
            Places::Pinned.take(1);
            turns.clone().for_each(pong);
        });
        let own_side = scope.spawn(|| {
            Places::Pinned.take(0);
            turns.clone().map(ping).collect()
        });
        own_side.join().expect("this side does not panic")
    });
    sorted_middle(took)
}

/// A turn that goes round 64 threads, each of which is parked until it comes; seconds from one to the next.
pub(super) fn token(times: usize) -> f64 {
    const THREADS: usize = 64;
    let rounds = (times / THREADS).max(2);
    let flags: Vec<AtomicBool> = (0..THREADS).map(|_| AtomicBool::new(false)).collect();
    let threads = OnceLock::new();
    let start = Barrier::new(THREADS + 1);
    let run = |index: usize| {
        start.wait();
        let threads: &Vec<Thread> = threads.get().expect("it was set before the start");
        for _ in 0..rounds {
            while !flags[index].swap(false, Ordering::AcqRel) {
                thread::park();
            }
            let next = (index + 1) % THREADS;
            flags[next].store(true, Ordering::Release);
            threads[next].unpark();
        }
    };
    thread::scope(|scope| {
        let run = &run;
        let all: Vec<_> = (0..THREADS).map(|index| scope.spawn(move || run(index))).collect();
        let all_threads: Vec<_> = all.iter().map(|thread| thread.thread().clone()).collect();
        let first = all_threads[0].clone();
        threads.set(all_threads).expect("it is set once");
        start.wait();
        let start = Instant::now();
        flags[0].store(true, Ordering::Release);
        first.unpark();
        for thread in all {
            thread.join().expect("none of them panics");
        }
        start.elapsed().as_secs_f64() / (rounds * THREADS) as f64
    })
}

/// A number through one channel and back through another.
pub(super) fn ipc_round_trip(times: usize) -> f64 {
    let (there, at_pong) = ipc::channel::<u64>().expect("a pair of sockets can be had");
    let (back, at_ping) = ipc::channel::<u64>().expect("a pair of sockets can be had");
    let ping = || {
        for turn in 0..times as u64 {
            there.send(turn).expect("the other side listens");
            at_ping.recv().expect("the other side answers");
        }
    };
    // Channels are `Send`, not `Sync`: each side owns its ends.
    let pong = move || {
        for _ in 0..times {
            let turn = at_pong.recv().expect("the other side sends");
            back.send(turn).expect("the other side listens");
        }
    };
    thread::scope(|scope| {
        scope.spawn(pong);
        let start = Instant::now();
        ping();
        start.elapsed().as_secs_f64() / times as f64
    })
}
