//! The settings of a single job.

mod calls;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::driver::pump::Pump;
use crate::driver::{Extras, JobOptions, Limits, RetryIf};
use crate::error::{Error, Result};
use crate::job::Engine;

/// A century.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The calls of a [`Pool`](crate::Pool) with settings for one job, made by [`Pool::options`](crate::Pool::options).
///
/// Settings that a call has no use for are ignored by it: a chunk size by `apply`, for example.
///
/// # Examples
///
/// ```
/// use pool::{pool_task, Pool};
///
/// #[pool_task]
/// fn square(n: u64) -> u64 { n * n }
///
/// let pool = Pool::new()?;
/// let squares = pool.options().chunk_size(2).fail_fast(true).map(square, 0..5)?;
/// assert_eq!(squares, [0, 1, 4, 9, 16]);
/// # Ok::<(), pool::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "options do nothing until one of the calls is made with them"]
pub struct Options<'p> {
    pump: &'p Arc<Pump>,
    chunk_size: Option<usize>,
    window: Option<usize>,
    fail_fast: bool,
    timeout: Option<Duration>,
    soft_timeout: Option<Duration>,
    deadline: Option<Instant>,
    retries: u32,
    retry_if: Option<RetryIf>,
}

impl fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("chunk_size", &self.chunk_size)
            .field("window", &self.window)
            .field("fail_fast", &self.fail_fast)
            .field("timeout", &self.timeout)
            .field("soft_timeout", &self.soft_timeout)
            .field("deadline", &self.deadline)
            .field("retries", &self.retries)
            .field("retry_if", &self.retry_if)
            .finish_non_exhaustive()
    }
}

impl<'p> Options<'p> {
    pub(crate) fn new(pump: &'p Arc<Pump>) -> Self {
        Self {
            pump,
            chunk_size: None,
            window: None,
            fail_fast: false,
            timeout: None,
            soft_timeout: None,
            deadline: None,
            retries: 0,
            retry_if: None,
        }
    }

    /// Sends the items to workers in chunks of this many, instead of a size that adapts to how long they take.
    ///
    /// A chunk is what one worker runs without asking for more. The default starts with single items, measures, aims
    /// at chunks of 200 µs and gets smaller towards the end. Items of over 32 KiB together go in
    /// smaller chunks either way, and so do items that the iterator yields slowly. 0 makes the call return [`Error::InvalidOption`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use pool::{pool_task, Pool};
    /// # #[pool_task]
    /// # fn square(n: u64) -> u64 { n * n }
    /// let pool = Pool::new()?;
    /// assert_eq!(pool.options().chunk_size(64).map(square, [3])?, [9]);
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn chunk_size(mut self, items: usize) -> Self {
        self.chunk_size = Some(items);
        self
    }

    /// Bounds how many items a lazy call (`imap` and its kin) may have read and not yet yielded.
    ///
    /// The default lets every worker have a few chunks. Whatever the window, results that wait hold no more than
    /// 64 MiB and one result, beside up to four large ones of each worker that are on their way in shared memory. 0 makes the call return [`Error::InvalidOption`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use pool::{pool_task, Pool};
    /// # #[pool_task]
    /// # fn square(n: u64) -> u64 { n * n }
    /// use std::cell::Cell;
    ///
    /// let pool = Pool::new()?;
    /// let read = Cell::new(0);
    /// let items = (0..1000).inspect(|_| read.set(read.get() + 1));
    /// assert_eq!(pool.options().window(10).imap(square, items).next().unwrap()?, 0);
    /// assert!(read.get() <= 10);
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn window(mut self, items: usize) -> Self {
        self.window = Some(items);
        self
    }

    /// With `true`, gives the rest of a job up at its first failure. The default runs every item.
    ///
    /// Items that run at that moment go on to their end. A `map` returns the error of the lowest index among
    /// the items that were run; an `imap` yields what ended, and [`Error::Cancelled`] for what a worker skipped.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pool::{pool_task, Pool};
    /// # #[pool_task]
    /// # fn reciprocal(n: u32) -> u32 { 100 / n }
    /// let pool = Pool::new()?;
    /// let error = pool.options().fail_fast(true).map(reciprocal, [1, 0, 1]).unwrap_err();
    /// assert_eq!(error.index(), Some(1));
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn fail_fast(mut self, fail_fast: bool) -> Self {
        self.fail_fast = fail_fast;
        self
    }

    /// Limits how long each item may run, counted from its start in a worker, however long it was queued. The default
    /// is no limit.
    ///
    /// An item that runs longer ends as [`Error::TimedOut`], and only that one: its worker is told to begin nothing more, then it and what it
    /// has started get SIGTERM and after 300 ms SIGKILL, and it is replaced. Items queued behind go to other workers. A worker
    /// that is stopped (SIGSTOP) counts as running; one that was stopped before it began the item is replaced after a second,
    /// and the item runs elsewhere. 0 makes the call return [`Error::InvalidOption`].
    ///
    /// # Examples
    ///
    /// ```
    /// use pool::{pool_task, Error, Pool};
    /// use std::time::Duration;
    ///
    /// #[pool_task]
    /// fn nap(seconds: u64) -> u64 {
    ///     std::thread::sleep(Duration::from_secs(seconds));
    ///     seconds
    /// }
    ///
    /// let pool = Pool::builder().workers(2).build()?;
    /// let limited = pool.options().timeout(Duration::from_millis(500));
    /// let naps: Vec<_> = limited.imap(nap, [0, 3600, 0]).collect();
    /// assert!(matches!(naps[..], [Ok(0), Err(Error::TimedOut { index: 1, .. }), Ok(0)]));
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Tells the task of an item that runs longer than this, counted from its start, that it should come to an end:
    /// [`interrupted`](crate::interrupted) is true for it from then on. The default is no limit.
    ///
    /// Nothing else happens: what the task returns is its result. Together with a longer [`timeout`](Self::timeout), an item has a
    /// chance to end in good order before its worker is ended. 0, or a time that is not shorter than the timeout,
    /// makes the call return [`Error::InvalidOption`].
    ///
    /// # Examples
    ///
    /// ```
    /// use pool::{pool_task, Pool};
    /// use std::time::Duration;
    ///
    /// #[pool_task]
    /// fn refine(mut guess: f64) -> f64 {
    ///     while !pool::interrupted() {
    ///         guess = (guess + 2.0 / guess) / 2.0;
    ///     }
    ///     guess
    /// }
    ///
    /// let pool = Pool::new()?;
    /// let root = pool.options().soft_timeout(Duration::from_millis(5)).apply(refine, (1.0,))?;
    /// assert!((root * root - 2.0).abs() < 1e-9);
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn soft_timeout(mut self, limit: Duration) -> Self {
        self.soft_timeout = Some(limit);
        self
    }

    /// Ends the whole job at this moment, if it is still open: with [`Error::TimedOut`], whose `index` is the lowest
    /// item that had not ended.
    ///
    /// Items that have not started never do; those that run end their workers, as with [`AsyncResult::cancel`](crate::AsyncResult::cancel). A lazy call
    /// yields what had ended before, then that error once.
    ///
    /// # Examples
    ///
    /// ```
    /// use pool::{pool_task, Error, Pool};
    /// use std::time::{Duration, Instant};
    ///
    /// #[pool_task]
    /// fn nap(seconds: u64) { std::thread::sleep(Duration::from_secs(seconds)) }
    ///
    /// let pool = Pool::new()?;
    /// let soon = Instant::now() + Duration::from_millis(200);
    /// let error = pool.options().deadline(soon).map(nap, [3600; 10]).unwrap_err();
    /// assert!(matches!(error, Error::TimedOut { index: 0, .. }));
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn deadline(mut self, time: Instant) -> Self {
        self.deadline = Some(time);
        self
    }

    /// Tries items again, up to this many times each, that were lost with their worker or ran out of time. The default
    /// is 0: no item is ever run twice.
    ///
    /// With retries an item may have effects more than once. Each retry waits longer, from 10 ms to a second. An item
    /// that has cost one worker more than this is given up; its error says how many.
    ///
    /// # Examples
    ///
    /// ```
    /// use pool::{pool_task, Error, Pool};
    ///
    /// #[pool_task]
    /// fn crash() { std::process::abort() }
    ///
    /// let pool = Pool::builder().workers(1).build()?;
    /// let error = pool.options().retries(2).apply(crash, ()).unwrap_err();
    /// assert!(matches!(error, Error::WorkerLost { attempts: 3, .. }));
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn retries(mut self, times: u32) -> Self {
        self.retries = times;
        self
    }

    /// Tries items again for which this is true of their error, beside those that [`retries`](Self::retries) is about, and
    /// together with them no more often than that says.
    ///
    /// It is asked about failures in the worker: panics, and values that could not be encoded or decoded there. It runs on
    /// a thread of the pool's that does nothing else, one question at a time. While it takes its time, the item has not ended and others that
    /// failed wait to be asked about; calls, time limits and callbacks go on. If the job ends meanwhile, say by its deadline, its answer counts
    /// no more. In it no pool can be waited for: calls get [`Error::WouldDeadlock`], those to another pool
    /// too. If it panics, the item ends as [`Error::CallbackPanicked`]. Without `retries` the call returns
    /// [`Error::InvalidOption`], and [`Error::Spawn`] if that thread cannot be had.
    ///
    /// # Examples
    ///
    /// ```
    /// use pool::{pool_task, Error, Pool};
    ///
    /// #[pool_task]
    /// fn fetch(n: u32) -> u32 {
    ///     if std::process::id() % 1000 == n { panic!("try again") } // sometimes, that is
    ///     n
    /// }
    ///
    /// let pool = Pool::new()?;
    /// let is_panic = |error: &Error| matches!(error, Error::Panicked { .. });
    /// let fetched = pool.options().retries(3).retry_if(is_panic).map(fetch, 2000..2003)?;
    /// assert_eq!(fetched, [2000, 2001, 2002]);
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn retry_if(mut self, retry: impl Fn(&Error) -> bool + Send + Sync + 'static) -> Self {
        self.retry_if = Some(RetryIf(Arc::new(retry)));
        self
    }

    fn job_options(&self) -> Result<JobOptions> {
        self.pump.check_caller()?;
        let invalid = |option, reason: &str| Err(Error::InvalidOption { option, reason: reason.to_owned() });
        for (option, value) in [("chunk_size", self.chunk_size), ("window", self.window)] {
            if value == Some(0) {
                return invalid(option, "it must be at least 1");
            }
        }
        for (option, limit) in [("timeout", self.timeout), ("soft_timeout", self.soft_timeout)] {
            if limit == Some(Duration::ZERO) {
                return invalid(option, "it must be longer than no time");
            }
        }
        if matches!((self.soft_timeout, self.timeout), (Some(soft), Some(hard)) if soft >= hard) {
            return invalid("soft_timeout", "it must be shorter than `timeout`");
        }
        if self.retry_if.is_some() && self.retries == 0 {
            return invalid("retry_if", "say how often with `retries`");
        }
        if self.retry_if.is_some() {
            self.pump.prepare_questions()?;
        }
        let chunk_size = self.chunk_size.map(|size| u32::try_from(size).unwrap_or(u32::MAX));
        Ok(JobOptions { chunk_size, fails_fast: self.fail_fast, extras: self.extras() })
    }

    fn extras(&self) -> Option<Box<Extras>> {
        // A limit that no clock can express is none.
        let limits = Limits {
            soft: self.soft_timeout.filter(|limit| *limit < FOREVER),
            hard: self.timeout.filter(|limit| *limit < FOREVER),
        };
        if !limits.is_set() && self.deadline.is_none() && self.retries == 0 {
            return None;
        }
        Some(Box::new(Extras {
            limits,
            deadline: self.deadline,
            retries: self.retries,
            retry_if: self.retry_if.clone(),
            ..Extras::default()
        }))
    }
}
