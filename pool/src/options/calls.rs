//! The calls with the settings of a single job: where a job begins.

use std::sync::{Arc, Weak};

use crate::codec::ALIGN;
use crate::driver::pump::Pump;
use crate::error::{Error, Result};
use crate::id::JobKey;
use crate::job::async_result::AsyncResult;
use crate::job::imap::Imap;
use crate::job::sink::{self, Gathered};
use crate::job::source::{self, Fed, Feed, Source};
use crate::job::stream::{Ahead, Next, Order, Stream};
use crate::job::{Demand, Engine, Job, Rest, Until, callback};
use crate::options::Options;
use crate::task::{Argument, OneArgument, StarArguments, Task};

/// Bytes that an eager call puts into one block.
const BLOCK: usize = 24 << 10;

impl<'p> Options<'p> {
    /// [`Pool::apply`](crate::Pool::apply) with these options.
    ///
    /// # Errors
    ///
    /// As for [`Pool::apply`](crate::Pool::apply), and [`Error::InvalidOption`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use pool::{pool_task, Pool};
    /// # #[pool_task]
    /// # fn add(a: i64, b: i64) -> i64 { a + b }
    /// assert_eq!(Pool::new()?.options().apply(add, (1, 2))?, 3);
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn apply<'a, T: Task>(&self, task: T, args: T::Args<'a>) -> Result<T::Output> {
        callback::check_waiting("apply")?;
        let (job, _) = self.submit(Job::spare(T::NAME), task, args);
        self.pump.wait(&job, Until::Settled, None);
        let result = sink::collect_one::<T>(&job);
        Job::put_by(job);
        result
    }

    /// [`Pool::apply_async`](crate::Pool::apply_async) with these options. What they forbid is in the handle.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pool::{pool_task, Pool};
    /// # #[pool_task]
    /// # fn add(a: i64, b: i64) -> i64 { a + b }
    /// assert_eq!(Pool::new()?.options().apply_async(add, (1, 2)).get()?, 3);
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn apply_async<'a, T: Task>(&self, task: T, args: T::Args<'a>) -> AsyncResult<T::Output> {
        let (job, key) = self.submit(Arc::new(Job::new(T::NAME)), task, args);
        self.pump.look_after();
        AsyncResult::new(self.handle(), job, key, sink::collect_one::<T>)
    }

    /// Hands a job of one item over; what is wrong with it is in the job.
    fn submit<T: Task>(&self, job: Arc<Job>, _: T, args: T::Args<'_>) -> (Arc<Job>, JobKey) {
        let options = match self.job_options() {
            Ok(options) => options,
            Err(error) => return Self::refuse(job, error),
        };
        let block = match source::encode_one::<T>(&args, self.pump.home().number(), Some(self.pump.stock())) {
            Ok(block) => block,
            Err(error) => return Self::refuse(job, error),
        };
        let opened = self.pump.with_driver(|driver| {
            let key = driver.open(job.clone(), T::ID, options)?;
            driver.push(key, block);
            driver.finish_input(key);
            driver.turn();
            Ok(key)
        });
        match opened {
            Ok(key) => (job, key),
            Err(error) => Self::refuse(job, error),
        }
    }

    /// A job that ended before it began.
    fn refuse(job: Arc<Job>, error: Error) -> (Arc<Job>, JobKey) {
        job.abort(error);
        (job, JobKey::NONE)
    }

    /// [`Pool::map`](crate::Pool::map) with these options.
    ///
    /// # Errors
    ///
    /// As for [`Pool::map`](crate::Pool::map), and [`Error::InvalidOption`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use pool::{pool_task, Pool};
    /// # #[pool_task]
    /// # fn square(n: u64) -> u64 { n * n }
    /// assert_eq!(Pool::new()?.options().chunk_size(1).map(square, 1..=3)?, [1, 4, 9]);
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn map<'a, T, I>(&self, task: T, items: I) -> Result<Vec<T::Output>>
    where
        T: Task,
        T::Args<'a>: OneArgument,
        I: IntoIterator<Item = Argument<'a, T>>,
    {
        self.gather(task, self.source::<T, _, _>(items.into_iter(), OneArgument::from_argument))
    }

    /// [`Pool::starmap`](crate::Pool::starmap) with these options.
    ///
    /// # Errors
    ///
    /// As for [`Pool::starmap`](crate::Pool::starmap), and [`Error::InvalidOption`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use pool::{pool_task, Pool};
    /// # #[pool_task]
    /// # fn add(a: i64, b: i64) -> i64 { a + b }
    /// assert_eq!(Pool::new()?.options().starmap(add, [(1, 2), (3, 4)])?, [3, 7]);
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn starmap<'a, T, I>(&self, task: T, items: I) -> Result<Vec<T::Output>>
    where
        T: Task,
        T::Args<'a>: StarArguments,
        I: IntoIterator<Item = T::Args<'a>>,
    {
        self.gather(task, self.source::<T, _, _>(items.into_iter(), std::convert::identity))
    }

    /// Reads, runs and decodes at the same time, so that no more than the results is ever held.
    fn gather<T: Task>(&self, _: T, feed: impl Feed) -> Result<Vec<T::Output>> {
        callback::check_waiting("map")?;
        let count = feed.remaining().unwrap_or(0);
        let mut stream = self.stream::<T>(feed, Order::Input, Ahead::Unbounded)?;
        let mut gathered = Gathered::with_room(count);
        loop {
            match stream.next(None) {
                Next::Delivery(delivery) => {
                    stream.consume(delivery.count());
                    gathered.add::<T>(delivery);
                }
                Next::Aborted(error) => return Err(error),
                Next::End => return gathered.finish(stream.job()),
                Next::NotYet => unreachable!("without a deadline it waits for ever"),
            }
        }
    }

    /// [`Pool::map_async`](crate::Pool::map_async) with these options. What they forbid is in the handle.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pool::{pool_task, Pool};
    /// # #[pool_task]
    /// # fn square(n: u64) -> u64 { n * n }
    /// assert_eq!(Pool::new()?.options().map_async(square, 1..=3).get()?, [1, 4, 9]);
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn map_async<'a, T, I>(&self, task: T, items: I) -> AsyncResult<Vec<T::Output>>
    where
        T: Task,
        T::Args<'a>: OneArgument,
        I: IntoIterator<Item = Argument<'a, T>>,
    {
        self.push_all(task, self.source::<T, _, _>(items.into_iter(), OneArgument::from_argument))
    }

    /// [`Pool::starmap_async`](crate::Pool::starmap_async) with these options. What they forbid is in the handle.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pool::{pool_task, Pool};
    /// # #[pool_task]
    /// # fn add(a: i64, b: i64) -> i64 { a + b }
    /// assert_eq!(Pool::new()?.options().starmap_async(add, [(1, 2)]).get()?, [3]);
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn starmap_async<'a, T, I>(&self, task: T, items: I) -> AsyncResult<Vec<T::Output>>
    where
        T: Task,
        T::Args<'a>: StarArguments,
        I: IntoIterator<Item = T::Args<'a>>,
    {
        self.push_all(task, self.source::<T, _, _>(items.into_iter(), std::convert::identity))
    }

    /// Reads all items now, on this thread; workers start on the first ones meanwhile.
    fn push_all<T: Task>(&self, _: T, mut feed: impl Feed) -> AsyncResult<Vec<T::Output>> {
        let engine = self.engine();
        let (job, key) = match self.open::<T>() {
            Ok(opened) => opened,
            Err(error) => {
                let (job, key) = Self::refuse(Arc::new(Job::new(T::NAME)), error);
                return AsyncResult::new(self.handle(), job, key, sink::collect_all::<T>);
            }
        };
        // If the caller's iterator panics, what was pushed is of no use to anybody.
        let guard = CancelOnUnwind { engine: &*engine, key };
        // An item may take no bytes at all.
        let demand = Demand { items: BLOCK / ALIGN, bytes: BLOCK, ahead: usize::MAX };
        loop {
            match feed.feed(demand) {
                Fed::Block(block) => engine.push(key, block),
                Fed::Failed(index, error) => engine.fail_item(key, index, error),
                Fed::End => break,
            }
            // The pool may have ended, and the input need not.
            if job.is_settled() {
                break;
            }
            // What is read next may take as long as it likes.
            self.pump.look_after();
        }
        std::mem::forget(guard);
        engine.finish_input(key);
        self.pump.look_after();
        AsyncResult::new(self.handle(), job, key, sink::collect_all::<T>)
    }

    /// [`Pool::imap`](crate::Pool::imap) with these options. What they forbid is the first item.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pool::{pool_task, Pool};
    /// # #[pool_task]
    /// # fn square(n: u64) -> u64 { n * n }
    /// let pool = Pool::new()?;
    /// let squares: Result<Vec<_>, _> = pool.options().window(8).imap(square, 1..=3).collect();
    /// assert_eq!(squares?, [1, 4, 9]);
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn imap<'a, T, I>(&self, task: T, items: I) -> Imap<'p, T::Output>
    where
        'a: 'p,
        T: Task,
        T::Args<'a>: OneArgument,
        I: IntoIterator<Item = Argument<'a, T>>,
        I::IntoIter: 'p,
    {
        let source = self.source::<T, _, _>(items.into_iter(), OneArgument::from_argument);
        self.lazily(task, source, Order::Input)
    }

    /// [`Pool::imap_unordered`](crate::Pool::imap_unordered) with these options. What they forbid is the first item.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pool::{pool_task, Pool};
    /// # #[pool_task]
    /// # fn square(n: u64) -> u64 { n * n }
    /// let pool = Pool::new()?;
    /// let sum: u64 = pool.options().window(8).imap_unordered(square, 1..=3).flatten().sum();
    /// assert_eq!(sum, 14);
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn imap_unordered<'a, T, I>(&self, task: T, items: I) -> Imap<'p, T::Output>
    where
        'a: 'p,
        T: Task,
        T::Args<'a>: OneArgument,
        I: IntoIterator<Item = Argument<'a, T>>,
        I::IntoIter: 'p,
    {
        let source = self.source::<T, _, _>(items.into_iter(), OneArgument::from_argument);
        self.lazily(task, source, Order::Completion)
    }

    /// [`Pool::istarmap`](crate::Pool::istarmap) with these options. What they forbid is the first item.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pool::{pool_task, Pool};
    /// # #[pool_task]
    /// # fn add(a: i64, b: i64) -> i64 { a + b }
    /// let pool = Pool::new()?;
    /// assert_eq!(pool.options().istarmap(add, [(1, 2)]).next().unwrap()?, 3);
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn istarmap<'a, T, I>(&self, task: T, items: I) -> Imap<'p, T::Output>
    where
        'a: 'p,
        T: Task,
        T::Args<'a>: StarArguments,
        I: IntoIterator<Item = T::Args<'a>>,
        I::IntoIter: 'p,
    {
        let source = self.source::<T, _, _>(items.into_iter(), std::convert::identity);
        self.lazily(task, source, Order::Input)
    }

    /// [`Pool::istarmap_unordered`](crate::Pool::istarmap_unordered) with these options. What they forbid is the first item.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pool::{pool_task, Pool};
    /// # #[pool_task]
    /// # fn add(a: i64, b: i64) -> i64 { a + b }
    /// let pool = Pool::new()?;
    /// assert_eq!(pool.options().istarmap_unordered(add, [(1, 2)]).next().unwrap()?, 3);
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn istarmap_unordered<'a, T, I>(&self, task: T, items: I) -> Imap<'p, T::Output>
    where
        'a: 'p,
        T: Task,
        T::Args<'a>: StarArguments,
        I: IntoIterator<Item = T::Args<'a>>,
        I::IntoIter: 'p,
    {
        let source = self.source::<T, _, _>(items.into_iter(), std::convert::identity);
        self.lazily(task, source, Order::Completion)
    }

    fn source<'a, T: Task, I: Iterator, F: Fn(I::Item) -> T::Args<'a>>(
        &self,
        items: I,
        to_args: F,
    ) -> Source<T, I, F> {
        Source::new(items, to_args, self.pump.home().number(), self.pump.stock().clone())
    }

    fn engine(&self) -> Arc<dyn Engine> {
        self.pump.clone()
    }

    fn handle(&self) -> Weak<dyn Engine> {
        let pump: Weak<Pump> = Arc::downgrade(self.pump);
        pump
    }

    fn lazily<T: Task>(&self, _: T, feed: impl Feed + 'p, order: Order) -> Imap<'p, T::Output> {
        let stream = self.stream::<T>(feed, order, Ahead::Window(self.window)).unwrap_or_else(|error| {
            let (job, key) = Self::refuse(Arc::new(Job::new(T::NAME)), error);
            Stream::new(self.engine(), job, key, Box::new(source::Nothing), order, Ahead::Unbounded)
        });
        Imap::new::<T>(stream)
    }

    fn stream<'s, T: Task>(&self, feed: impl Feed + 's, order: Order, ahead: Ahead) -> Result<Stream<'s>> {
        let (job, key) = self.open::<T>()?;
        Ok(Stream::new(self.engine(), job, key, Box::new(feed), order, ahead))
    }

    fn open<T: Task>(&self) -> Result<(Arc<Job>, JobKey)> {
        let options = self.job_options()?;
        let job = Arc::new(Job::new(T::NAME));
        let key = self.pump.with_driver(|driver| driver.open(job.clone(), T::ID, options))?;
        Ok((job, key))
    }
}

/// Cancels a job if the caller's iterator panics while it is read.
struct CancelOnUnwind<'e> {
    engine: &'e dyn Engine,
    key: JobKey,
}

impl Drop for CancelOnUnwind<'_> {
    fn drop(&mut self) {
        self.engine.cancel(self.key, Rest::Finishes);
    }
}
