//! Makes random jobs of every kind, and hands their outcomes to the judge.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use pool::Pool;

use crate::handles::Kept;
use crate::plan::{Style, with};
use crate::random::Random;
use crate::round::{Facts, JobFacts, Round};
use crate::tasks::{self, Order};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Apply,
    ApplyAsync,
    Map,
    MapAsync,
    Imap,
    ImapUnordered,
}

/// One thread that makes jobs.
pub(crate) struct Client {
    pub(crate) round: Arc<Round>,
    pub(crate) random: Random,
    pub(crate) place: usize,
    pub(crate) kept: Vec<Box<dyn Kept>>,
}

/// Makes a function that runs one job of one task by any of the calls.
macro_rules! runs {
    ($name:ident, $task:path, $output:ty, $map:ident, $map_async:ident, $imap:ident, $imap_unordered:ident,
     |$ledger:ident, $item:ident, $numbers:ident| $one:expr, $tuple:expr) => {
        fn $name(&mut self, call: Call, style: Style, job: JobFacts, pool: &Pool) {
            let $ledger = self.round.handle;
            let items = job.items.clone();
            let made: Vec<Vec<u64>> = if stringify!($name) == "numbers" {
                items.iter().map(tasks::numbers_of).collect()
            } else {
                Vec::new()
            };
            let none = Vec::new();
            let read = Cell::new(0);
            let input = || {
                items.iter().enumerate().map(|(index, $item)| {
                    read.set(read.get() + 1);
                    let $numbers = &made.get(index).unwrap_or(&none)[..];
                    let _ = &$numbers;
                    $one
                })
            };
            let single = || {
                let ($item, $numbers) = (&items[0], &made.first().unwrap_or(&none)[..]);
                let _ = &$numbers;
                $tuple
            };
            let options = with(pool.options(), style, &job.control, &self.round);
            match call {
                Call::Apply => {
                    let result = options.apply($task, single());
                    self.round.judge_single::<$output>(&job, result);
                }
                Call::ApplyAsync => {
                    let handle = options.apply_async($task, single());
                    self.keep(handle, job, |round, job, result| {
                        round.judge_single::<$output>(job, result);
                    });
                }
                Call::Map => {
                    let result = options.$map($task, input());
                    self.round.judge_all::<$output>(&job, result);
                }
                Call::MapAsync => {
                    let handle = options.$map_async($task, input());
                    self.keep(handle, job, |round, job, result| round.judge_all::<$output>(job, result));
                }
                Call::Imap => {
                    let imap = options.$imap($task, input());
                    self.iterate(imap, &job, style, true, &read, pool);
                }
                Call::ImapUnordered => {
                    let imap = options.$imap_unordered($task, input());
                    self.iterate(imap, &job, style, false, &read, pool);
                }
            }
        }
    };
}

impl Client {
    pub(crate) fn new(round: Arc<Round>, random: Random, place: usize) -> Self {
        Self { round, random, place, kept: Vec::new() }
    }

    runs!(
        work,
        tasks::work,
        tasks::Answer,
        map,
        map_async,
        imap,
        imap_unordered,
        |ledger, item, numbers| Order::new(ledger, item),
        (Order::new(ledger, item),)
    );
    runs!(
        quick,
        tasks::quick,
        u64,
        map,
        map_async,
        imap,
        imap_unordered,
        |ledger, item, numbers| (ledger, item.id),
        ((ledger, item.id),)
    );
    runs!(
        star,
        tasks::star,
        tasks::Answer,
        starmap,
        starmap_async,
        istarmap,
        istarmap_unordered,
        |ledger, item, numbers| (ledger, item.id, item.act, item.wants, item.body()),
        (ledger, item.id, item.act, item.wants, item.body())
    );
    runs!(
        numbers,
        tasks::numbers,
        Vec<u64>,
        starmap,
        starmap_async,
        istarmap,
        istarmap_unordered,
        |ledger, item, numbers| (ledger, item.id, item.act, numbers),
        (ledger, item.id, item.act, numbers)
    );

    /// Makes one random job on this pool.
    pub(crate) fn run_one(&mut self, pool: &Pool, facts: &Arc<Facts>, calm: bool) {
        let call = match self.random.below(16) {
            0..=3 => Call::Apply,
            4..=7 => Call::ApplyAsync,
            8..=9 => Call::Map,
            10..=11 => Call::MapAsync,
            12..=13 => Call::Imap,
            _ => Call::ImapUnordered,
        };
        self.run(call, pool, facts, calm);
    }

    pub(crate) fn run(&mut self, call: Call, pool: &Pool, facts: &Arc<Facts>, calm: bool) {
        let single = matches!(call, Call::Apply | Call::ApplyAsync);
        let task = self.random.below(4);
        let since = Instant::now();
        let Some((items, control)) = self.plan(single, task, calm, facts) else { return };
        let style = Style {
            chunk: self.random.chance(40).then(|| 1 + self.random.skewed(500) as usize),
            window: self.random.chance(30).then(|| 1 + self.random.skewed(200) as usize),
            fail_fast: self.random.chance(15),
        };
        let name = match (call, task > 1) {
            (Call::Apply, _) => "apply",
            (Call::ApplyAsync, _) => "apply_async",
            (Call::Map, false) => "map",
            (Call::Map, true) => "starmap",
            (Call::MapAsync, false) => "map_async",
            (Call::MapAsync, true) => "starmap_async",
            (Call::Imap, false) => "imap",
            (Call::Imap, true) => "istarmap",
            (Call::ImapUnordered, false) => "imap_unordered",
            (Call::ImapUnordered, true) => "istarmap_unordered",
        };
        let text = format!("{name} task {task} of {} items {style:?} {control:?}", items.len());
        self.round.ledger.note(self.place, &text);
        self.round.totals.add(name, 1);
        let job = JobFacts {
            call: name,
            pool: facts.clone(),
            items: Arc::new(items),
            control: Arc::new(control),
            since,
            fail_fast: style.fail_fast,
            cancelled: false,
        };
        match task {
            0 => self.work(call, style, job, pool),
            1 => self.quick(call, style, job, pool),
            2 => self.star(call, style, job, pool),
            _ => self.numbers(call, style, job, pool),
        }
        self.round.ledger.note(self.place, "");
    }
}
