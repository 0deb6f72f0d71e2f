//! `ForkServer`: the program is executed again once, as a zygote that forks workers on request.

use std::io;
use std::time::Duration;

use crate::error::Error;
use crate::start::{IsWanted, exec};
use crate::sys::process::Process;
use crate::transport::control::{Orders, Setup};

/// How long a zygote may take to fork.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct ForkServer {
    depth: u32,
    zygote: Option<Zygote>,
}

/// A helper process and the channel to it.
pub(crate) struct Zygote {
    pub(crate) process: Process,
    pub(crate) orders: Orders,
}

impl Zygote {
    /// Has it fork a worker, which is then a child of this process.
    pub(crate) fn fork(&self, setup: Setup, is_wanted: IsWanted<'_>) -> Result<Process, Error> {
        self.orders
            .fork(setup, PATIENCE, is_wanted)
            .and_then(Self::take_charge)
            .map_err(|error| Error::spawn("forking in the zygote", error))
    }

    /// Has it make another one like itself, also a child of this process.
    pub(crate) fn copy(&self, is_wanted: IsWanted<'_>) -> Result<Zygote, Error> {
        let (pid, orders) = self
            .orders
            .copy(PATIENCE, is_wanted)
            .map_err(|error| Error::spawn("copying the zygote", error))?;
        let process = Self::take_charge(pid).map_err(|error| Error::spawn("copying the zygote", error))?;
        Ok(Zygote { process, orders })
    }

    /// What a zygote makes is in its group until it is known here; see [`discard`](Self::discard).
    fn take_charge(pid: u32) -> io::Result<Process> {
        let process = Process::open(pid)?;
        process.move_to_own_group();
        Ok(process)
    }

    /// Ends it at once, and with it what it may have made and had no time to tell.
    pub(crate) fn discard(self) {
        self.process.kill_family();
    }

    /// Ends it: without a parent's end of its channel it exits by itself.
    pub(crate) fn shut_down(self) {
        let Zygote { process, orders } = self;
        drop(orders);
        if !process.collect_within(Duration::from_millis(500)) {
            process.kill();
            process.collect_within(PATIENCE);
        }
    }
}

impl ForkServer {
    pub(crate) fn new(depth: u32) -> Self {
        Self { depth, zygote: None }
    }

    pub(crate) fn start(&mut self, setup: Setup, is_wanted: IsWanted<'_>) -> Result<Process, Error> {
        let zygote = match self.zygote.take() {
            Some(zygote) => zygote,
            None => {
                let (process, orders) = exec::execute(self.depth, is_wanted)?;
                Zygote { process, orders }
            }
        };
        let worker = zygote.fork(setup, is_wanted);
        if worker.is_ok() {
            self.zygote = Some(zygote);
        } else {
            // The next attempt gets a new one.
            zygote.discard();
        }
        worker
    }

    pub(crate) fn helpers(&self) -> impl Iterator<Item = &Process> {
        self.zygote.iter().map(|zygote| &zygote.process)
    }

    pub(crate) fn collect(&mut self) {
        self.zygote.take_if(|zygote| zygote.process.collect().is_some());
    }

    pub(crate) fn shut_down(self) {
        if let Some(zygote) = self.zygote {
            zygote.shut_down();
        }
    }
}
