//! The handle of a job that does not block its caller.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::id::JobKey;
use crate::job::callback::{self, Caught};
use crate::job::{Engine, Hook, Job, Rest, Until};

/// The result of an asynchronous call, now or later.
///
/// Waiting on it drives the pool. Dropping it does not cancel its job. It is a [`Future`] as well, woken by the
/// pool's own thread, so it works with every executor.
///
/// # Examples
///
/// ```
/// use pool::{pool_task, Pool};
///
/// #[pool_task]
/// fn add(a: i64, b: i64) -> i64 { a + b }
///
/// let pool = Pool::new()?;
/// let sum = pool.apply_async(add, (20, 22));
/// // .. something else ..
/// assert_eq!(sum.get()?, 42);
/// # Ok::<(), pool::Error>(())
/// ```
pub struct AsyncResult<R> {
    /// Gone once the pool is dropped, and then everything is settled. A handle keeps nothing of the pool alive.
    engine: Weak<dyn Engine>,
    /// Settled when the value is there.
    job: Arc<Job>,
    /// The job in the driver's table that all this is about.
    key: JobKey,
    /// Makes the value from what was delivered; `None` if a callback puts it into `place`.
    collect: Option<fn(&Job) -> Result<R>>,
    /// Made only for handles that need one: a million are cheap.
    place: OnceLock<Arc<Place<R>>>,
}

/// A mistake of the caller, like polling a future that has ended.
const TAKEN: &str = "the result of this job was taken before";

/// Where the value lies, once somebody has made it.
struct Place<R> {
    slot: Mutex<Slot<R>>,
    /// The only thread that can fill it, which the pool may not outlive.
    maker: Option<ThreadId>,
}

impl<R> Place<R> {
    fn new(slot: Slot<R>, maker: Option<ThreadId>) -> Arc<Self> {
        Arc::new(Self { slot: Mutex::new(slot), maker })
    }

    fn slot(&self) -> MutexGuard<'_, Slot<R>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Slot<R> {
    Empty,
    Full(Result<R>),
    Taken,
}

impl<R> fmt::Debug for AsyncResult<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncResult").field("task", &self.job.task).field("ready", &self.ready()).finish()
    }
}

impl<R> AsyncResult<R> {
    pub(crate) fn new(
        engine: Weak<dyn Engine>,
        job: Arc<Job>,
        key: JobKey,
        collect: fn(&Job) -> Result<R>,
    ) -> Self {
        Self { engine, job, key, collect: Some(collect), place: OnceLock::new() }
    }

    /// Waits for the result and returns it.
    ///
    /// # Errors
    ///
    /// Whatever ended the item or the job; see [`Error`]. [`Error::WouldDeadlock`] if a callback asks for the result of
    /// a handle that another callback, or it itself, has to return for: callbacks run one at a time; and if the waker of a future
    /// asks for a result that is not there.
    /// [`Error::ForkedChild`] in a fork of the process that made the call.
    ///
    /// # Panics
    ///
    /// If [`get_timeout`](Self::get_timeout) or `poll` returned the result before: it is handed out once.
    ///
    /// # Examples
    ///
    /// ```
    /// use pool::{pool_task, Pool};
    ///
    /// #[pool_task]
    /// fn shout(text: &str) -> String { text.to_uppercase() }
    ///
    /// let pool = Pool::new()?;
    /// assert_eq!(pool.apply_async(shout, ("hello",)).get()?, "HELLO");
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn get(self) -> Result<R> {
        self.check_waiting("get")?;
        self.wait();
        self.into_result()
    }

    /// Finds out whether waiting here could ever end.
    fn check_waiting(&self, call: &'static str) -> Result<()> {
        if self.ready() {
            return Ok(());
        }
        callback::check_waiting(call)?;
        self.check_asking(call)
    }

    /// The same for who asks again later, which an executor may do in a waker.
    fn check_asking(&self, call: &'static str) -> Result<()> {
        if self.ready() {
            return Ok(());
        }
        if let Some(engine) = self.engine.upgrade() {
            engine.check_caller()?;
        }
        // It is about to wait for itself.
        let is_maker = self.maker().is_some_and(|maker| maker == thread::current().id());
        if is_maker && !callback::is_waking() {
            return Err(Error::WouldDeadlock { call });
        }
        Ok(())
    }

    /// The thread that runs the callback which makes this result.
    fn maker(&self) -> Option<ThreadId> {
        self.place.get().and_then(|place| place.maker)
    }

    /// Waits up to `timeout` for the result: `None` if it did not come, and then the handle still works.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get); what is an error because nothing can come is one at once.
    ///
    /// # Panics
    ///
    /// If an earlier call of it, or `poll`, returned the result: it is handed out once.
    ///
    /// # Examples
    ///
    /// ```
    /// use pool::{pool_task, Pool};
    /// use std::time::Duration;
    ///
    /// #[pool_task]
    /// fn nap(millis: u64) -> u64 {
    ///     std::thread::sleep(Duration::from_millis(millis));
    ///     millis
    /// }
    ///
    /// let pool = Pool::new()?;
    /// let mut slept = pool.apply_async(nap, (300,));
    /// assert!(slept.get_timeout(Duration::from_millis(1)).is_none());
    /// assert_eq!(slept.get_timeout(Duration::from_secs(60)).unwrap()?, 300);
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn get_timeout(&mut self, timeout: Duration) -> Option<Result<R>> {
        if let Err(error) = self.check_waiting("get_timeout") {
            return Some(Err(error));
        }
        self.wait_timeout(timeout).then(|| self.take())
    }

    /// Waits until the result is there. Returns at once where [`get`](Self::get) would return an error
    /// because nothing can come.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pool::{pool_task, Pool};
    /// # #[pool_task]
    /// # fn nothing() {}
    /// let pool = Pool::new()?;
    /// let done = pool.apply_async(nothing, ());
    /// done.wait();
    /// assert!(done.ready());
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn wait(&self) {
        if self.check_waiting("wait").is_err() {
            return;
        }
        self.wait_until(None);
    }

    /// Waits up to `timeout` until the result is there; tells whether it is. Returns at once where [`get`](Self::get)
    /// would return an error because nothing can come.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pool::{pool_task, Pool};
    /// # use std::time::Duration;
    /// # #[pool_task]
    /// # fn nothing() {}
    /// let pool = Pool::new()?;
    /// assert!(pool.apply_async(nothing, ()).wait_timeout(Duration::from_secs(60)));
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        if self.check_waiting("wait_timeout").is_err() {
            return false;
        }
        // A time too long to add is for ever.
        self.wait_until(Instant::now().checked_add(timeout))
    }

    fn wait_until(&self, deadline: Option<Instant>) -> bool {
        match self.engine.upgrade() {
            Some(engine) if engine.check_caller().is_ok() => engine.wait(&self.job, Until::Settled, deadline),
            Some(_) => self.ready(),
            // The pool is gone; at most a callback is still at it.
            None => self.job.wait_alone(deadline),
        }
    }

    /// Tells whether the result is there. Never blocks.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pool::{pool_task, Pool};
    /// # #[pool_task]
    /// # fn nap() { std::thread::sleep(std::time::Duration::from_millis(300)) }
    /// let pool = Pool::new()?;
    /// assert!(!pool.apply_async(nap, ()).ready());
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn ready(&self) -> bool {
        self.job.is_settled()
    }

    /// Tells whether the result is a value rather than an error; `None`: not yet, or not any more, because
    /// [`get_timeout`](Self::get_timeout) or `poll` returned it. Never blocks.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pool::{pool_task, Pool};
    /// # #[pool_task]
    /// # fn reciprocal(n: u32) -> u32 { 100 / n }
    /// let pool = Pool::new()?;
    /// let bad = pool.apply_async(reciprocal, (0,));
    /// bad.wait();
    /// assert_eq!(bad.successful(), Some(false));
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn successful(&self) -> Option<bool> {
        if !self.ready() {
            return None;
        }
        self.with_slot(|slot| match slot {
            Slot::Full(result) => Some(result.is_ok()),
            Slot::Empty | Slot::Taken => None,
        })
    }

    /// Cancels the job: items that have not started never do, those that run end their worker, which is replaced, and
    /// the result is [`Error::Cancelled`]. Other jobs do not notice.
    ///
    /// Returns false if the result was there already. Does not wait. A running item has 10 ms to come to its end by itself, for
    /// example because it asks [`interrupted`](crate::interrupted); then its worker and what that has started get SIGTERM, and
    /// after 300 ms SIGKILL.
    ///
    /// # Examples
    ///
    /// ```
    /// use pool::{pool_task, Error, Pool};
    ///
    /// #[pool_task]
    /// fn nap(seconds: u64) { std::thread::sleep(std::time::Duration::from_secs(seconds)) }
    ///
    /// let pool = Pool::builder().workers(1).build()?;
    /// let napping = pool.apply_async(nap, (3600,));
    /// assert!(napping.cancel());
    /// assert!(matches!(napping.get(), Err(Error::Cancelled { .. })));
    /// pool.apply(nap, (0,))?; // in another worker
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn cancel(&self) -> bool {
        self.engine.upgrade().is_some_and(|engine| engine.cancel(self.key, Rest::IsEnded))
    }

    /// Lets the slot be seen with the result in it.
    fn with_slot<O>(&self, look: impl FnOnce(&mut Slot<R>) -> O) -> O {
        let mut slot = self.place.get_or_init(|| Place::new(Slot::Empty, None)).slot();
        if let (Slot::Empty, Some(collect)) = (&*slot, self.collect) {
            *slot = Slot::Full(collect(&self.job));
        }
        look(&mut slot)
    }

    /// The result of a handle that nobody uses after this.
    fn into_result(self) -> Result<R> {
        match (self.collect, self.place.get()) {
            (Some(collect), None) => collect(&self.job),
            _ => self.take(),
        }
    }

    fn take(&self) -> Result<R> {
        match self.with_slot(|slot| std::mem::replace(slot, Slot::Taken)) {
            Slot::Full(result) => result,
            Slot::Taken => panic!("{TAKEN}"),
            Slot::Empty => unreachable!("a callback fills the slot before it settles its job"),
        }
    }
}

impl<R: Send + 'static> AsyncResult<R> {
    /// Calls `callback` with the value when it arrives, and with no error; a callback attached later still runs.
    ///
    /// Callbacks run one at a time on a thread of the pool, in the order of completion. The handle that
    /// is returned is ready when the callback has returned.
    ///
    /// # Errors
    ///
    /// Its result is the job's error, or [`Error::CallbackPanicked`]; [`Error::Spawn`] if no thread can be had for
    /// callbacks, and then this one is not called. If [`get_timeout`](Self::get_timeout) or `poll` returned the job's result
    /// before, it is `CallbackPanicked` as well.
    ///
    /// # Examples
    ///
    /// ```
    /// use pool::{pool_task, Pool};
    /// use std::sync::mpsc;
    ///
    /// #[pool_task]
    /// fn add(a: i64, b: i64) -> i64 { a + b }
    ///
    /// let pool = Pool::new()?;
    /// let (sender, receiver) = mpsc::channel();
    /// pool.apply_async(add, (1, 1)).callback(move |sum| sender.send(sum).unwrap()).get()?;
    /// assert_eq!(receiver.try_recv(), Ok(2));
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn callback(self, callback: impl FnOnce(R) + Send + 'static) -> AsyncResult<()> {
        self.then(|result| {
            let value = result?;
            callback::catch(|| callback(value)).map_err(|caught| caught.into_error(None))
        })
    }

    /// Calls `callback` with a reference to the value when it arrives; the handle that is returned has the value.
    ///
    /// # Errors
    ///
    /// Its result is the job's error, or [`Error::CallbackPanicked`]; [`Error::Spawn`] if no thread can be had for
    /// callbacks, and then this one is not called.
    ///
    /// # Examples
    ///
    /// ```
    /// use pool::{pool_task, Pool};
    ///
    /// #[pool_task]
    /// fn add(a: i64, b: i64) -> i64 { a + b }
    ///
    /// let pool = Pool::new()?;
    /// assert_eq!(pool.apply_async(add, (1, 1)).inspect(|sum| assert_eq!(*sum, 2)).get()?, 2);
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn inspect(self, callback: impl FnOnce(&R) + Send + 'static) -> AsyncResult<R> {
        self.then(|result| {
            let value = result?;
            callback::catch(|| callback(&value)).map_err(|caught| caught.into_error(None))?;
            Ok(value)
        })
    }

    /// Calls `callback` with a reference to the error, if there is one; the handle that is returned has the result.
    ///
    /// # Errors
    ///
    /// Its result is the job's error, or [`Error::CallbackPanicked`] with that as its source; [`Error::Spawn`] if no
    /// thread can be had for callbacks, and then this one is not called.
    ///
    /// # Examples
    ///
    /// ```
    /// use pool::{pool_task, Pool};
    ///
    /// #[pool_task]
    /// fn reciprocal(n: u32) -> u32 { 100 / n }
    ///
    /// let pool = Pool::new()?;
    /// let result = pool.apply_async(reciprocal, (0,)).error_callback(|error| assert_eq!(error.index(), Some(0)));
    /// assert!(result.get().is_err());
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn error_callback(self, callback: impl FnOnce(&Error) + Send + 'static) -> Self {
        self.then(|result| match result {
            Ok(value) => Ok(value),
            Err(error) => match callback::catch(|| callback(&error)) {
                Ok(()) => Err(error),
                Err(caught) => Err(Caught::into_error(caught, Some(error))),
            },
        })
    }

    /// A handle on what `step` makes of this one's result, on the callback thread.
    fn then<N: Send + 'static>(
        self,
        step: impl FnOnce(Result<R>) -> Result<N> + Send + 'static,
    ) -> AsyncResult<N> {
        // An error ends the new handle; the job goes on.
        let prepared = self.engine.upgrade().map_or(Ok(None), |engine| engine.prepare_callbacks());
        let is_refused = prepared.is_err();
        let place = match prepared {
            // One that follows another runs where that one does, also when the pool is gone.
            Ok(thread) => Place::new(Slot::Empty, thread.or(self.maker())),
            Err(error) => Place::new(Slot::Full(Err(error)), None),
        };
        let job = Arc::new(Job::new(self.job.task));
        let next = AsyncResult {
            engine: self.engine.clone(),
            job: job.clone(),
            key: self.key,
            collect: None,
            place: OnceLock::from(place.clone()),
        };
        if is_refused {
            job.settle();
            return next;
        }
        let (source, engine) = (self.job.clone(), self.engine.clone());
        source.when_settled(Box::new(move || {
            let announcer = engine.clone();
            let callback: Hook = Box::new(move || {
                // What the value, or the callback, does when it is dropped is user code as well.
                let mut result = Err(Error::Terminated);
                if let Err(caught) = callback::catch(|| result = step(self.into_result())) {
                    result = Err(caught.into_error(None));
                }
                *place.slot() = Slot::Full(result);
                job.settle();
                match announcer.upgrade() {
                    Some(engine) => engine.announce(&job),
                    None => job.notify(),
                }
                // If nobody has the handle any more, this is where the value is dropped.
                let _ = callback::catch(|| drop(place));
            });
            match engine.upgrade() {
                Some(engine) => engine.call_back(callback),
                // The pool and its threads are gone.
                None => callback(),
            }
        }));
        next
    }
}

impl<R> Future for AsyncResult<R> {
    type Output = Result<R>;

    /// Returns the result, if it is there; else it has the waker woken when it is.
    ///
    /// A waker may poll handles and submit work; it may not wait for the pool, as it may run on a thread of the pool's.
    ///
    /// # Errors
    ///
    /// As [`get`](AsyncResult::get), but for wakers.
    ///
    /// # Panics
    ///
    /// If it, or [`get_timeout`](AsyncResult::get_timeout), returned the result before.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<R>> {
        if let Err(error) = self.check_asking("poll") {
            return Poll::Ready(Err(error));
        }
        if self.job.set_waker(context.waker()) { Poll::Pending } else { Poll::Ready(self.take()) }
    }
}
