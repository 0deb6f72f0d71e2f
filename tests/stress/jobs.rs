//! Makes random jobs of every kind, and hands their outcomes to the judge.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use pool::{AsyncResult, Error, Imap, Options, Pool, Result};

use crate::random::Random;
use crate::round::{Facts, JobFacts, Round, lock};
use crate::tasks::{self, Act, Checked, Item, Order};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Apply,
    ApplyAsync,
    Map,
    MapAsync,
    Imap,
    ImapUnordered,
}

/// A handle that is kept for a while.
trait Kept {
    /// Looks at it; true when it is judged.
    fn look(&mut self, round: &Round, random: &mut Random) -> bool;
    /// Waits for it.
    fn finish(&mut self, round: &Round, random: &mut Random);
    fn call(&self) -> &'static str;
    /// Closed and joined: is it ready, as it must be?
    fn is_ready(&self) -> bool;
    fn pool(&self) -> &Arc<Facts>;
}

type Judge<R> = fn(&Round, &JobFacts, Result<R>);

struct Handle<R> {
    handle: Option<AsyncResult<R>>,
    job: JobFacts,
    judge: Judge<R>,
}

impl<R> Handle<R> {
    fn hand_over(&self, round: &Round, result: Result<R>) {
        if self.job.cancelled && !matches!(result, Err(Error::Cancelled { .. })) {
            round.wrong(&format!("{}: was cancelled and did not end so", self.job.call));
        }
        (self.judge)(round, &self.job, result);
    }
}

impl<R: Send + 'static> Kept for Handle<R> {
    fn look(&mut self, round: &Round, random: &mut Random) -> bool {
        let Some(handle) = &mut self.handle else { return true };
        match random.below(12) {
            0 if !self.job.cancelled => {
                if handle.cancel() {
                    round.totals.add("cancels", 1);
                    self.job.cancelled = true;
                }
                false
            }
            1 => {
                let ready = handle.ready();
                if let (true, None) = (ready, handle.successful()) {
                    round.wrong("a handle is ready and knows not whether it was successful");
                }
                false
            }
            2 => {
                handle.wait_timeout(Duration::from_micros(random.below(3000)));
                false
            }
            3 => {
                self.handle = None;
                let refused = self.job.pool.closing.load(Ordering::SeqCst);
                if !self.job.cancelled && !self.job.fail_fast && !refused {
                    lock(&self.job.pool.orphans).push(self.job.items.clone());
                }
                round.totals.add("handles_dropped", 1);
                true
            }
            _ => match handle.get_timeout(Duration::from_micros(random.skewed(5000))) {
                Some(result) => {
                    self.handle = None;
                    self.hand_over(round, result);
                    true
                }
                None => false,
            },
        }
    }

    fn finish(&mut self, round: &Round, random: &mut Random) {
        let Some(handle) = self.handle.take() else { return };
        let result = match random.below(3) {
            0 => block_on(handle),
            1 => {
                handle.wait();
                handle.get()
            }
            _ => handle.get(),
        };
        self.hand_over(round, result);
    }

    fn call(&self) -> &'static str {
        self.job.call
    }

    fn is_ready(&self) -> bool {
        self.handle.as_ref().is_none_or(AsyncResult::ready)
    }

    fn pool(&self) -> &Arc<Facts> {
        &self.job.pool
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future + Unpin>(mut future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match Pin::new(&mut future).poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// How one job is to be made.
#[derive(Clone, Copy, Debug)]
struct Style {
    chunk: Option<usize>,
    window: Option<usize>,
    fail_fast: bool,
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

fn with<'p>(mut options: Options<'p>, style: Style) -> Options<'p> {
    if let Some(chunk) = style.chunk {
        options = options.chunk_size(chunk);
    }
    if let Some(window) = style.window {
        options = options.window(window);
    }
    options.fail_fast(style.fail_fast)
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
        let Some(items) = self.plan(single, task, calm, facts.recycles_after) else { return };
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
        let text = format!("{name} task {task} of {} items {style:?}", items.len());
        self.round.ledger.note(self.place, &text);
        self.round.totals.add(name, 1);
        let job = JobFacts {
            call: name,
            pool: facts.clone(),
            items: Arc::new(items),
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

    fn plan(
        &mut self,
        single: bool,
        task: u64,
        calm: bool,
        recycles_after: Option<u64>,
    ) -> Option<Vec<Item>> {
        let random = &mut self.random;
        let large = random.chance(6) && task != 1;
        let count = match () {
            () if single => 1,
            () if large => random.range(0, 6),
            () if task == 1 => random.skewed(20_000),
            () => random.skewed(1500),
        };
        // A start takes up to some tens of milliseconds.
        let count = recycles_after.map_or(count, |items| count.min(60 * items));
        let first = self.round.take_ids(count)?;
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
        Some(items)
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
