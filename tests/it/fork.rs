//! The cases of `main.rs` under `Fork`: without libtest, each on the main and only thread of a process.

use tests::{cases, support};

/// Scenarios that need a program of their own.
const PROGRAM: &str = env!("CARGO_BIN_EXE_program");
/// How programs end, and with what.
const PROGRAM_MORTAL: &str = env!("CARGO_BIN_EXE_program_mortal");
/// What a program does with a pool after it forked itself.
const PROGRAM_FORKED: &str = env!("CARGO_BIN_EXE_program_forked");
/// What a pool does where the system has no more of something.
const PROGRAM_SCARCE: &str = env!("CARGO_BIN_EXE_program_scarce");
/// One whose `main` is marked with `#[pool::main]`.
const PROGRAM_WITH_MAIN: &str = env!("CARGO_BIN_EXE_program_with_main");
/// One with two tasks of one name.
const PROGRAM_WITH_TWINS: &str = env!("CARGO_BIN_EXE_program_with_twins");

macro_rules! modules {
    ($($module:ident)*) => {
        $(mod $module;)*
        mod faults;

        fn main() -> std::process::ExitCode {
            support::run_all(&[&[$($module::CASES),*], faults::MODULES].concat())
        }
    };
}

modules! {
    allocations
    async_result
    backpressure
    builder
    callbacks
    calls
    close_and_join
    codec_errors
    corruption
    drop
    executed
    exit_report
    failing_starts
    forked_child
    imap
    initializer
    join_timeout
    last_words
    leaving
    limits
    many
    max_memory
    max_tasks
    memory
    nesting
    options
    panics
    parent_death
    plain
    program_end
    retries
    robust_mutex
    share
    share_limits
    slow_starts
    sleepers
    start_methods
    stubborn
    tasks
    terminate
    time_limits
    worker_lost
}
