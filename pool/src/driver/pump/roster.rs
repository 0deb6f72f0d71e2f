//! What the supervisor tells the driver: workers that are there, workers that are gone, and that there are no more.
//!
//! It does so on its own thread, which no code of the user's may hold up.

use super::{Pump, lock};
use crate::driver::Driver;
use crate::error::Error;
use crate::exit::Ended;
use crate::supervisor::{Departed, Roster};
use crate::transport::ring_link::RingLink;

impl Pump {
    /// Changes the driver, and sees to it that somebody looks at what comes of that.
    fn with_driver_and_leader<R>(&self, change: impl FnOnce(&mut Driver<RingLink>) -> R) -> R {
        let (result, mut effects) = self.change(change);
        self.carry_out(&mut effects);
        self.bell.ring();
        self.look_after();
        result
    }
}

impl Roster for Pump {
    fn attach(&self, place: usize, link: RingLink, pid: u32) {
        self.with_driver_and_leader(|driver| driver.attach(place, link, pid));
    }

    fn detach(&self, place: usize, ended: &Ended) -> Departed {
        let detached = self.with_driver_and_leader(|driver| driver.detach(place, ended));
        Departed {
            was_ready: detached.was_ready,
            was_used: detached.was_used,
            any_was_ready: detached.any_was_ready,
            complaint: detached.complaint,
        }
    }

    fn clear_away(&self) {
        let gone = lock(&self.driver).take_gone();
        drop(gone);
    }

    fn give_up_if_starting(&self, place: usize) -> bool {
        self.with_driver_and_leader(|driver| driver.give_up_if_starting(place))
    }

    fn wants_worker(&self) -> bool {
        lock(&self.driver).wants_worker()
    }

    fn fail(&self, error: Error) {
        self.with_driver_and_leader(|driver| driver.end(error));
    }
}
