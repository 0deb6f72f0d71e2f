//! `ForkServer`: the program is executed again once, as a zygote that forks workers on request.

use std::time::Duration;

use crate::error::Error;
use crate::start::exec;
use crate::sys::process::Process;
use crate::transport::control::{Orders, Setup};

/// How long a zygote may take to fork.
const PATIENCE: Duration = Duration::from_secs(20);

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
    pub(crate) fn fork(&self, setup: Setup) -> Result<Process, Error> {
        let pid = self
            .orders
            .fork(setup, PATIENCE)
            .map_err(|error| Error::spawn("forking in the zygote", error))?;
        Process::open(pid).map_err(|error| Error::spawn("opening the new worker's process handle", error))
    }

    /// Has it make another one like itself, also a child of this process.
    pub(crate) fn copy(&self) -> Result<Zygote, Error> {
        let (pid, orders) =
            self.orders.copy(PATIENCE).map_err(|error| Error::spawn("copying the zygote", error))?;
        let process =
            Process::open(pid).map_err(|error| Error::spawn("opening the zygote's process handle", error))?;
        Ok(Zygote { process, orders })
    }

    /// Ends it at once.
    pub(crate) fn discard(self) {
        self.process.kill();
        self.shut_down();
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

    pub(crate) fn start(&mut self, setup: Setup) -> Result<Process, Error> {
        let zygote = match self.zygote.take() {
            Some(zygote) => zygote,
            None => {
                let (process, orders) = exec::execute(self.depth)?;
                Zygote { process, orders }
            }
        };
        let worker = zygote.fork(setup);
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
