//! How long to look for work before sleeping: as long as that paid off lately.
//!
//! A sleep and a wake-up through the kernel cost 5-10 µs on the development machine, and 20-40 µs where they wake another CPU of
//! a virtual one; an answer of a worker that is awake 0.1 µs. So whoever waits looks for a moment first. If what it waited for
//! came within the longest moment that it may look, it does so again next time; if not, only [`BATCH`] times.

use std::time::{Duration, Instant};

/// The longest look of who leads in the program: what a sleep costs at the most. Its workers need the CPUs, too.
const LEADER: Duration = Duration::from_micros(40);
/// The longest look of a worker: a few times that. Who wakes it pays for a system call, and then waits for it.
const WORKER: Duration = Duration::from_micros(100);
/// No longer than [`BATCH`] looks, which are always worth it.
const SHORTEST: Duration = Duration::ZERO;
/// For so long nobody else is let run who may need this CPU, unless somebody did: that takes half a microsecond even if
/// nobody does.
const ALONE: Duration = Duration::from_micros(3);
/// Who has let others run and is back sooner was the only one to run.
const SOON: Duration = Duration::from_nanos(1500);
/// Looks between two glances at the clock.
const BATCH: u32 = 32;

/// One waiter's memory of how its waits went.
#[derive(Debug)]
pub(crate) struct Spin {
    budget: Duration,
    longest: Duration,
    /// Others ran on this CPU when they were let.
    is_crowded: bool,
}

impl Spin {
    /// For who leads. One that may not spin never looks for longer than the shortest look.
    pub(crate) fn of_leader(may_spin: bool) -> Self {
        Self::new(if may_spin { LEADER } else { SHORTEST })
    }

    /// The same for a worker.
    pub(crate) fn of_worker(may_spin: bool) -> Self {
        Self::new(if may_spin { WORKER } else { SHORTEST })
    }

    fn new(longest: Duration) -> Self {
        Self { budget: longest, longest, is_crowded: false }
    }

    /// Looks until `ready`, and calls `sleep` if that takes too long.
    pub(crate) fn wait(&mut self, mut ready: impl FnMut() -> bool, sleep: impl FnOnce()) {
        if look(&mut ready) {
            // Sooner than the clock can be read twice.
            self.budget = self.longest;
            return;
        }
        let start = Instant::now();
        if !self.look_from(start, ready) {
            sleep();
        }
        self.learn(start.elapsed());
    }

    /// Looks until `ready` or the budget is used up; tells which.
    fn look_from(&mut self, start: Instant, mut ready: impl FnMut() -> bool) -> bool {
        loop {
            let now = Instant::now();
            if now - start >= self.budget {
                return false;
            }
            if self.is_crowded || now - start >= ALONE {
                // Whoever we wait for may need this very CPU.
                std::thread::yield_now();
                self.is_crowded = now.elapsed() > SOON;
            }
            if look(&mut ready) {
                return true;
            }
        }
    }

    /// Learns how long a wait took, looking and sleeping together.
    fn learn(&mut self, waited: Duration) {
        self.budget = if waited <= self.longest { self.longest } else { SHORTEST };
    }
}

fn look(ready: &mut impl FnMut() -> bool) -> bool {
    for _ in 0..BATCH {
        if ready() {
            return true;
        }
        std::hint::spin_loop();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_stops_when_it_does_not_pay_and_returns_when_it_would() {
        let mut spin = Spin::of_leader(true);
        assert_eq!(spin.budget, LEADER);
        spin.learn(Duration::from_millis(1));
        assert_eq!(spin.budget, SHORTEST);
        spin.learn(Duration::from_micros(10));
        assert_eq!(spin.budget, LEADER);
        spin.learn(Duration::from_millis(1));
        spin.wait(|| true, || unreachable!("it is there"));
        assert_eq!(spin.budget, LEADER);
    }

    #[test]
    fn who_looks_in_vain_sleeps_once() {
        let mut sleeps = 0;
        Spin::of_leader(true).wait(|| false, || sleeps += 1);
        Spin::of_leader(false).wait(|| false, || sleeps += 1);
        assert_eq!(sleeps, 2);
    }
}
