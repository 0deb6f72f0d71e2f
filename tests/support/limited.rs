//! Tasks that take too long, or fail some times before they succeed.

use std::process::Command;
use std::time::Duration;

use pool::pool_task;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::report::{self, Log, note};
use super::tasks::end_process;

/// Sleeps for that many milliseconds, and returns them.
#[pool_task]
pub fn sleep(millis: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(millis));
    millis
}

/// Notes the number, then sleeps for that many milliseconds and returns them.
#[pool_task]
pub fn noted_sleep(log: &str, n: u64, millis: u64) -> u64 {
    note(log, n);
    std::thread::sleep(Duration::from_millis(millis));
    millis
}

/// Notes the worker's process id and waits for the gate.
#[pool_task]
pub fn pid_gated(log: &str, gate: &str, n: u64) -> u64 {
    note(log, std::process::id());
    report::pass(gate);
    n
}

/// Does not come back, not even for SIGTERM.
#[pool_task]
pub fn ignore_sigterm_and_hang() {
    // SAFETY: ignoring a signal installs no code.
    unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
    report::linger();
}

/// Starts a program, notes its process id, and does not come back.
#[pool_task]
pub fn start_child_and_hang(log: &str) {
    let mut child = Command::new("sleep").arg("600").spawn().expect("the program starts");
    note(log, child.id());
    let _ = child.wait();
}

/// Starts a program and returns its process id.
#[pool_task]
pub fn start_child() -> u32 {
    Command::new("sleep").arg("600").spawn().expect("the program starts").id()
}

/// Works until it is told to end.
#[pool_task]
pub fn until_interrupted_for(_item: u64) {
    work();
}

fn work() {
    while !pool::interrupted() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The time of a clock that all processes share.
pub fn now() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// What an item saw, by [`now`].
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Seen {
    /// It was told to end when it looked first.
    pub at_start: bool,
    /// After that look.
    pub begun: Duration,
    /// Before it ended.
    pub ended: Duration,
}

/// How an item passes its time.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Pastime {
    /// It sleeps for so long.
    Sleep(Duration),
    /// It works until it is told to end.
    UntilTold,
}

/// Looks whether it is told to end, passes its time, and tells when that was.
#[pool_task]
pub fn seen(pastime: Pastime) -> Seen {
    let (at_start, begun) = (pool::interrupted(), now());
    match pastime {
        Pastime::Sleep(time) => std::thread::sleep(time),
        Pastime::UntilTold => work(),
    }
    Seen { at_start, begun, ended: now() }
}

/// The worker's process id and the time.
#[pool_task]
pub fn pid_and_time() -> (u32, Duration) {
    (std::process::id(), now())
}

/// Notes that it runs, works until it is told to end, and notes that.
#[pool_task]
pub fn noted_until_interrupted(log: &str) {
    note(log, "runs");
    work();
    note(log, "ends");
}

/// Notes the call, and tells the how manieth it is, counted from 1.
fn call_number(log: &str) -> usize {
    note(log, "call");
    std::fs::read_to_string(log).expect("it was just written").lines().count()
}

/// Its worker dies in the first `times` calls; returns the number of the call.
#[pool_task]
pub fn die_at_first(log: &str, times: usize) -> usize {
    let call = call_number(log);
    if call <= times {
        end_process("kill");
    }
    call
}

/// Does not come back from the first `times` calls; returns the number of the call.
#[pool_task]
pub fn hang_at_first(log: &str, times: usize) -> usize {
    let call = call_number(log);
    if call <= times {
        report::linger();
    }
    call
}

/// Panics in the first `times` calls; returns the number of the call.
#[pool_task]
pub fn panic_at_first(log: &str, times: usize) -> usize {
    let call = call_number(log);
    assert!(call > times, "not yet");
    call
}

/// Notes the number and returns it; its worker dies the first time that it is 50.
#[pool_task]
pub fn noted_dies_once_at_50(log: &str, deaths: &str, n: u64) -> u64 {
    note(log, n);
    if n == 50 && report::is_first(deaths) {
        end_process("kill");
    }
    n
}

/// The process ids that [`pid_gated`] noted.
pub fn pids(log: &Log) -> Vec<u32> {
    log.lines().iter().map(|line| line.parse().expect("a process id")).collect()
}
