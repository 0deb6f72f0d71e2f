//! How tasks tell a test what they do, and how a test holds them up: through files, which outlive every process.

use std::fmt::Display;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::case::SCRATCH;
use super::{PATIENCE, comes_true, wait_until};

/// A path for a file of this case that no other file has.
pub fn scratch_path(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let directory = std::env::var_os(SCRATCH).map_or_else(std::env::temp_dir, PathBuf::from);
    // Processes tell of their directory by the path without links.
    let directory = fs::canonicalize(&directory).unwrap_or(directory);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    directory.join(format!("{}-{number}-{name}", std::process::id()))
}

/// A file to which processes append lines.
#[derive(Debug)]
pub struct Log {
    path: String,
}

impl Log {
    /// An empty one.
    pub fn new() -> Self {
        Self { path: scratch_path("log").to_string_lossy().into_owned() }
    }

    /// What tasks need to [`note`] something.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// All lines so far, in the order in which they were written.
    pub fn lines(&self) -> Vec<String> {
        fs::read_to_string(&self.path).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// All lines so far as numbers, sorted.
    pub fn sorted(&self) -> Vec<u64> {
        let mut numbers: Vec<_> = self.lines().iter().map(|line| line.parse().expect("a number")).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Number of lines so far.
    pub fn count(&self) -> usize {
        self.lines().len()
    }

    /// Waits until that many lines are there.
    #[track_caller]
    pub fn wait_for(&self, lines: usize) {
        wait_until(&format!("{lines} lines in the log, which has {}", self.count()), || {
            self.count() >= lines
        });
    }
}

impl Default for Log {
    fn default() -> Self {
        Self::new()
    }
}

/// Appends a line to a log, in one piece.
pub fn note(log: &str, line: impl Display) {
    let mut file = OpenOptions::new().append(true).create(true).open(log).expect("the log can be opened");
    file.write_all(format!("{line}\n").as_bytes()).expect("the log can be written");
}

/// Holds tasks up until it is opened. It opens when it is dropped, so that a failing test ends.
#[derive(Debug)]
pub struct Gate {
    path: String,
}

impl Gate {
    /// A closed one.
    pub fn new() -> Self {
        Self { path: scratch_path("gate").to_string_lossy().into_owned() }
    }

    /// What tasks need to [`pass`] it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Lets everybody through.
    pub fn open(&self) {
        fs::write(&self.path, "").expect("the gate can be opened");
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = fs::write(&self.path, "");
    }
}

/// Waits until a gate is open; panics if it stays closed.
pub fn pass(gate: &str) {
    assert!(comes_true(2 * PATIENCE, || Path::new(gate).exists()), "the gate stayed closed");
}

/// True the first time that any process asks with this path.
pub fn is_first(path: &str) -> bool {
    OpenOptions::new().write(true).create_new(true).open(path).is_ok()
}

/// Keeps a task busy for a time that no test waits for.
pub fn linger() {
    std::thread::sleep(Duration::from_secs(600));
}
