//! What it costs to make a process and to collect it, in seconds.

use std::env;
use std::process::{Command, Stdio};
use std::time::Instant;

use pool::pool_task;

use super::super::memory::fork_and_wait;
use super::super::ours;

/// A process as small as the zygote is forked and ends at once.
pub(super) fn fork(times: usize) -> f64 {
    let pool = ours::make(1).expect("a worker can be started");
    pool.apply(fork_here, (times,)).expect("a worker may fork")
}

/// A worker is a fork of the zygote and has one thread, so its forks cost what the zygote's do.
#[pool_task]
fn fork_here(times: usize) -> f64 {
    let start = Instant::now();
    (0..times).for_each(|_| fork_and_wait());
    start.elapsed().as_secs_f64() / times as f64
}

pub(super) fn empty_program(times: usize) -> f64 {
    run(times, || Command::new("/bin/true"))
}

/// This program has more to load.
pub(super) fn own_program(times: usize) -> f64 {
    let program = env::current_exe().expect("a program knows its file");
    run(times, || {
        let mut command = Command::new(&program);
        command.args(["--bench", "--nothing"]);
        command
    })
}

fn run(times: usize, command: impl Fn() -> Command) -> f64 {
    let start = Instant::now();
    for _ in 0..times {
        let status = command().stdin(Stdio::null()).status();
        assert!(status.is_ok_and(|status| status.success()), "it does nothing, successfully");
    }
    start.elapsed().as_secs_f64() / times as f64
}
