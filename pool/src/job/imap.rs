//! The iterator over the results of a lazy call.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::job::Delivery;
use crate::job::sink;
use crate::job::stream::{Next, Stream};
use crate::task::Task;

/// The results of [`imap`](crate::Pool::imap) and its kin: one `Result` per item, computed ahead of the consumer
/// by a bounded number of items.
///
/// `next` reads the caller's iterator as far as the pool can take items, waits for the next result and drives the pool
/// meanwhile. After an item's error iteration goes on; after the pool was terminated it yields that
/// error once and ends. Dropping the iterator cancels what has not started; what runs goes on, within the limits and the deadline
/// that the call had. A panic of the caller's iterator goes through `next`, and nothing is lost by it: who catches it may go on.
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
/// let large = pool.imap(square, 0..).find(|n| matches!(n, Ok(n) if *n > 1000)).unwrap();
/// assert_eq!(large?, 32 * 32);
/// # Ok::<(), pool::Error>(())
/// ```
#[must_use = "nothing runs until the results are asked for"]
pub struct Imap<'p, R> {
    stream: Stream<'p>,
    ready: Ready<R>,
    unpack: fn(Delivery, &mut Ready<R>),
}

/// Results that came and were not taken. An error is many times as large as most results.
type Ready<R> = VecDeque<std::result::Result<R, Box<Error>>>;

impl<R> fmt::Debug for Imap<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Imap").field("job", self.stream.job()).field("ready", &self.ready.len()).finish()
    }
}

impl<'p, R> Imap<'p, R> {
    pub(crate) fn new<T: Task<Output = R>>(stream: Stream<'p>) -> Self {
        let unpack = |delivery: Delivery, ready: &mut Ready<R>| {
            ready.reserve(delivery.count());
            sink::unpack::<T>(delivery, |result| ready.push_back(result.map_err(Box::new)));
        };
        Self { stream, ready: VecDeque::new(), unpack }
    }

    /// Waits up to `timeout` for the next result: `None` if it did not come, `Some(None)` at the end.
    ///
    /// The iterator stays usable, and the result comes later. What the caller's iterator takes for items that are read meanwhile
    /// counts, and is not cut short.
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
    /// let mut naps = pool.imap(nap, [300]);
    /// assert!(naps.next_timeout(Duration::from_millis(1)).is_none());
    /// assert_eq!(naps.next().unwrap()?, 300);
    /// assert!(matches!(naps.next_timeout(Duration::from_secs(1)), Some(None)));
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn next_timeout(&mut self, timeout: Duration) -> Option<Option<Result<R>>> {
        // A time too long to add is for ever.
        self.next_until(Instant::now().checked_add(timeout))
    }

    fn next_until(&mut self, deadline: Option<Instant>) -> Option<Option<Result<R>>> {
        loop {
            if let Some(result) = self.ready.pop_front() {
                self.stream.consume(1);
                return Some(Some(result.map_err(|error| *error)));
            }
            match self.stream.next(deadline) {
                Next::Delivery(delivery) => (self.unpack)(delivery, &mut self.ready),
                Next::Aborted(error) => return Some(Some(Err(error))),
                Next::End => return Some(None),
                Next::NotYet => return None,
            }
        }
    }
}

impl<R> Iterator for Imap<'_, R> {
    type Item = Result<R>;

    fn next(&mut self) -> Option<Result<R>> {
        self.next_until(None).unwrap_or_else(|| unreachable!("without a deadline it waits for ever"))
    }
}

impl<R> std::iter::FusedIterator for Imap<'_, R> {}
