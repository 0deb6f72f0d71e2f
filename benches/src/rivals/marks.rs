//! The marks that this pool is to meet, checked against what was measured.

use std::fmt::Write;

use super::book::{Book, LIMIT};
use super::lost;
use super::stats::{human, three_digits};

/// What a figure is a number of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantity {
    Seconds,
    Times,
    /// Parts of one, written as per cent.
    Part,
    Bytes,
    Count,
}

impl Quantity {
    pub(super) fn write(self, value: f64) -> String {
        match self {
            Self::Seconds => human(value),
            Self::Times => format!("{} ×", three_digits(value)),
            Self::Part => format!("{:.2} %", value * 100.0),
            Self::Bytes => format!("{:.0} KiB", value / 1024.0),
            Self::Count => three_digits(value),
        }
    }
}

/// One figure that is to keep to one side of a bound.
struct Check {
    work: &'static str,
    mark: String,
    measured: Option<f64>,
    quantity: Quantity,
    is_met: Option<bool>,
}

/// The table of marks.
pub(super) fn table(book: &Book) -> String {
    let mut out = String::from("| Work | Mark | Measured | |\n|---|---|---|---|\n");
    let mut work = "";
    for check in checks(book) {
        let verdict = match check.is_met {
            Some(true) => "met",
            Some(false) => "**not met**",
            None => "not measured",
        };
        let measured = check.measured.map_or_else(|| "–".to_owned(), |value| check.quantity.write(value));
        let again = if work == check.work { "" } else { check.work };
        writeln!(out, "| {again} | {} | {measured} | {verdict} |", check.mark).expect("a string takes all");
        work = check.work;
    }
    out.push_str(&unmet(book));
    out
}

/// What is known about the marks that are not met.
fn unmet(book: &Book) -> String {
    let mut out = String::new();
    for check in checks(book).iter().filter(|check| check.is_met == Some(false)) {
        let heading = if out.is_empty() { "\nWhat is behind those that are not met:\n\n" } else { "" };
        let why = lost::why_unmet(check.work, &check.mark).unwrap_or("Not understood yet.");
        writeln!(out, "{heading}- {}, {}: {why}", check.work, check.mark).expect("a string takes all");
    }
    out
}

fn at_most(work: &'static str, what: &str, quantity: Quantity, measured: Option<f64>, bound: f64) -> Check {
    let mark = format!("{what} ≤ {}", quantity.write(bound));
    Check { work, mark, measured, quantity, is_met: measured.map(|measured| measured <= bound) }
}

fn at_least(work: &'static str, what: &str, quantity: Quantity, measured: Option<f64>, bound: f64) -> Check {
    let mark = format!("{what} ≥ {}", quantity.write(bound));
    Check { work, mark, measured, quantity, is_met: measured.map(|measured| measured >= bound) }
}

fn ratio(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    one.zip(other).map(|(one, other)| one / other)
}

fn checks(book: &Book) -> Vec<Check> {
    let mut checks = calls(book);
    checks.extend(payloads(book));
    checks.extend(processes(book));
    checks.extend(growth(book));
    checks
}

fn calls(book: &Book) -> Vec<Check> {
    use Quantity::{Seconds, Times};
    let ours = |row| book.ours(row);
    let of_limit = |row, limit| ratio(book.ours(row), book.limit(limit));
    let of_python = |row| ratio(book.median(row, "pool"), book.ours(row));
    const ONE: &str = "round trip back to back";
    const CHUNKS: &str = "chunk size 1";
    const ASYNC: &str = "100,000 `apply_async` + `get`";
    const MAP: &str = "1,000,000 squares, default chunks";
    const LAZY: &str = "`imap`, `imap_unordered`, default";
    const PYTHON: &str = "faster than multiprocessing.Pool";
    vec![
        at_most(ONE, "a call", Seconds, ours("apply"), 1e-6),
        at_most(ONE, "of the bare ring", Times, of_limit("apply", "ring"), 5.0),
        at_least(ONE, PYTHON, Times, of_python("apply"), 100.0),
        at_most(
            ONE,
            "with pauses: of the futex limit, with the same pauses",
            Times,
            of_limit("apply_paused", "futex_paused"),
            2.0,
        ),
        at_most(CHUNKS, "an item", Seconds, ours("map_one"), 0.5e-6),
        at_least(CHUNKS, PYTHON, Times, of_python("map_one"), 50.0),
        at_most(ASYNC, "each", Seconds, ours("apply_async"), 1e-6),
        at_least(ASYNC, PYTHON, Times, of_python("apply_async"), 30.0),
        at_least(MAP, PYTHON, Times, of_python("map"), 12.0),
        at_most(MAP, "of encode + copy + decode on one core", Times, of_limit("map", "codec"), 3.0),
        at_most(LAZY, "`imap`, an item", Seconds, ours("imap"), 0.1e-6),
        at_most(LAZY, "`imap_unordered`, an item", Seconds, ours("imap_unordered"), 0.1e-6),
        at_most(LAZY, "`imap` of `map`", Times, ratio(ours("imap"), ours("map")), 2.0),
        at_most(LAZY, "`imap_unordered` of `map`", Times, ratio(ours("imap_unordered"), ours("map")), 2.0),
    ]
}

fn payloads(book: &Book) -> Vec<Check> {
    use Quantity::{Count, Times};
    const LARGE: &str = "4 MiB and more";
    let mut checks = Vec::new();
    for (row, limit, what) in [
        ("bytes_in:4096", "copy_warm:16", "4 MiB of bytes, one way: of a copy into warm memory"),
        ("bytes_in:16384", "copy_warm:16", "16 MiB of bytes, one way"),
        ("bytes_in:262144", "copy_warm:256", "256 MiB of bytes, one way"),
        ("numbers_in:4096", "copy_warm:16", "4 MiB of numbers, one way"),
        ("numbers_in:16384", "copy_warm:16", "16 MiB of numbers, one way"),
        ("numbers_in:262144", "copy_warm:256", "256 MiB of numbers, one way"),
    ] {
        checks.push(at_most(LARGE, what, Times, ratio(book.ours(row), book.limit(limit)), 1.5));
    }
    for (row, limit, what) in [
        ("bytes:4096", "copy_fresh:16", "4 MiB of bytes, there and back: of a copy into fresh memory"),
        ("bytes:16384", "copy_fresh:16", "16 MiB of bytes, there and back"),
        ("bytes:262144", "copy_fresh:256", "256 MiB of bytes, there and back"),
        ("numbers:4096", "copy_fresh:16", "4 MiB of numbers, there and back"),
        ("numbers:16384", "copy_fresh:16", "16 MiB of numbers, there and back"),
        ("numbers:262144", "copy_fresh:256", "256 MiB of numbers, there and back"),
    ] {
        checks.push(at_most(LARGE, what, Times, ratio(book.ours(row), book.limit(limit)), 2.5));
    }
    let faults = book.median("faults", LIMIT);
    checks.push(at_most(LARGE, "page faults a call, 16 MiB of numbers, one way", Count, faults, 1.0));
    const SHARED: &str = "a constant argument of 200 MB";
    checks.push(at_most(
        SHARED,
        "an item: of the same with a constant of one number",
        Times,
        book.limit("constant_item"),
        1.1,
    ));
    checks
}

fn processes(book: &Book) -> Vec<Check> {
    use Quantity::{Bytes, Part, Seconds, Times};
    let of_limit = |row, limit| ratio(book.ours(row), book.limit(limit));
    const START: &str = "start-up and replacement";
    const UNEVEN: &str = "uneven work, default chunks";
    const IDLE: &str = "idle pool";
    const WAITING: &str = "waiting";
    let excess = |row: &str| book.median(&format!("excess:{row}"), LIMIT);
    // Where others use the CPUs, too, nobody gets near the ideal.
    let over_rayon = |row| ratio(book.ours(row), book.median(row, "rayon")).map(|ratio| ratio - 1.0);
    let over_threads = |millis: &str| {
        let threads = book.median(&format!("sleepers:{millis}"), LIMIT).map(|excess| excess + 1.0);
        let ours = excess(&format!("sleep:{millis}")).map(|excess| excess + 1.0);
        ratio(ours, threads).map(|ratio| ratio - 1.0)
    };
    vec![
        at_most(
            START,
            "`ForkServer` to first result: of exec of an empty program",
            Times,
            of_limit("start:forkserver", "exec"),
            3.0,
        ),
        at_most(
            START,
            "replacing a worker: of a fork of the zygote",
            Times,
            of_limit("replace", "fork"),
            3.0,
        ),
        at_most(UNEVEN, "skewed: over the ideal", Part, excess("skewed"), 0.05),
        at_most(UNEVEN, "the same: over rayon's threads", Part, over_rayon("skewed"), 0.05),
        at_most(UNEVEN, "sawtooth: over the ideal", Part, excess("sawtooth"), 0.05),
        at_most(UNEVEN, "the same: over rayon's threads", Part, over_rayon("sawtooth"), 0.05),
        at_most(UNEVEN, "sleeps of 10 ms: over the ideal", Part, excess("sleep:10"), 0.01),
        at_most(UNEVEN, "the same: over five bare threads", Part, over_threads("10"), 0.01),
        at_most(UNEVEN, "sleeps of 100 ms: over the ideal", Part, excess("sleep:100"), 0.01),
        at_most(UNEVEN, "the same: over five bare threads", Part, over_threads("100"), 0.01),
        at_most(IDLE, "CPU time a second", Seconds, book.limit("idle_cpu"), 0.0),
        at_most(
            IDLE,
            "memory of a worker beyond the program's pages",
            Bytes,
            book.limit("idle_memory"),
            1_048_576.0,
        ),
        at_most(WAITING, "CPU of the waiting thread a second", Part, book.limit("waiting_cpu"), 0.001),
    ]
}

fn growth(book: &Book) -> Vec<Check> {
    use Quantity::{Bytes, Part, Times};
    const CROWD: &str = "more workers than cores";
    const GROWTH: &str = "growth";
    let ours = |row| book.ours(row);
    let per_item = ["items:10000", "items:100000", "items:1000000", "items:10000000"].map(ours);
    let dearer = |more: usize| {
        let fewer = per_item[..more].iter().flatten().copied().reduce(f64::min);
        ratio(per_item[more], fewer)
    };
    let dearest = (1..per_item.len()).filter_map(dearer).reduce(f64::max);
    let threads = ratio(ours("submitters:1"), ours("submitters:64"));
    vec![
        at_most(
            CROWD,
            "`apply`, 8 workers, none of which spins: of the futex limit",
            Times,
            ratio(book.limit("crowd_apply"), book.limit("futex_free")),
            2.0,
        ),
        at_most(
            CROWD,
            "chunks of 1, 8 workers: of 2 workers, which spin",
            Times,
            book.limit("crowd_map"),
            1.1,
        ),
        at_most(GROWTH, "an item from 10^4 to 10^7: of what it is with fewer", Times, dearest, 1.5),
        at_most(
            GROWTH,
            "lazy calls: memory for 100 times the items",
            Bytes,
            book.limit("lazy_memory"),
            1_048_576.0,
        ),
        at_least(GROWTH, "64 threads' `apply_async`: of one thread's throughput", Part, threads, 0.7),
        at_most(
            GROWTH,
            "64 threads in `apply`: of a bare hand-over",
            Times,
            ratio(book.limit("blocked"), book.limit("park")),
            2.0,
        ),
    ]
}
