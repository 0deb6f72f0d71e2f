//! What must hold: every outcome is judged here, against the plan and the ledger.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pool::{Error, Exit, Result, TimeLimit};

use crate::ledger::{ITEMS, Ledger};
use crate::tasks::{Act, Checked, Item};

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often any item may be tried again.
pub(crate) const MOST_RETRIES: u8 = 3;

/// Totals of a run.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    counts: Mutex<std::collections::BTreeMap<&'static str, u64>>,
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
    /// Jobs that nobody waits for; done once the pool was closed and joined.
    pub(crate) orphans: Mutex<Vec<Arc<Vec<Item>>>>,
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
    pub(crate) fail_fast: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) deadline: bool,
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
    killed: Mutex<HashSet<u32>>,
    lost: Mutex<HashMap<u32, u32>>,
    kills: AtomicU64,
    /// Items that did not finish, of which only the kills from outside can be the cause.
    unexplained: AtomicU64,
    callbacks_due: AtomicU64,
    callbacks_run: AtomicU64,
    /// Items that may be tried again.
    retried: Mutex<HashSet<u64>>,
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
            killed: Mutex::default(),
            lost: Mutex::default(),
            kills: AtomicU64::new(0),
            unexplained: AtomicU64::new(0),
            callbacks_due: AtomicU64::new(0),
            callbacks_run: AtomicU64::new(0),
            retried: Mutex::default(),
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
    pub(crate) fn take_ids(&self, count: u64) -> Option<u64> {
        let first = self.next_id.fetch_add(count, Ordering::SeqCst);
        if first + count > ITEMS as u64 {
            self.next_id.fetch_sub(count, Ordering::SeqCst);
            self.stop.store(true, Ordering::SeqCst);
            return None;
        }
        Some(first)
    }

    /// To be called before items are sent that may be tried again.
    pub(crate) fn may_retry(&self, items: &[Item]) {
        lock(&self.retried).extend(items.iter().filter(|item| item.retries > 0).map(|item| item.id));
    }

    /// To be called before a process is killed.
    pub(crate) fn will_kill(&self, pid: u32) {
        lock(&self.killed).insert(pid);
        self.kills.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn callback_due(&self) {
        self.callbacks_due.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn callback_ran(&self) {
        self.callbacks_run.fetch_add(1, Ordering::SeqCst);
    }

    /// Judges the error of a job as a whole; false if the error is about an item.
    fn judge_whole(&self, job: &JobFacts, error: &Error) -> bool {
        let terminating = job.pool.terminating.load(Ordering::SeqCst);
        let allowed = match error {
            Error::Cancelled { .. } if job.cancelled => true,
            Error::TimedOut { limit: TimeLimit::Deadline, .. } => {
                self.totals.add("jobs_ended_by_deadline", 1);
                job.deadline
            }
            Error::Terminated => terminating,
            Error::Closed => {
                let clean = job.items.iter().all(|item| self.ledger.mark(item.id) == (0, 0));
                (terminating || job.pool.closing.load(Ordering::SeqCst)) && clean
            }
            Error::Spawn { .. } | Error::Initializer { .. } => {
                self.totals.add("jobs_ended_by_hopeless_pool", 1);
                job.pool.may_be_hopeless()
            }
            _ => return false,
        };
        if !allowed {
            self.wrong(&format!("{} ended with {error:?}, cancelled {}", job.call, job.cancelled));
        }
        self.totals.add("jobs_ended_as_a_whole", 1);
        true
    }

    /// Judges one result; true if it ended the job as a whole.
    pub(crate) fn judge_item<R: Checked>(&self, job: &JobFacts, index: usize, result: Result<R>) -> bool {
        self.ledger.progress();
        let item = &job.items[index];
        match result {
            Ok(answer) => {
                self.totals.add("items_right", 1);
                let mark = self.ledger.mark(item.id);
                if !answer.is_right(item) {
                    self.wrong(&format!("{}: wrong answer, of {}, for {item:?}", job.call, answer.id()));
                } else if !item.may_begin(mark.0) || !(1..=mark.0).contains(&mark.1) {
                    self.wrong(&format!("{}: item {item:?} is right and has mark {mark:?}", job.call));
                }
                false
            }
            Err(error) if !matches!(error, Error::Cancelled { .. }) || job.cancelled => {
                if self.judge_whole(job, &error) {
                    return true;
                }
                self.judge_failure(job, index, item, &error);
                false
            }
            Err(error) => {
                self.judge_failure(job, index, item, &error);
                false
            }
        }
    }

    fn judge_failure(&self, job: &JobFacts, index: usize, item: &Item, error: &Error) {
        let mark = self.ledger.mark(item.id);
        let allowed = match error {
            Error::Panicked { message, .. } => {
                self.totals.add("items_panicked", 1);
                let meant = match item.act {
                    Act::Panic => message == "on purpose",
                    Act::PanicAtLength(len) => message.len() == len as usize,
                    _ => false,
                };
                meant && item.may_begin(mark.0) && mark.1 == 0
            }
            Error::TimedOut { limit: TimeLimit::Timeout(limit), pid: Some(_), attempts, .. } => {
                self.totals.add("items_timed_out", 1);
                if item.act != Act::Hang {
                    // It was slow, or its worker was stopped.
                    self.totals.add("items_timed_out_by_chance", 1);
                }
                job.timeout == Some(*limit)
                    // Its time counts from a moment before it can mark anything.
                    && (mark.0 == 0 || item.may_begin(mark.0))
                    && mark.1 <= mark.0
                    && (job.fail_fast || *attempts == u32::from(item.retries) + 1)
            }
            Error::WorkerLost { pid, exit, attempts, .. } => {
                self.totals.add("items_lost", 1);
                let times = *lock(&self.lost).entry(*pid).and_modify(|times| *times += 1).or_insert(1);
                let was_killed = lock(&self.killed).contains(pid) && *exit == Exit::Signal(9);
                let died = match item.act {
                    Act::Exit(code) => *exit == Exit::Code(code),
                    Act::Abort => *exit == Exit::Signal(6),
                    Act::Kill(signal) => *exit == Exit::Signal(signal),
                    _ => false,
                };
                if was_killed && !died {
                    self.totals.add("items_lost_to_kills", 1);
                    if mark == (0, 0) {
                        self.totals.add("items_lost_before_begun", 1);
                    }
                }
                times == 1
                    && (was_killed || died && item.may_begin(mark.0) && mark.1 <= mark.0)
                    && (job.fail_fast || *attempts == u32::from(item.retries) + 1)
            }
            Error::Cancelled { .. } => job.fail_fast && mark == (0, 0),
            _ => false,
        };
        if !allowed || error.index() != Some(index) {
            self.wrong(&format!("{}: item {index} {item:?}, mark {mark:?}, ended with {error:?}", job.call));
        }
    }

    /// Judges the result of a job of many items that returns them all.
    pub(crate) fn judge_all<R: Checked>(&self, job: &JobFacts, result: Result<Vec<R>>) {
        match result {
            Ok(answers) => {
                if answers.len() != job.items.len() {
                    let (got, want) = (answers.len(), job.items.len());
                    let last = job.items.last().map(|item| self.ledger.mark(item.id));
                    let fast = job.fail_fast;
                    self.wrong(&format!(
                        "{}: {got} answers for {want} items, the last has {last:?}, fail_fast {fast}",
                        job.call
                    ));
                }
                for (index, answer) in answers.into_iter().take(job.items.len()).enumerate() {
                    self.judge_item(job, index, Ok(answer));
                }
            }
            Err(error) => {
                self.ledger.progress();
                if self.judge_whole(job, &error) {
                    return;
                }
                let Some(index) = error.index().filter(|index| *index < job.items.len()) else {
                    return self.wrong(&format!("{}: ended with {error:?}", job.call));
                };
                self.judge_failure(job, index, &job.items[index], &error);
                if !job.fail_fast {
                    let is_right = |item: &&Item| {
                        let (begun, finished) = self.ledger.mark(item.id);
                        item.may_begin(begun) && (1..=begun).contains(&finished)
                    };
                    let low = job.items[..index].iter().find(|item| !is_right(item));
                    if let Some(item) = low {
                        let mark = self.ledger.mark(item.id);
                        self.wrong(&format!("{}: {item:?} before the lowest error has {mark:?}", job.call));
                    }
                    self.judge_unseen(&job.items[index + 1..]);
                }
            }
        }
    }

    /// Judges items that must have run, and whose outcome nobody saw.
    pub(crate) fn judge_unseen(&self, items: &[Item]) {
        for item in items {
            let (begun, finished) = self.ledger.mark(item.id);
            let finishes = if item.act.ends_well() { finished >= 1 || item.is_timed } else { finished == 0 };
            if !item.may_begin(begun) || !finishes {
                self.unexplained.fetch_add(1, Ordering::SeqCst);
            }
        }
        self.totals.add("items_unseen", items.len() as u64);
    }

    /// The end of a round, with no process left.
    pub(crate) fn settle(&self) {
        let used = self.next_id.load(Ordering::SeqCst);
        let mut begun_items = 0;
        let retried = std::mem::take(&mut *lock(&self.retried));
        for id in 0..used {
            let (begun, finished) = self.ledger.mark(id);
            begun_items += u64::from(begun);
            if begun > 1 + u8::from(retried.contains(&id)) * MOST_RETRIES || finished > begun {
                self.wrong(&format!("item {id} was begun {begun} times and finished {finished} times"));
            }
        }
        let kills = self.kills.load(Ordering::SeqCst);
        let unexplained = self.unexplained.load(Ordering::SeqCst);
        if unexplained > kills {
            self.wrong(&format!("{unexplained} items did not finish, and there were {kills} kills"));
        }
        let due = self.callbacks_due.load(Ordering::SeqCst);
        let run = self.callbacks_run.load(Ordering::SeqCst);
        if due != run {
            self.wrong(&format!("{due} callbacks were due and {run} ran"));
        }
        self.ledger.clear(used);
        self.totals.add("items_planned", used);
        self.totals.add("items_begun", begun_items);
        self.totals.add("items_unexplained", unexplained);
        self.totals.add("callbacks", run);
        self.next_id.store(0, Ordering::SeqCst);
        self.kills.store(0, Ordering::SeqCst);
        self.unexplained.store(0, Ordering::SeqCst);
        self.callbacks_due.store(0, Ordering::SeqCst);
        self.callbacks_run.store(0, Ordering::SeqCst);
        lock(&self.killed).clear();
        lock(&self.lost).clear();
        self.stop.store(false, Ordering::SeqCst);
    }
}
