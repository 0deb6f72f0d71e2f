//! What only this pool is asked: what it costs while nothing happens, and how it grows.

mod crowd;
mod growth;
mod proc;
mod rest;

use super::marks::Quantity;

/// One figure, and how to measure it once.
pub(super) struct Special {
    /// Its name in the program.
    pub(super) key: &'static str,
    pub(super) title: &'static str,
    pub(super) quantity: Quantity,
    pub(super) most_rounds: usize,
    /// Is told how many workers pools have, and by how much to do less than it might.
    pub(super) measure: fn(usize, usize) -> pool::Result<f64>,
}

const fn special(
    key: &'static str,
    title: &'static str,
    quantity: Quantity,
    most_rounds: usize,
    measure: fn(usize, usize) -> pool::Result<f64>,
) -> Special {
    Special { key, title, quantity, most_rounds, measure }
}

/// All of them, in the order they are printed in.
pub(super) const SPECIALS: &[Special] = &[
    special(
        "idle_cpu",
        "CPU time of workers, zygote and the pool's threads, a second in which nothing is asked of them",
        Quantity::Seconds,
        3,
        rest::idle_cpu,
    ),
    special(
        "idle_memory",
        "memory of an idle worker beyond the program's own pages",
        Quantity::Bytes,
        3,
        rest::idle_memory,
    ),
    special(
        "waiting_cpu",
        "CPU of a thread that waits for an item of a second",
        Quantity::Part,
        3,
        rest::waiting_cpu,
    ),
    special(
        "waiting_cpu_all",
        "CPU of the whole pool in that second",
        Quantity::Part,
        3,
        rest::waiting_cpu_of_all,
    ),
    special(
        "faults",
        "page faults a call of program and worker, 16 MiB of numbers, one way, steady state",
        Quantity::Count,
        3,
        growth::faults,
    ),
    special(
        "lazy_memory",
        "memory that `imap` over 100 times as many items needs more at its peak",
        Quantity::Bytes,
        3,
        growth::lazy_memory,
    ),
    special(
        "constant_item",
        "an item that uses a shared value of 200 MB, of the same with one of 8 bytes",
        Quantity::Times,
        3,
        growth::constant_item,
    ),
    special("crowd_apply", "`apply` in a pool of 8 workers", Quantity::Seconds, 9, crowd::apply),
    special(
        "crowd_map",
        "`map` in chunks of 1 with 8 workers, of the same with as many as there are CPUs",
        Quantity::Times,
        9,
        crowd::map,
    ),
    special("blocked", "64 threads that block in `apply`, a call", Quantity::Seconds, 9, crowd::blocked),
    special(
        "sleepers:1",
        "500 sleeps of 1 ms by 5 bare threads, over the ideal",
        Quantity::Part,
        3,
        |_, _| Ok(rest::sleepers(1, 500)),
    ),
    special(
        "sleepers:10",
        "100 sleeps of 10 ms by 5 bare threads, over the ideal",
        Quantity::Part,
        3,
        |_, _| Ok(rest::sleepers(10, 100)),
    ),
    special(
        "sleepers:100",
        "20 sleeps of 100 ms by 5 bare threads, over the ideal",
        Quantity::Part,
        3,
        |_, _| Ok(rest::sleepers(100, 20)),
    ),
];
