//! Tasks that many tests use.

use std::panic::catch_unwind;

use pool::pool_task;
use rustix::process::{Signal, getpid, kill_process};

use super::report::{self, note};

/// Squares a number.
#[pool_task]
pub fn square(n: u64) -> u64 {
    n * n
}

/// Adds two numbers.
#[pool_task]
pub fn add(a: i64, b: i64) -> i64 {
    a + b
}

/// Does nothing.
#[pool_task]
pub fn nothing() {}

/// The worker's process id.
#[pool_task]
pub fn own_pid() -> u32 {
    std::process::id()
}

/// The worker's process id, for `map`.
#[pool_task]
pub fn pid_for(_item: u64) -> u32 {
    std::process::id()
}

/// Notes the number, then returns it.
#[pool_task]
pub fn noted(log: &str, n: u64) -> u64 {
    note(log, n);
    n
}

/// Waits for the gate, then returns the number.
#[pool_task]
pub fn gated(gate: &str, n: u64) -> u64 {
    report::pass(gate);
    n
}

/// Notes the number, waits for the gate, then returns the number.
#[pool_task]
pub fn noted_gated(log: &str, gate: &str, n: u64) -> u64 {
    note(log, n);
    report::pass(gate);
    n
}

/// Notes its process id and does not come back.
#[pool_task]
pub fn linger(log: &str) {
    note(log, std::process::id());
    report::linger();
}

/// Panics on odd numbers.
#[pool_task]
pub fn only_even(n: u64) -> u64 {
    assert!(n % 2 == 0, "{n} is odd");
    n
}

/// Notes the number; panics if it is in the list.
#[pool_task]
pub fn noted_unless(log: &str, bad: &[u64], n: u64) -> u64 {
    note(log, n);
    assert!(!bad.contains(&n), "{n} is bad");
    n
}

/// Returns the number, unless it is `bad`; then the worker dies.
#[pool_task]
pub fn dies_on(bad: u64, how: &str, n: u64) -> u64 {
    if n == bad {
        end_process(how);
    }
    n
}

/// Notes the number; then the worker dies if it is `bad`.
#[pool_task]
pub fn noted_dies_on(log: &str, bad: u64, how: &str, n: u64) -> u64 {
    note(log, n);
    if n == bad {
        end_process(how);
    }
    n
}

/// The worker dies.
#[pool_task]
pub fn die(how: &str) {
    end_process(how);
}

/// Ends this process in one of several ways.
pub fn end_process(how: &str) {
    match how {
        "kill" => drop(kill_process(getpid(), Signal::KILL)),
        // The runtime's handler takes itself out and returns the first time, so that a true fault comes again.
        "raise segv" => {
            for _ in 0..2 {
                let _ = kill_process(getpid(), Signal::SEGV);
            }
        }
        "segv" => {
            let nowhere = std::ptr::without_provenance::<u8>(8);
            // SAFETY: the point is that it is not; the kernel ends the process.
            unsafe { nowhere.read_volatile() };
        }
        "bus" => touch_what_was_cut_off(),
        "abort" => std::process::abort(),
        "exit" => std::process::exit(3),
        // SAFETY: `_exit` has no preconditions.
        "_exit" => unsafe { libc::_exit(4) },
        "exit caught" => drop(catch_unwind(|| catch_unwind(|| std::process::exit(3)))),
        "exit in a thread" => drop(std::thread::spawn(|| std::process::exit(3)).join()),
        "overflow" => drop(dig(1)),
        "overflow in a thread" => drop(std::thread::spawn(|| dig(1)).join()),
        "panic twice" => {
            let _second = PanicsWhenDropped;
            panic!("first");
        }
        other => panic!("no such way to die: {other}"),
    }
}

/// Needs more stack than there is. Not a tail call, and nothing that could be left out.
fn dig(depth: u64) -> u64 {
    let room = std::hint::black_box([depth; 64]);
    if depth == u64::MAX { 0 } else { dig(depth + 1) + std::hint::black_box(room)[depth as usize % 64] }
}

/// Reads a mapped page that its file no longer has.
fn touch_what_was_cut_off() {
    let file = rustix::fs::memfd_create("cut", rustix::fs::MemfdFlags::CLOEXEC).expect("a file in memory");
    rustix::fs::ftruncate(&file, 4096).expect("a page");
    let (access, sharing) = (rustix::mm::ProtFlags::READ, rustix::mm::MapFlags::SHARED);
    // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing.
    let page = unsafe { rustix::mm::mmap(std::ptr::null_mut(), 4096, access, sharing, &file, 0) };
    rustix::fs::ftruncate(&file, 0).expect("no page");
    // SAFETY: the point is that it is not; the kernel ends the process.
    unsafe { page.expect("a mapping").cast::<u8>().read_volatile() };
}

/// A value whose `Drop` panics.
#[derive(Debug)]
pub struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

/// Returns that many bytes.
#[pool_task]
pub fn bytes(count: usize) -> Vec<u8> {
    vec![7; count]
}

/// Sums numbers up.
#[pool_task]
pub fn sum(numbers: &[f64]) -> f64 {
    numbers.iter().sum()
}

/// Returns what it gets.
#[pool_task]
pub fn echo(numbers: Vec<f64>) -> Vec<f64> {
    numbers
}

/// Returns what it gets.
#[pool_task]
pub fn echo_text(text: &str) -> String {
    text.to_owned()
}

/// Number of bytes that it gets.
#[pool_task]
pub fn length(block: &[u8]) -> usize {
    block.len()
}

/// Sums numbers up that it owns.
#[pool_task]
pub fn sum_of(numbers: Vec<f64>) -> f64 {
    numbers.iter().sum()
}

/// Returns the number; as quick as [`dies_on`], from which the pool learns how long items take.
#[pool_task]
pub fn dies_on_nothing(n: u64) -> u64 {
    n
}

/// Returns the number, unless it is 0; then the worker is killed.
#[pool_task]
pub fn dies_on_number(n: u64) -> u64 {
    if n == 0 {
        end_process("kill");
    }
    n
}
