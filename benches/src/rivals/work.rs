//! The work that every system does: what the rows of the table are.
//!
//! The names are the protocol with `python/rivals.py`, which knows the same ones.

/// One kind of work, measured in one go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    pub(super) kind: Kind,
    /// A row for each figure that a measurement gives.
    pub(super) rows: &'static [&'static str],
    pub(super) size: Size,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Apply,
    ApplyAsync,
    Map,
    MapChunks,
    MapOne,
    Imap,
    ImapUnordered,
    ImapChunks,
    Bytes { mebibytes: usize },
    Numbers { mebibytes: usize },
    NumbersIn { mebibytes: usize },
    Start(Method),
    Replace,
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
    fast: usize,
    slow: usize,
    /// What `--quick` divides both by.
    quick: usize,
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

impl Size {
    const fn new(fast: usize, slow: usize, quick: usize) -> Self {
        Self { fast, slow, quick }
    }

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

impl Kind {
    /// Its name in the protocol and for `--only`.
    pub(super) fn name(self) -> String {
        match self {
            Self::Apply => "apply".to_owned(),
            Self::ApplyAsync => "apply_async".to_owned(),
            Self::Map => "map".to_owned(),
            Self::MapChunks => "map_chunks".to_owned(),
            Self::MapOne => "map_one".to_owned(),
            Self::Imap => "imap".to_owned(),
            Self::ImapUnordered => "imap_unordered".to_owned(),
            Self::ImapChunks => "imap_chunks".to_owned(),
            Self::Bytes { mebibytes } => format!("bytes:{mebibytes}"),
            Self::Numbers { mebibytes } => format!("numbers:{mebibytes}"),
            Self::NumbersIn { mebibytes } => format!("numbers_in:{mebibytes}"),
            Self::Start(Method::Fork) => "start:fork".to_owned(),
            Self::Start(Method::ForkServer) => "start:forkserver".to_owned(),
            Self::Start(Method::Spawn) => "start:spawn".to_owned(),
            Self::Replace => "replace".to_owned(),
        }
    }
}

const fn work(kind: Kind, rows: &'static [&'static str], size: Size) -> Work {
    Work { kind, rows, size }
}

/// All of it, in the order of the table.
pub(super) const WORK: &[Work] = &[
    work(
        Kind::Apply,
        &["`apply(square)` back to back, a call, p50", "the same, p99"],
        Size::new(100_000, 4_000, 4),
    ),
    work(Kind::ApplyAsync, &["100,000 `apply_async`, then all `get`, a call"], Size::new(100_000, 50_000, 5)),
    work(
        Kind::Map,
        &["1,000,000 squares by `map`, default chunks, an item"],
        Size::new(1_000_000, 20_000, 1),
    ),
    work(
        Kind::MapChunks,
        &["1,000,000 squares by `map`, chunks of 10,000, an item"],
        Size::new(1_000_000, 1_000_000, 1),
    ),
    work(Kind::MapOne, &["100,000 squares by `map`, chunks of 1, an item"], Size::new(100_000, 20_000, 2)),
    work(
        Kind::Imap,
        &["1,000,000 squares by `imap`, default chunks, an item"],
        Size::new(1_000_000, 50_000, 5),
    ),
    work(
        Kind::ImapUnordered,
        &["1,000,000 squares by `imap_unordered`, default chunks, an item"],
        Size::new(1_000_000, 50_000, 5),
    ),
    work(
        Kind::ImapChunks,
        &["1,000,000 squares by `imap`, chunks of 1,000, an item"],
        Size::new(1_000_000, 1_000_000, 2),
    ),
    work(Kind::Bytes { mebibytes: 1 }, &["1 MiB of bytes there and back, a MiB"], Size::new(200, 50, 4)),
    work(Kind::Bytes { mebibytes: 16 }, &["16 MiB of bytes there and back, a MiB"], Size::new(20, 8, 3)),
    work(Kind::Numbers { mebibytes: 1 }, &["1 MiB of `f64` there and back, a MiB"], Size::new(200, 50, 4)),
    work(Kind::Numbers { mebibytes: 16 }, &["16 MiB of `f64` there and back, a MiB"], Size::new(20, 8, 3)),
    work(Kind::NumbersIn { mebibytes: 16 }, &["16 MiB of `f64` there, one back, a MiB"], Size::new(20, 8, 3)),
    work(Kind::Start(Method::Fork), &["start to first result, `Fork`"], Size::new(5, 5, 2)),
    work(Kind::Start(Method::ForkServer), &["start to first result, `ForkServer`"], Size::new(5, 5, 2)),
    work(Kind::Start(Method::Spawn), &["start to first result, `Spawn`"], Size::new(5, 3, 2)),
    work(Kind::Replace, &["killed worker to first result of the next"], Size::new(5, 1, 1)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_measurement_has_an_item_however_little_time_there_is() {
        for work in WORK {
            assert!(work.size.items(Pace::Slow, Effort::Warm) >= 1, "{}", work.kind.name());
        }
    }
}
