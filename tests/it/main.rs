//! Tests with real processes, under `ForkServer` and `Spawn`; `fork.rs` runs the same under `Fork`.

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

mod allocations;
mod async_result;
mod backpressure;
mod builder;
mod callbacks;
mod calls;
mod close_and_join;
mod codec_errors;
mod corruption;
mod drop;
mod executed;
mod exit_report;
mod failing_starts;
mod forked_child;
mod faults;
mod imap;
mod initializer;
mod join_timeout;
mod last_words;
mod leaving;
mod limits;
mod many;
mod max_memory;
mod max_tasks;
mod memory;
mod nesting;
mod options;
mod panics;
mod parent_death;
mod plain;
mod program_end;
mod retries;
mod robust_mutex;
mod share;
mod share_limits;
mod slow_starts;
mod sleepers;
mod start_methods;
mod stubborn;
mod tasks;
mod terminate;
mod time_limits;
mod worker_lost;
