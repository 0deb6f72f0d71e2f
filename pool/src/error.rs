//! The one public error type.
//!
//! A variant says what happened; its fields say to which task and item, in which process and why. Causes
//! are returned by `source`, not repeated in the text. Errors are cheap to clone, because one fault of
//! a pool (a failing initializer, say) ends many handles.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::codec::CodecError;
use crate::exit::{Exit, ExitReport};

/// A `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an item, a job or a pool failed.
///
/// A task's own `Result` is a value and never ends up here.
///
/// # Examples
///
/// ```
/// use pool::{pool_task, Error, Pool};
///
/// #[pool_task]
/// fn reciprocal(n: u32) -> u32 { 100 / n }
///
/// let error = Pool::new()?.map(reciprocal, [4, 0, 2]).unwrap_err();
/// assert_eq!(error.index(), Some(1));
/// assert!(error.task().unwrap().ends_with("reciprocal"));
/// assert!(matches!(error, Error::Panicked { message, .. } if message == "attempt to divide by zero"));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The task panicked on this item. The worker caught it and goes on.
    #[error("task `{task}` panicked on item {index} at {location}: {message}")]
    Panicked {
        /// Name of the task.
        task: &'static str,
        /// Place of the item in its job, counted from 0.
        index: usize,
        /// What was given to `panic!`.
        message: String,
        /// File, line and column, or `an unknown place` if the program replaced the panic hook.
        location: String,
        /// The worker's backtrace, if `RUST_BACKTRACE` or `RUST_LIB_BACKTRACE` asks for one.
        backtrace: Option<String>,
    },
    /// The worker process died while it ran this item. Whether the item had effects is unknown.
    #[error(
        "worker {pid} was lost while running item {index} of task `{task}`: {exit}{}{}",
        cost(*attempts),
        report.as_tail()
    )]
    WorkerLost {
        /// Name of the task.
        task: &'static str,
        /// Place of the item in its job, counted from 0.
        index: usize,
        /// Process id of the worker.
        pid: u32,
        /// How the process ended.
        exit: Exit,
        /// What else is known: peak memory, CPU time, whether a limit of the pool's had to do with it.
        report: Box<ExitReport>,
        /// How often the item was tried: 1, unless the job has [retries](crate::Options::retries).
        attempts: u32,
    },
    /// The item ran longer than its job allows, and its worker was ended; or the job's deadline came first.
    #[error("item {index} of task `{task}` {limit}{}", cost(*attempts))]
    TimedOut {
        /// Name of the task.
        task: &'static str,
        /// Place of the item in its job, counted from 0.
        index: usize,
        /// The limit that was set.
        limit: TimeLimit,
        /// Process id of the worker that was ended for it; `None` at a job's deadline.
        pid: Option<u32>,
        /// How often the item was tried: 1, unless the job has [retries](crate::Options::retries); 0 at a job's deadline.
        attempts: u32,
    },
    /// The item was cancelled, or the job it belongs to was. `index` is then the lowest item that had not ended.
    #[error("item {index} of task `{task}` was cancelled")]
    Cancelled {
        /// Name of the task.
        task: &'static str,
        /// Place of the item in its job, counted from 0.
        index: usize,
    },
    /// An argument (in the caller) or a result (in the worker) could not be encoded.
    #[error("item {index} of task `{task}`: the {part} could not be encoded")]
    Encode {
        /// Name of the task.
        task: &'static str,
        /// Place of the item in its job, counted from 0.
        index: usize,
        /// Which of the two.
        part: Part,
        /// What was wrong.
        source: CodecError,
    },
    /// An argument (in the worker) or a result (in the caller) could not be decoded.
    #[error("item {index} of task `{task}`: the {part} could not be decoded")]
    Decode {
        /// Name of the task.
        task: &'static str,
        /// Place of the item in its job, counted from 0.
        index: usize,
        /// Which of the two.
        part: Part,
        /// What was wrong.
        source: CodecError,
    },
    /// The pool's initializer failed in a worker, so the pool can run nothing.
    #[error("the pool's initializer `{task}` failed: {reason}")]
    Initializer {
        /// Name of the initializer task.
        task: &'static str,
        /// The panic's message, or how the process ended.
        reason: String,
    },
    /// The pool was closed before this call.
    #[error("the pool is closed; it takes no more calls")]
    Closed,
    /// The pool was terminated, or dropped, before the job was done.
    #[error("the pool was terminated before the job was done")]
    Terminated,
    /// `join` was called on a pool that is still open; call `close` or `terminate` first.
    #[error("the pool is still running; call `close` or `terminate` before `join`")]
    StillRunning,
    /// A callback panicked. `source` is the job's own error, if an error callback was looking at one.
    #[error("a callback panicked: {message}")]
    CallbackPanicked {
        /// What was given to `panic!`.
        message: String,
        /// The error that the callback was called with.
        source: Option<Arc<Error>>,
    },
    /// A call from a callback, a `retry_if` or a waker would wait for what comes only after that has returned.
    #[error("{call} was called from code that the pool runs and would wait for itself")]
    WouldDeadlock {
        /// The call that was refused.
        call: &'static str,
    },
    /// A setting has a value that makes no sense.
    #[error("invalid `{option}`: {reason}")]
    InvalidOption {
        /// Name of the setting.
        option: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A value could not be [shared](crate::Pool::share): it could not be encoded, or there is no memory for it.
    #[error("a value of type `{value}` could not be shared")]
    Share {
        /// Name of its type.
        value: &'static str,
        /// What was wrong.
        source: CodecError,
    },
    /// A worker process could not be started.
    #[error("cannot start a worker process: {doing} failed")]
    Spawn {
        /// The step that failed.
        doing: &'static str,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// Two tasks have the same registered name, so neither can be found by it.
    #[error("two tasks are registered as `{first}`; give one of them another `name = \"..\"`")]
    DuplicateTask {
        /// Name of the one.
        first: &'static str,
        /// Name of the other; different only if their hashes collide.
        second: &'static str,
    },
    /// The worker does not know the task.
    #[error("task `{task}` is not known to the worker; is its crate named in a source line of this program?")]
    UnknownTask {
        /// Name of the task.
        task: &'static str,
    },
    /// Pools inside tasks of pools are nested too deeply; a task that makes a pool probably calls itself.
    #[error("pools are nested {depth} deep, and {limit} is the limit")]
    TooDeep {
        /// How deep this process is.
        depth: u32,
        /// The limit.
        limit: u32,
    },
    /// The pool belongs to another process: this one is a fork of its owner.
    #[error("this pool belongs to process {owner}; a forked child must make its own")]
    ForkedChild {
        /// Process id of the owner.
        owner: u32,
    },
}

/// The limit on time that an item, or a job, exceeded.
///
/// # Examples
///
/// ```
/// use pool::TimeLimit;
/// use std::time::Duration;
///
/// assert_eq!(TimeLimit::Timeout(Duration::from_millis(50)).to_string(), "ran longer than 50ms");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimeLimit {
    /// The [`timeout`](crate::Options::timeout) of each item.
    Timeout(Duration),
    /// The [`deadline`](crate::Options::deadline) of the job.
    Deadline,
}

impl std::fmt::Display for TimeLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TimeLimit::Timeout(limit) => write!(f, "ran longer than {limit:?}"),
            TimeLimit::Deadline => f.write_str("had not ended when the deadline of its job came"),
        }
    }
}

/// What it cost to try an item several times.
fn cost(attempts: u32) -> String {
    if attempts > 1 { format!("; it was tried {attempts} times") } else { String::new() }
}

/// Which half of a call an encoding error is about.
///
/// # Examples
///
/// ```
/// assert_eq!(pool::Part::Argument.to_string(), "argument");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What the caller passed.
    Argument,
    /// What the task returned.
    Result,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Part::Argument => "argument",
            Part::Result => "result",
        })
    }
}

impl Error {
    /// Returns the registered name of the task that this error is about, if it is about one.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(pool::Error::Closed.task(), None);
    /// ```
    pub fn task(&self) -> Option<&'static str> {
        match self {
            Error::Panicked { task, .. }
            | Error::WorkerLost { task, .. }
            | Error::TimedOut { task, .. }
            | Error::Cancelled { task, .. }
            | Error::Encode { task, .. }
            | Error::Decode { task, .. }
            | Error::Initializer { task, .. }
            | Error::UnknownTask { task } => Some(task),
            _ => None,
        }
    }

    /// Returns the place in its job, counted from 0, of the item that this error is about.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(pool::Error::Terminated.index(), None);
    /// ```
    pub fn index(&self) -> Option<usize> {
        match self {
            Error::Panicked { index, .. }
            | Error::WorkerLost { index, .. }
            | Error::TimedOut { index, .. }
            | Error::Cancelled { index, .. }
            | Error::Encode { index, .. }
            | Error::Decode { index, .. } => Some(*index),
            _ => None,
        }
    }
}

impl Error {
    pub(crate) fn spawn(doing: &'static str, source: impl Into<io::Error>) -> Self {
        Error::Spawn { doing, source: Arc::new(source.into()) }
    }
}
