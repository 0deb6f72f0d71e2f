//! All work, in the order of the table.

use super::{Bound, Effort, Kind, Method, Payload, Row, SLEEPERS, Size, Work};
use super::{durations, prefixes};

/// So many rounds that it is measured in each.
const EVERY: usize = usize::MAX;

/// All of it, for pools of so many workers.
pub(in super::super) fn all(workers: usize, effort: Effort) -> Vec<Work> {
    let mut list = calls();
    list.extend(payloads());
    list.extend(starts());
    list.extend(scheduling(workers, effort));
    list.extend(programs());
    list.extend(growth());
    list
}

fn row(key: impl Into<String>, title: impl Into<String>, bound: Bound) -> Row {
    Row { key: key.into(), title: title.into(), bound }
}

/// Work of one row, which has the name of the work.
fn single(kind: Kind, title: impl Into<String>, bound: Bound, size: [usize; 3]) -> Work {
    several(kind, vec![row(kind.name(), title, bound)], size, EVERY)
}

fn several(kind: Kind, rows: Vec<Row>, [fast, slow, quick]: [usize; 3], most_rounds: usize) -> Work {
    Work { kind, rows, size: Size { fast, slow, quick }, most_rounds }
}

fn calls() -> Vec<Work> {
    let codec = Bound::Limit("codec");
    vec![
        several(
            Kind::Apply,
            vec![
                row("apply", "`apply(square)` back to back, p50", Bound::Limit("ring")),
                row("apply/p99", "`apply(square)` back to back, p99", Bound::Limit("ring")),
            ],
            [100_000, 2_000, 4],
            EVERY,
        ),
        several(
            Kind::ApplyPaused,
            vec![
                row("apply_paused", "`apply(square)` with pauses of 1 ms, p50", Bound::Limit("futex_paused")),
                row(
                    "apply_paused/p99",
                    "`apply(square)` with pauses of 1 ms, p99",
                    Bound::Limit("futex_paused"),
                ),
            ],
            [200, 200, 2],
            EVERY,
        ),
        single(
            Kind::ApplyAsync,
            "100,000 `apply_async`, then all `get`, a call",
            codec,
            [100_000, 10_000, 2],
        ),
        single(
            Kind::Map,
            "1,000,000 squares by `map`, default chunks, an item",
            codec,
            [1_000_000, 5_000, 1],
        ),
        single(
            Kind::MapChunks,
            "1,000,000 squares by `map`, chunks of 10,000, an item",
            codec,
            [1_000_000, 300_000, 1],
        ),
        single(Kind::MapOne, "100,000 squares by `map`, chunks of 1, an item", codec, [100_000, 10_000, 2]),
        single(
            Kind::Imap,
            "1,000,000 squares by `imap`, default chunks, an item",
            codec,
            [1_000_000, 10_000, 2],
        ),
        single(
            Kind::ImapUnordered,
            "1,000,000 squares by `imap_unordered`, default chunks, an item",
            codec,
            [1_000_000, 10_000, 2],
        ),
        single(
            Kind::ImapChunks,
            "1,000,000 squares by `imap`, chunks of 1,000, an item",
            codec,
            [1_000_000, 300_000, 2],
        ),
    ]
}

fn payloads() -> Vec<Work> {
    use Payload::{Bytes, BytesIn, Nested, Numbers, NumbersIn, Strings};
    const MIB: usize = 1 << 10;
    let sizes = [
        (Bytes, &[1, 64, MIB, 4 * MIB, 16 * MIB, 256 * MIB][..]),
        (BytesIn, &[4 * MIB, 16 * MIB, 256 * MIB]),
        (NumbersIn, &[1, 64, MIB, 4 * MIB, 16 * MIB, 256 * MIB]),
        (Numbers, &[1, MIB, 4 * MIB, 16 * MIB, 256 * MIB]),
        (Strings, &[1, MIB, 16 * MIB]),
        (Nested, &[1, MIB, 16 * MIB]),
    ];
    let each =
        |(what, sizes): (Payload, &'static [usize])| sizes.iter().map(move |size| payload(what, *size));
    sizes.into_iter().flat_map(each).collect()
}

fn payload(what: Payload, kibibytes: usize) -> Work {
    let kind = Kind::Payload { what, kibibytes };
    let mebibytes = kibibytes >> 10;
    let (size, per) = if mebibytes == 0 {
        (format!("{kibibytes} KiB"), "")
    } else {
        (format!("{mebibytes} MiB"), ", a MiB")
    };
    let is_one_way = matches!(what, Payload::BytesIn | Payload::NumbersIn);
    let bound = match (mebibytes, is_one_way) {
        (0, true) => Bound::Limit("ring"),
        (0, false) if kibibytes < 64 => Bound::Limit("bytes:1"),
        (0, false) => Bound::Limit("bytes:64"),
        (256, true) => Bound::Limit("copy_warm:256"),
        (_, true) => Bound::Limit("copy_warm:16"),
        (256, false) => Bound::Limit("copy_fresh:256"),
        (_, false) => Bound::Limit("copy_fresh:16"),
    };
    let is_copied = !matches!(what, Payload::Strings | Payload::Nested);
    let (items, most_rounds) = match kibibytes {
        ..64 => ([5_000, 1_000, 5], EVERY),
        64..1024 => ([2_000, 500, 5], EVERY),
        1024..4096 if is_copied => ([100, 30, 4], EVERY),
        1024..4096 => ([20, 5, 2], EVERY),
        4096..262_144 if is_copied => ([12, 5, 2], EVERY),
        4096..262_144 => ([3, 1, 1], 3),
        _ => ([3, 1, 1], 3),
    };
    several(
        kind,
        vec![row(kind.name(), format!("{size} of {}{per}", what.title()), bound)],
        items,
        most_rounds,
    )
}

fn starts() -> Vec<Work> {
    let start = |method, title| {
        let kind = Kind::Start(method);
        several(kind, vec![row(kind.name(), title, Bound::Limit("exec"))], [10, 2, 2], EVERY)
    };
    vec![
        start(Method::Fork, "start to first result, `Fork`"),
        start(Method::ForkServer, "start to first result, `ForkServer`"),
        start(Method::Spawn, "start to first result, `Spawn`"),
        single(Kind::Replace, "killed worker to first result of the next", Bound::Limit("fork"), [20, 1, 2]),
    ]
}

fn scheduling(workers: usize, effort: Effort) -> Vec<Work> {
    // Every system gets the same items, so that the ideal is the same.
    let sleep = |millis: u64, items: usize| {
        let ideal = items as f64 * millis as f64 * 1e-3 / SLEEPERS as f64;
        let title = format!("{items} sleeps of {millis} ms, {SLEEPERS} workers");
        single(Kind::Sleep { millis }, title, Bound::Seconds(ideal), [items, items, 1])
    };
    let busy = |kind: Kind, title: &str, items: usize, durations: fn(usize) -> Vec<f64>, quick: usize| {
        let count = if effort == Effort::Quick { items / quick } else { items };
        let ideal = durations::ideal(&durations(count), workers);
        let rows = vec![row(kind.name(), format!("{count} items {title}"), Bound::Seconds(ideal))];
        several(kind, rows, [items, items, quick], 2)
    };
    vec![
        sleep(1, 500),
        sleep(10, 100),
        sleep(100, 20),
        busy(Kind::Skewed, "that take \\|N(1 µs, 1 ms)\\|", 5_000, durations::skewed, 4),
        busy(Kind::Sawtooth, "that take 2, 4, .. 100 ms, again and again", 100, durations::sawtooth, 2),
    ]
}

fn programs() -> Vec<Work> {
    let seldom = |kind: Kind, title: &str, size| {
        several(kind, vec![row(kind.name(), title, Bound::SharedLoop)], size, 1)
    };
    vec![
        single(
            Kind::ConcurrentImap,
            "`concurrent_imap`: 2 workers, 1,000 items in chunks of 10, start and end included",
            Bound::Limit("exec"),
            [1_000, 1_000, 1],
        ),
        several(
            Kind::Constant,
            vec![
                row(
                    "constant/first",
                    "200 MB of `f64` that all items use: to the first result, a MiB",
                    Bound::Limit("copy_shared:16"),
                ),
                row("constant", "the same, an item once the workers have it", Bound::Limit("codec")),
            ],
            [100_000, 5_000, 2],
            3,
        ),
        seldom(
            Kind::Convolve,
            "5000×5000 image, which is shared, with random 4×4 filters, every fifth point back, a filter",
            [4, 2, 1],
        ),
        seldom(
            Kind::Prefixes,
            "counting prefixes in 2,000 documents of 150 or 50 words of 20 bytes, a document",
            [prefixes::DOCUMENTS, prefixes::DOCUMENTS, 1],
        ),
    ]
}

fn growth() -> Vec<Work> {
    let mut list = Vec::new();
    for count in [1, 2, 4, 16, 64, 200] {
        let kind = Kind::Workers { count };
        let title = format!("100,000 squares by `map`, default chunks, {count} workers, an item");
        list.push(several(
            kind,
            vec![row(kind.name(), title, Bound::Limit("codec"))],
            [100_000, 100_000, 1],
            3,
        ));
    }
    for count in [1, 100, 10_000, 100_000, 1_000_000, 10_000_000] {
        let kind = Kind::Items { count };
        let title = format!("{count} squares by `map`, default chunks, an item");
        let most_rounds = if count > 1_000_000 { 3 } else { EVERY };
        list.push(several(
            kind,
            vec![row(kind.name(), title, Bound::Limit("codec"))],
            [count, count, 1],
            most_rounds,
        ));
    }
    for threads in [1, 4, 16, 64] {
        let kind = Kind::Submitters { threads };
        let title = format!("`apply_async` by {threads} threads at once, then all `get`, a call");
        list.push(single(kind, title, Bound::Limit("codec"), [64_000, 6_400, 2]));
    }
    list
}
