//! Every setting of a pool, its default, and when to change it.

mod conditions;

use std::collections::BTreeSet;
use std::num::NonZero;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use crate::driver::pump::Pump;
use crate::driver::{Driver, Once, Rules};
use crate::error::{Error, Result};
use crate::handshake;
use crate::job::source;
use crate::pool::{Pool, Threads};
use crate::registry::Registry;
use crate::share::original::Home;
use crate::start::{StartMethod, Starter};
use crate::supervisor::{self, Commands, Places, Spares, Supervisor};
use crate::sys::thread::OwnThread;
use crate::sys::{memory, process};
use crate::task::Task;
use crate::transport::control::Terms;
use crate::transport::ring_link::{ParentBell, RingLink};
use crate::transport::stock::Stock;
use crate::worker;
use conditions::Wanted;

/// How long a worker may take to get ready, unless told otherwise. Some load models from slow disks first.
const START_TIMEOUT: Duration = Duration::from_secs(300);

/// The environment variable that sets the default number of workers.
const WORKERS_VARIABLE: &str = "POOL_WORKERS";

/// Linux has no more processes than that, whatever it is told: it is what `/proc/sys/kernel/pid_max` may say at most (`PID_MAX_LIMIT`).
const MOST_WORKERS: usize = 4 << 20;

impl Pool {
    /// Starts a pool with one worker per CPU that this process may use.
    ///
    /// # Errors
    ///
    /// As for [`PoolBuilder::build`].
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = pool::Pool::new()?;
    /// assert!(pool.worker_count() >= 1);
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn new() -> Result<Self> {
        Self::builder().build()
    }

    /// Starts to configure a pool.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = pool::Pool::builder().workers(2).build()?;
    /// assert_eq!(pool.worker_count(), 2);
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn builder() -> PoolBuilder {
        PoolBuilder::new()
    }
}

/// Configures a [`Pool`]; made by [`Pool::builder`].
///
/// # Examples
///
/// ```
/// use pool::{pool_task, Pool, StartMethod};
///
/// #[pool_task]
/// fn load(model: &str) { println!("worker loads {model}"); }
///
/// let pool = Pool::builder()
///     .workers(2)
///     .start_method(StartMethod::ForkServer)
///     .initializer(load, ("small",))
///     .max_tasks_per_worker(1000)
///     .build()?;
/// # Ok::<(), pool::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct PoolBuilder {
    workers: Option<usize>,
    start_method: StartMethod,
    initializer: Option<Result<Once>>,
    finalizer: Option<Result<Once>>,
    max_tasks_per_worker: Option<u64>,
    start_timeout: Duration,
    wanted: Wanted,
}

impl PoolBuilder {
    pub(crate) fn new() -> Self {
        Self {
            workers: None,
            start_method: StartMethod::default(),
            initializer: None,
            finalizer: None,
            max_tasks_per_worker: None,
            start_timeout: START_TIMEOUT,
            wanted: Wanted::default(),
        }
    }

    /// Sets the number of workers.
    ///
    /// The default is the environment variable `POOL_WORKERS`, or else the number of CPUs that affinity and cgroup allow
    /// ([`std::thread::available_parallelism`]). More make sense for tasks that wait. 0, and more than the 4,194,304 processes
    /// that the kernel can number, make [`build`](Self::build) return [`Error::InvalidOption`].
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(pool::Pool::builder().workers(4).build()?.worker_count(), 4);
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// Sets how worker processes are made; the default is [`StartMethod::ForkServer`].
    ///
    /// # Examples
    ///
    /// ```
    /// use pool::{Pool, StartMethod};
    ///
    /// let pool = Pool::builder().start_method(StartMethod::Spawn).workers(1).build()?;
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn start_method(mut self, method: StartMethod) -> Self {
        self.start_method = method;
        self
    }

    /// Has every worker run a task once before its first item, replaced workers as well.
    ///
    /// If it panics, returns `Err` or does not return within the [`start_timeout`](Self::start_timeout) before any worker
    /// got ready, the pool can run nothing: every call returns [`Error::Initializer`], with its reason. If it fails
    /// later, in a worker that replaces another one, or ends its process, its place stays empty for a moment and is
    /// tried again, while the other workers go on; after five failures in a row the pool ends in the same way.
    ///
    /// # Examples
    ///
    /// ```
    /// use pool::{pool_task, Pool};
    /// use std::sync::OnceLock;
    ///
    /// static FACTOR: OnceLock<u64> = OnceLock::new();
    ///
    /// #[pool_task]
    /// fn set_factor(factor: u64) { FACTOR.set(factor).unwrap() }
    ///
    /// #[pool_task]
    /// fn scale(n: u64) -> u64 { n * FACTOR.get().unwrap() }
    ///
    /// let pool = Pool::builder().initializer(set_factor, (10,)).build()?;
    /// assert_eq!(pool.map(scale, 1..=3)?, [10, 20, 30]);
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn initializer<'a, T: Task>(mut self, task: T, args: T::Args<'a>) -> Self {
        self.initializer = Some(once(task, &args));
        self
    }

    /// Has every worker run a task once after its last item: when the pool was closed and is done, or when the worker is
    /// replaced because it ran as many items as it may or has too much memory. Not when the pool is terminated.
    ///
    /// What it returns, and whether it fails, is of no consequence. A worker that has not run it, and left, within the
    /// [`start_timeout`](Self::start_timeout) is ended: by SIGTERM and after 300 ms by SIGKILL. If there is no memory for its arguments, the worker is
    /// killed and it does not run.
    ///
    /// # Examples
    ///
    /// ```
    /// use pool::{pool_task, Pool};
    ///
    /// #[pool_task]
    /// fn say_goodbye() { println!("worker {} leaves", std::process::id()) }
    ///
    /// let pool = Pool::builder().workers(1).finalizer(say_goodbye, ()).build()?;
    /// pool.close();
    /// pool.join()?;
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn finalizer<'a, T: Task>(mut self, task: T, args: T::Args<'a>) -> Self {
        self.finalizer = Some(once(task, &args));
        self
    }

    /// Replaces a worker after it has run this many items (items, not chunks), or a few less if others ran what was queued at it when it
    /// had been told to leave: for tasks that leak. The default is never.
    ///
    /// # Examples
    ///
    /// ```
    /// use pool::{pool_task, Pool};
    ///
    /// #[pool_task]
    /// fn own_pid() -> u32 { std::process::id() }
    ///
    /// let pool = Pool::builder().workers(1).max_tasks_per_worker(1).build()?;
    /// assert_ne!(pool.apply(own_pid, ())?, pool.apply(own_pid, ())?);
    /// # Ok::<(), pool::Error>(())
    /// ```
    pub fn max_tasks_per_worker(mut self, items: u64) -> Self {
        self.max_tasks_per_worker = Some(items);
        self
    }

    /// Sets how long a worker may take from the moment its process exists until its initializer has returned; the
    /// default is five minutes.
    ///
    /// A worker that takes longer is killed, and its initializer counts as failed; see
    /// [`initializer`](Self::initializer) for what that means. Without one, the error is [`Error::Spawn`].
    ///
    /// It has as long to leave, from the moment it has been told to and has nothing left to run: for the
    /// [`finalizer`](Self::finalizer) and for what the process does at its exit. Then it is ended, which has no consequences. Until it
    /// is gone its place is not filled, and [`join`](Pool::join) waits for it.
    ///
    /// # Examples
    ///
    /// ```
    /// use pool::{pool_task, Error, Pool};
    /// use std::time::Duration;
    ///
    /// #[pool_task]
    /// fn waits_for_ever() { loop { std::thread::park() } }
    ///
    /// #[pool_task]
    /// fn square(n: u64) -> u64 { n * n }
    ///
    /// let builder = Pool::builder().initializer(waits_for_ever, ());
    /// let pool = builder.start_timeout(Duration::from_millis(100)).build()?;
    /// assert!(matches!(pool.apply(square, (3,)), Err(Error::Initializer { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn start_timeout(mut self, limit: Duration) -> Self {
        self.start_timeout = limit;
        self
    }

    /// Starts the workers. Returns when their processes exist; they get ready meanwhile.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOption`] if a setting makes no sense or the start method cannot be used here,
    /// [`Error::Spawn`] if a process cannot be had (nothing is left behind then), [`Error::DuplicateTask`] if two tasks
    /// have the same name, [`Error::TooDeep`] in a task whose pools are nested too deeply.
    ///
    /// # Examples
    ///
    /// ```
    /// use pool::{Error, Pool};
    ///
    /// assert!(matches!(Pool::builder().workers(0).build(), Err(Error::InvalidOption { .. })));
    /// ```
    pub fn build(self) -> Result<Pool> {
        // What the environment of a program with raised rights says is not to be believed.
        if std::env::var_os(handshake::VARIABLE).is_some() && !process::has_raised_rights() {
            let reason =
                "this process was executed as a worker, but its `main` with `#[pool::main]` was not entered";
            return Err(Error::spawn("becoming a worker", std::io::Error::other(reason)));
        }
        if self.start_method != StartMethod::Fork && process::has_raised_rights() {
            let reason = "a program that runs with more rights than its user (set-user-ID, file capabilities) is not executed \
                          again as a worker, whose environment its user chose; use `Fork`";
            return Err(invalid("start_method", reason));
        }
        Registry::get()?;
        let depth = handshake::next_depth()?;
        let workers = self.worker_count()?;
        if self.max_tasks_per_worker == Some(0) {
            return Err(invalid("max_tasks_per_worker", "it must be at least 1"));
        }
        if self.start_timeout.is_zero() {
            return Err(invalid("start_timeout", "it must be longer than 0"));
        }
        let conditions = self.wanted.check()?;
        // Places are taken all at once, and who gets no memory for them ends the program.
        let places = workers * (Driver::<RingLink>::PLACE + Places::PLACE);
        memory::probe(places).map_err(|error| Error::spawn("taking memory for so many workers", error))?;
        let rules = Rules {
            initializer: self.initializer.transpose()?,
            finalizer: self.finalizer.transpose()?,
            max_items: self.max_tasks_per_worker,
        };
        let cpus = thread::available_parallelism().map_or(1, NonZero::get);
        let cpus_of_workers = match BTreeSet::from_iter(&conditions.cpus).len() {
            0 => cpus,
            pinned => pinned,
        };
        let may_spin = cpus > 1 && workers <= cpus_of_workers;
        let terms = Terms {
            parent: process::own_pid(),
            depth,
            may_spin,
            is_image: self.start_method == StartMethod::Fork,
            conditions,
        };
        // Before there is anything else of ours: `Fork` wants to be alone, and copies what there is.
        let starter = Starter::new(self.start_method, depth, worker::obey_orders)?;
        let commands = Commands::new().map_err(|error| Error::spawn("making an event descriptor", error))?;
        let commands = Arc::new(commands);
        let bell = ParentBell::new().map_err(|error| Error::spawn("making shared memory", error))?;
        let initializer = rules.initializer.as_ref().map(|once| once.name);
        let driver = Driver::new(workers, rules);
        let stock = Stock::new(workers);
        let pump = Pump::new(driver, stock.clone(), bell.clone(), commands.clone(), cpus > 1);
        let rules = supervisor::Rules {
            conditions: terms.conditions.clone(),
            initializer,
            start_timeout: self.start_timeout,
        };
        let places = Places::new(workers, pump.clone(), commands.clone(), rules);
        let supervisor =
            Supervisor { starter, roster: pump.clone(), spares: Spares::new(bell, stock), terms, places };
        start_threads(supervisor, pump, commands, workers)
    }

    fn worker_count(&self) -> Result<usize> {
        match self.workers {
            Some(0) => Err(invalid("workers", "it must be at least 1")),
            Some(workers) if workers > MOST_WORKERS => {
                let reason = format!("it must be at most {MOST_WORKERS}, as no system has more processes");
                Err(invalid("workers", &reason))
            }
            Some(workers) => Ok(workers),
            None => match std::env::var_os(WORKERS_VARIABLE) {
                None => Ok(thread::available_parallelism().map_or(1, NonZero::get)),
                Some(text) => match text.to_str().and_then(|text| text.trim().parse().ok()) {
                    Some(workers @ 1..=MOST_WORKERS) => Ok(workers),
                    _ => {
                        let reason = format!("{text:?} is not a number from 1 to {MOST_WORKERS}");
                        Err(invalid(WORKERS_VARIABLE, &reason))
                    }
                },
            },
        }
    }
}

fn start_threads(
    supervisor: Supervisor,
    pump: Arc<Pump>,
    commands: Arc<Commands>,
    workers: usize,
) -> Result<Pool> {
    // First, as it takes no memory while the other one starts.
    let background = {
        let pump = pump.clone();
        OwnThread::spawn("pool-background", move || pump.run_in_background())
            .map_err(|error| Error::spawn("starting the background thread", error))?
    };
    let (sender, built) = mpsc::channel();
    let supervisor = OwnThread::spawn("pool-supervisor", move || supervisor.run(sender));
    let (supervisor, no_supervisor) = match supervisor {
        Ok(thread) => (Some(thread), None),
        Err(error) => (None, Some(Error::spawn("starting the supervisor thread", error))),
    };
    let threads = Threads { supervisor, background: Some(background) };
    // Dropped on error, it ends and waits for what was started.
    let pool = Pool::assemble(pump, commands, threads, workers);
    if let Some(error) = no_supervisor {
        return Err(error);
    }
    match built.recv() {
        Ok(Ok(())) => Ok(pool),
        Ok(Err(error)) => Err(error),
        Err(mpsc::RecvError) => {
            Err(Error::spawn("starting workers", std::io::Error::other("the supervisor thread ended")))
        }
    }
}

fn once<T: Task>(_: T, args: &T::Args<'_>) -> Result<Once> {
    let block = source::encode_one::<T>(args, Home::NONE, None)?;
    Ok(Once { task: T::ID, name: T::NAME, block })
}

fn invalid(option: &'static str, reason: &str) -> Error {
    Error::InvalidOption { option, reason: reason.to_owned() }
}
