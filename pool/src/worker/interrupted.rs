//! Lets a task ask whether it should come to an end.

use std::sync::{Mutex, PoisonError};

use crate::transport::outbox::Interruption;

static SOURCE: Mutex<Option<Interruption>> = Mutex::new(None);

/// Says where the parent's wish can be read. Once per worker, before its first item.
pub(crate) fn set_source(source: Interruption) {
    *SOURCE.lock().unwrap_or_else(PoisonError::into_inner) = Some(source);
}

/// Tells a task whether it should come to an end: it has run for longer than its job's
/// [`soft_timeout`](crate::Options::soft_timeout), or its job was cancelled or is past its deadline.
///
/// Ask from time to time in long work, from any thread of the worker; it costs some ten nanoseconds. What the task returns after
/// this is its result like any other, unless its worker is ended first. Outside a worker it is false.
///
/// # Examples
///
/// ```
/// use pool::{pool_task, Pool};
/// use std::time::Duration;
///
/// #[pool_task]
/// fn count_up() -> u64 {
///     let mut n = 0;
///     while !pool::interrupted() {
///         n += 1;
///     }
///     n
/// }
///
/// let pool = Pool::new()?;
/// let counted = pool.options().soft_timeout(Duration::from_millis(20)).apply(count_up, ())?;
/// assert!(counted > 0);
/// # Ok::<(), pool::Error>(())
/// ```
pub fn interrupted() -> bool {
    let source = SOURCE.lock().unwrap_or_else(PoisonError::into_inner);
    source.as_ref().is_some_and(Interruption::is_wanted)
}
