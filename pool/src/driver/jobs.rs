//! The table of open jobs, and which of them have something to send.
//!
//! Jobs with something to send take turns, a chunk each, so a long job does not hold up a short one that came later.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::driver::limits::Limits;
use crate::driver::retries::RetryIf;
use crate::id::{JobKey, TaskId};
use crate::job::Job;
use crate::job::block::Block;

/// What a job asks for beside its items.
#[derive(Clone, Debug, Default)]
pub(crate) struct JobOptions {
    pub(crate) chunk_size: Option<u32>,
    pub(crate) fails_fast: bool,
    /// The usual job has none, and a million of them should not pay for it.
    pub(crate) extras: Option<Box<Extras>>,
}

/// What only some jobs ask for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extras {
    pub(crate) limits: Limits,
    /// When the job as a whole ends.
    pub(crate) deadline: Option<Instant>,
    /// How many times an item is tried again.
    pub(crate) retries: u32,
    /// Which failures, beside lost workers and time limits, are tried again.
    pub(crate) retry_if: Option<RetryIf>,
    /// How often items failed so far, as far as they did.
    pub(crate) attempts: BTreeMap<usize, u32>,
}

/// What the driver knows of an open job.
#[derive(Debug)]
pub(crate) struct OpenJob {
    pub(crate) job: Arc<Job>,
    pub(crate) task: TaskId,
    /// Place of the task's rule in the driver's list.
    pub(crate) rule: u32,
    pub(crate) chunk_size: Option<u32>,
    /// The rest is given up at the first failure.
    pub(crate) fails_fast: bool,
    extras: Option<Box<Extras>>,
    /// Items pushed so far.
    pub(crate) pushed: usize,
    /// More may be pushed.
    pub(crate) input_open: bool,
    /// The caller wants to be told when input is wanted.
    pub(crate) is_hungry: bool,
    /// It failed, and what has not started never will.
    pub(crate) gave_up: bool,
    pub(crate) is_queued: bool,
    /// Some of its items use shared values.
    pub(crate) uses_shares: bool,
    /// Items pushed and not ended.
    pub(crate) unended: usize,
    /// Items pushed and not sent.
    pub(crate) unsent: usize,
    /// The usual job has one block; only others pay for a queue.
    next: Option<Block>,
    later: VecDeque<Block>,
}

impl OpenJob {
    pub(crate) fn new(job: Arc<Job>, task: TaskId, rule: u32, options: JobOptions) -> Self {
        let JobOptions { chunk_size, fails_fast, extras } = options;
        Self {
            job,
            task,
            rule,
            chunk_size,
            fails_fast,
            extras,
            pushed: 0,
            input_open: true,
            is_hungry: false,
            gave_up: false,
            is_queued: false,
            uses_shares: false,
            unended: 0,
            unsent: 0,
            next: None,
            later: VecDeque::new(),
        }
    }

    pub(crate) fn limits(&self) -> Limits {
        self.extras.as_ref().map_or_else(Limits::default, |extras| extras.limits)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.extras.as_ref().and_then(|extras| extras.deadline)
    }

    /// How many times an item may be tried again.
    pub(crate) fn retries(&self) -> u32 {
        self.extras.as_ref().map_or(0, |extras| extras.retries)
    }

    pub(crate) fn retry_if(&self) -> Option<RetryIf> {
        self.extras.as_ref().and_then(|extras| extras.retry_if.clone())
    }

    /// Tells whether an item that fails now is tried again.
    pub(crate) fn may_retry(&self, index: usize) -> bool {
        let Some(extras) = &self.extras else { return false };
        !self.gave_up && extras.attempts.get(&index).copied().unwrap_or(0) < extras.retries
    }

    /// Notes that an item failed; returns how often it has, if the job tries items again, and else 1.
    pub(crate) fn count_attempt(&mut self, index: usize) -> u32 {
        let Some(extras) = self.extras.as_mut().filter(|extras| extras.retries > 0) else { return 1 };
        let attempts = extras.attempts.entry(index).or_insert(0);
        *attempts += 1;
        *attempts
    }

    /// Forgets how often items failed that have ended now.
    pub(crate) fn forget_attempts(&mut self, first: usize, count: u32) {
        let Some(extras) = self.extras.as_mut().filter(|extras| !extras.attempts.is_empty()) else { return };
        let mut later = extras.attempts.split_off(&first);
        let mut kept = later.split_off(&(first + count as usize));
        extras.attempts.append(&mut kept);
    }

    /// Takes out what, when it is dropped, may run code of the caller's.
    pub(crate) fn take_retry_if(&mut self) -> Option<RetryIf> {
        self.extras.as_mut().and_then(|extras| extras.retry_if.take())
    }

    /// The lowest item that was not sent.
    pub(crate) fn lowest_unsent(&self) -> Option<usize> {
        self.next.iter().chain(&self.later).map(|block| block.first).min()
    }

    /// Adds items at the end.
    pub(crate) fn push_back(&mut self, block: Block) {
        self.pushed = self.pushed.max(block.first + block.count as usize);
        self.unsent += block.count as usize;
        if self.next.is_none() { self.next = Some(block) } else { self.later.push_back(block) }
    }

    /// Puts items back that were sent and not started.
    pub(crate) fn push_front(&mut self, block: Block) {
        self.unsent += block.count as usize;
        if let Some(second) = self.next.replace(block) {
            self.later.push_front(second);
        }
    }

    /// Cuts the next chunk off.
    pub(crate) fn cut(&mut self, items: u32, bytes: usize) -> Option<Block> {
        let next = self.next.as_mut()?;
        let chunk = match next.split_front(items, bytes) {
            Some(chunk) => chunk,
            None => {
                let whole = self.next.take();
                self.next = self.later.pop_front();
                whole?
            }
        };
        self.unsent -= chunk.count as usize;
        Some(chunk)
    }

    pub(crate) fn has_unsent(&self) -> bool {
        self.next.is_some()
    }

    /// Drops what was not sent; returns how many items that were.
    pub(crate) fn drop_unsent(&mut self) -> usize {
        self.next = None;
        self.later = VecDeque::new();
        std::mem::take(&mut self.unsent)
    }

    pub(crate) fn is_over(&self) -> bool {
        !self.input_open && self.unended == 0
    }
}

/// A table with more places than this goes once none is taken: a few megabytes.
const MANY: usize = 16 << 10;

/// All open jobs.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    places: Vec<Place>,
    free: Vec<u32>,
    open: usize,
    /// That of the last job. It goes on when the table goes, so that no key of before finds a job of after.
    turn: u32,
    /// Jobs with unsent items; may hold keys of jobs that ended.
    turns: VecDeque<JobKey>,
    /// Jobs whose caller waits for its input to be wanted; the same.
    hungry: VecDeque<JobKey>,
}

#[derive(Debug)]
struct Place {
    turn: u32,
    job: Option<OpenJob>,
}

impl Jobs {
    pub(crate) fn insert(&mut self, job: OpenJob) -> JobKey {
        self.open += 1;
        self.turn = self.turn.wrapping_add(1);
        let turn = self.turn;
        if let Some(place) = self.free.pop() {
            let entry = &mut self.places[place as usize];
            entry.turn = turn;
            entry.job = Some(job);
            return JobKey { place, turn };
        }
        let place = u32::try_from(self.places.len()).expect("four billion open jobs do not fit into memory");
        self.places.push(Place { turn, job: Some(job) });
        JobKey { place, turn }
    }

    pub(crate) fn get(&mut self, key: JobKey) -> Option<&mut OpenJob> {
        let entry = self.places.get_mut(key.place as usize)?;
        if entry.turn == key.turn { entry.job.as_mut() } else { None }
    }

    /// Takes a job out; returns what its caller has of it.
    pub(crate) fn remove(&mut self, key: JobKey) -> Option<Arc<Job>> {
        let job = self.get(key)?.job.clone();
        // In its place: it is large.
        self.places[key.place as usize].job = None;
        self.free.push(key.place);
        self.open -= 1;
        if self.open == 0 {
            self.clear();
        }
        Some(job)
    }

    /// Forgets jobs that ended, all of them. After a burst of a million their table goes.
    fn clear(&mut self) {
        self.turns.clear();
        self.hungry.clear();
        let most = self.places.len().max(self.turns.capacity()).max(self.hungry.capacity());
        if most > MANY {
            *self = Self { turn: self.turn, ..Self::default() };
        }
    }

    /// All jobs.
    pub(crate) fn keys(&self) -> Vec<JobKey> {
        let places = (0u32..).zip(&self.places).filter(|(_, place)| place.job.is_some());
        places.map(|(index, place)| JobKey { place: index, turn: place.turn }).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.open
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open == 0
    }

    /// Gives a job its turn, if it has something to send and has none yet.
    pub(crate) fn queue(&mut self, key: JobKey) {
        if let Some(job) = self.get(key) {
            if job.has_unsent() && !job.is_queued {
                job.is_queued = true;
                self.turns.push_back(key);
            }
        }
    }

    /// The job whose turn it is; it stays first until [`rotate`](Self::rotate).
    pub(crate) fn whose_turn(&mut self) -> Option<JobKey> {
        while let Some(key) = self.turns.front().copied() {
            match self.get(key) {
                Some(job) if job.has_unsent() => return Some(key),
                Some(job) => job.is_queued = false,
                None => {}
            }
            self.turns.pop_front();
        }
        None
    }

    /// Ends a turn: the next one is after all others that wait.
    pub(crate) fn rotate(&mut self) {
        if self.turns.len() > 1 {
            self.turns.rotate_left(1);
        }
    }

    /// Notes that a job's caller waits until its input is wanted.
    pub(crate) fn set_hungry(&mut self, key: JobKey) {
        if let Some(job) = self.get(key) {
            if !std::mem::replace(&mut job.is_hungry, true) {
                self.hungry.push_back(key);
            }
        }
    }

    /// How many callers wait for their input to be wanted.
    pub(crate) fn hungry(&self) -> usize {
        self.hungry.len()
    }

    /// Takes the job out whose caller has waited for that longest.
    pub(crate) fn next_hungry(&mut self) -> Option<JobKey> {
        let key = self.hungry.pop_front()?;
        if let Some(job) = self.get(key) {
            job.is_hungry = false;
        }
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> OpenJob {
        OpenJob::new(Arc::new(Job::new("echo")), TaskId::of("tests::echo"), 0, JobOptions::default())
    }

    impl Jobs {
        fn capacity(&self) -> usize {
            let queues = self.turns.capacity().max(self.hungry.capacity());
            self.places.capacity().max(self.free.capacity()).max(queues)
        }
    }

    #[test]
    fn a_table_of_many_jobs_goes_with_the_last_and_none_of_its_keys_finds_a_later_one() {
        let mut jobs = Jobs::default();
        let before: Vec<_> = (0..100_000).map(|_| jobs.insert(job())).collect();
        before.iter().for_each(|key| jobs.set_hungry(*key));
        assert!(jobs.capacity() >= 100_000);
        for key in &before {
            assert!(jobs.remove(*key).is_some());
        }
        assert!(jobs.is_empty() && jobs.capacity() <= MANY, "{} places are left", jobs.capacity());
        let after: Vec<_> = (0..100_000).map(|_| jobs.insert(job())).collect();
        assert!(before.iter().all(|key| jobs.get(*key).is_none() && jobs.remove(*key).is_none()));
        assert!(after.iter().all(|key| jobs.get(*key).is_some()));
    }

    #[test]
    fn a_table_of_few_jobs_is_used_again() {
        let mut jobs = Jobs::default();
        let first = jobs.insert(job());
        assert!(jobs.remove(first).is_some());
        let places = jobs.places.as_ptr();
        let second = jobs.insert(job());
        assert!(jobs.places.as_ptr() == places && jobs.get(first).is_none());
        assert!(jobs.remove(second).is_some());
    }

    #[test]
    fn what_an_item_cost_is_forgotten_when_it_ends() {
        let extras = Some(Box::new(Extras { retries: 2, ..Extras::default() }));
        let job = Arc::new(Job::new("echo"));
        let options = JobOptions { extras, ..JobOptions::default() };
        let mut job = OpenJob::new(job, TaskId::of("tests::echo"), 0, options);
        for index in [3, 5, 5, 9] {
            job.count_attempt(index);
        }
        assert!(job.may_retry(3) && !job.may_retry(5));
        job.forget_attempts(4, 5);
        let left = job.extras.as_ref().map(|extras| extras.attempts.clone()).unwrap_or_default();
        assert_eq!(left.into_iter().collect::<Vec<_>>(), [(3, 1), (9, 1)]);
    }
}
