//! `Spawn`: the program is executed again for every worker.

use crate::error::Error;
use crate::start::exec::Guest;
use crate::start::{IsWanted, Meanwhile};
use crate::sys::process::Process;
use crate::transport::control::{Order, Setup};

pub(crate) struct Spawn {
    depth: u32,
    /// Workers that are still to come in a row.
    expected: usize,
    /// The next of them, which loads while the one before it is let in.
    next: Option<Guest>,
}

impl Spawn {
    pub(crate) fn new(depth: u32) -> Self {
        Self { depth, expected: 0, next: None }
    }

    /// Says that so many workers are wanted now; the first of them begins to load.
    pub(crate) fn expect(&mut self, workers: usize) -> Result<(), Error> {
        self.expected = workers;
        self.next = Some(Guest::invite(self.depth)?);
        Ok(())
    }

    pub(crate) fn start(
        &mut self,
        setup: Setup,
        meanwhile: Meanwhile<'_>,
        is_wanted: IsWanted<'_>,
    ) -> Result<Process, Error> {
        let guest = match self.next.take() {
            Some(guest) => guest,
            None => Guest::invite(self.depth)?,
        };
        self.expected = self.expected.saturating_sub(1);
        if self.expected > 0 {
            self.next = Some(Guest::invite(self.depth)?);
        }
        meanwhile();
        let (process, orders) = guest.let_in(is_wanted)?;
        if let Err(error) = orders.send(Order::Serve(setup)) {
            process.kill();
            process.collect_within(std::time::Duration::from_secs(10));
            return Err(Error::spawn("sending the new worker its set-up", error));
        }
        Ok(process)
    }
}
