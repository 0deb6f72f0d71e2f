//! How long to look for work before sleeping: as long as that paid off lately.
//!
//! A sleep and a wake-up through the kernel cost 5-10 µs on the development machine, an answer of a worker that
//! is awake 0.1 µs. So whoever waits looks for a moment first. If what it waited for came within
//! [`LONGEST`], it does so again next time; if not, only for [`SHORTEST`].

use std::time::{Duration, Instant};

/// The longest look: a few times what a sleep costs.
const LONGEST: Duration = Duration::from_micros(40);
/// The look that is always worth it.
const SHORTEST: Duration = Duration::from_nanos(500);
/// Looks between two glances at the clock.
const BATCH: u32 = 32;

/// One waiter's memory of how its waits went.
#[derive(Debug)]
pub(crate) struct Spin {
    budget: Duration,
    longest: Duration,
}

impl Spin {
    /// A waiter that may spin, or one that never spins for longer than the shortest look.
    pub(crate) fn new(may_spin: bool) -> Self {
        let longest = if may_spin { LONGEST } else { SHORTEST };
        Self { budget: longest, longest }
    }

    /// Looks until `ready` or the budget is used up; tells which.
    pub(crate) fn look(&self, mut ready: impl FnMut() -> bool) -> bool {
        let start = Instant::now();
        loop {
            for _ in 0..BATCH {
                if ready() {
                    return true;
                }
                std::hint::spin_loop();
            }
            if start.elapsed() >= self.budget {
                return false;
            }
            // Whoever we wait for may need this very CPU.
            std::thread::yield_now();
        }
    }

    /// Learns how long a wait took, looking and sleeping together.
    pub(crate) fn learn(&mut self, waited: Duration) {
        self.budget = if waited <= self.longest { self.longest } else { SHORTEST };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_stops_when_it_does_not_pay_and_returns_when_it_would() {
        let mut spin = Spin::new(true);
        assert_eq!(spin.budget, LONGEST);
        spin.learn(Duration::from_millis(1));
        assert_eq!(spin.budget, SHORTEST);
        spin.learn(Duration::from_micros(10));
        assert_eq!(spin.budget, LONGEST);
    }
}
