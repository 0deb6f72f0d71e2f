//! What the machine itself can do, measured beside the systems.

use std::hint::{black_box, spin_loop};
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use ipc_channel::ipc;
use rustix::thread::{CpuSet, futex, sched_getaffinity, sched_setaffinity};

use super::fresh::FreshMemory;
use super::stats::quantile;

/// One limit, and how to measure it once, in seconds. It is told by how much to do less than it might.
pub(super) struct Limit {
    pub(super) title: &'static str,
    pub(super) measure: fn(usize) -> f64,
}

/// All of them, in the order they are printed in.
pub(super) const LIMITS: &[Limit] = &[
    Limit {
        title: "cache line to another core and back, pinned",
        measure: |less| ping_pong(2_000_000 / less, Places::Pinned),
    },
    Limit {
        title: "the same, wherever the kernel puts them",
        measure: |less| ping_pong(2_000_000 / less, Places::Free),
    },
    Limit {
        title: "futex: wake a sleeper on another core and be woken, pinned",
        measure: |less| futex_round_trip(40_000 / less, Places::Pinned),
    },
    Limit {
        title: "the same, wherever the kernel puts them",
        measure: |less| futex_round_trip(40_000 / less, Places::Free),
    },
    Limit { title: "ipc-channel, a number there and back", measure: |less| ipc_round_trip(10_000 / less) },
    Limit {
        title: "encode, copy, decode on both ways, 1,000,000 squares in one thread, an item",
        measure: |less| encode_copy_decode(1_000_000 / less),
    },
    Limit { title: "copy 1 MiB into warm memory, a MiB", measure: |less| copy_warm(1, 400 / less) },
    Limit { title: "copy 16 MiB into warm memory, a MiB", measure: |less| copy_warm(16, 40 / less) },
    Limit {
        title: "copy 16 MiB into fresh private memory, a MiB",
        measure: |less| copy_fresh(16, 20 / less, FreshMemory::private),
    },
    Limit {
        title: "copy 16 MiB into fresh shared memory, a MiB",
        measure: |less| copy_fresh(16, 20 / less, FreshMemory::shared),
    },
    Limit { title: "start `/bin/true` and wait for its end", measure: |less| run_empty_program(100 / less) },
];

/// Where the two threads of a limit run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Places {
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
        // Where it is refused, the figure is that of free threads.
        let _ = sched_setaffinity(None, &own);
    }
}

/// The turns of two sides are timed in so many batches, so that a side that is put off the CPU spoils one of them only.
const BATCHES: usize = 100;

/// Runs both sides in threads of their own and returns what a turn of the first one took, in the median of batches.
fn two_sides(
    times: usize,
    places: Places,
    ping: impl Fn(usize) + Send + Sync,
    pong: impl Fn(usize) + Send + Sync,
) -> f64 {
    let start = Barrier::new(2);
    let mut samples: Vec<f64> = thread::scope(|scope| {
        scope.spawn(|| {
            places.take(1);
            start.wait();
            (1..=times).for_each(pong);
        });
        let first = scope.spawn(|| {
            places.take(0);
            start.wait();
            let turns: Vec<usize> = (1..=times).collect();
            let batch = |turns: &[usize]| {
                let start = Instant::now();
                turns.iter().copied().for_each(&ping);
                start.elapsed().as_secs_f64() / turns.len() as f64
            };
            turns.chunks(times.div_ceil(BATCHES)).map(batch).collect()
        });
        first.join().expect("neither side panics")
    });
    samples.sort_by(f64::total_cmp);
    quantile(&samples, 0.5)
}

#[repr(align(128))]
struct Line<T>(T);

fn ping_pong(times: usize, places: Places) -> f64 {
    let there = Line(AtomicUsize::new(0));
    let back = Line(AtomicUsize::new(0));
    let wait = |line: &Line<AtomicUsize>, turn| {
        while line.0.load(Ordering::Acquire) != turn {
            spin_loop();
        }
    };
    let ping = |turn| {
        there.0.store(turn, Ordering::Release);
        wait(&back, turn);
    };
    let pong = |turn| {
        wait(&there, turn);
        back.0.store(turn, Ordering::Release);
    };
    two_sides(times, places, ping, pong)
}

fn futex_round_trip(times: usize, places: Places) -> f64 {
    let there = Line(AtomicU32::new(0));
    let back = Line(AtomicU32::new(0));
    let wait = |line: &Line<AtomicU32>, turn: u32| {
        // Whatever ends the sleep, the word is looked at again.
        while line.0.load(Ordering::Acquire) != turn {
            let _ = futex::wait(&line.0, futex::Flags::empty(), turn - 1, None);
        }
    };
    let wake = |line: &Line<AtomicU32>, turn| {
        line.0.store(turn, Ordering::Release);
        let _ = futex::wake(&line.0, futex::Flags::empty(), 1);
    };
    let ping = |turn| {
        wake(&there, turn as u32);
        wait(&back, turn as u32);
    };
    let pong = |turn| {
        wait(&there, turn as u32);
        wake(&back, turn as u32);
    };
    two_sides(times, places, ping, pong)
}

fn ipc_round_trip(times: usize) -> f64 {
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

/// The least that a map of numbers does if its two sides are one thread and its memory is warm.
fn encode_copy_decode(items: usize) -> f64 {
    const BLOCK: usize = 2_000;
    let mut outgoing = vec![0; BLOCK * 10];
    let mut between = vec![0; BLOCK * 10];
    let mut incoming = vec![0; BLOCK * 10];
    let mut squares = vec![0; items];
    let start = Instant::now();
    for (block, results) in squares.chunks_mut(BLOCK).enumerate() {
        let inputs = (block * BLOCK) as u64..;
        let len = encode(inputs.take(results.len()), &mut outgoing);
        between[..len].copy_from_slice(&outgoing[..len]);
        let len = encode(decode(&between[..len]).map(|x| x.wrapping_mul(x)), &mut outgoing);
        incoming[..len].copy_from_slice(&outgoing[..len]);
        results.iter_mut().zip(decode(&incoming[..len])).for_each(|(result, x)| *result = x);
    }
    black_box(&squares);
    start.elapsed().as_secs_f64() / items as f64
}

fn encode(numbers: impl Iterator<Item = u64>, out: &mut [u8]) -> usize {
    let mut len = 0;
    for number in numbers {
        len += postcard::to_slice(&number, &mut out[len..]).expect("there is room for the longest").len();
    }
    len
}

fn decode(mut bytes: &[u8]) -> impl Iterator<Item = u64> {
    std::iter::from_fn(move || {
        let (number, rest) = postcard::take_from_bytes(bytes).ok()?;
        bytes = rest;
        Some(number)
    })
}

fn copy_warm(mebibytes: usize, times: usize) -> f64 {
    let from = vec![1_u8; mebibytes << 20];
    let mut to = vec![2_u8; mebibytes << 20];
    let start = Instant::now();
    for _ in 0..times {
        black_box(&mut to[..]).copy_from_slice(black_box(&from));
    }
    start.elapsed().as_secs_f64() / (times * mebibytes) as f64
}

fn copy_fresh(mebibytes: usize, times: usize, make: fn(usize) -> FreshMemory) -> f64 {
    let from = vec![1_u8; mebibytes << 20];
    let mut took = 0.0;
    for _ in 0..times {
        let mut to = make(from.len());
        let start = Instant::now();
        black_box(to.bytes()).copy_from_slice(black_box(&from));
        took += start.elapsed().as_secs_f64();
    }
    took / (times * mebibytes) as f64
}

fn run_empty_program(times: usize) -> f64 {
    let start = Instant::now();
    for _ in 0..times {
        let status = Command::new("/bin/true").stdin(Stdio::null()).status();
        assert!(status.is_ok_and(|status| status.success()), "/bin/true does nothing, successfully");
    }
    start.elapsed().as_secs_f64() / times as f64
}
