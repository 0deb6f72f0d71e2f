//! Settings of the processes: limits, CPUs, environment, current directory.
//!
//! They hold in every worker before its initializer runs, replaced workers as well, whatever the start method, and
//! programs that a task executes inherit them.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{PoolBuilder, invalid};
use crate::conditions::Conditions;
use crate::error::Result;
use crate::handshake;
use crate::sys::limits;

/// More of the environment than this, in bytes, does not fit into the message that sets a worker up.
const MOST_VARIABLES: usize = 64 << 10;
/// The kernel counts CPU time in nanoseconds and 64 bits; this many seconds are safe, and 136 years.
const MOST_SECONDS: u64 = u32::MAX as u64;

/// The settings as they were made, not yet looked at.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    address_space: Option<u64>,
    cpu_time: Option<Duration>,
    resident: Option<u64>,
    nice: Option<i32>,
    cpus: Option<Vec<usize>>,
    variables: Vec<(OsString, Option<OsString>)>,
    directory: Option<PathBuf>,
}

impl PoolBuilder {
    /// Limits the address space of each worker, in bytes (`RLIMIT_AS`); the default is no limit.
    ///
    /// Everything that is mapped counts, touched or not: the program and its libraries, stacks (2 MiB for each thread of Rust's), the
    /// allocator's reserves (64 MiB for each thread that allocates, with glibc), shared memory of large arguments and
    /// results, and with [`StartMethod::Fork`](crate::StartMethod::Fork) what the program had mapped. So leave room.
    ///
    /// Beyond the limit the worker is refused memory, and what comes of that is up to who asked. Most Rust code aborts: then the item that was running gets
    /// [`Error::WorkerLost`], whose [`ExitReport::limit`] names this limit. A large argument or result for which there
    /// is no room is [`Error::Decode`] or [`Error::Encode`].
    ///
    /// A worker that has taken more than the limit before it runs anything is not used: the pool's jobs get
    /// [`Error::Spawn`].
    ///
    /// [`Error::WorkerLost`]: crate::Error::WorkerLost
    /// [`Error::Decode`]: crate::Error::Decode
    /// [`Error::Encode`]: crate::Error::Encode
    /// [`Error::Spawn`]: crate::Error::Spawn
    /// [`ExitReport::limit`]: crate::ExitReport::limit
    ///
    /// # Examples
    ///
    /// ```
    /// use pool::{pool_task, Error, Limit, Pool};
    ///
    /// #[pool_task]
    /// fn fill(bytes: usize) -> usize { vec![1u8; bytes].len() }
    ///
    /// let pool = Pool::builder().workers(1).address_space_limit(1 << 30).build()?;
    /// assert_eq!(pool.apply(fill, (1 << 20,))?, 1 << 20);
    /// let Err(Error::WorkerLost { report, .. }) = pool.apply(fill, (2 << 30,)) else { panic!() };
    /// assert_eq!(report.limit, Some(Limit::AddressSpace(1 << 30)));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn address_space_limit(mut self, bytes: u64) -> Self {
        self.wanted.address_space = Some(bytes);
        self
    }

    /// Limits the CPU time of each worker (`RLIMIT_CPU`), in whole seconds, rounded up; the default is no limit.
    ///
    /// It counts user and system time of all threads of the worker over its whole life, whatever the number of items; a
    /// worker that replaces it begins at 0. Time that it sleeps does not count. To bound the life of workers that
    /// do their work, use [`max_tasks_per_worker`](Self::max_tasks_per_worker) as well.
    ///
    /// At the limit the kernel sends SIGXCPU, which ends the worker unless a task handles or ignores it, and one second of CPU
    /// time later SIGKILL. The item that was running gets [`Error::WorkerLost`](crate::Error::WorkerLost), whose
    /// [`ExitReport::limit`](crate::ExitReport::limit) names this limit; the worker is replaced.
    ///
    /// # Examples
    ///
    /// ```
    /// use pool::{pool_task, Error, Limit, Pool};
    /// use std::time::Duration;
    ///
    /// #[pool_task]
    /// fn spin() { loop { std::hint::spin_loop() } }
    ///
    /// let pool = Pool::builder().workers(1).cpu_time_limit(Duration::from_secs(1)).build()?;
    /// let Err(Error::WorkerLost { report, .. }) = pool.apply(spin, ()) else { panic!() };
    /// assert_eq!(report.limit, Some(Limit::CpuTime(Duration::from_secs(1))));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn cpu_time_limit(mut self, time: Duration) -> Self {
        self.wanted.cpu_time = Some(time);
        self
    }

    /// Replaces a worker once it has more resident memory than this, in bytes: for tasks that leak. The default is never.
    ///
    /// It is looked at after an item, at most once in a millisecond, so no item fails because of it; what bounds a
    /// single item is [`address_space_limit`](Self::address_space_limit). Every worker runs one item at least. What it was sent and has not
    /// started goes to other workers, and it leaves as one does that has run its
    /// [`max_tasks_per_worker`](Self::max_tasks_per_worker).
    ///
    /// All that `ps` shows as resident counts (`RSS`): the program's code, memory of large arguments and results and of shared values, and with
    /// [`StartMethod::Fork`](crate::StartMethod::Fork) what the program had.
    ///
    /// # Examples
    ///
    /// ```
    /// use pool::{pool_task, Pool};
    ///
    /// #[pool_task]
    /// fn leak(bytes: usize) -> u32 {
    ///     std::mem::forget(vec![1u8; bytes]);
    ///     std::process::id()
    /// }
    ///
    /// let pool = Pool::builder().workers(1).max_memory_per_worker(200 << 20).build()?;
    /// let mut pids = pool.map(leak, [60 << 20; 8])?;
    /// pids.dedup();
    /// assert!(pids.len() > 1);
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn max_memory_per_worker(mut self, bytes: u64) -> Self {
        self.wanted.resident = Some(bytes);
        self
    }

    /// Sets the nice value of workers, from -20 (favoured) to 19; the default is that of the program.
    ///
    /// It is not added to the program's own. A value below that takes rights (`CAP_SYS_NICE`); without them the pool's jobs
    /// get [`Error::Spawn`](crate::Error::Spawn).
    ///
    /// # Examples
    ///
    /// ```
    /// use pool::Pool;
    ///
    /// let pool = Pool::builder().workers(2).nice(19).build()?; // only when nobody else wants the CPU
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn nice(mut self, value: i32) -> Self {
        self.wanted.nice = Some(value);
        self
    }

    /// Pins each worker to one of these CPUs: the first worker to the first, and so on, from the start again when there are
    /// more workers than CPUs. The default is that workers run where the program may.
    ///
    /// A worker that replaces another one gets its CPU. In a worker [`std::thread::available_parallelism`] is 1 then. Threads
    /// that a task starts share the CPU. The number of workers does not follow from this; see [`workers`](Self::workers).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use pool::Pool;
    ///
    /// let pool = Pool::builder().workers(4).pinned_cpus(0..4).build()?;
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn pinned_cpus(mut self, cpus: impl IntoIterator<Item = usize>) -> Self {
        self.wanted.cpus = Some(cpus.into_iter().collect());
        self
    }

    /// Sets an environment variable in workers; by default they have those that the program had when their process, or the
    /// helper that forks them, was made.
    ///
    /// May be called several times; of several values for one name the last one holds. It is set before the initializer runs, which is
    /// too late for what is read when a program is loaded (`LD_LIBRARY_PATH`). All names and values together may
    /// have 64 KiB.
    ///
    /// # Examples
    ///
    /// ```
    /// use pool::{pool_task, Pool};
    ///
    /// #[pool_task]
    /// fn variable(name: &str) -> Option<String> { std::env::var(name).ok() }
    ///
    /// let pool = Pool::builder().workers(1).env("OMP_NUM_THREADS", "1").env_remove("HOME").build()?;
    /// assert_eq!(pool.apply(variable, ("OMP_NUM_THREADS",))?.as_deref(), Some("1"));
    /// assert_eq!(pool.apply(variable, ("HOME",))?, None);
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.wanted.variables.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Removes an environment variable in workers; see [`env`](Self::env).
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = pool::Pool::builder().workers(1).env_remove("AWS_SECRET_ACCESS_KEY").build()?;
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.wanted.variables.push((name.as_ref().to_owned(), None));
        self
    }

    /// Sets the current directory of workers; the default is the one that the program had when their process, or the
    /// helper that forks them, was made.
    ///
    /// A relative path is taken from the current directory at [`build`](Self::build). If a worker cannot go there
    /// later, because the directory has been removed, say, the pool's jobs get [`Error::Spawn`](crate::Error::Spawn).
    ///
    /// # Examples
    ///
    /// ```
    /// use pool::{pool_task, Pool};
    /// use std::path::PathBuf;
    ///
    /// #[pool_task]
    /// fn here() -> PathBuf { std::env::current_dir().unwrap() }
    ///
    /// let pool = Pool::builder().workers(1).current_dir("/").build()?;
    /// assert_eq!(pool.apply(here, ())?, PathBuf::from("/"));
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn current_dir(mut self, path: impl AsRef<Path>) -> Self {
        self.wanted.directory = Some(path.as_ref().to_owned());
        self
    }
}

impl Wanted {
    /// Checks the settings as far as this process can tell.
    pub(super) fn check(self) -> Result<Conditions> {
        check_variables(&self.variables)?;
        Ok(Conditions {
            address_space: self.address_space.map(checked_space).transpose()?,
            cpu_seconds: self.cpu_time.map(checked_seconds).transpose()?,
            resident: self.resident.map(checked_resident).transpose()?,
            nice: self.nice.map(checked_nice).transpose()?,
            cpus: self.cpus.map(checked_cpus).transpose()?.unwrap_or_default(),
            variables: self.variables,
            directory: self.directory.as_deref().map(checked_directory).transpose()?,
        })
    }
}

fn checked_space(bytes: u64) -> Result<u64> {
    match limits::address_space_ceiling() {
        _ if bytes == 0 => Err(invalid("address_space_limit", "it must be at least 1 byte")),
        Some(ceiling) if bytes > ceiling => {
            let reason = format!("{bytes} bytes are more than the {ceiling} that this process may have");
            Err(invalid("address_space_limit", &reason))
        }
        _ => Ok(bytes),
    }
}

fn checked_seconds(time: Duration) -> Result<u64> {
    let seconds = time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0));
    match limits::cpu_time_ceiling() {
        _ if seconds == 0 => Err(invalid("cpu_time_limit", "it must be longer than 0")),
        _ if seconds > MOST_SECONDS => {
            Err(invalid("cpu_time_limit", &format!("it must be at most {MOST_SECONDS} s")))
        }
        Some(ceiling) if seconds > ceiling => {
            let reason = format!("{seconds} s are more than the {ceiling} s that this process may have");
            Err(invalid("cpu_time_limit", &reason))
        }
        _ => Ok(seconds),
    }
}

fn checked_resident(bytes: u64) -> Result<u64> {
    if bytes == 0 { Err(invalid("max_memory_per_worker", "it must be at least 1 byte")) } else { Ok(bytes) }
}

fn checked_nice(value: i32) -> Result<i32> {
    if (-20..=19).contains(&value) {
        Ok(value)
    } else {
        Err(invalid("nice", &format!("{value} is not between -20 and 19")))
    }
}

fn checked_cpus(cpus: Vec<usize>) -> Result<Vec<usize>> {
    if cpus.is_empty() {
        return Err(invalid("pinned_cpus", "there must be at least one"));
    }
    let allowed = limits::allowed_cpus().map_err(|error| {
        invalid("pinned_cpus", &format!("the CPUs of this process are not known: {error}"))
    })?;
    match cpus.iter().find(|cpu| !allowed.contains(cpu)) {
        Some(cpu) => {
            let reason = format!("this process may not run on CPU {cpu}, only on {allowed:?}");
            Err(invalid("pinned_cpus", &reason))
        }
        None => Ok(cpus),
    }
}

fn check_variables(variables: &[(OsString, Option<OsString>)]) -> Result<()> {
    let mut bytes = 0;
    for (name, value) in variables {
        let option = if value.is_some() { "env" } else { "env_remove" };
        let value = value.as_deref().unwrap_or_default();
        bytes += name.len() + value.len();
        let refuse = |reason: &str| Err(invalid(option, &format!("{name:?}: {reason}")));
        if name.is_empty() {
            return refuse("a name must not be empty");
        }
        if name.as_encoded_bytes().iter().any(|byte| matches!(byte, b'=' | 0)) {
            return refuse("a name has neither `=` nor a zero byte in it");
        }
        if value.as_encoded_bytes().contains(&0) {
            return refuse("a value has no zero byte in it");
        }
        if name == handshake::VARIABLE {
            return refuse("this one is the pool's own");
        }
    }
    if bytes > MOST_VARIABLES {
        let reason = format!("names and values have {bytes} bytes, and {MOST_VARIABLES} is the most");
        return Err(invalid("env", &reason));
    }
    Ok(())
}

fn checked_directory(path: &Path) -> Result<OsString> {
    let refuse =
        |reason: &dyn std::fmt::Display| invalid("current_dir", &format!("`{}`: {reason}", path.display()));
    let absolute = std::path::absolute(path).map_err(|error| refuse(&error))?;
    let metadata = absolute.metadata().map_err(|error| refuse(&error))?;
    if metadata.is_dir() { Ok(absolute.into_os_string()) } else { Err(refuse(&"it is no directory")) }
}
