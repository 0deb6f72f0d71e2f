//! The border between types and bytes: one job, seen from the caller.
//!
//! A [`Job`] is what driver and handle share. The driver delivers bytes and says when all is settled; the handle takes
//! them and decodes. Above this module everything is typed, below it nothing is. What a handle needs of
//! the driver is the trait [`Engine`].

pub(crate) mod async_result;
pub(crate) mod block;
pub(crate) mod callback;
pub(crate) mod few;
pub(crate) mod imap;
pub(crate) mod sink;
pub(crate) mod source;
pub(crate) mod stream;

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread::{Thread, ThreadId};
use std::time::{Duration, Instant};

use crate::body::Shape;
use crate::codec::Outside;
use crate::error::Error;
use crate::id::JobKey;
use crate::transport::link::Held;
use block::Block;
use few::{Few, FewBytes};

thread_local! {
    /// A job that is over, for the next one that this thread waits for.
    static SPARE: Cell<Option<Arc<Job>>> = const { Cell::new(None) };
}

/// What ended: results of consecutive items as bytes, or one item that failed outside its worker.
#[derive(Debug)]
pub(crate) enum Delivery {
    /// A body of outcomes.
    Results { results: Results, body: FewBytes },
    /// The result of this item, where its worker put it.
    Large { index: usize, held: Held },
    /// This item has no bytes.
    Failed { index: usize, error: Box<Error> },
}

/// Which outcomes lie in a body, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Results {
    /// Place in the job of the first of them.
    pub(crate) first: usize,
    pub(crate) count: u32,
    pub(crate) shape: Shape,
}

/// Bytes up to which deliveries are joined.
const MOST_ABSORBED: usize = 4 << 10;

impl Delivery {
    pub(crate) fn first(&self) -> usize {
        match self {
            Delivery::Results { results, .. } => results.first,
            Delivery::Large { index, .. } | Delivery::Failed { index, .. } => *index,
        }
    }

    pub(crate) fn count(&self) -> usize {
        match self {
            Delivery::Results { results, .. } => results.count as usize,
            Delivery::Large { .. } | Delivery::Failed { .. } => 1,
        }
    }

    /// Appends results that come right behind these and lie alike, unless they are many already: then it costs more to
    /// copy them than to handle them apart.
    fn absorb(&mut self, next: &Results, bytes: &[u8]) -> bool {
        let Delivery::Results { results, body } = self else { return false };
        // Results may take no bytes at all, and then there is no end to how many fit.
        let Some(count) = results.count.checked_add(next.count) else { return false };
        let fits = body.len() + bytes.len() <= MOST_ABSORBED
            && results.shape == next.shape
            && results.first + results.count as usize == next.first;
        if fits {
            body.append(bytes);
            results.count = count;
        }
        fits
    }

    /// Bytes held.
    pub(crate) fn size(&self) -> usize {
        match self {
            Delivery::Results { body, .. } => body.size(),
            Delivery::Large { held, .. } => held.len(),
            Delivery::Failed { .. } => size_of::<Error>(),
        }
    }
}

/// One request to the pool, shared by the driver and the handle. A million may be open at once.
pub(crate) struct Job {
    pub(crate) task: &'static str,
    settled: AtomicBool,
    news: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    delivered: Few<Delivery>,
    aborted: Option<Box<Error>>,
    waiting: Option<Box<Waiting>>,
}

/// Who wants to know.
#[derive(Default)]
struct Waiting {
    threads: Vec<Thread>,
    waker: Option<Waker>,
    hooks: Vec<Hook>,
}

/// Runs when the job is settled, on whichever thread noticed; must be short.
pub(crate) type Hook = Box<dyn FnOnce() + Send>;

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job")
            .field("task", &self.task)
            .field("settled", &self.is_settled())
            .finish_non_exhaustive()
    }
}

impl Job {
    pub(crate) fn new(task: &'static str) -> Self {
        Self {
            task,
            settled: AtomicBool::new(false),
            news: AtomicBool::new(false),
            state: Mutex::new(State::default()),
        }
    }

    /// A job in the memory of one that this thread is [done with](Self::put_by), if there is one.
    pub(crate) fn spare(task: &'static str) -> Arc<Self> {
        // A thread that ends may have none any more.
        let mut spare = SPARE.try_with(Cell::take).ok().flatten();
        match spare.as_mut().and_then(Arc::get_mut) {
            Some(job) => *job = Self::new(task),
            // Whoever notified of it may have it still.
            None => spare = None,
        }
        spare.unwrap_or_else(|| Arc::new(Self::new(task)))
    }

    /// Keeps the memory of a job whose results were taken.
    pub(crate) fn put_by(job: Arc<Self>) {
        let _ = SPARE.try_with(|spare| spare.set(Some(job)));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing below panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Driver: hands an item over that has no bytes. Whoever waits learns it from [`notify`](Self::notify).
    pub(crate) fn deliver_failure(&self, index: usize, error: Error) {
        self.state().delivered.push(Delivery::Failed { index, error: Box::new(error) });
        self.news.store(true, Ordering::Release);
    }

    /// Driver: hands a large result over; the same.
    pub(crate) fn deliver_large(&self, index: usize, held: Held) {
        self.state().delivered.push(Delivery::Large { index, held });
        self.news.store(true, Ordering::Release);
    }

    /// Driver: hands results over; the same. May leave `body` as it is, to be used again.
    pub(crate) fn deliver(&self, results: Results, body: &mut Vec<u8>) {
        let mut state = self.state();
        if !state.delivered.last_mut().is_some_and(|last| last.absorb(&results, body)) {
            let is_kept = body.len() < MOST_ABSORBED;
            let body = if is_kept { body[..].into() } else { FewBytes::Apart(std::mem::take(body)) };
            state.delivered.push(Delivery::Results { results, body });
        }
        drop(state);
        self.news.store(true, Ordering::Release);
    }

    /// Driver: says that every item has been delivered.
    pub(crate) fn settle(&self) {
        self.settled.store(true, Ordering::Release);
        self.news.store(true, Ordering::Release);
    }

    /// Driver: ends the job as a whole with this error.
    pub(crate) fn abort(&self, error: Error) {
        self.state().aborted = Some(Box::new(error));
        self.settle();
    }

    /// Driver: says that the caller should look, because its input is wanted.
    pub(crate) fn set_news(&self) {
        self.news.store(true, Ordering::Release);
    }

    /// Wakes everybody who waits. Takes no lock of the pool's, so call it with none held.
    pub(crate) fn notify(&self) {
        let mut state = self.state();
        let Some(waiting) = &mut state.waiting else { return };
        let threads = std::mem::take(&mut waiting.threads);
        let waker = if self.is_settled() { waiting.waker.take() } else { None };
        let hooks = if self.is_settled() { std::mem::take(&mut waiting.hooks) } else { Vec::new() };
        drop(state);
        threads.iter().for_each(Thread::unpark);
        hooks.into_iter().for_each(|hook| hook());
        if let Some(waker) = waker {
            callback::wake(waker);
        }
    }

    #[inline]
    pub(crate) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }

    /// Tells whether there is something to take, or the job is settled, since the last time it was taken.
    #[inline]
    pub(crate) fn has_news(&self) -> bool {
        self.news.load(Ordering::Acquire)
    }

    /// Takes what has been delivered.
    pub(crate) fn take(&self) -> Few<Delivery> {
        // Cleared first: what comes in between is news again.
        self.news.store(false, Ordering::Release);
        std::mem::take(&mut self.state().delivered)
    }

    /// The error that ended the job as a whole.
    pub(crate) fn aborted(&self) -> Option<Error> {
        self.state().aborted.as_deref().cloned()
    }

    /// Adds the calling thread to those that [`notify`](Self::notify) wakes next.
    pub(crate) fn wake_me(&self) {
        self.state().waiting.get_or_insert_default().threads.push(std::thread::current());
    }

    /// Takes the calling thread out again.
    pub(crate) fn wake_me_not(&self) {
        let own = std::thread::current().id();
        if let Some(waiting) = &mut self.state().waiting {
            waiting.threads.retain(|thread| thread.id() != own);
        }
    }

    /// Waits without driving anything, for a job that only a callback is still to settle; tells whether it is.
    pub(crate) fn wait_alone(&self, deadline: Option<Instant>) -> bool {
        while !self.is_settled() {
            self.wake_me();
            if !self.is_settled() {
                match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                    None => std::thread::park(),
                    Some(Duration::ZERO) => {
                        self.wake_me_not();
                        break;
                    }
                    Some(left) => std::thread::park_timeout(left),
                }
            }
            self.wake_me_not();
        }
        self.is_settled()
    }

    /// Sets the waker that is woken when the job is settled; false if it is settled already.
    pub(crate) fn set_waker(&self, waker: &Waker) -> bool {
        // An executor's code clones and drops wakers, so neither is done under the lock.
        let waker = waker.clone();
        let mut state = self.state();
        if self.is_settled() {
            return false;
        }
        let old = state.waiting.get_or_insert_default().waker.replace(waker);
        drop(state);
        drop(old);
        true
    }

    /// Runs `hook` when the job is settled: now, if it is.
    pub(crate) fn when_settled(&self, hook: Hook) {
        let mut state = self.state();
        if self.is_settled() {
            drop(state);
            hook();
        } else {
            state.waiting.get_or_insert_default().hooks.push(hook);
        }
    }
}

/// What a waiting thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// Something was delivered, or input is wanted, or the job is settled.
    News,
    /// Every item has ended.
    Settled,
}

impl Until {
    #[inline]
    pub(crate) fn holds(self, job: &Job) -> bool {
        match self {
            // What settles the job is news too, but somebody may have taken that as such just before he looked whether it is settled.
            Until::News => job.has_news() || job.is_settled(),
            Until::Settled => job.is_settled(),
        }
    }
}

/// How much input the driver wants now: the next chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Demand {
    pub(crate) items: usize,
    /// A chunk of several items ends before it has more bytes than this.
    pub(crate) bytes: usize,
    /// Items that a lazy call may have read and not yielded, unless its caller says otherwise.
    pub(crate) ahead: usize,
}

/// What the running items of a job do that is ended as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// They go on to their end.
    Finishes,
    /// Their workers are ended.
    IsEnded,
}

/// What handles need of the driver.
pub(crate) trait Engine: Send + Sync {
    /// Tells whether the calling thread may use the pool.
    ///
    /// # Errors
    ///
    /// [`Error::ForkedChild`] if the pool is just in the memory of this process because it was forked, and
    /// [`Error::WouldDeadlock`] in a `retry_if`; then nothing may be waited for.
    fn check_caller(&self) -> Result<(), Error>;
    /// Waits, and drives the pool meanwhile; false if the deadline came first.
    fn wait(&self, job: &Job, until: Until, deadline: Option<Instant>) -> bool;
    /// Asks whether the next chunk of a job is wanted; if not, the job has news once it is.
    fn demand(&self, key: JobKey, remaining: Option<usize>) -> Option<Demand>;
    /// Hands encoded items over.
    fn push(&self, key: JobKey, block: Block);
    /// Ends an item that never leaves the caller.
    fn fail_item(&self, key: JobKey, index: usize, error: Error);
    /// Says that no more items come.
    fn finish_input(&self, key: JobKey);
    /// Ends a job; false if it was settled already.
    fn cancel(&self, key: JobKey, rest: Rest) -> bool;
    /// Wakes who waits for a job that was settled outside the driver.
    fn announce(&self, job: &Job);
    /// Sees to it that there is a thread for callbacks, and returns it; `None` if the pool has ended. Where the calling
    /// thread may not use the pool, there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Spawn`] if none can be had.
    fn prepare_callbacks(&self) -> Result<Option<ThreadId>, Error>;
    /// Queues a callback for the thread that runs them.
    fn call_back(&self, callback: Hook);
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::task::Wake;

    use super::*;

    /// Looks at the job when it is dropped, as a future may that holds a handle.
    struct Looks(Arc<Job>, mpsc::Sender<bool>);

    impl Wake for Looks {
        fn wake(self: Arc<Self>) {}
    }

    impl Drop for Looks {
        fn drop(&mut self) {
            let _ = self.1.send(self.0.aborted().is_none());
        }
    }

    #[test]
    fn results_without_bytes_are_joined_as_far_as_they_can_be_counted() {
        let few = Results { first: 3, count: 2, shape: Shape::from_raw(0) };
        let mut many =
            Delivery::Results { results: Results { count: u32::MAX - 1, ..few }, body: (&[][..]).into() };
        let after = |delivery: &Delivery| Results { first: 3 + delivery.count(), ..few };
        assert!(!many.absorb(&after(&many), &[]));
        assert_eq!(many.count(), u32::MAX as usize - 1);
        let next = after(&many);
        assert!(many.absorb(&Results { count: 1, ..next }, &[]));
        assert_eq!(many.count(), u32::MAX as usize);
    }

    #[test]
    fn nobody_waits_for_news_of_a_settled_job_though_others_may_have_taken_them() {
        let job = Job::new("echo");
        assert!(!Until::News.holds(&job));
        job.abort(Error::Terminated);
        job.take();
        assert!(Until::News.holds(&job) && Until::Settled.holds(&job));
    }

    #[test]
    fn a_job_that_is_over_lends_its_memory_to_the_next_unless_somebody_has_it() {
        let job = Job::spare("first");
        job.abort(Error::Closed);
        let place = Arc::as_ptr(&job);
        Job::put_by(job);
        let job = Job::spare("second");
        assert!(Arc::as_ptr(&job) == place && job.task == "second");
        assert!(!job.is_settled() && !job.has_news() && job.aborted().is_none());
        let kept = job.clone();
        Job::put_by(job);
        kept.settle();
        let job = Job::spare("third");
        assert!(!Arc::ptr_eq(&job, &kept) && !job.is_settled());
    }

    #[test]
    fn a_waker_that_is_replaced_may_use_the_job_when_it_is_dropped() {
        let job = Arc::new(Job::new("echo"));
        let (sender, receiver) = mpsc::channel();
        let waker = Waker::from(Arc::new(Looks(job.clone(), sender)));
        assert!(job.set_waker(&waker));
        drop(waker);
        assert!(receiver.try_recv().is_err(), "the job has it");
        std::thread::spawn(move || job.set_waker(Waker::noop()));
        assert_eq!(receiver.recv_timeout(Duration::from_secs(20)), Ok(true));
    }
}
