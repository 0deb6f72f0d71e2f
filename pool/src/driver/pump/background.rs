//! The thread that leads while jobs are open and nobody waits.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::{Pump, lock};
use crate::transport::stock;

/// How long jobs may be open without anybody waiting before the background thread looks after them.
const GRACE: Duration = Duration::from_millis(1);
/// How many times in a row it finds nothing to do before it sleeps until it is called.
const PATIENCE: u32 = 10;

impl Pump {
    /// The background thread: leads while jobs are open and nobody waits.
    ///
    /// It looks once in [`GRACE`], so that the usual caller, who waits soon, need not wake it; and after some time in
    /// vain it sleeps until [`look_after`](Self::look_after).
    pub(crate) fn run_in_background(&self) {
        self.background.get_or_init(thread::current);
        self.stock.be_watched_by_me();
        let mut in_vain = 0;
        while !self.is_shut_down.load(Ordering::SeqCst) {
            if self.has_open_jobs() && self.lead_in_background() {
                in_vain = 0;
            } else {
                in_vain += 1;
            }
            if in_vain > PATIENCE {
                self.background_sleeps.store(true, Ordering::SeqCst);
                // Whoever leads now looks after the jobs, and calls when it leaves.
                if self.has_open_jobs() && self.try_lead().is_some() {
                    // Somebody may have found the lead taken by that glance.
                    self.hand_over();
                } else {
                    self.sleep_in_background();
                }
                self.background_sleeps.store(false, Ordering::SeqCst);
                in_vain = 0;
            }
            thread::park_timeout(GRACE);
        }
    }

    /// Sleeps until it is called. While there is memory that is not used, it looks after that from time to time.
    fn sleep_in_background(&self) {
        while self.background_sleeps.load(Ordering::SeqCst) && !self.is_shut_down.load(Ordering::SeqCst) {
            self.stock.stop_watching();
            let now = Instant::now();
            match self.trim(now) {
                None => thread::park(),
                Some(next) => {
                    self.stock.keep_watching();
                    thread::park_timeout(next - now);
                }
            }
        }
    }

    /// Gives memory back that was not used for long; returns when to try again, if there is some.
    fn trim(&self, now: Instant) -> Option<Instant> {
        [self.stock.trim(now), lock(&self.driver).trim(now)].into_iter().flatten().min()
    }

    /// Leads until somebody else wants to or there is nothing to do; false if somebody else leads.
    fn lead_in_background(&self) -> bool {
        let Some(mut lead) = self.try_lead() else { return false };
        self.background_leads.store(true, Ordering::SeqCst);
        let gives_way = || {
            !self.has_open_jobs()
                || self.follower_count.load(Ordering::SeqCst) > 0
                || self.is_shut_down.load(Ordering::SeqCst)
        };
        // What others wait for may take long, and meanwhile there may be memory that is not used.
        while !self.drive(&mut lead, &gives_way, Some(Instant::now() + stock::IDLE)) {
            self.trim(Instant::now());
        }
        self.background_leads.store(false, Ordering::SeqCst);
        drop(lead);
        self.hand_over();
        true
    }
}
