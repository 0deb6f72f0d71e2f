//! `Spawn`: the program is executed again for every worker.

use crate::error::Error;
use crate::start::{IsWanted, exec};
use crate::sys::process::Process;
use crate::transport::control::{Order, Setup};

pub(crate) struct Spawn {
    depth: u32,
}

impl Spawn {
    pub(crate) fn new(depth: u32) -> Self {
        Self { depth }
    }

    pub(crate) fn start(&self, setup: Setup, is_wanted: IsWanted<'_>) -> Result<Process, Error> {
        let (process, orders) = exec::execute(self.depth, is_wanted)?;
        if let Err(error) = orders.send(Order::Serve(setup)) {
            process.kill();
            process.collect_within(std::time::Duration::from_secs(10));
            return Err(Error::spawn("sending the new worker its set-up", error));
        }
        Ok(process)
    }
}
