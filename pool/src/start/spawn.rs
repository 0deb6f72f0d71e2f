//! `Spawn`: the program is executed again for every worker.

use std::collections::VecDeque;
use std::time::Duration;

use crate::error::Error;
use crate::start::Meanwhile;
use crate::start::exec::Guest;
use crate::sys::process::Process;
use crate::transport::control::{Order, Setup};

/// How long a process that was killed may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Spawn {
    depth: u32,
    /// A process that loads, for whoever orders next.
    next: Option<Guest>,
    /// Those that load, and what they are told then.
    ordered: VecDeque<(Guest, Setup)>,
}

impl Spawn {
    pub(crate) fn new(depth: u32) -> Self {
        Self { depth, next: None, ordered: VecDeque::new() }
    }

    pub(crate) fn expect(&mut self) -> Result<(), Error> {
        if self.next.is_none() {
            self.next = Some(Guest::invite(self.depth)?);
        }
        Ok(())
    }

    pub(crate) fn order(&mut self, setup: Setup) -> Result<(), Error> {
        self.expect()?;
        self.ordered.extend(self.next.take().map(|guest| (guest, setup)));
        Ok(())
    }

    pub(crate) fn take(&mut self, meanwhile: Meanwhile<'_>) -> Result<Process, Error> {
        let Some((guest, setup)) = self.ordered.pop_front() else { unreachable!("it was ordered") };
        let (process, orders) = guest.let_in(meanwhile)?;
        if let Err(error) = orders.send(Order::Serve(setup)) {
            process.kill();
            process.collect_within(PATIENCE);
            return Err(Error::spawn("sending the new worker its set-up", error));
        }
        Ok(process)
    }
}
