//! The pool and its calls.

mod end;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::driver::pump::Pump;
use crate::error::Result;
use crate::job::Engine;
use crate::job::async_result::AsyncResult;
use crate::job::imap::Imap;
use crate::options::Options;
use crate::supervisor::Commands;
use crate::sys::thread::OwnThread;
use crate::task::{Argument, OneArgument, StarArguments, Task};

/// A pool of worker processes.
///
/// It is shared by reference, from any number of threads. Dropping it terminates it: no process, thread or descriptor
/// stays, and every handle that is still open ends with [`Error::Terminated`](crate::Error::Terminated). That takes a moment, and two seconds at the most:
/// what cannot be ended by then, such as a callback that does not return, is left alone. Call [`close`](Self::close) and
/// [`join`](Self::join) first to let queued work finish.
///
/// # Examples
///
/// ```
/// use pool::{pool_task, Pool};
///
/// #[pool_task]
/// fn square(x: u64) -> u64 { x * x }
///
/// #[pool_task]
/// fn add(a: i64, b: i64) -> i64 { a + b }
///
/// let pool = Pool::new()?;
/// assert_eq!(pool.map(square, 0..4)?, [0, 1, 4, 9]);
/// assert_eq!(pool.apply(add, (1, 2))?, 3);
/// pool.close();
/// pool.join()?;
/// # Ok::<(), pool::Error>(())
/// ```
pub struct Pool {
    pump: Arc<Pump>,
    commands: Arc<Commands>,
    threads: Threads,
    workers: usize,
    has_stopped: AtomicBool,
}

/// The pool's own threads.
#[derive(Default)]
pub(crate) struct Threads {
    pub(crate) supervisor: Option<OwnThread>,
    pub(crate) background: Option<OwnThread>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("workers", &self.workers)
            .field("pump", &self.pump)
            .finish_non_exhaustive()
    }
}

impl Pool {
    pub(crate) fn assemble(
        pump: Arc<Pump>,
        commands: Arc<Commands>,
        threads: Threads,
        workers: usize,
    ) -> Self {
        Self { pump, commands, threads, workers, has_stopped: AtomicBool::new(false) }
    }

    /// Returns the same calls with settings for a single job.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pool::{pool_task, Pool};
    /// # #[pool_task]
    /// # fn square(x: u64) -> u64 { x * x }
    /// let pool = Pool::new()?;
    /// assert_eq!(pool.options().chunk_size(2).map(square, 0..4)?, [0, 1, 4, 9]);
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn options(&self) -> Options<'_> {
        Options::new(&self.pump)
    }

    /// Runs a task once and returns its output. Blocks the calling thread, which drives the pool meanwhile.
    ///
    /// The same as `apply_async(task, args).get()`.
    ///
    /// # Errors
    ///
    /// [`Error::Panicked`](crate::Error::Panicked) if the task panicked, [`Error::WorkerLost`](crate::Error::WorkerLost) if its worker died, [`Error::Encode`](crate::Error::Encode) or
    /// [`Error::Decode`](crate::Error::Decode) if the arguments or the result do not survive the trip, [`Error::Closed`](crate::Error::Closed) if the pool was
    /// closed before the call, [`Error::Terminated`](crate::Error::Terminated) if it was terminated meanwhile.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pool::{pool_task, Pool};
    /// #[pool_task]
    /// fn add(a: i64, b: i64) -> i64 { a + b }
    ///
    /// assert_eq!(Pool::new()?.apply(add, (1, 2))?, 3);
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn apply<'a, T: Task>(&self, task: T, args: T::Args<'a>) -> Result<T::Output> {
        self.options().apply(task, args)
    }

    /// Queues one call of a task and returns a handle on its output. Never blocks.
    ///
    /// Arguments are encoded before it returns, so what they borrow may change afterwards. Whatever is wrong, a closed
    /// pool included, is in the handle.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pool::{pool_task, Pool};
    /// #[pool_task]
    /// fn add(a: i64, b: i64) -> i64 { a + b }
    ///
    /// let pool = Pool::new()?;
    /// let (one, two) = (pool.apply_async(add, (0, 1)), pool.apply_async(add, (1, 1)));
    /// assert_eq!((one.get()?, two.get()?), (1, 2));
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn apply_async<'a, T: Task>(&self, task: T, args: T::Args<'a>) -> AsyncResult<T::Output> {
        self.options().apply_async(task, args)
    }

    /// Runs a task on every input and returns the outputs in input order.
    ///
    /// Inputs are cut into chunks; see [`Options::chunk_size`] for the rule. They are read as workers have room for
    /// them. Every input is run; if some fail, the error of the lowest index is returned. Blocks the calling
    /// thread, which drives the pool meanwhile.
    ///
    /// # Errors
    ///
    /// As for [`apply`](Self::apply), about the item with the lowest index that failed.
    ///
    /// # Panics
    ///
    /// If the iterator does; the pool works on.
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
    /// assert_eq!(pool.map(square, 1..=3)?, [1, 4, 9]);
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn map<'a, T, I>(&self, task: T, items: I) -> Result<Vec<T::Output>>
    where
        T: Task,
        T::Args<'a>: OneArgument,
        I: IntoIterator<Item = Argument<'a, T>>,
    {
        self.options().map(task, items)
    }

    /// Queues a task for every input and returns a handle on the outputs, in input order.
    ///
    /// Inputs are read and encoded before it returns, on the calling thread; it blocks for nothing else.
    ///
    /// # Panics
    ///
    /// If the iterator does; the pool works on.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pool::{pool_task, Pool};
    /// #[pool_task]
    /// fn square(n: u64) -> u64 { n * n }
    ///
    /// assert_eq!(Pool::new()?.map_async(square, 1..=3).get()?, [1, 4, 9]);
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn map_async<'a, T, I>(&self, task: T, items: I) -> AsyncResult<Vec<T::Output>>
    where
        T: Task,
        T::Args<'a>: OneArgument,
        I: IntoIterator<Item = Argument<'a, T>>,
    {
        self.options().map_async(task, items)
    }

    /// Runs a task on every input and yields the outputs in input order, one `Result` per item.
    ///
    /// Inputs are read and run ahead of the consumer by a bounded number of items, so they may be infinite; see
    /// [`Options::window`]. Nothing is read before the first `next`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pool::{pool_task, Pool};
    /// #[pool_task]
    /// fn square(n: u64) -> u64 { n * n }
    ///
    /// let pool = Pool::new()?;
    /// for n in pool.imap(square, 0..) {
    ///     if n? > 100 {
    ///         break;
    ///     }
    /// }
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn imap<'p, 'a, T, I>(&'p self, task: T, items: I) -> Imap<'p, T::Output>
    where
        'a: 'p,
        T: Task,
        T::Args<'a>: OneArgument,
        I: IntoIterator<Item = Argument<'a, T>>,
        I::IntoIter: 'p,
    {
        self.options().imap(task, items)
    }

    /// Like [`imap`](Self::imap), but yields outputs as they arrive.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pool::{pool_task, Pool};
    /// #[pool_task]
    /// fn square(n: u64) -> u64 { n * n }
    ///
    /// let pool = Pool::new()?;
    /// let mut squares: Vec<u64> = pool.imap_unordered(square, 1..=3).collect::<Result<_, _>>()?;
    /// squares.sort();
    /// assert_eq!(squares, [1, 4, 9]);
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn imap_unordered<'p, 'a, T, I>(&'p self, task: T, items: I) -> Imap<'p, T::Output>
    where
        'a: 'p,
        T: Task,
        T::Args<'a>: OneArgument,
        I: IntoIterator<Item = Argument<'a, T>>,
        I::IntoIter: 'p,
    {
        self.options().imap_unordered(task, items)
    }

    /// Like [`map`](Self::map), for a task of several arguments: every item is a tuple of them.
    ///
    /// # Errors
    ///
    /// As for [`map`](Self::map).
    ///
    /// # Examples
    ///
    /// ```
    /// # use pool::{pool_task, Pool};
    /// #[pool_task]
    /// fn add(a: i64, b: i64) -> i64 { a + b }
    ///
    /// assert_eq!(Pool::new()?.starmap(add, [(1, 2), (3, 4)])?, [3, 7]);
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn starmap<'a, T, I>(&self, task: T, items: I) -> Result<Vec<T::Output>>
    where
        T: Task,
        T::Args<'a>: StarArguments,
        I: IntoIterator<Item = T::Args<'a>>,
    {
        self.options().starmap(task, items)
    }

    /// Like [`map_async`](Self::map_async), for a task of several arguments: every item is a tuple of them.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pool::{pool_task, Pool};
    /// #[pool_task]
    /// fn add(a: i64, b: i64) -> i64 { a + b }
    ///
    /// assert_eq!(Pool::new()?.starmap_async(add, [(1, 2), (3, 4)]).get()?, [3, 7]);
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn starmap_async<'a, T, I>(&self, task: T, items: I) -> AsyncResult<Vec<T::Output>>
    where
        T: Task,
        T::Args<'a>: StarArguments,
        I: IntoIterator<Item = T::Args<'a>>,
    {
        self.options().starmap_async(task, items)
    }

    /// Like [`imap`](Self::imap), for a task of several arguments: every item is a tuple of them.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pool::{pool_task, Pool};
    /// #[pool_task]
    /// fn add(a: i64, b: i64) -> i64 { a + b }
    ///
    /// let pool = Pool::new()?;
    /// assert_eq!(pool.istarmap(add, (0..).zip(0..)).nth(3).unwrap()?, 6);
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn istarmap<'p, 'a, T, I>(&'p self, task: T, items: I) -> Imap<'p, T::Output>
    where
        'a: 'p,
        T: Task,
        T::Args<'a>: StarArguments,
        I: IntoIterator<Item = T::Args<'a>>,
        I::IntoIter: 'p,
    {
        self.options().istarmap(task, items)
    }

    /// Like [`imap_unordered`](Self::imap_unordered), for a task of several arguments: every item is a tuple of them.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pool::{pool_task, Pool};
    /// #[pool_task]
    /// fn add(a: i64, b: i64) -> i64 { a + b }
    ///
    /// let pool = Pool::new()?;
    /// assert_eq!(pool.istarmap_unordered(add, [(1, 2), (3, 4)]).flatten().sum::<i64>(), 10);
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn istarmap_unordered<'p, 'a, T, I>(&'p self, task: T, items: I) -> Imap<'p, T::Output>
    where
        'a: 'p,
        T: Task,
        T::Args<'a>: StarArguments,
        I: IntoIterator<Item = T::Args<'a>>,
        I::IntoIter: 'p,
    {
        self.options().istarmap_unordered(task, items)
    }

    /// Returns how many workers the pool keeps.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(pool::Pool::builder().workers(3).build()?.worker_count(), 3);
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn worker_count(&self) -> usize {
        self.workers
    }

    /// Returns the process ids of the workers that live now. A worker that dies is replaced by one with another id.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(pool::Pool::builder().workers(3).build()?.worker_pids().len(), 3);
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn worker_pids(&self) -> Vec<u32> {
        // A fork of this process has none.
        match self.pump.check_caller() {
            Ok(()) => self.pump.with_driver(|driver| driver.worker_pids()),
            Err(_) => Vec::new(),
        }
    }
}
