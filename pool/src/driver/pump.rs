//! Who drives: a thread that waits.
//!
//! The driver sits behind one lock. Of the threads that wait for results one leads: it moves frames, looks for a moment and
//! then sleeps on the parent's bell. The others sleep until their own job has news or the lead falls to
//! them. While jobs are open and nobody waits, a background thread leads, so that callbacks and futures make
//! progress; it gives way to whoever comes. Callbacks run on a thread of their own, and so does what users decide about failures.
//!
//! Whoever changes the driver carries out the effects after unlocking, and rings the bell for the leader if it is
//! not the leader itself.

mod background;
mod questions;
mod roster;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError, Weak};
use std::thread::{self, Thread, ThreadId};
use std::time::{Duration, Instant};

use crate::driver::callbacks::Callbacks;
use crate::driver::{Driver, Effects};
use crate::error::Error;
use crate::id::JobKey;

use crate::job::block::Block;
use crate::job::{Demand, Engine, Hook, Job, Rest, Until};
use crate::share::original::Home;
use crate::supervisor::Commands;
use crate::sys::process;
use crate::transport::ring_link::{ParentBell, RingLink};
use crate::transport::spin::Spin;
use crate::transport::stock::Stock;

/// A worker that damaged its own memory may sleep though it was called. It is called again after this time.
const REMINDER: Duration = Duration::from_millis(500);
/// How often to look whether something is stuck.
const GLANCE: Duration = Duration::from_millis(10);
/// Where the leader never has to wait, it looks at the clock after so many turns.
const TURNS: u32 = 256;

/// The driver and those who drive it.
pub(crate) struct Pump {
    driver: Mutex<Driver<RingLink>>,
    stock: Stock,
    bell: ParentBell,
    commands: Arc<Commands>,
    callbacks: Callbacks,
    /// What asks `retry_if`, and drops it.
    questions: Callbacks,
    /// This, for them.
    me: Weak<Pump>,
    home: Arc<Home>,
    /// Whoever holds this leads.
    lead: Mutex<Lead>,
    /// Threads that wait and do not lead.
    followers: Mutex<VecDeque<Thread>>,
    follower_count: AtomicUsize,
    background_leads: AtomicBool,
    background: OnceLock<Thread>,
    /// The background thread sleeps until it is called.
    background_sleeps: AtomicBool,
    is_shut_down: AtomicBool,
    /// Number of open jobs, as of the last unlock.
    open_jobs: AtomicUsize,
    /// Threads that have yet to tell callers of jobs what became of them.
    unannounced: AtomicUsize,
    /// The process whose threads and workers these are.
    owner: u32,
    generation: u32,
}

impl std::fmt::Debug for Pump {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pump").field("open_jobs", &self.open_jobs).finish_non_exhaustive()
    }
}

/// What one leader leaves to the next.
struct Lead {
    spin: Spin,
    turns: u32,
    glanced: Instant,
    /// When workers were called again last, or since when jobs have been open.
    reminded: Option<Instant>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is done under these locks does not panic; user code never runs there.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pump {
    pub(crate) fn new(
        driver: Driver<RingLink>,
        stock: Stock,
        bell: ParentBell,
        commands: Arc<Commands>,
        may_spin: bool,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            home: driver.home().clone(),
            driver: Mutex::new(driver),
            stock,
            bell,
            commands,
            callbacks: Callbacks::new("pool-callbacks", "starting the thread for callbacks"),
            questions: Callbacks::new("pool-questions", "starting the thread for `retry_if`"),
            lead: Mutex::new(Lead {
                spin: Spin::of_leader(may_spin),
                turns: 0,
                glanced: Instant::now(),
                reminded: None,
            }),
            followers: Mutex::new(VecDeque::new()),
            follower_count: AtomicUsize::new(0),
            background_leads: AtomicBool::new(false),
            background: OnceLock::new(),
            background_sleeps: AtomicBool::new(false),
            is_shut_down: AtomicBool::new(false),
            open_jobs: AtomicUsize::new(0),
            unannounced: AtomicUsize::new(0),
            owner: process::own_pid(),
            generation: process::fork_generation(),
        })
    }

    /// A fork of the owner has a copy of the pool, and neither its threads nor its workers.
    pub(crate) fn check_owner(&self) -> Result<(), Error> {
        if process::fork_generation() == self.generation {
            Ok(())
        } else {
            Err(Error::ForkedChild { owner: self.owner })
        }
    }

    /// Where large arguments are encoded.
    pub(crate) fn stock(&self) -> &Stock {
        &self.stock
    }

    /// Where shared values belong that this pool can send.
    pub(crate) fn home(&self) -> &Arc<Home> {
        &self.home
    }

    pub(crate) fn callbacks(&self) -> &Callbacks {
        &self.callbacks
    }

    /// Changes the driver from a thread that may not be the leader.
    pub(crate) fn with_driver<R>(&self, change: impl FnOnce(&mut Driver<RingLink>) -> R) -> R {
        let (result, mut effects) = self.change(change);
        // The leader may sleep on what just changed.
        if self.carry_out(&mut effects) {
            self.bell.ring();
        }
        result
    }

    /// Changes the driver, and leaves to the caller what is to be done once the lock is released.
    fn change<R>(&self, change: impl FnOnce(&mut Driver<RingLink>) -> R) -> (R, Effects) {
        let mut driver = lock(&self.driver);
        let due = driver.due();
        let result = change(&mut driver);
        let mut effects = driver.take_effects();
        let open = driver.open_jobs();
        // Before anybody can see that no job is open: jobs whose callers do not know yet are not over.
        if !effects.notify.is_empty() {
            self.unannounced.fetch_add(1, Ordering::SeqCst);
        }
        let was_open = self.open_jobs.swap(open, Ordering::SeqCst);
        let is_earlier = driver.due().is_some_and(|new| due.is_none_or(|old| new < old));
        effects.wake_leader = is_earlier || was_open > 0 && open == 0;
        (result, effects)
    }

    /// Does what must not be done under the lock, and does not take long; tells whether the leader should look again.
    fn carry_out(&self, effects: &mut Effects) -> bool {
        for (place, pid) in effects.kill.drain(..) {
            self.commands.kill(place, pid);
        }
        for (place, pid) in effects.end.drain(..) {
            self.commands.end(place, pid);
        }
        for (place, pid) in effects.leave.drain(..) {
            self.commands.leave(place, pid);
        }
        if effects.end_workers {
            self.commands.terminate();
        } else if effects.wake_supervisor {
            self.commands.wake();
        }
        effects.notify.iter().for_each(|job| job.notify());
        if !effects.notify.is_empty() {
            self.unannounced.fetch_sub(1, Ordering::SeqCst);
        }
        effects.ask.drain(..).for_each(|question| self.queue_question(question));
        effects.done_with.drain(..).for_each(|retry_if| self.queue_drop(retry_if));
        effects.wake_leader || !effects.notify.is_empty()
    }

    fn has_open_jobs(&self) -> bool {
        self.open_jobs.load(Ordering::SeqCst) > 0
    }

    /// Leads until `done` or the deadline; tells whether it is done.
    fn drive(&self, lead: &mut Lead, done: &dyn Fn() -> bool, deadline: Option<Instant>) -> bool {
        loop {
            if done() {
                if !self.has_open_jobs() {
                    lead.reminded = None;
                }
                return true;
            }
            let (progress, mut effects) = self.change(Driver::turn);
            let is_busy = self.carry_out(&mut effects) || progress;
            lead.turns = lead.turns.wrapping_add(1);
            if is_busy && lead.turns % TURNS != 0 {
                continue;
            }
            let start = Instant::now();
            if deadline.is_some_and(|deadline| deadline <= start) {
                return done();
            }
            if !is_busy {
                lead.spin.wait(|| done() || self.has_more_now(), || self.sleep(done, deadline));
            }
            if start.duration_since(*lead.reminded.get_or_insert(start)) > REMINDER {
                lead.reminded = Some(start);
                lock(&self.driver).nudge();
            }
            if start.saturating_duration_since(lead.glanced) > GLANCE {
                lead.glanced = start;
                lock(&self.driver).free_the_stuck(start);
            }
        }
    }

    /// Sleeps until somebody rings, the deadline is there, or the driver is due.
    fn sleep(&self, done: &dyn Fn() -> bool, deadline: Option<Instant>) {
        let seen = self.bell.prepare();
        let (has_more, due, has_queued) = {
            let driver = lock(&self.driver);
            (driver.has_more(), driver.due(), driver.has_queued())
        };
        if done() || has_more {
            self.bell.cancel();
        } else {
            let now = Instant::now();
            let glance = has_queued.then(|| now + GLANCE);
            let until = deadline.into_iter().chain(due).chain(glance).min();
            self.bell.sleep(seen, until.map(|until| until.saturating_duration_since(now)));
        }
    }

    /// Looks at the rings, unless somebody else does right now.
    fn has_more_now(&self) -> bool {
        self.driver.try_lock().is_ok_and(|driver| driver.has_more())
    }

    /// Takes the lead, if nobody has it.
    fn try_lead(&self) -> Option<MutexGuard<'_, Lead>> {
        match self.lead.try_lock() {
            Ok(lead) => Some(lead),
            // What a leader learned about looking is true even if it panicked later.
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Waits as leader or as follower.
    fn wait_until(&self, job: Option<&Job>, done: &dyn Fn() -> bool, deadline: Option<Instant>) -> bool {
        if done() {
            return true;
        }
        loop {
            if let Some(mut lead) = self.try_lead() {
                let is_done = self.drive(&mut lead, done, deadline);
                drop(lead);
                self.hand_over();
                return is_done;
            }
            self.follow(job, done, deadline);
            if done() {
                self.hand_over();
                return true;
            }
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                self.hand_over();
                return false;
            }
        }
    }

    /// Sleeps until there is news, the lead is free or the deadline comes; may return early.
    fn follow(&self, job: Option<&Job>, done: &dyn Fn() -> bool, deadline: Option<Instant>) {
        if let Some(job) = job {
            job.wake_me();
        }
        lock(&self.followers).push_back(thread::current());
        self.follower_count.fetch_add(1, Ordering::SeqCst);
        if self.background_leads.load(Ordering::SeqCst) {
            self.bell.ring();
        }
        // Who gave up the lead before it could see this follower left it free.
        if !done() && self.try_lead().is_none() {
            match deadline {
                Some(deadline) => thread::park_timeout(deadline.saturating_duration_since(Instant::now())),
                None => thread::park(),
            }
        }
        self.follower_count.fetch_sub(1, Ordering::SeqCst);
        let own = thread::current().id();
        lock(&self.followers).retain(|follower| follower.id() != own);
        if let Some(job) = job {
            job.wake_me_not();
        }
    }

    /// Lets somebody else lead, if the lead is free and somebody waits; else sees to it that open jobs are looked after.
    fn hand_over(&self) {
        let followers = lock(&self.followers);
        match followers.front() {
            Some(follower) => follower.unpark(),
            None => {
                drop(followers);
                self.look_after();
            }
        }
    }

    /// Makes sure that open jobs are looked after even if nobody waits for them.
    pub(crate) fn look_after(&self) {
        // A load, unless the background thread sleeps for good.
        if self.background_sleeps.load(Ordering::SeqCst)
            && self.has_open_jobs()
            && self.background_sleeps.swap(false, Ordering::SeqCst)
        {
            if let Some(background) = self.background.get() {
                background.unpark();
            }
        }
    }

    /// Waits until no job is open, and everybody was told who wanted to know.
    pub(crate) fn wait_for_all(&self, deadline: Option<Instant>) -> bool {
        let is_over = || !self.has_open_jobs() && self.unannounced.load(Ordering::SeqCst) == 0;
        self.wait_until(None, &is_over, deadline)
    }

    /// Ends the background thread.
    pub(crate) fn shut_down(&self) {
        self.is_shut_down.store(true, Ordering::SeqCst);
        self.bell.ring();
        if let Some(background) = self.background.get() {
            background.unpark();
        }
    }
}

/// A fork of this process shares the workers' memory and has a copy of the driver's lock; it must leave both alone.
impl Engine for Pump {
    fn check_caller(&self) -> Result<(), Error> {
        self.check_owner()?;
        questions::check_caller()
    }

    fn wait(&self, job: &Job, until: Until, deadline: Option<Instant>) -> bool {
        if self.check_caller().is_err() {
            return until.holds(job);
        }
        self.wait_until(Some(job), &|| until.holds(job), deadline)
    }

    fn demand(&self, key: JobKey, remaining: Option<usize>) -> Option<Demand> {
        self.check_caller().ok()?;
        let demand = self.with_driver(|driver| driver.demand(key, remaining));
        if demand.is_some() {
            // The caller reads its input next, for as long as that takes.
            self.look_after();
        }
        demand
    }

    fn push(&self, key: JobKey, block: Block) {
        if self.check_caller().is_ok() {
            self.with_driver(|driver| {
                driver.push(key, block);
                driver.turn();
            });
        }
    }

    fn fail_item(&self, key: JobKey, index: usize, error: Error) {
        if self.check_caller().is_ok() {
            self.with_driver(|driver| driver.fail_item(key, index, error));
        }
    }

    fn finish_input(&self, key: JobKey) {
        if self.check_caller().is_ok() {
            self.with_driver(|driver| driver.finish_input(key));
        }
    }

    fn cancel(&self, key: JobKey, rest: Rest) -> bool {
        // It waits for nothing, so a `retry_if` may do it.
        self.check_owner().is_ok() && self.with_driver(|driver| driver.cancel(key, rest))
    }

    fn announce(&self, job: &Job) {
        job.notify();
        // Who waits for it may be the leader.
        self.bell.ring();
    }

    fn prepare_callbacks(&self) -> Result<Option<ThreadId>, Error> {
        self.check_owner()?;
        self.callbacks.prepare()
    }

    fn call_back(&self, callback: Hook) {
        // The thread for them is the owner's.
        if self.check_owner().is_ok() {
            self.callbacks.queue(callback);
        }
    }
}
