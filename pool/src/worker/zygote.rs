//! A process that waits for orders: to become a worker, or to fork workers or another process like itself.
//!
//! It has one thread and holds nothing but the channel of its orders, so that a fork of it is clean.

use crate::handshake;
use crate::sys::process::{self, Forked};
use crate::transport::control::{Helm, Order, Report};
use crate::worker::serve;

/// Obeys orders until the parent is gone or this process is a worker that is done.
pub(crate) fn obey(helm: Helm) -> ! {
    let parent = process::parent_pid();
    match helm.next() {
        None => process::exit_at_once(0),
        Some(order) => obey_from(order, helm, parent),
    }
}

/// The same, with the first order, which has come already.
pub(crate) fn obey_from(first: Order, mut helm: Helm, parent: u32) -> ! {
    let mut next = Some(first);
    loop {
        let order = match next.take().or_else(|| helm.next()) {
            None => process::exit_at_once(0),
            Some(Order::Serve(setup)) => {
                drop(helm);
                serve::serve(setup)
            }
            Some(order) => order,
        };
        // SAFETY: a zygote never starts a thread, and the process it was forked from had only one.
        let report = match unsafe { process::fork_sibling() } {
            Ok(Forked::Child) => match order {
                Order::Serve(setup) | Order::Fork(setup) => {
                    drop(helm);
                    serve::serve(setup)
                }
                Order::Copy(orders, reports) => {
                    if !process::die_with_parent(parent) {
                        process::exit_at_once(handshake::EXIT_NO_PARENT);
                    }
                    helm = Helm { orders, reports };
                    continue;
                }
            },
            Ok(Forked::Parent(pid)) => Report::Forked(pid),
            Err(error) => Report::Failed(error.raw_os_error().unwrap_or_default()),
        };
        drop(order);
        if !helm.report(report) {
            process::exit_at_once(0);
        }
    }
}
