//! Counts the words of all text files under a directory, one file an item.
//!
//! ```text
//! cargo run --release --example quickstart [DIRECTORY]
//! ```
//!
//! Then it does the same work in one process alone and prints how the two compare. Without an argument it
//! takes this repository, which is so small that workers hardly pay; give it a larger directory.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs};

use pool::Pool;
use tasks::Counted;

/// Directories that are not entered: nobody wrote what is in them.
const NOT_ENTERED: [&str; 2] = [".git", "target"];
/// How many lines of a long list are printed.
const LINES: usize = 10;

mod tasks {
    use std::collections::HashMap;
    use std::path::Path;
    use std::time::{Duration, Instant};
    use std::{fs, process};

    use serde::{Deserialize, Serialize};

    /// What one file holds, and who found out in which time.
    #[derive(Serialize, Deserialize)]
    pub(super) struct Counted {
        pub(super) worker: u32,
        pub(super) bytes: usize,
        pub(super) time: Duration,
        /// The different words, each followed by a space: one string travels faster than thousands.
        pub(super) words: String,
        /// How often each of them occurs.
        pub(super) counts: Vec<u64>,
    }

    /// Counts the words of one file. For the pool, what may be wrong with the file is a value like any other.
    #[pool::pool_task]
    pub(super) fn count(path: &Path) -> Result<Counted, String> {
        let start = Instant::now();
        let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let text = std::str::from_utf8(&bytes).map_err(|_| format!("{}: not UTF-8", path.display()))?;
        let mut found: HashMap<String, u64> = HashMap::new();
        for word in text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()) {
            *found.entry(word.to_lowercase()).or_default() += 1;
        }
        let mut words = String::new();
        found.keys().for_each(|word| words.extend([word, " "]));
        let counts = found.into_values().collect();
        Ok(Counted { worker: process::id(), bytes: bytes.len(), time: start.elapsed(), words, counts })
    }
}

/// What all files hold, or those of one worker.
#[derive(Default)]
struct Sum {
    files: usize,
    bytes: usize,
    time: Duration,
    words: HashMap<String, u64>,
}

impl Sum {
    fn add_numbers(&mut self, counted: &Counted) {
        self.files += 1;
        self.bytes += counted.bytes;
        self.time += counted.time;
    }

    fn add(&mut self, counted: Counted) {
        self.add_numbers(&counted);
        for (word, count) in counted.words.split(' ').zip(counted.counts) {
            match self.words.get_mut(word) {
                Some(sum) => *sum += count,
                None => drop(self.words.insert(word.to_owned(), count)),
            }
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let this_repository = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let root = env::args_os().nth(1).map_or_else(|| PathBuf::from(this_repository), PathBuf::from);
    let root = root.canonicalize().map_err(|error| format!("{}: {error}", root.display()))?;
    let (mut files, mut skipped) = (Vec::new(), Vec::new());
    find_files(&root, &mut files, &mut skipped);
    println!(
        "{} files under {}, without symbolic links and what is in directories named {}",
        files.len(),
        root.display(),
        NOT_ENTERED.join(" or ")
    );
    // Every file is read once beforehand, so that neither contestant waits for the disk.
    files.iter().for_each(|file| drop(fs::read(file)));

    let start = Instant::now();
    let pool = Pool::new()?;
    let start_up = start.elapsed();
    let mut workers: BTreeMap<_, _> =
        pool.worker_pids().into_iter().map(|pid| (pid, Sum::default())).collect();
    let mut total = Sum::default();
    for result in pool.imap_unordered(tasks::count, files.iter().map(PathBuf::as_path)) {
        match result {
            Ok(Ok(counted)) => {
                workers.entry(counted.worker).or_default().add_numbers(&counted);
                total.add(counted);
            }
            Ok(Err(reason)) => skipped.push(reason),
            Err(error) => skipped.push(explain(&error, &files)),
        }
    }
    let in_pool = start.elapsed();
    pool.close();
    pool.join()?;

    let start = Instant::now();
    let mut again = Sum::default();
    // A task is still a function, and this calls it right here.
    files.iter().filter_map(|file| tasks::count(file).ok()).for_each(|counted| again.add(counted));
    let alone = start.elapsed();

    print_skipped(&skipped);
    print_words(&total);
    print_workers(&workers);
    print_times(in_pool, start_up, alone, workers.len());
    if total.words == again.words { Ok(()) } else { Err("one process alone counted other words".into()) }
}

/// Collects the files under a path, and what could not be looked at.
fn find_files(path: &Path, files: &mut Vec<PathBuf>, skipped: &mut Vec<String>) {
    if path.is_file() {
        return files.push(path.to_owned());
    }
    let mut entries: Vec<_> = match fs::read_dir(path) {
        Ok(entries) => entries.filter_map(Result::ok).collect(),
        Err(error) => return skipped.push(format!("{}: {error}", path.display())),
    };
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        match entry.file_type() {
            Ok(kind) if kind.is_file() => files.push(entry.path()),
            Ok(kind) if kind.is_dir() && !NOT_ENTERED.iter().any(|name| entry.file_name() == **name) => {
                find_files(&entry.path(), files, skipped);
            }
            Ok(_) => {}
            Err(error) => skipped.push(format!("{}: {error}", entry.path().display())),
        }
    }
}

/// An error of the pool is about one file too: its path cannot be encoded, say, or its worker died.
fn explain(error: &pool::Error, files: &[PathBuf]) -> String {
    let mut text = match error.index() {
        Some(index) => format!("{}: {error}", files[index].display()),
        None => error.to_string(),
    };
    if let Some(cause) = error.source() {
        text.push_str(&format!(": {cause}"));
    }
    text
}

fn print_skipped(skipped: &[String]) {
    if skipped.is_empty() {
        return;
    }
    println!("\nSkipped: {}", skipped.len());
    skipped.iter().take(LINES).for_each(|reason| println!("  {reason}"));
    if skipped.len() > LINES {
        println!("  .. and {} more", skipped.len() - LINES);
    }
}

fn print_words(total: &Sum) {
    let all: u64 = total.words.values().sum();
    println!("\n{all} words, {} of them different; the most frequent:", total.words.len());
    let mut words: Vec<_> = total.words.iter().collect();
    words.sort_by(|(a, less), (b, more)| more.cmp(less).then(a.cmp(b)));
    words.iter().take(LINES).for_each(|(word, count)| println!("{count:>10}  {word}"));
}

fn print_workers(workers: &BTreeMap<u32, Sum>) {
    println!("\n{:>10} {:>8} {:>12} {:>9}", "worker", "files", "bytes", "seconds");
    for (pid, sum) in workers {
        println!("{pid:>10} {:>8} {:>12} {:>9.3}", sum.files, sum.bytes, sum.time.as_secs_f64());
    }
}

fn print_times(in_pool: Duration, start_up: Duration, alone: Duration, workers: usize) {
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    let work = in_pool - start_up;
    println!("\none process alone {:>9.1} ms", millis(alone));
    println!("pool of {workers:<10}{:>9.1} ms, after {:.1} ms to start it", millis(work), millis(start_up));
    let ratio = |time| alone.as_secs_f64() / f64::max(Duration::as_secs_f64(&time), 1e-9);
    println!("ratio {:>21.2}    ({:.2} with the start)", ratio(work), ratio(in_pool));
    if in_pool > alone {
        println!(
            "So little text, or so busy a machine, does not pay for the start and for sending the counts."
        );
        println!("Try a larger directory.");
    }
}
