//! The work that every system does: what the rows of the table are.
//!
//! The names are the protocol with `python/rivals.py`, which knows the same ones.

pub(crate) mod durations;
pub(crate) mod image;
mod list;
pub(crate) mod payloads;
pub(crate) mod prefixes;

pub(super) use list::all;

/// One kind of work, measured in one go.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub(super) kind: Kind,
    /// A row for each figure that a measurement gives.
    pub(super) rows: Vec<Row>,
    pub(super) size: Size,
    /// In how many rounds it is measured, at most: what takes seconds cannot be repeated as often.
    pub(super) most_rounds: usize,
}

/// A row of the table.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) key: String,
    pub(super) title: String,
    pub(super) bound: Bound,
}

/// What a row is held against: nothing can be faster.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Bound {
    /// A limit that is measured in the same rounds.
    Limit(&'static str),
    /// Known without measuring.
    Seconds(f64),
    /// The plain loop, cut into as many parts as there are workers.
    SharedLoop,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Apply,
    ApplyPaused,
    ApplyAsync,
    Map,
    MapChunks,
    MapOne,
    Imap,
    ImapUnordered,
    ImapChunks,
    Payload { what: Payload, kibibytes: usize },
    Start(Method),
    Replace,
    Sleep { millis: u64 },
    Skewed,
    Sawtooth,
    ConcurrentImap,
    Convolve,
    Constant,
    Prefixes,
    Workers { count: usize },
    Items { count: usize },
    Submitters { threads: usize },
}

/// What is sent, and whether it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payload {
    Bytes,
    BytesIn,
    Numbers,
    NumbersIn,
    Strings,
    Nested,
}

/// How worker processes come to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Fork,
    ForkServer,
    Spawn,
}

/// How many items a measurement has. Systems that need tens of microseconds an item get fewer; all figures are per item.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) fast: usize,
    pub(super) slow: usize,
    /// What `--quick` divides both by.
    pub(super) quick: usize,
}

/// Which of the two sizes a system gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    Fast,
    Slow,
}

/// How much time there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effort {
    Full,
    Quick,
    /// A run that only warms up.
    Warm,
}

/// Size of the chunks in the rows where all systems use the same.
pub(super) const MAP_CHUNK: usize = 10_000;
/// The same for the lazy calls.
pub(super) const IMAP_CHUNK: usize = 1_000;
/// The same for Python's own `concurrent_imap`.
pub(super) const CONCURRENT_CHUNK: usize = 10;
/// KiB of the constant that all items use: 200 MB.
pub(super) const CONSTANT: usize = 195_313;
/// Workers of the pools that sleep.
pub(super) const SLEEPERS: usize = 5;

/// How often a call with so many items is repeated, so that one that is short is not judged by its first time.
pub(super) fn calls_of(items: usize) -> usize {
    (100_000 / items).clamp(1, 100)
}

impl Size {
    pub(super) fn items(self, pace: Pace, effort: Effort) -> usize {
        let items = match pace {
            Pace::Fast => self.fast,
            Pace::Slow => self.slow,
        };
        let part = match effort {
            Effort::Full => items,
            Effort::Quick => items / self.quick,
            Effort::Warm => items / self.quick / 10,
        };
        part.max(1)
    }
}

impl Work {
    /// In how many rounds of so many it is measured.
    pub(super) fn rounds(&self, effort: Effort, rounds: usize) -> usize {
        let most = if effort == Effort::Quick { self.most_rounds.div_ceil(3) } else { self.most_rounds };
        most.min(rounds)
    }
}

impl Kind {
    /// Its name in the protocol and for `--only`.
    pub(super) fn name(self) -> String {
        let name = match self {
            Self::Apply => "apply",
            Self::ApplyPaused => "apply_paused",
            Self::ApplyAsync => "apply_async",
            Self::Map => "map",
            Self::MapChunks => "map_chunks",
            Self::MapOne => "map_one",
            Self::Imap => "imap",
            Self::ImapUnordered => "imap_unordered",
            Self::ImapChunks => "imap_chunks",
            Self::Payload { what, kibibytes } => return format!("{}:{kibibytes}", what.name()),
            Self::Start(Method::Fork) => "start:fork",
            Self::Start(Method::ForkServer) => "start:forkserver",
            Self::Start(Method::Spawn) => "start:spawn",
            Self::Replace => "replace",
            Self::Sleep { millis } => return format!("sleep:{millis}"),
            Self::Skewed => "skewed",
            Self::Sawtooth => "sawtooth",
            Self::ConcurrentImap => "concurrent_imap",
            Self::Convolve => "convolve",
            Self::Constant => "constant",
            Self::Prefixes => "prefixes",
            Self::Workers { count } => return format!("workers:{count}"),
            Self::Items { count } => return format!("items:{count}"),
            Self::Submitters { threads } => return format!("submitters:{threads}"),
        };
        name.to_owned()
    }
}

impl Payload {
    fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::BytesIn => "bytes_in",
            Self::Numbers => "numbers",
            Self::NumbersIn => "numbers_in",
            Self::Strings => "strings",
            Self::Nested => "nested",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Bytes => "bytes there and back",
            Self::BytesIn => "bytes there",
            Self::Numbers => "`f64` there (`&[f64]`) and back (`Vec<f64>`)",
            Self::NumbersIn => "`f64` there (`&[f64]`)",
            Self::Strings => "strings there and back",
            Self::Nested => "nested structs there and back",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_measurement_has_an_item_however_little_time_there_is() {
        for work in all(2, Effort::Quick) {
            assert!(work.size.items(Pace::Slow, Effort::Warm) >= 1, "{}", work.kind.name());
            assert!(work.rounds(Effort::Quick, 3) >= 1, "{}", work.kind.name());
        }
    }

    #[test]
    fn no_two_rows_have_one_key() {
        let mut keys: Vec<String> =
            all(2, Effort::Full).into_iter().flat_map(|work| work.rows).map(|row| row.key).collect();
        let count = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }
}
