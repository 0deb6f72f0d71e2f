//! What all tests share.
//!
//! A test is a [`Case`]: a plain function of a start method, listed with [`cases!`](crate::cases). Every case runs in a
//! process of its own (see [`case`]), so that nothing another test does disturbs its [`census`]. Tasks tell
//! the test what they do through files (see [`report`]), because that survives whatever happens to a worker.

pub mod before_main;
pub mod case;
pub mod census;
pub mod fickle;
pub mod limited;
pub mod processes;
pub mod program;
pub mod report;
pub mod tasks;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pool::{Imap, Pool, StartMethod};

pub use case::{Case, check, run_all};
pub use program::Program;
pub use report::{Gate, Log, note, pass};

/// How long anything may take that should happen at once. Long, because the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Starts a pool.
pub fn start(method: StartMethod, workers: usize) -> Pool {
    Pool::builder().start_method(method).workers(workers).build().expect("the pool starts")
}

/// Waits until a condition holds, and panics if it does not come true.
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    assert!(comes_true(PATIENCE, &mut condition), "not within {PATIENCE:?}: {what}");
}

/// Tells whether a condition comes true within that time.
pub fn comes_true(patience: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    while !condition() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

/// Drops what holds pools; tells whether it took less than the time for which drop waits, so that nothing of them is left.
pub fn drop_in_time<T>(holder: T) -> bool {
    const PATIENCE_OF_DROP: Duration = Duration::from_secs(2);
    let start = Instant::now();
    drop(holder);
    start.elapsed() < PATIENCE_OF_DROP
}

/// Sees to it that pools that were dropped leave no process. Only one whose drop lost its patience may have left some, and the
/// thread that ends them.
#[track_caller]
pub fn no_process_is_left(was_in_time: bool) {
    // Asked first, because it ends once they are gone.
    let is_at_work = processes::has_thread("pool-supervisor");
    let children = processes::children();
    assert!(
        children.is_empty() || !was_in_time && is_at_work,
        "{children:?} are left; in time: {was_in_time}, somebody ends them: {is_at_work}"
    );
    wait_until("no process is left", || processes::children().is_empty());
}

/// Drops what holds pools, and sees to it that none of their processes stays.
#[track_caller]
pub fn leaves_no_process<T>(holder: T) {
    no_process_is_left(drop_in_time(holder));
}

/// Ends the bystander's jobs, also if the fault's own checks panic.
#[derive(Debug)]
pub struct Over<'f>(pub &'f AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Waits for a condition while it keeps asking a lazy call, whose workers are held up, for its next result: nobody
/// else reads its input.
#[track_caller]
pub fn ask_until<R: std::fmt::Debug>(
    results: &mut Imap<'_, R>,
    what: &str,
    mut condition: impl FnMut() -> bool,
) {
    wait_until(what, || {
        let result = results.next_timeout(Duration::from_millis(1));
        assert!(result.is_none(), "{result:?}");
        condition()
    });
}

/// Runs code that should panic; returns the message.
pub fn panic_of<R>(code: impl FnOnce() -> R) -> String {
    match catch_unwind(AssertUnwindSafe(code)) {
        Ok(_) => panic!("no panic came"),
        Err(payload) => match payload.downcast::<String>() {
            Ok(text) => *text,
            Err(payload) => {
                payload.downcast_ref::<&str>().map_or_else(String::new, |text| (*text).to_owned())
            }
        },
    }
}

/// Resident memory of this process, in bytes.
pub fn resident_bytes() -> usize {
    status_field("VmRSS:")
}

/// Resident memory of this process that is neither a file's nor shared, in bytes.
pub fn anonymous_bytes() -> usize {
    status_field("RssAnon:")
}

/// The most resident memory that this process had since [`reset_peak`], in bytes.
pub fn peak_bytes() -> usize {
    status_field("VmHWM:")
}

/// Forgets the peak of resident memory.
pub fn reset_peak() {
    std::fs::write("/proc/self/clear_refs", "5").expect("the kernel forgets the peak");
}

fn status_field(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("every process has a status");
    let line = status.lines().find(|line| line.starts_with(name)).expect("the field is there");
    let kib: usize =
        line[name.len()..].trim().trim_end_matches("kB").trim().parse().expect("a number of KiB");
    kib << 10
}

/// Random numbers that can be had again from their seed, which is printed.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// Seeds from the environment variable `IT_SEED` or the clock.
    pub fn new() -> Self {
        let clock = || std::time::UNIX_EPOCH.elapsed().map_or(1, |time| time.as_nanos() as u64);
        let seed = std::env::var("IT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(clock);
        println!("IT_SEED={seed}");
        Self::seeded(seed as usize)
    }

    /// The numbers that belong to a seed.
    pub fn seeded(seed: usize) -> Self {
        Self(seed as u64 | 1)
    }

    /// The next number below `end` (xorshift64*).
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }
}

impl Default for Random {
    fn default() -> Self {
        Self::new()
    }
}
