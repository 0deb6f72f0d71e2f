//! How a job is to be made, and what its items do.

use std::time::{Duration, Instant};

use pool::{Error, Options};

use crate::random::Random;
use crate::round::{MOST_RETRIES, Round};
use crate::tasks::{self, Act, Item};

/// How one job is to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) chunk: Option<usize>,
    pub(crate) window: Option<usize>,
    pub(crate) fail_fast: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) soft_timeout: Option<Duration>,
    /// From the start of the job.
    pub(crate) deadline: Option<Duration>,
    pub(crate) retries: u8,
    pub(crate) retries_panics: bool,
}

impl Style {
    pub(crate) fn random(random: &mut Random) -> Self {
        let millis = |random: &mut Random, from, to| Duration::from_millis(random.range(from, to));
        let retries = if random.chance(15) { random.range(1, u64::from(MOST_RETRIES)) as u8 } else { 0 };
        Self {
            chunk: random.chance(40).then(|| 1 + random.skewed(500) as usize),
            window: random.chance(30).then(|| 1 + random.skewed(200) as usize),
            fail_fast: random.chance(15),
            timeout: random.chance(25).then(|| millis(random, 40, 150)),
            soft_timeout: random.chance(15).then(|| millis(random, 1, 30)),
            deadline: random.chance(5).then(|| millis(random, 0, 100)),
            retries,
            retries_panics: retries > 0 && random.chance(50),
        }
    }
}

/// Sets all that on the options of a job.
pub(crate) fn with<'p>(mut options: Options<'p>, style: Style) -> Options<'p> {
    if let Some(chunk) = style.chunk {
        options = options.chunk_size(chunk);
    }
    if let Some(window) = style.window {
        options = options.window(window);
    }
    if let Some(limit) = style.timeout {
        options = options.timeout(limit);
    }
    if let Some(limit) = style.soft_timeout {
        options = options.soft_timeout(limit);
    }
    if let Some(after) = style.deadline {
        options = options.deadline(Instant::now() + after);
    }
    if style.retries > 0 {
        options = options.retries(style.retries.into());
    }
    if style.retries_panics {
        options = options.retry_if(|error| matches!(error, Error::Panicked { .. }));
    }
    options.fail_fast(style.fail_fast)
}

/// Plans the items of a job; `None` if the round has had enough.
pub(crate) fn plan(
    round: &Round,
    random: &mut Random,
    style: &Style,
    (single, task, calm): (bool, u64, bool),
    recycles_after: Option<u64>,
) -> Option<Vec<Item>> {
    let large = random.chance(6) && task != 1;
    let count = match () {
        () if single => 1,
        () if large => random.range(0, 6),
        () if task == 1 => random.skewed(20_000),
        () => random.skewed(1500),
    };
    // A start takes up to some tens of milliseconds.
    let count = recycles_after.map_or(count, |items| count.min(60 * items));
    let first = round.take_ids(count)?;
    // Long jobs have short items.
    let busy = random.chance(40) && task != 1;
    let longest = if count > 100 { 200 } else { 4000 };
    let doomed = if calm || task == 1 || random.chance(70) { 0 } else { random.range(1, 3) };
    let mut items: Vec<_> = (first..first + count)
        .map(|id| {
            let act = match random.below(if busy { 6 } else { 1000 }) {
                1 | 2 => Act::Spin(random.skewed(longest) as u32),
                3 => Act::Sleep(random.skewed(longest) as u32),
                4 if random.chance(10) => Act::Print,
                _ => Act::Nothing,
            };
            let act = if task == 1 { Act::Nothing } else { act };
            let size = |random: &mut Random| match () {
                () if large => random.skewed(tasks::LARGEST as u64) as u32,
                () if random.chance(1) => random.skewed(100_000) as u32,
                () => random.skewed(if count > 300 { 64 } else { 2000 }) as u32,
            };
            Item {
                id,
                act,
                sends: size(random),
                wants: size(random),
                retries: style.retries,
                is_timed: style.timeout.is_some(),
            }
        })
        .collect();
    for _ in 0..doomed.min(count) {
        let index = random.below(count) as usize;
        items[index].act = match random.below(14) {
            8..=13 if style.timeout.is_some() => Act::Hang,
            8..=13 if style.soft_timeout.is_some() => Act::UntilInterrupted,
            0 => Act::Exit(random.below(200) as i32),
            1 => Act::Abort,
            2 => Act::Kill([9, 11, 15, 4][random.below(4) as usize]),
            3 => Act::PanicAtLength(random.skewed(1 << 20) as u32),
            _ => Act::Panic,
        };
    }
    Some(items)
}
