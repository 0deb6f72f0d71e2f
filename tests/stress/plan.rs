//! Plans random jobs: what their items do, and what limits they get.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pool::{Error, Options};

use crate::jobs::Client;
use crate::random::Random;
use crate::round::{Facts, Round};
use crate::tasks::{self, Act, Fall, Item};

/// How the items of one job are to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) chunk: Option<usize>,
    pub(crate) window: Option<usize>,
    pub(crate) fail_fast: bool,
}

/// The limits of one job, and how often its items are tried.
#[derive(Clone, Debug, Default)]
pub(crate) struct Control {
    pub(crate) timeout: Option<Duration>,
    /// The timeout is about as long as items take, so that any of them may exceed it. Otherwise only those that
    /// are meant to.
    pub(crate) is_tight: bool,
    pub(crate) soft: Option<Duration>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) retries: u32,
    pub(crate) retries_panics: bool,
}

impl Control {
    fn new(random: &mut Random, facts: &Facts) -> Self {
        let mut control = Self::default();
        let millis = |random: &mut Random, high| Duration::from_millis(1 + random.skewed(high));
        // `limit` sets it once it is known what the items do.
        let generous = Duration::from_millis(random.range(600, 1200));
        match random.below(12) {
            0 | 1 => control.timeout = Some(generous),
            2 => {
                control.timeout = Some(millis(random, 20));
                control.is_tight = true;
            }
            3 => control.soft = Some(millis(random, 50)),
            4 => control.deadline = Some(Instant::now() + millis(random, 500)),
            5 => control.retries = random.range(1, 3) as u32,
            6 => {
                control.timeout = Some(generous);
                control.soft = Some(millis(random, 50));
                control.retries = random.range(0, 3) as u32;
                control.deadline = random.chance(20).then(|| Instant::now() + generous);
            }
            _ => {}
        }
        if facts.is_timed && control.timeout.is_none() {
            control.timeout = Some(generous);
        }
        if control.timeout.is_some() && random.chance(20) {
            control.retries = random.range(1, 3) as u32;
        }
        control.retries_panics = control.retries > 0 && random.chance(50);
        control
    }

    /// Sets a timeout that innocent items must not exceed: a short one only where all items are meant to.
    fn limit(&mut self, random: &mut Random, items: &[Item], is_timed: bool) {
        if self.is_tight || self.timeout.is_none() {
            return;
        }
        let hangs = |item: &Item| matches!(item.act, Act::Hang | Act::Flaky(Fall::Hang, _));
        let millis = match () {
            () if !items.is_empty() && items.iter().all(|item| item.act == Act::Hang) => {
                random.range(600, 1200)
            }
            // Somebody waits until it is over, and the innocent bear that the machine pauses.
            () if is_timed || items.iter().any(hangs) => random.range(2500, 4000),
            // Nobody does.
            () => 600_000,
        };
        self.timeout = Some(Duration::from_millis(millis));
    }

    /// How often an item may be begun.
    pub(crate) fn most(&self) -> u32 {
        self.retries + 1
    }

    /// Whether this is the mark of an item that ran to its end, as often as it may.
    pub(crate) fn is_done(&self, (begun, finished): (u8, u8)) -> bool {
        finished >= 1 && finished <= begun && u32::from(begun) <= self.most()
    }

    /// What items may do beside ending by themselves, here: which may be to hang until they exceed their timeout.
    fn trouble(&self, random: &mut Random, may_hang: bool) -> Option<Act> {
        let may_hang = may_hang && self.timeout.is_some();
        let mut kinds = Vec::new();
        if may_hang || self.deadline.is_some() {
            kinds.push(Act::Hang);
        }
        if self.soft.is_some() {
            kinds.push(Act::UntilTold);
        }
        if self.retries > 0 {
            let times = random.range(1, u64::from(self.most())) as u32;
            kinds.push(Act::Flaky(Fall::Abort, times));
            if may_hang {
                kinds.push(Act::Flaky(Fall::Hang, times));
            }
            if self.retries_panics {
                kinds.push(Act::Flaky(Fall::Panic, times));
            }
        }
        kinds.get(random.below(kinds.len() as u64) as usize).copied()
    }
}

/// The calls of a pool, with all that was planned for one job.
pub(crate) fn with<'p>(
    mut options: Options<'p>,
    style: Style,
    control: &Control,
    round: &Arc<Round>,
) -> Options<'p> {
    if let Some(chunk) = style.chunk {
        options = options.chunk_size(chunk);
    }
    if let Some(window) = style.window {
        options = options.window(window);
    }
    if let Some(limit) = control.timeout {
        options = options.timeout(limit);
    }
    if let Some(limit) = control.soft {
        options = options.soft_timeout(limit);
    }
    if let Some(time) = control.deadline {
        options = options.deadline(time);
    }
    if control.retries_panics {
        let round = round.clone();
        options = options.retry_if(move |error| {
            round.totals.add("retries_asked", 1);
            matches!(error, Error::Panicked { .. })
        });
    }
    options.retries(control.retries).fail_fast(style.fail_fast)
}

impl Client {
    /// Plans the items of a job; `None` if this round has had enough.
    pub(crate) fn plan(
        &mut self,
        single: bool,
        task: u64,
        calm: bool,
        facts: &Facts,
    ) -> Option<(Vec<Item>, Control)> {
        let random = &mut self.random;
        let mut control = Control::new(random, facts);
        // Without innocent ones among them, they need not be given much time.
        let all_hang = control.timeout.is_some() && !control.is_tight && task != 1 && random.chance(20);
        let may_hang = all_hang || single || control.is_tight || random.chance(15);
        // Those of megabytes take their time.
        let large = random.chance(6) && task != 1 && control.timeout.is_none();
        let count = match () {
            () if single => 1,
            () if all_hang => random.range(1, 2),
            () if large => random.range(0, 6),
            () if task == 1 => random.skewed(20_000),
            () => random.skewed(1500),
        };
        // A start takes up to some tens of milliseconds.
        let count = facts.recycles_after.map_or(count, |items| count.min(60 * items));
        let count = if control.is_tight { count.min(200) } else { count };
        let first = self.round.take_ids(count, control.most())?;
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
                Item { id, act, sends: size(random), wants: size(random) }
            })
            .collect();
        for _ in 0..doomed.min(count) {
            let index = random.below(count) as usize;
            items[index].act = match random.below(8) {
                0 => Act::Exit(random.below(200) as i32),
                1 => Act::Abort,
                2 => Act::Kill([9, 11, 15, 4][random.below(4) as usize]),
                3 => Act::PanicAtLength(random.skewed(1 << 20) as u32),
                _ => Act::Panic,
            };
        }
        let troubled = if task == 1 { 0 } else { random.range(0, 2) };
        for _ in 0..troubled.min(count) {
            let index = random.below(count) as usize;
            items[index].act = control.trouble(random, may_hang).unwrap_or(items[index].act);
        }
        if all_hang {
            items.iter_mut().for_each(|item| item.act = Act::Hang);
        }
        control.limit(random, &items, facts.is_timed);
        Some((items, control))
    }
}
