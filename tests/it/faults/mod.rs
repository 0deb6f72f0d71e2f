//! The fault table: what every fault may do, and what it must leave alone.
//!
//! A row runs in a [`Scene`]: a pool of two workers, one of which runs a bystander's item from before the fault until after it,
//! while another thread's jobs go through both. The fault happens, and fails exactly the item that it names. Then the bystanders
//! must be right, a normal job must be right, and both workers must be there and run items at the same time.
//! Deadline and census are the harness's.
//!
//! | Row | Where |
//! | --- | --- |
//! | the worker dies, alone and in a chunk of 1,000 | `deaths`, `worker_lost`, `exit_report` |
//! | a panic of any kind, a value that panics when dropped | `panics`, and `panics.rs` for what is told; `last_words` |
//! | values that fail, panic, crash or exit on their way | `codec`, and `codec_errors.rs` for every call |
//! | idle workers, zygotes, several at once are killed | `killed` |
//! | a worker is stopped | `stopped`; with a limit `time_limits.rs` |
//! | a task takes what is not its own | `manners` |
//! | initializers that fail or hang | `initializer.rs`, `failing_starts.rs` |
//! | no process, descriptor or memory is left | `scarce` |
//! | callbacks | `callbacks`, and `callbacks.rs` for what they are given |
//! | a forked child | `forked_child.rs` |
//! | bytes of a connection are corrupt | `corruption` |
//!
//! What the program can do about work that runs is elsewhere:
//!
//! | Control | Where |
//! | --- | --- |
//! | timeouts, soft and hard, and deadlines | `time_limits.rs` |
//! | cancel, and dropping a lazy call | `time_limits.rs`, `async_result.rs`, `imap.rs` |
//! | retries, and no second run without them | `retries.rs`; `killed`, `deaths` |
//! | terminate, join and drop within their time | `terminate.rs`, `stubborn.rs`, `join_timeout.rs`, `drop.rs` |
//! | conditions of workers, and what is said of who dies of them | `limits.rs`, `max_memory.rs`, `exit_report.rs` |
//! | Ctrl-C, and every end of the program | `program_end.rs`, `parent_death.rs`, `start_methods.rs` |

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};

use pool::{AsyncResult, Error, Exit, Pool, StartMethod};

use crate::support::{Case, Gate, Log, Over, PATIENCE, start, tasks};

mod callbacks;
mod codec;
mod deaths;
mod killed;
mod manners;
mod panics;
mod scarce;
mod stopped;

/// The cases of all modules below.
#[allow(dead_code)]
pub(crate) const MODULES: &[&[Case]] = &[
    callbacks::CASES,
    codec::CASES,
    deaths::CASES,
    killed::CASES,
    manners::CASES,
    panics::CASES,
    scarce::CASES,
    stopped::CASES,
];

/// What stands around a fault.
struct Scene {
    pool: Pool,
    log: Log,
    gate: Gate,
    /// Keeps one worker busy until the gate opens.
    held: AsyncResult<u64>,
}

impl Scene {
    /// Two workers, one of which runs the bystander's item by now.
    fn set(method: StartMethod) -> Self {
        let pool = start(method, 2);
        let (log, gate) = (Log::new(), Gate::new());
        let held = pool.apply_async(tasks::noted_gated, (log.path(), gate.path(), 7));
        log.wait_for(1);
        Self { pool, log, gate, held }
    }

    /// Looks at everything that the fault had nothing to do with.
    fn check(self) {
        self.gate.open();
        assert_eq!(self.held.get().expect("the bystander does not notice"), 7);
        assert_eq!(self.log.count(), 1, "nobody ran the bystander's item twice");
        follow(&self.pool);
    }
}

/// A normal job, and one that needs all workers at the same time.
fn follow(pool: &Pool) {
    assert_eq!(pool.map(tasks::square, 0..1000).expect("a normal job"), squares(1000));
    let (log, gate) = (Log::new(), Gate::new());
    let workers = pool.worker_count();
    let all =
        pool.starmap_async(tasks::noted_gated, (0..workers as u64).map(|n| (log.path(), gate.path(), n)));
    log.wait_for(workers);
    gate.open();
    assert_eq!(all.get().expect("a normal job").len(), workers);
    assert_eq!(pool.worker_pids().len(), workers);
}

fn squares(count: u64) -> Vec<u64> {
    (0..count).map(|n| n * n).collect()
}

/// A row of the table: `fault` makes it happen and checks what the item got.
fn row(method: StartMethod, fault: impl FnOnce(&Pool)) {
    let scene = Scene::set(method);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let jobs = scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                assert_eq!(scene.pool.map(tasks::square, 0..200).expect("a bystander's job"), squares(200));
            }
        });
        let over = Over(&is_over);
        fault(&scene.pool);
        drop(over);
        jobs.join().expect("the bystander's jobs are right");
    });
    scene.check();
}

/// Holds up the thread of callbacks until what this returns is dropped, so that what is queued there meanwhile is dropped
/// there too, and not where handles are.
fn hold_callbacks(pool: &Pool) -> Sender<()> {
    let (hold, held) = mpsc::channel();
    let (entered, enters) = mpsc::channel();
    drop(pool.apply_async(tasks::square, (3,)).callback(move |_| {
        entered.send(()).unwrap();
        // Nothing is sent; it ends with the sender.
        let _ = held.recv();
    }));
    enters.recv_timeout(PATIENCE).expect("the callback runs");
    hold
}

/// The item, process and end of an error that must be a `WorkerLost`.
#[track_caller]
fn lost(error: Error) -> (usize, u32, Exit) {
    let Error::WorkerLost { index, pid, exit, .. } = error else { panic!("{error:?}") };
    (index, pid, exit)
}
