//! A thread on which code of the user runs: callbacks, one at a time, in the order in which their jobs ended.
//!
//! A second one asks `retry_if`; see `pump/questions.rs`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::Instant;

use crate::error::Error;
use crate::job::Hook;
use crate::sys::thread::start_thread;

/// Started with the first callback.
#[derive(Debug)]
pub(crate) struct Callbacks {
    /// What the thread is called.
    name: &'static str,
    /// What it is that may fail to be done.
    start: &'static str,
    state: Mutex<State>,
    /// Those that are queued or running.
    unfinished: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    NotStarted,
    Running {
        sender: Sender<Hook>,
        thread: JoinHandle<()>,
    },
    Ended,
}

impl State {
    fn thread_id(&self) -> Option<ThreadId> {
        match self {
            State::Running { thread, .. } => Some(thread.thread().id()),
            State::NotStarted | State::Ended => None,
        }
    }
}

impl Callbacks {
    pub(crate) fn new(name: &'static str, start: &'static str) -> Self {
        Self { name, start, state: Mutex::default(), unfinished: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that there is a thread for callbacks, and returns it, unless the pool has ended.
    ///
    /// # Errors
    ///
    /// If none can be had. A callback on any other thread of the pool could wait for what that thread has to do.
    pub(crate) fn prepare(&self) -> Result<Option<ThreadId>, Error> {
        let mut state = self.state();
        if matches!(*state, State::NotStarted) {
            let (sender, receiver) = mpsc::channel::<Hook>();
            let run = move || receiver.into_iter().for_each(|callback| callback());
            let thread = start_thread(self.name, run).map_err(|error| Error::spawn(self.start, error))?;
            *state = State::Running { sender, thread };
        }
        Ok(state.thread_id())
    }

    /// Queues a callback that was [prepared](Self::prepare) for. After the end of the pool it runs at once.
    pub(crate) fn queue(&self, callback: Hook) {
        self.unfinished.fetch_add(1, Ordering::SeqCst);
        let unfinished = self.unfinished.clone();
        let callback: Hook = Box::new(move || {
            callback();
            unfinished.fetch_sub(1, Ordering::SeqCst);
        });
        let rejected = match &*self.state() {
            State::Running { sender, .. } => {
                sender.send(callback).err().map(|mpsc::SendError(callback)| callback)
            }
            State::NotStarted | State::Ended => Some(callback),
        };
        if let Some(callback) = rejected {
            callback();
        }
    }

    /// Tells whether the calling thread is the one that runs callbacks.
    pub(crate) fn is_own_thread(&self) -> bool {
        self.state().thread_id() == Some(thread::current().id())
    }

    /// Waits until all callbacks have run, those that others led to included; false if the deadline came first.
    ///
    /// # Errors
    ///
    /// If a callback itself asks, which would wait for itself.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> Result<bool, Error> {
        if self.is_own_thread() {
            return Err(Error::WouldDeadlock { call: "join" });
        }
        // What a callback leads to is counted before the callback itself is done.
        while self.unfinished.load(Ordering::SeqCst) != 0 {
            let Some(are_done) = self.mark() else { return Ok(true) };
            let have_run = match deadline {
                None => are_done.recv().is_ok(),
                Some(deadline) => {
                    are_done.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_ok()
                }
            };
            if !have_run {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Tells when those have run that are queued now; `None` if there is no thread for them any more.
    fn mark(&self) -> Option<Receiver<()>> {
        let state = self.state();
        let State::Running { sender, .. } = &*state else { return None };
        let (done, receiver) = mpsc::channel();
        let mark: Hook = Box::new(move || {
            // Who asked may have lost patience.
            let _ = done.send(());
        });
        sender.send(mark).ok().map(|()| receiver)
    }

    /// Ends the thread when it has run what is queued; waits for that until the deadline.
    pub(crate) fn end(&self, deadline: Instant) {
        let was = std::mem::replace(&mut *self.state(), State::Ended);
        let State::Running { sender, thread } = was else { return };
        let (done, receiver) = mpsc::channel();
        let mark: Hook = Box::new(move || {
            let _ = done.send(());
        });
        let _ = sender.send(mark);
        drop(sender);
        let is_own = thread.thread().id() == thread::current().id();
        if !is_own && receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_ok() {
            // It only ends; a callback's panic was caught where it was called.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Callbacks that the test runs itself, so that it decides what comes first.
    fn held() -> (Arc<Callbacks>, Receiver<Hook>) {
        let (sender, queue) = mpsc::channel();
        let thread = start_thread("test", || ()).unwrap();
        (
            Arc::new(Callbacks {
                state: Mutex::new(State::Running { sender, thread }),
                ..Callbacks::new("test", "starting a thread")
            }),
            queue,
        )
    }

    /// Has another thread wait; what comes of it can be received.
    fn wait(callbacks: &Arc<Callbacks>) -> Receiver<bool> {
        let (sender, receiver) = mpsc::channel();
        let callbacks = callbacks.clone();
        thread::spawn(move || sender.send(callbacks.wait(None).unwrap()));
        receiver
    }

    /// Queues a callback that leads to so many others, one after the other.
    fn queue(callbacks: &Arc<Callbacks>, others: u32) {
        let next = callbacks.clone();
        callbacks.queue(Box::new(move || {
            if others > 0 {
                queue(&next, others - 1);
            }
        }));
    }

    #[test]
    fn those_behind_the_ones_that_are_queued_are_waited_for() {
        let (callbacks, hooks) = held();
        queue(&callbacks, 2);
        let waited = wait(&callbacks);
        for _ in 0..3 {
            let callback = hooks.recv_timeout(PATIENCE).unwrap();
            // With this the other thread waits; what the callback leads to comes behind it.
            let mark = hooks.recv_timeout(PATIENCE).expect("it waits, as not all have run");
            callback();
            mark();
        }
        assert_eq!(waited.recv_timeout(PATIENCE), Ok(true));
    }
}
