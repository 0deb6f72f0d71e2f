//! Kinds of damage, done from inside of a task.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::time::{Duration, Instant};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, sendmsg, shutdown};
use serde::{Deserialize, Serialize};

use super::memory::{self, CONTROL, Memory, RING};
use crate::support::{Random, tasks};

/// What is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Damage {
    /// All that the worker may write to of its link.
    Half,
    /// Its counters, and all else in their page.
    ControlPage,
    /// One counter, or what lies around it.
    Counter,
    /// The bytes of the ring of results.
    Results,
    /// A frame is published that is nearly right.
    Forged,
    /// What would be told of a panic.
    LastWords,
    /// Everything, for a while, by a thread that goes on after the item.
    Later,
    /// The segments that the worker was granted, and the page of the bell.
    Segments,
    /// Segments are wanted and given back.
    Wants,
    /// Messages to every socket, with descriptors in them.
    Sockets,
    /// Sockets are shut down.
    Shutdown,
    /// Descriptors are closed.
    Closed,
    /// The files behind the regions are made shorter and longer.
    Truncated,
}

/// How the item goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum End {
    Well,
    Abort,
    Segv,
    /// A panic that the worker catches.
    Panic,
}

impl End {
    /// Well, as a rule.
    pub(super) fn any(random: &mut Random) -> Self {
        [End::Well, End::Well, End::Well, End::Abort, End::Segv][random.below(5)]
    }

    pub(super) fn run(self) {
        match self {
            End::Well => {}
            End::Abort => tasks::end_process("abort"),
            End::Segv => tasks::end_process("segv"),
            End::Panic => panic!("after the damage"),
        }
    }
}

/// Offsets in a worker's half: its counters and words.
pub(super) const ARGS_HEAD: usize = 0;
pub(super) const RESULTS_TAIL: usize = 128;
pub(super) const SLEEPING: usize = 256;
pub(super) const RUNNING: usize = 384;
pub(super) const COMMITTED: usize = 392;
const WORDS: usize = 1024;
const COUNTERS: [usize; 5] = [ARGS_HEAD, RESULTS_TAIL, SLEEPING, RUNNING, COMMITTED];

pub(super) fn run(damage: Damage, seed: usize) {
    let mut random = Random::seeded(seed);
    let memory = memory::find();
    match damage {
        Damage::Half => memory.half.write(0, &bytes(&mut random, memory.half.len())),
        Damage::ControlPage => memory.half.write(0, &bytes(&mut random, CONTROL)),
        Damage::Counter => counter(&memory, &mut random),
        Damage::Results => memory.half.write(CONTROL, &bytes(&mut random, RING)),
        Damage::Forged => forge(&memory, &any_frame(&memory, &mut random)),
        Damage::LastWords => last_words(&memory, &mut random),
        Damage::Later => later(memory, random),
        Damage::Segments => {
            memory.segments.iter().for_each(|part| part.write(0, &bytes(&mut random, part.len())));
            memory.bell.write(0, &bytes(&mut random, memory.bell.len()));
        }
        Damage::Wants => wants(&memory, &mut random),
        Damage::Sockets => sockets().into_iter().for_each(|socket| nonsense(socket, &mut random)),
        Damage::Shutdown => sockets().into_iter().for_each(|socket| {
            let how = [Shutdown::Read, Shutdown::Write, Shutdown::Both][random.below(3)];
            let _ = shutdown(borrowed(socket), how);
        }),
        Damage::Closed => descriptors().into_iter().filter(|fd| *fd > 2).for_each(|fd| {
            // SAFETY: it is not, and that is the point; the test's own code has none open.
            unsafe { libc::close(fd) };
        }),
        Damage::Truncated => truncate(&mut random),
    }
}

/// Random bytes: any, or mostly zeroes, or all the same.
fn bytes(random: &mut Random, len: usize) -> Vec<u8> {
    match random.below(4) {
        0 => vec![0; len],
        1 => vec![random.below(256) as u8; len],
        2 => (0..len).map(|_| if random.below(50) == 0 { random.below(256) as u8 } else { 0 }).collect(),
        _ => (0..len).map(|_| random.below(256) as u8).collect(),
    }
}

/// A number near another one, or any.
fn near(random: &mut Random, number: u64) -> u64 {
    match random.below(6) {
        0 => 0,
        1 => u64::MAX - random.below(100) as u64,
        2 => number.wrapping_add(8 * random.below(20_000) as u64),
        3 => number.wrapping_sub(8 * random.below(20_000) as u64),
        4 => number.wrapping_add(random.below(16) as u64).wrapping_sub(8),
        _ => (random.below(1 << 31) as u64) << 32 | random.below(1 << 31) as u64,
    }
}

fn counter(memory: &Memory, random: &mut Random) {
    for _ in 0..1 + random.below(3) {
        let at = COUNTERS[random.below(COUNTERS.len())];
        memory.half.write(at, &near(random, memory.half.word(at)).to_le_bytes());
    }
    // Give the parent time to look.
    std::thread::sleep(Duration::from_micros(random.below(3000) as u64));
}

/// A frame as it lies in a ring: size, kind, chunk, time, first, count, failed, revoked; and the body.
#[derive(Clone, Debug, Default)]
pub(super) struct Frame {
    pub(super) size: u32,
    pub(super) kind: u32,
    pub(super) chunk: u64,
    pub(super) nanos: u64,
    pub(super) first: u32,
    pub(super) count: u32,
    pub(super) failed: u32,
    pub(super) body: Vec<u8>,
}

/// Kinds of frames.
pub(super) const REFUSED: u32 = 5;
pub(super) const DONE: u32 = 6;
const WANT: u32 = 8;
const GIVE_BACK: u32 = 9;

impl Frame {
    fn to_bytes(&self) -> Vec<u8> {
        let mut all = Vec::new();
        all.extend_from_slice(&self.size.to_le_bytes());
        all.extend_from_slice(&self.kind.to_le_bytes());
        all.extend_from_slice(&self.chunk.to_le_bytes());
        all.extend_from_slice(&self.nanos.to_le_bytes());
        for word in [self.first, self.count, self.failed, 0] {
            all.extend_from_slice(&word.to_le_bytes());
        }
        all.extend_from_slice(&self.body);
        all
    }

    /// Adds an entry: length, status, segment, and the bytes.
    pub(super) fn entry(mut self, len: u64, status: u8, segment: u16, bytes: &[u8]) -> Self {
        self.body
            .extend_from_slice(&(len | u64::from(status) << 40 | u64::from(segment) << 48).to_le_bytes());
        self.body.extend_from_slice(bytes);
        self.body.resize(self.body.len().next_multiple_of(8), 0);
        self.size = self.body.len() as u32;
        self.count += 1;
        self.failed += u32::from(status != 0);
        self
    }
}

/// The chunk and the item that this worker is at.
pub(super) fn running(memory: &Memory) -> (u64, u32) {
    let word = memory.half.word(RUNNING);
    (word >> 32, word as u32)
}

/// Publishes a frame behind what is published.
pub(super) fn forge(memory: &Memory, frame: &Frame) {
    let tail = memory.half.word(RESULTS_TAIL);
    let bytes = frame.to_bytes();
    memory.half.write(CONTROL + tail as usize % RING, &bytes);
    memory.half.write(RESULTS_TAIL, &(tail + bytes.len() as u64).to_le_bytes());
    // Give the parent time to look, before this worker publishes over it.
    std::thread::sleep(Duration::from_millis(3));
}

/// What this worker might publish now, with some of it wrong.
fn any_frame(memory: &Memory, random: &mut Random) -> Frame {
    let (chunk, first) = running(memory);
    let kind = if random.below(2) == 0 { DONE } else { random.below(12) as u32 };
    let mut frame = Frame { kind, chunk, first, ..Frame::default() };
    for _ in 0..random.below(4) {
        let len = [0, 8, 40, 3000][random.below(4)];
        let content = bytes(random, len);
        let len = if random.below(3) == 0 { near(random, 8) & 0xFF_FFFF_FFFF } else { content.len() as u64 };
        let segment = if random.below(3) == 0 { near(random, 1) as u16 } else { 0 };
        frame = frame.entry(len, random.below(9) as u8, segment, &content);
    }
    for _ in 0..random.below(3) {
        match random.below(6) {
            0 => frame.size = near(random, frame.size.into()) as u32,
            1 => frame.kind = near(random, frame.kind.into()) as u32,
            2 => frame.chunk = near(random, frame.chunk),
            3 => frame.first = near(random, frame.first.into()) as u32,
            4 => frame.count = near(random, frame.count.into()) as u32,
            _ => frame.failed = near(random, frame.failed.into()) as u32,
        }
    }
    frame
}

fn last_words(memory: &Memory, random: &mut Random) {
    memory.half.write(WORDS, &bytes(random, CONTROL - WORDS));
    if random.below(2) == 0 {
        // Of the item that runs, with lengths that are plausible or not quite.
        memory.half.write(WORDS, &memory.half.word(RUNNING).to_le_bytes());
        let lengths = (random.below(4000) as u64) << 32 | random.below(600) as u64;
        memory.half.write(WORDS + 8, &lengths.to_le_bytes());
    }
}

fn later(memory: Memory, mut random: Random) {
    std::thread::spawn(move || {
        let end = Instant::now() + Duration::from_millis(20);
        while Instant::now() < end {
            match random.below(4) {
                0 => {
                    let at = COUNTERS[random.below(COUNTERS.len())];
                    let word = near(&mut random, memory.half.word(at));
                    memory.half.write(at, &word.to_le_bytes());
                }
                1 => memory.half.write(SLEEPING, &[0; 8]),
                2 => memory.bell.write(0, &[0; 8]),
                _ => memory.half.write(CONTROL + random.below(RING), &bytes(&mut random, 64)),
            }
            std::thread::sleep(Duration::from_micros(random.below(500) as u64));
        }
    });
}

fn wants(memory: &Memory, random: &mut Random) {
    for _ in 0..1 + random.below(5) {
        let kind = if random.below(3) == 0 { GIVE_BACK } else { WANT };
        let first = [random.below(5) as u32, near(random, 1) as u32][random.below(2)];
        let chunk = [0, 1, 100_000, 1 << 39, u64::MAX, near(random, 100_000)][random.below(6)];
        forge(memory, &Frame { kind, first, chunk, ..Frame::default() });
    }
}

fn descriptors() -> Vec<RawFd> {
    let entries = std::fs::read_dir("/proc/self/fd").expect("every process has descriptors");
    let names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    names.into_iter().filter_map(|name| name.to_str()?.parse().ok()).collect()
}

fn sockets() -> Vec<RawFd> {
    let is_socket = |fd: &RawFd| {
        std::fs::read_link(format!("/proc/self/fd/{fd}"))
            .is_ok_and(|target| target.to_string_lossy().starts_with("socket:"))
    };
    descriptors().into_iter().filter(is_socket).collect()
}

fn borrowed(fd: RawFd) -> BorrowedFd<'static> {
    // SAFETY: it was open a moment ago, and what it is used for here is wrong in any case.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// Messages of any kind, some of them as ipc-channel words its own, some with descriptors.
fn nonsense(socket: RawFd, random: &mut Random) {
    let null = std::fs::File::open("/dev/null").expect("there is one");
    for _ in 0..1 + random.below(5) {
        let len = [0, 1, 7, 8, 15, 16, 17, 100, 5000][random.below(9)];
        let mut message = bytes(random, len);
        if len >= 16 && random.below(2) == 0 {
            let (fragment, total) = (near(random, len as u64), near(random, len as u64 - 16));
            message[..8].copy_from_slice(&[len as u64, fragment][random.below(2)].to_ne_bytes());
            message[8..16].copy_from_slice(&[len as u64 - 16, total][random.below(2)].to_ne_bytes());
        }
        let descriptors = [null.as_fd(), borrowed(socket)];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if random.below(2) == 0 {
            control.push(SendAncillaryMessage::ScmRights(&descriptors[..1 + random.below(2)]));
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let _ = sendmsg(borrowed(socket), &[IoSlice::new(&message)], &mut control, flags);
    }
}

fn truncate(random: &mut Random) {
    let mut tried = 0;
    for fd in descriptors() {
        let target = std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap_or_default();
        if target.to_string_lossy().starts_with("/memfd:") {
            tried += 1;
            for len in [0, random.below(1 << 20) as u64 | 1, 1 << 30] {
                let refused = rustix::fs::ftruncate(borrowed(fd), len);
                assert_eq!(refused, Err(rustix::io::Errno::PERM), "{}", target.display());
            }
        }
    }
    assert!(tried >= 2, "a worker has a link and a bell");
}
