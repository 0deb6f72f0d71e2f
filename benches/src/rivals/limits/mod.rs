//! What the machine itself can do, measured beside the systems.

mod codec;
mod copies;
mod processes;
mod sleepers;
mod turns;

pub(super) use sleepers::sleepers;

use super::memory::FreshMemory;
use turns::{Places, Turns};

/// One limit, and how to measure it once, in seconds. It is told by how much to do less than it might.
pub(super) struct Limit {
    /// Its name in the program.
    pub(super) key: &'static str,
    pub(super) title: &'static str,
    pub(super) measure: fn(usize) -> f64,
}

const fn limit(key: &'static str, title: &'static str, measure: fn(usize) -> f64) -> Limit {
    Limit { key, title, measure }
}

/// All of them, in the order they are printed in.
pub(super) const LIMITS: &[Limit] = &[
    limit("line", "cache line to another process and back, on two cores", |less| {
        turns::between_processes(Turns::Line, 500_000 / less, Places::Pinned)
    }),
    limit("line_free", "the same, wherever the kernel puts them", |less| {
        turns::between_processes(Turns::Line, 100_000 / less, Places::Free)
    }),
    limit("ring", "16 bytes through a bare ring to another process and back, on two cores", |less| {
        turns::between_processes(Turns::Ring, 300_000 / less, Places::Pinned)
    }),
    limit("bytes:1", "1 KiB of bytes to another core and back, four copies", |less| {
        turns::bytes(1, 20_000 / less)
    }),
    limit("bytes:64", "64 KiB of bytes to another core and back, four copies", |less| {
        turns::bytes(64, 2_000 / less)
    }),
    limit("futex", "futex: wake another process on another core and be woken", |less| {
        turns::between_processes(Turns::Futex, 20_000 / less, Places::Pinned)
    }),
    limit("futex_free", "the same, wherever the kernel puts them", |less| {
        turns::between_processes(Turns::Futex, 20_000 / less, Places::Free)
    }),
    limit("futex_paused", "the same with pauses of 1 ms", |less| {
        turns::between_processes(Turns::PausedFutex, 400 / less, Places::Free)
    }),
    limit("futex_paused_cores", "the same with pauses of 1 ms, on two cores", |less| {
        turns::between_processes(Turns::PausedFutex, 400 / less, Places::Pinned)
    }),
    limit("park", "park and unpark: hand over to the next of 64 threads", |less| turns::token(40_000 / less)),
    limit("ipc", "ipc-channel, a number there and back", |less| turns::ipc_round_trip(5_000 / less)),
    limit("codec", "encode, copy, decode on both ways, 1,000,000 squares in one thread, an item", |less| {
        codec::encode_copy_decode(1_000_000 / less)
    }),
    limit("copy_warm:16", "copy 16 MiB into warm memory, a MiB", |less| copies::warm(16, 20 / less)),
    limit("copy_warm:256", "copy 256 MiB into warm memory, a MiB", |_| copies::warm(256, 1)),
    limit("copy_fresh:16", "copy 16 MiB into fresh private memory, a MiB", |less| {
        copies::fresh(16, 10 / less, FreshMemory::private)
    }),
    limit("copy_fresh:256", "copy 256 MiB into fresh private memory, a MiB", |_| {
        copies::fresh(256, 1, FreshMemory::private)
    }),
    limit("copy_shared:16", "copy 16 MiB into fresh shared memory, a MiB", |less| {
        copies::fresh(16, 10 / less, FreshMemory::shared)
    }),
    limit("fork", "fork a process of a worker's size and wait for its end", |less| {
        processes::fork(200 / less)
    }),
    limit("exec", "start `/bin/true` and wait for its end", |less| processes::empty_program(50 / less)),
    limit("exec_own", "start this program, which ends at once, and wait for its end", |less| {
        processes::own_program(20 / less)
    }),
];
