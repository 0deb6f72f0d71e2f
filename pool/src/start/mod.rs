//! How a worker process comes to be: three ways, one contract.
//!
//! Only this module creates processes (and the zygote, on its order). The supervisor's thread calls it, because
//! what it makes dies with that thread.

mod exec;
mod fork;
mod fork_server;
mod spawn;

use crate::error::Error;
use crate::sys::process::Process;
use crate::transport::control::{Helm, Setup};
use fork::Fork;
use fork_server::ForkServer;
use spawn::Spawn;

/// How worker processes are made.
///
/// # Examples
///
/// ```
/// use pool::{Pool, StartMethod};
///
/// let pool = Pool::builder().start_method(StartMethod::Spawn).workers(2).build()?;
/// assert_eq!(pool.worker_count(), 2);
/// # Ok::<(), pool::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StartMethod {
    /// The program is executed again once, as a helper that never reaches `main` and forks workers on
    /// request: fast replacement, and no state of the parent.
    #[default]
    ForkServer,
    /// The program is executed again for every worker: the most isolated.
    Spawn,
    /// Workers are images of the program as it was when the pool was built, and share its memory until they write to
    /// it: for large read-only data that was loaded before. The process must have one thread then; otherwise
    /// [`build`](crate::PoolBuilder::build) returns an error.
    Fork,
}

/// What a fork of the program does instead of going on: it serves as a zygote.
pub(crate) type Obey = fn(Helm) -> !;

/// Called from time to time while a start takes long: does what cannot wait, and tells whether anybody still wants the start.
pub(crate) type Meanwhile<'f> = &'f mut dyn FnMut() -> bool;

/// Makes workers by one of the methods. Dropped, it ends its helpers, and what was ordered and not taken.
///
/// A worker is [expected](Self::expect), then [ordered](Self::order), then [taken](Self::take). Several may be on order at a
/// time, and are taken in the same order; once something went wrong with one, the others are of no use.
pub(crate) enum Starter {
    ForkServer(ForkServer),
    Spawn(Spawn),
    Fork(Fork),
}

impl Starter {
    /// Prepares a method; on the thread that builds the pool.
    ///
    /// # Errors
    ///
    /// If the method cannot be used in this process.
    pub(crate) fn new(method: StartMethod, depth: u32, obey: Obey) -> Result<Self, Error> {
        Ok(match method {
            StartMethod::ForkServer => Starter::ForkServer(ForkServer::new(depth)),
            StartMethod::Spawn => Starter::Spawn(Spawn::new(depth)),
            StartMethod::Fork => Starter::Fork(Fork::new(obey)?),
        })
    }

    /// Says that workers will be ordered: what takes time to load begins to. None is on order.
    pub(crate) fn expect(&mut self, meanwhile: Meanwhile<'_>) -> Result<(), Error> {
        match self {
            Starter::ForkServer(server) => server.expect(),
            Starter::Spawn(spawn) => spawn.expect(),
            Starter::Fork(fork) => {
                fork.collect(meanwhile);
                Ok(())
            }
        }
    }

    /// Has a worker made; [`take`](Self::take) waits for it.
    pub(crate) fn order(&mut self, setup: Setup, meanwhile: Meanwhile<'_>) -> Result<(), Error> {
        match self {
            Starter::ForkServer(server) => server.order(setup, meanwhile),
            Starter::Spawn(spawn) => spawn.order(setup),
            Starter::Fork(fork) => fork.order(setup),
        }
    }

    /// Takes the worker that was ordered first.
    pub(crate) fn take(&mut self, meanwhile: Meanwhile<'_>) -> Result<Process, Error> {
        match self {
            Starter::ForkServer(server) => server.take(meanwhile),
            Starter::Spawn(spawn) => spawn.take(meanwhile),
            Starter::Fork(fork) => fork.take(meanwhile),
        }
    }

    /// The helper processes that live.
    pub(crate) fn helpers(&self) -> Vec<&Process> {
        match self {
            Starter::ForkServer(server) => server.helpers().collect(),
            Starter::Spawn(_) => Vec::new(),
            Starter::Fork(fork) => fork.helpers().collect(),
        }
    }

    /// Collects helpers that ended.
    pub(crate) fn collect_helpers(&mut self, meanwhile: Meanwhile<'_>) {
        match self {
            Starter::ForkServer(server) => server.collect(),
            Starter::Spawn(_) => {}
            Starter::Fork(fork) => fork.collect(meanwhile),
        }
    }
}
