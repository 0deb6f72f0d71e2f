//! A process that waits for orders: to become a worker, or to fork workers.
//!
//! It has one thread and holds nothing but the channel of its orders, so that a fork of it is clean.

use crate::sys::process::{self, Forked};
use crate::transport::control::{Helm, Order, Report};
use crate::worker::serve;

/// Obeys orders until the parent is gone or this process is a worker that is done.
pub(crate) fn obey(helm: Helm) -> ! {
    loop {
        let setup = match helm.next() {
            None => process::exit_at_once(0),
            Some(Order::Serve(setup)) => {
                drop(helm);
                serve::serve(setup)
            }
            Some(Order::Fork(setup)) => setup,
        };
        // SAFETY: a zygote never starts a thread, and the process it was forked from had only one.
        let report = match unsafe { process::fork_sibling() } {
            Ok(Forked::Child) => {
                drop(helm);
                serve::serve(setup)
            }
            Ok(Forked::Parent(pid)) => Report::Forked(pid),
            Err(error) => Report::Failed(error.raw_os_error().unwrap_or_default()),
        };
        drop(setup);
        if !helm.report(report) {
            process::exit_at_once(0);
        }
    }
}
