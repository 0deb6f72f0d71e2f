//! The pool and its calls.

mod end;

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};

use crate::driver::pump::Pump;
use crate::error::Result;
use crate::job::async_result::AsyncResult;
use crate::job::imap::Imap;
use crate::options::Options;
use crate::share::{IntoShared, Shared};
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
    /// them, some at a time, or a few if they come slowly. Every input is run; if some
    /// fail, the error of the lowest index is returned. Blocks the calling thread, which drives the pool meanwhile.
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
    /// [`Options::window`]. Nothing is read before the first `next`. Some inputs are read before the first of them is handed
    /// on, so the iterator must not wait for what comes of an input that it has just yielded.
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

    /// Sends a value to each worker once, for tasks that take it as [`Shared<T>`](Shared) or `&Shared<T>`; only a number travels
    /// with each item then.
    ///
    /// The value is encoded here, into memory that all processes map and none can change; a worker gets it with the first
    /// item that uses it. Slices of numbers and `str` are used right there, without a copy in any worker:
    /// a `Vec` of numbers is shared as a slice if the result is a `Shared<[..]>`, and a `String` as text if it is a
    /// `Shared<str>`, which is said by the parameter of the task that it is for, or by a type at the `let`.
    ///
    /// Hand tasks `&shared`, or a clone, which is cheap. The value goes, here and in the workers, with the last of them, once
    /// no item needs it.
    ///
    /// # Errors
    ///
    /// [`Error::Share`](crate::Error::Share) if the value cannot be encoded or there is no memory for it,
    /// [`Error::Closed`](crate::Error::Closed) if the pool was closed before the call,
    /// [`Error::ForkedChild`](crate::Error::ForkedChild) in a fork of the program.
    ///
    /// Each value takes a descriptor of this process for as long as it is shared.
    ///
    /// # Examples
    ///
    /// ```
    /// use pool::{pool_task, Pool, Shared};
    /// use std::collections::HashMap;
    ///
    /// #[pool_task]
    /// fn price(prices: &Shared<HashMap<String, u32>>, fruit: &str) -> Option<u32> {
    ///     prices.get(fruit).copied()
    /// }
    ///
    /// #[pool_task]
    /// fn sum(numbers: &Shared<[f64]>, from: usize, to: usize) -> f64 {
    ///     numbers[from..to].iter().sum()
    /// }
    ///
    /// let pool = Pool::new()?;
    /// let prices = pool.share(HashMap::from([("plum".to_owned(), 3), ("fig".to_owned(), 8)]))?;
    /// let found = pool.starmap(price, ["fig", "date", "plum"].map(|fruit| (&prices, fruit)))?;
    /// assert_eq!(found, [Some(8), None, Some(3)]);
    ///
    /// let numbers = pool.share(vec![0.5; 1000])?;
    /// let sums = pool.starmap(sum, (0..10).map(|part| (&numbers, part * 100, (part + 1) * 100)))?;
    /// assert_eq!(sums, [50.0; 10]);
    /// assert_eq!(numbers.len(), 1000); // it can be used here as well
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn share<T, V>(&self, value: V) -> Result<Shared<T>>
    where
        T: ?Sized,
        V: IntoShared<T>,
    {
        self.pump.check_owner()?;
        self.pump.with_driver(|driver| driver.check_open())?;
        let pump: Weak<Pump> = Arc::downgrade(&self.pump);
        Shared::new(value, self.pump.home().clone(), pump)
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
        match self.pump.check_owner() {
            Ok(()) => self.pump.with_driver(|driver| driver.worker_pids()),
            Err(_) => Vec::new(),
        }
    }
}
