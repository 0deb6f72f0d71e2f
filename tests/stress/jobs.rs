//! Makes random jobs of every kind, and hands their outcomes to the judge.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use pool::{AsyncResult, Error, Imap, Pool, TimeLimit};

use crate::kept::{Handle, Judge, Kept};
use crate::plan::{Style, plan, with};
use crate::random::Random;
use crate::round::{Facts, JobFacts, Round, lock};
use crate::tasks::{self, Checked, Order};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
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
    kept: Vec<Box<dyn Kept>>,
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
            let options = with(pool.options(), style);
            match call {
                Call::Apply => {
                    let result = options.apply($task, single());
                    self.round.judge_item::<$output>(&job, 0, result);
                }
                Call::ApplyAsync => {
                    let handle = options.apply_async($task, single());
                    self.keep(handle, job, |round, job, result| {
                        round.judge_item::<$output>(job, 0, result);
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

    fn run(&mut self, call: Call, pool: &Pool, facts: &Arc<Facts>, calm: bool) {
        let single = matches!(call, Call::Apply | Call::ApplyAsync);
        let task = self.random.below(4);
        let style = Style::random(&mut self.random);
        let shape = (single, task, calm);
        let planned = plan(&self.round, &mut self.random, &style, shape, facts.recycles_after);
        let Some(items) = planned else { return };
        self.round.may_retry(&items);
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
        let text = format!("{name} task {task} of {} items {style:?}", items.len());
        self.round.ledger.note(self.place, &text);
        self.round.totals.add(name, 1);
        let job = JobFacts {
            call: name,
            pool: facts.clone(),
            items: Arc::new(items),
            fail_fast: style.fail_fast,
            timeout: style.timeout,
            deadline: style.deadline.is_some(),
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

    fn keep<R: Send + 'static>(&mut self, handle: AsyncResult<R>, job: JobFacts, judge: Judge<R>) {
        match self.random.below(10) {
            0 => {
                // Judged on the callbacks' thread.
                self.round.callback_due();
                let (round, facts) = (self.round.clone(), job.clone());
                let good = move |value| {
                    round.callback_ran();
                    judge(&round, &facts, Ok(value));
                };
                let (round, facts) = (self.round.clone(), job.clone());
                let bad = move |error: &Error| {
                    round.callback_ran();
                    // The job may have been cancelled by now, which only the handle's owner knows.
                    let facts = JobFacts { cancelled: true, ..facts };
                    judge(&round, &facts, Err(error.clone()));
                };
                let handle = handle.error_callback(bad).callback(good);
                let judge: Judge<()> = |round, job, result| match result {
                    Ok(()) | Err(Error::CallbackPanicked { .. }) => round.ledger.progress(),
                    // Judged by the callback.
                    Err(_) => {
                        round.totals.add(if job.cancelled { "cancelled" } else { "failed_callbacks" }, 1)
                    }
                };
                self.kept.push(Box::new(Handle { handle: Some(handle), job, judge }));
            }
            1 => {
                let round = self.round.clone();
                let pause = self.random.skewed(2000);
                let handle = handle.inspect(move |_| {
                    round.ledger.progress();
                    std::thread::sleep(Duration::from_micros(pause));
                });
                self.kept.push(Box::new(Handle { handle: Some(handle), job, judge }));
            }
            _ => self.kept.push(Box::new(Handle { handle: Some(handle), job, judge })),
        }
        self.look_after_kept(24);
    }

    /// Looks at some handles; waits for the oldest while there are more than `most`.
    fn look_after_kept(&mut self, most: usize) {
        let (round, random) = (self.round.clone(), &mut self.random);
        self.kept.retain_mut(|kept| !(random.chance(30) && kept.look(&round, random)));
        while self.kept.len() > most {
            let mut oldest = self.kept.remove(0);
            self.round.ledger.note(self.place, &format!("get of {}", oldest.call()));
            oldest.finish(&self.round, &mut self.random);
        }
    }

    /// Waits for all handles.
    pub(crate) fn finish(&mut self) {
        self.look_after_kept(0);
        self.round.ledger.note(self.place, "");
    }

    /// After this pool was closed and joined, all handles of its jobs are ready.
    pub(crate) fn check_joined(&self, facts: &Arc<Facts>) {
        for kept in self.kept.iter().filter(|kept| Arc::ptr_eq(kept.pool(), facts)) {
            if !kept.is_ready() {
                self.round.wrong(&format!("a handle of {} is not ready after `join`", kept.call()));
            }
        }
    }

    fn iterate<R: Checked>(
        &mut self,
        mut imap: Imap<'_, R>,
        job: &JobFacts,
        style: Style,
        ordered: bool,
        read: &Cell<usize>,
        pool: &Pool,
    ) {
        let count = job.items.len();
        let stop_at =
            if self.random.chance(20) { self.random.below(count as u64 + 1) as usize } else { usize::MAX };
        let mut seen = vec![false; count];
        let mut yielded = 0;
        let mut failed = false;
        loop {
            if yielded >= stop_at {
                self.round.totals.add("imaps_dropped", 1);
                return;
            }
            let next = if self.random.chance(5) {
                match imap.next_timeout(Duration::from_micros(self.random.skewed(3000))) {
                    Some(next) => next,
                    None => continue,
                }
            } else {
                imap.next()
            };
            let Some(result) = next else { break };
            if let Some(window) = style.window {
                // One more may have been read and wait for the next chunk, because it was too large for this one.
                if read.get() > yielded + window.max(1) + 1 {
                    let text =
                        format!("{}: read {}, yielded {yielded}, window {window}", job.call, read.get());
                    self.round.wrong(&text);
                }
            }
            let index = match &result {
                Ok(answer) if ordered && !style.fail_fast => {
                    let _ = answer;
                    yielded
                }
                Ok(answer) => answer.id().wrapping_sub(job.items[0].id) as usize,
                Err(error) => error.index().unwrap_or(yielded.min(count.saturating_sub(1))),
            };
            let at_end = matches!(result, Err(Error::TimedOut { limit: TimeLimit::Deadline, .. }));
            if at_end && job.deadline && index == count {
                // All items had ended, and the end of the input was not read when the deadline came.
                self.round.totals.add("jobs_ended_by_deadline", 1);
                return;
            }
            if index >= count || ordered && !style.fail_fast && index != yielded && result.is_err() {
                let error = result.err();
                if count > 0
                    || !matches!(
                        error,
                        Some(
                            Error::Closed
                                | Error::Terminated
                                | Error::Spawn { .. }
                                | Error::Initializer { .. }
                        )
                    )
                {
                    self.round
                        .wrong(&format!("{}: result {yielded} of {count}: {index} {error:?}", job.call));
                }
                return;
            }
            failed |= result.is_err();
            if self.round.judge_item(job, index, result) {
                if imap.next().is_some() {
                    self.round.wrong(&format!("{}: goes on after its end", job.call));
                }
                return;
            }
            if std::mem::replace(&mut seen[index], true) {
                self.round.wrong(&format!("{}: item {index} came twice", job.call));
            }
            yielded += 1;
            if self.random.below(1000) == 0 {
                // Another job, while this one is open.
                let facts = job.pool.clone();
                self.run(Call::Apply, pool, &facts, true);
                self.round.ledger.note(self.place, &format!("{} after another job", job.call));
            }
        }
        if yielded != count && !(style.fail_fast && failed) {
            let missing =
                seen.iter().position(|seen| !seen).map(|index| self.round.ledger.mark(job.items[index].id));
            let read = read.get();
            self.round.wrong(&format!(
                "{}: {yielded} results of {count} items, {read} read, {style:?}, mark of the first that lacks {missing:?}",
                job.call
            ));
        }
        if imap.next().is_some() {
            self.round.wrong(&format!("{}: goes on after its end", job.call));
        }
    }
}

/// Counts the items of handles that were dropped, after their pool was closed and joined.
pub(crate) fn judge_orphans(round: &Round, facts: &Facts) {
    if facts.may_be_hopeless() {
        // The pool may have been given up.
        return;
    }
    for items in lock(&facts.orphans).drain(..) {
        round.judge_unseen(&items);
    }
}
