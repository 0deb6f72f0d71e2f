//! `Spawn`: the program is executed again for every worker.

use crate::error::Error;
use crate::start::exec::Guest;
use crate::start::{IsWanted, MakeSetup};
use crate::sys::process::Process;
use crate::transport::control::Order;

pub(crate) struct Spawn {
    depth: u32,
}

impl Spawn {
    pub(crate) fn new(depth: u32) -> Self {
        Self { depth }
    }

    pub(crate) fn start(&self, setup: MakeSetup<'_>, is_wanted: IsWanted<'_>) -> Result<Process, Error> {
        let guest = Guest::invite(self.depth)?;
        let setup = setup()?;
        let (process, orders) = guest.let_in(is_wanted)?;
        if let Err(error) = orders.send(Order::Serve(setup)) {
            process.kill();
            process.collect_within(std::time::Duration::from_secs(10));
            return Err(Error::spawn("sending the new worker its set-up", error));
        }
        Ok(process)
    }
}
