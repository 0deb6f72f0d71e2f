//! How a pool ends: closed, terminated, joined or dropped.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Pool, Threads};
use crate::error::{Error, Result};
use crate::job::{Engine, callback};
use crate::sys::thread::OwnThread;

/// How long dropping a pool waits until everything of it is gone: for a callback that is running, say.
const PATIENCE: Duration = Duration::from_secs(2);

impl Pool {
    /// Takes no more calls; they get [`Error::Closed`]. Queued and running work finishes, then the workers run the
    /// finalizer and leave. Does not block; calling it again does nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use pool::{pool_task, Error, Pool};
    ///
    /// #[pool_task]
    /// fn square(n: u64) -> u64 { n * n }
    ///
    /// let pool = Pool::new()?;
    /// let queued = pool.map_async(square, 0..3);
    /// pool.close();
    /// assert_eq!(queued.get()?, [0, 1, 4]);
    /// assert!(matches!(pool.apply(square, (3,)), Err(Error::Closed)));
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn close(&self) {
        if self.pump.check_owner().is_err() {
            return;
        }
        self.has_stopped.store(true, Ordering::SeqCst);
        self.pump.with_driver(|driver| driver.close());
        self.pump.look_after();
        self.commands.wake();
    }

    /// Ends all work now: every open handle ends with [`Error::Terminated`], and the workers are ended, by SIGTERM
    /// and after 300 ms by SIGKILL. Does not block; [`join`](Self::join) waits until they are gone.
    ///
    /// # Examples
    ///
    /// ```
    /// use pool::{pool_task, Error, Pool};
    ///
    /// #[pool_task]
    /// fn nap() { std::thread::sleep(std::time::Duration::from_secs(60)) }
    ///
    /// let pool = Pool::new()?;
    /// let napping = pool.apply_async(nap, ());
    /// pool.terminate();
    /// assert!(matches!(napping.get(), Err(Error::Terminated)));
    /// pool.join()?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn terminate(&self) {
        if self.pump.check_owner().is_err() {
            return;
        }
        self.has_stopped.store(true, Ordering::SeqCst);
        self.pump.with_driver(|driver| driver.end(Error::Terminated));
    }

    /// Waits until a closed pool has done its work, or a terminated one is gone: until no worker is left and every
    /// callback has run. May be called again.
    ///
    /// A lazy call is done when its [`Imap`](crate::Imap) has yielded everything or is dropped, so `join` on the thread that holds
    /// one that is neither waits for ever.
    ///
    /// # Errors
    ///
    /// [`Error::StillRunning`] before [`close`](Self::close) or [`terminate`](Self::terminate),
    /// [`Error::WouldDeadlock`] from a callback, a `retry_if` or a waker, and the error that ended the pool, if its initializer failed.
    ///
    /// # Examples
    ///
    /// ```
    /// use pool::{Error, Pool};
    ///
    /// let pool = Pool::new()?;
    /// assert!(matches!(pool.join(), Err(Error::StillRunning)));
    /// pool.close();
    /// pool.join()?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn join(&self) -> Result<()> {
        self.join_by(None).unwrap_or(Ok(()))
    }

    /// Like [`join`](Self::join), but waits no longer than that; `None`: it is not over yet, and may be waited for again.
    ///
    /// # Examples
    ///
    /// ```
    /// use pool::{pool_task, Pool};
    /// use std::time::Duration;
    ///
    /// #[pool_task]
    /// fn nap() { std::thread::sleep(Duration::from_secs(60)) }
    ///
    /// let pool = Pool::new()?;
    /// let napping = pool.apply_async(nap, ());
    /// pool.close();
    /// if pool.join_timeout(Duration::from_millis(50)).is_none() {
    ///     pool.terminate();
    /// }
    /// pool.join()?;
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn join_timeout(&self, timeout: Duration) -> Option<Result<()>> {
        // What is beyond the end of time never comes.
        self.join_by(Instant::now().checked_add(timeout))
    }

    fn join_by(&self, deadline: Option<Instant>) -> Option<Result<()>> {
        if let Err(error) = self.pump.check_caller().and_then(|()| callback::check_waiting("join")) {
            return Some(Err(error));
        }
        if !self.has_stopped.load(Ordering::SeqCst) {
            return Some(Err(Error::StillRunning));
        }
        if self.pump.callbacks().is_own_thread() {
            return Some(Err(Error::WouldDeadlock { call: "join" }));
        }
        if !self.pump.wait_for_all(deadline) || !self.threads.supervisor_ends_by(deadline) {
            return None;
        }
        match self.pump.callbacks().wait(deadline) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => return Some(Err(error)),
        }
        Some(self.pump.with_driver(|driver| driver.failure()).map_or(Ok(()), Err))
    }
}

impl Threads {
    /// It runs no user code and ends when all workers are gone.
    fn supervisor_ends_by(&self, deadline: Option<Instant>) -> bool {
        self.supervisor.as_ref().is_none_or(|supervisor| supervisor.join_by(deadline))
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if self.pump.check_owner().is_err() {
            // The threads live in the owner only; there is nothing here to wait for.
            self.threads
                .supervisor
                .iter_mut()
                .chain(&mut self.threads.background)
                .for_each(OwnThread::forget);
            return;
        }
        // Whatever takes longer than that, a process that the kernel cannot end, say, is left to these threads.
        let deadline = Instant::now() + PATIENCE;
        self.terminate();
        self.threads.supervisor_ends_by(Some(deadline));
        self.pump.shut_down();
        if let Some(background) = &self.threads.background {
            background.join_by(Some(deadline));
        }
        self.pump.callbacks().end(deadline);
        self.pump.end_questions(deadline);
    }
}
