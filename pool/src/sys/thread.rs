//! Threads of the pool's own.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::Instant;

use super::memory;

/// More address space than a new thread takes: two megabytes of stack, and some pages where the overflow of that is told of.
const ROOM: usize = 3 << 20;

/// Starts a thread, if there is certainly room for it.
///
/// Some of its memory a thread takes itself, and the standard library ends the program if it gets none. So it is tried
/// whether there is enough, and nothing goes on here before the thread does.
pub(crate) fn start_thread(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    memory::probe(ROOM)?;
    let (sender, is_there) = mpsc::channel::<()>();
    let handle = thread::Builder::new().name(name.to_owned()).spawn(move || {
        drop(sender);
        run();
    })?;
    // Nothing is ever sent.
    let _ = is_there.recv();
    Ok(handle)
}

/// A running thread that can be waited for with a time limit, by several others.
#[derive(Debug)]
pub(crate) struct OwnThread {
    /// Until it is joined.
    handle: Mutex<Option<JoinHandle<()>>>,
    id: ThreadId,
    end: Arc<End>,
}

#[derive(Debug, Default)]
struct End {
    has_come: Mutex<bool>,
    news: Condvar,
}

/// Says so when it is dropped, however the thread ends.
struct SaysEnd(Arc<End>);

impl Drop for SaysEnd {
    fn drop(&mut self) {
        *self.0.has_come.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.news.notify_all();
    }
}

impl OwnThread {
    pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let end = Arc::new(End::default());
        let says_end = SaysEnd(end.clone());
        let handle = start_thread(name, move || {
            let _says_end = says_end;
            run();
        })?;
        Ok(Self { id: handle.thread().id(), handle: Mutex::new(Some(handle)), end })
    }

    /// Waits until the thread is gone; false if the deadline came first, and at once on the thread itself. A deadline of
    /// `None` never comes.
    pub(crate) fn join_by(&self, deadline: Option<Instant>) -> bool {
        if self.id == thread::current().id() {
            return false;
        }
        let mut has_come = self.end.has_come.lock().unwrap_or_else(PoisonError::into_inner);
        while !*has_come {
            has_come = match deadline {
                None => self.end.news.wait(has_come).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return false;
                    }
                    let waited = self.end.news.wait_timeout(has_come, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        drop(has_come);
        // Held until it is gone, so that every caller waits for that; it has nothing more to do.
        let mut handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = handle.take() {
            let _ = handle.join();
        }
        true
    }

    /// Lets go of a thread that does not exist in this fork of the process.
    pub(crate) fn forget(&mut self) {
        // Not locked, because who held the lock may not exist here either.
        let handle = self.handle.get_mut().unwrap_or_else(PoisonError::into_inner);
        std::mem::forget(handle.take());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_thread_is_waited_for_until_the_deadline_and_then_again() {
        let (open, gate) = mpsc::channel::<()>();
        let thread = OwnThread::spawn("test", move || {
            // It ends when the sender is gone.
            let _ = gate.recv();
        })
        .unwrap();
        assert!(!thread.join_by(Some(Instant::now())));
        assert!(!thread.join_by(Some(Instant::now() + Duration::from_millis(5))));
        drop(open);
        thread::scope(|scope| {
            let waits: Vec<_> = (0..3).map(|_| scope.spawn(|| thread.join_by(None))).collect();
            assert!(waits.into_iter().all(|wait| wait.join().unwrap()));
        });
        assert!(thread.join_by(Some(Instant::now())));
    }

    #[test]
    fn a_thread_does_not_wait_for_itself() {
        let (give, given) = mpsc::channel::<Arc<OwnThread>>();
        let (sender, receiver) = mpsc::channel();
        let thread = OwnThread::spawn("test", move || {
            let own = given.recv().unwrap();
            sender.send(own.join_by(None)).unwrap();
        });
        let thread = Arc::new(thread.unwrap());
        give.send(thread.clone()).unwrap();
        assert_eq!(receiver.recv_timeout(Duration::from_secs(20)), Ok(false));
        assert!(thread.join_by(None));
    }

    #[test]
    fn a_thread_that_panics_has_ended() {
        // Its message is not for whoever reads the output of the tests.
        let thread = OwnThread::spawn("test", || std::panic::resume_unwind(Box::new(()))).unwrap();
        assert!(thread.join_by(None));
    }
}
