//! `ForkServer`: the program is executed again once, as a zygote that forks workers on request.

use std::io;
use std::time::Duration;

use crate::error::Error;
use crate::start::Meanwhile;
use crate::start::exec::Guest;
use crate::sys::descriptors;
use crate::sys::process::Process;
use crate::transport::control::{Order, Orders, Setup};

/// How long a zygote may take to fork.
const PATIENCE: Duration = Duration::from_secs(10);
/// What it takes to make another zygote: the ends of two channels, and the handle of the process.
const DESCRIPTORS: usize = 5;

pub(crate) struct ForkServer {
    depth: u32,
    /// A zygote that loads.
    guest: Option<Guest>,
    zygote: Option<Zygote>,
}

/// A helper process and the channel to it. Dropped, it ends.
pub(crate) struct Zygote {
    pub(crate) process: Process,
    pub(crate) orders: Orders,
}

/// Why a zygote made nothing.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The system would not; the zygote is as good as before.
    Refused(io::Error),
    /// It did not answer, or not in time; what it says later would be taken for the answer to something else.
    Broken(io::Error),
}

impl Trouble {
    pub(crate) fn into_error(self) -> Error {
        match self {
            Trouble::Refused(error) | Trouble::Broken(error) => Error::spawn("forking in the zygote", error),
        }
    }
}

impl Zygote {
    /// Has it fork a worker.
    pub(crate) fn order(&self, setup: Setup) -> Result<(), Trouble> {
        self.orders.send(Order::Fork(setup)).map_err(Trouble::Broken)
    }

    /// Takes the worker that was ordered first, which is a child of this process.
    pub(crate) fn take(&self, meanwhile: Meanwhile<'_>) -> Result<Process, Trouble> {
        let forked = self.orders.forked(PATIENCE, meanwhile).map_err(Trouble::Broken)?;
        Self::take_charge(forked.map_err(Trouble::Refused)?)
    }

    /// Has it make another one like itself, also a child of this process.
    pub(crate) fn copy(&self, meanwhile: Meanwhile<'_>) -> Result<Zygote, Trouble> {
        descriptors::probe(DESCRIPTORS).map_err(Trouble::Refused)?;
        let (orders, helm) = Orders::pair().map_err(Trouble::Refused)?;
        let forked = self.orders.copy(helm, PATIENCE, meanwhile).map_err(Trouble::Broken)?;
        Ok(Zygote { process: Self::take_charge(forked.map_err(Trouble::Refused)?)?, orders })
    }

    /// What a zygote makes is in its group until it is known here, and ends with it until then.
    fn take_charge(pid: u32) -> Result<Process, Trouble> {
        let process = Process::open(pid).map_err(Trouble::Refused)?;
        process.move_to_own_group();
        Ok(process)
    }
}

/// Ends it, and with it what it may have made and had no time to tell. It holds nothing that would need care.
impl Drop for Zygote {
    fn drop(&mut self) {
        self.process.kill_family();
    }
}

impl ForkServer {
    pub(crate) fn new(depth: u32) -> Self {
        Self { depth, guest: None, zygote: None }
    }

    pub(crate) fn expect(&mut self) -> Result<(), Error> {
        if self.guest.is_none() && self.zygote.is_none() {
            self.guest = Some(Guest::invite(self.depth)?);
        }
        Ok(())
    }

    pub(crate) fn order(&mut self, setup: Setup, meanwhile: Meanwhile<'_>) -> Result<(), Error> {
        if let Some(guest) = self.guest.take() {
            let (process, orders) = guest.let_in(meanwhile)?;
            self.zygote = Some(Zygote { process, orders });
        }
        self.ask(|zygote| zygote.order(setup))
    }

    pub(crate) fn take(&mut self, meanwhile: Meanwhile<'_>) -> Result<Process, Error> {
        self.ask(|zygote| zygote.take(meanwhile))
    }

    fn ask<T>(&mut self, what: impl FnOnce(&Zygote) -> Result<T, Trouble>) -> Result<T, Error> {
        let Some(zygote) = self.zygote.take() else { unreachable!("it was expected and let in") };
        let outcome = what(&zygote);
        // If it is broken, or the library panics, the next attempt gets a new one.
        if !matches!(outcome, Err(Trouble::Broken(_))) {
            self.zygote = Some(zygote);
        }
        outcome.map_err(Trouble::into_error)
    }

    pub(crate) fn helpers(&self) -> impl Iterator<Item = &Process> {
        self.zygote.iter().map(|zygote| &zygote.process)
    }

    pub(crate) fn collect(&mut self) {
        self.zygote.take_if(|zygote| zygote.process.collect().is_some());
    }
}
