//! What all threads of a round share, and what must hold once it is over.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::ledger::{ITEMS, Ledger};
use crate::plan::Control;
use crate::tasks::Item;

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Totals of a run.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    counts: Mutex<BTreeMap<&'static str, u64>>,
}

impl Totals {
    pub(crate) fn add(&self, what: &'static str, count: u64) {
        *lock(&self.counts).entry(what).or_default() += count;
    }
}

impl std::fmt::Display for Totals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counts = lock(&self.counts);
        counts.iter().try_for_each(|(what, count)| write!(f, " {what}={count}"))
    }
}

/// What is true of a pool, whether or not it still is there.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// Set before `close`, `terminate` and drop.
    pub(crate) closing: AtomicBool,
    pub(crate) terminating: AtomicBool,
    /// Kills of its workers that may have come before they were ready, and of zygotes that may be its own.
    pub(crate) early_kills: AtomicU64,
    pub(crate) zygote_kills: AtomicU64,
    /// Items that a worker may run; each further one costs a start.
    pub(crate) recycles_after: Option<u64>,
    /// All its jobs have timeouts, so that a worker that is stopped for good does no harm.
    pub(crate) is_timed: bool,
    /// Workers that were stopped for good.
    pub(crate) frozen: Mutex<Vec<u32>>,
    /// Jobs that nobody waits for; done once the pool was closed and joined.
    pub(crate) orphans: Mutex<Vec<JobFacts>>,
}

impl Facts {
    /// Whether it may have been given up, after five starts in a row that came to nothing.
    pub(crate) fn may_be_hopeless(&self) -> bool {
        self.early_kills.load(Ordering::SeqCst) + self.zygote_kills.load(Ordering::SeqCst) >= 5
    }
}

/// One job, as its judge needs it.
#[derive(Clone, Debug)]
pub(crate) struct JobFacts {
    pub(crate) call: &'static str,
    pub(crate) pool: Arc<Facts>,
    pub(crate) items: Arc<Vec<Item>>,
    pub(crate) control: Arc<Control>,
    pub(crate) since: Instant,
    pub(crate) fail_fast: bool,
    pub(crate) cancelled: bool,
}

/// What all threads of a round share.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) ledger: Ledger,
    pub(crate) handle: u64,
    pub(crate) totals: Totals,
    pub(crate) stop: AtomicBool,
    pub(crate) broken: AtomicBool,
    wrongs: AtomicU64,
    next_id: AtomicU64,
    /// First items of jobs, and how often theirs may be begun.
    most: Mutex<BTreeMap<u64, u32>>,
    /// Items with a verdict.
    judged: AtomicU64,
    pub(crate) killed: Mutex<HashSet<u32>>,
    pub(crate) stopped: Mutex<HashSet<u32>>,
    pub(crate) lost: Mutex<HashSet<u32>>,
    kills: AtomicU64,
    stops: AtomicU64,
    /// Items that did not finish, of which only kills and stops from outside can be the cause.
    pub(crate) unexplained: AtomicU64,
    callbacks_due: AtomicU64,
    callbacks_run: AtomicU64,
}

impl Round {
    pub(crate) fn new(ledger: Ledger, handle: u64) -> Self {
        Self {
            ledger,
            handle,
            totals: Totals::default(),
            stop: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            wrongs: AtomicU64::new(0),
            next_id: AtomicU64::new(0),
            most: Mutex::default(),
            judged: AtomicU64::new(0),
            killed: Mutex::default(),
            stopped: Mutex::default(),
            lost: Mutex::default(),
            kills: AtomicU64::new(0),
            stops: AtomicU64::new(0),
            unexplained: AtomicU64::new(0),
            callbacks_due: AtomicU64::new(0),
            callbacks_run: AtomicU64::new(0),
        }
    }

    pub(crate) fn wrong(&self, what: &str) {
        self.broken.store(true, Ordering::SeqCst);
        self.stop.store(true, Ordering::SeqCst);
        // The first ones tell the most.
        if self.wrongs.fetch_add(1, Ordering::SeqCst) < 12 {
            eprintln!("WRONG: {what}");
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Ids for a job's items; `None` if this round has had enough.
    pub(crate) fn take_ids(&self, count: u64, most: u32) -> Option<u64> {
        let first = self.next_id.fetch_add(count, Ordering::SeqCst);
        if first + count > ITEMS as u64 {
            self.next_id.fetch_sub(count, Ordering::SeqCst);
            self.stop.store(true, Ordering::SeqCst);
            return None;
        }
        if count > 0 {
            lock(&self.most).insert(first, most);
        }
        Some(first)
    }

    /// To be called before a process is killed.
    pub(crate) fn will_kill(&self, pid: u32) {
        lock(&self.killed).insert(pid);
        self.kills.fetch_add(1, Ordering::SeqCst);
    }

    /// To be called before a worker is stopped.
    pub(crate) fn will_stop(&self, pid: u32) {
        lock(&self.stopped).insert(pid);
        self.stops.fetch_add(1, Ordering::SeqCst);
    }

    /// Counts items whose end is known.
    pub(crate) fn verdict(&self, what: &'static str, items: u64) {
        self.judged.fetch_add(items, Ordering::SeqCst);
        self.totals.add(what, items);
    }

    pub(crate) fn callback_due(&self) {
        self.callbacks_due.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn callback_ran(&self) {
        self.callbacks_run.fetch_add(1, Ordering::SeqCst);
    }

    /// The end of a round, with no process left.
    pub(crate) fn settle(&self) {
        let used = self.next_id.load(Ordering::SeqCst);
        let (mut begun_items, mut begun_again, mut most) = (0, 0, 1);
        let limits = std::mem::take(&mut *lock(&self.most));
        for id in 0..used {
            let (begun, finished) = self.ledger.mark(id);
            most = limits.get(&id).copied().unwrap_or(most);
            begun_items += u64::from(begun > 0);
            begun_again += u64::from(begun.saturating_sub(1));
            if u32::from(begun) > most || finished > begun {
                self.wrong(&format!(
                    "item {id} was begun {begun} times of {most} and finished {finished} times"
                ));
            }
        }
        let judged = self.judged.swap(0, Ordering::SeqCst);
        if judged != used && !self.broken.load(Ordering::SeqCst) {
            self.wrong(&format!("{used} items were planned and {judged} ended"));
        }
        let kills = self.kills.load(Ordering::SeqCst);
        let stops = self.stops.swap(0, Ordering::SeqCst);
        let unexplained = self.unexplained.load(Ordering::SeqCst);
        if unexplained > kills + stops {
            self.wrong(&format!(
                "{unexplained} items did not finish, and there were {kills} kills and {stops} stops"
            ));
        }
        let due = self.callbacks_due.load(Ordering::SeqCst);
        let run = self.callbacks_run.load(Ordering::SeqCst);
        if due != run {
            self.wrong(&format!("{due} callbacks were due and {run} ran"));
        }
        self.ledger.clear(used);
        self.totals.add("items_planned", used);
        self.totals.add("items_begun", begun_items);
        self.totals.add("items_begun_again", begun_again);
        self.totals.add("items_unexplained", unexplained);
        self.totals.add("callbacks", run);
        self.next_id.store(0, Ordering::SeqCst);
        self.kills.store(0, Ordering::SeqCst);
        self.unexplained.store(0, Ordering::SeqCst);
        self.callbacks_due.store(0, Ordering::SeqCst);
        self.callbacks_run.store(0, Ordering::SeqCst);
        lock(&self.killed).clear();
        lock(&self.lost).clear();
        lock(&self.stopped).clear();
        self.stop.store(false, Ordering::SeqCst);
    }
}
