//! What went wrong in a place, one time after the other: how long to wait before the next try, and when to give up.

use std::time::Duration;

/// First pause; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// Pauses double so many times at the most.
const DOUBLINGS: u32 = 6;
/// So many workers in a row that never got ready are no accident.
const HOPELESS: u32 = 5;
/// So many in a row that were killed by somebody while they started are no accident either.
const HOPELESS_KILLED: u32 = 100;

/// Why the next worker had better wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setback {
    /// No process could be made.
    NotMade,
    /// The worker never got ready.
    NotReady,
    /// Somebody killed it before it got ready, which says little about the next one.
    Killed,
    /// It got ready, and died before it was given anything.
    Unused,
}

/// How many there were in a row.
#[derive(Debug, Default)]
pub(crate) struct Setbacks {
    not_made: u32,
    not_ready: u32,
    killed: u32,
    unused: u32,
}

impl Setbacks {
    /// Counts one more; returns how long the place should stay empty.
    pub(crate) fn add(&mut self, setback: Setback) -> Duration {
        match setback {
            Setback::NotMade => growing(count(&mut self.not_made)),
            Setback::NotReady => growing(count(&mut self.not_ready)),
            Setback::Killed => {
                count(&mut self.killed);
                FIRST_PAUSE
            }
            // An idle worker that is killed is replaced at once; only if that goes on it is a storm.
            Setback::Unused => count(&mut self.unused).checked_sub(1).map_or(Duration::ZERO, growing),
        }
    }

    /// A process was made.
    pub(crate) fn forget_not_made(&mut self) {
        self.not_made = 0;
    }

    /// A worker got ready, so what came before was an accident.
    pub(crate) fn forget_starts(&mut self) {
        (self.not_ready, self.killed) = (0, 0);
    }

    /// A worker was of use.
    pub(crate) fn forget_all(&mut self) {
        *self = Self::default();
    }

    /// There is no point in going on.
    pub(crate) fn are_hopeless(&self) -> bool {
        self.not_made >= HOPELESS || self.not_ready >= HOPELESS || self.killed >= HOPELESS_KILLED
    }
}

fn count(counter: &mut u32) -> u32 {
    let before = *counter;
    *counter = before.saturating_add(1);
    before
}

fn growing(before: u32) -> Duration {
    FIRST_PAUSE * 2u32.pow(before.min(DOUBLINGS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound_and_are_forgotten_once_a_worker_gets_ready() {
        let mut setbacks = Setbacks::default();
        let pauses: Vec<_> =
            (0..20).map(|_| setbacks.add(Setback::NotReady).as_millis() / FIRST_PAUSE.as_millis()).collect();
        assert_eq!(pauses[..8], [1, 2, 4, 8, 16, 32, 64, 64]);
        assert_eq!(pauses[19], 64);
        setbacks.forget_starts();
        assert!(!setbacks.are_hopeless());
        assert_eq!(setbacks.add(Setback::NotReady), FIRST_PAUSE);
    }

    #[test]
    fn five_workers_in_a_row_that_never_get_ready_are_hopeless() {
        for setback in [Setback::NotReady, Setback::NotMade] {
            let mut setbacks = Setbacks::default();
            for _ in 1..HOPELESS {
                setbacks.add(setback);
            }
            assert!(!setbacks.are_hopeless());
            setbacks.add(setback);
            assert!(setbacks.are_hopeless());
        }
    }

    #[test]
    fn somebody_who_kills_starting_workers_has_to_be_persistent_to_end_the_pool() {
        let mut setbacks = Setbacks::default();
        (1..HOPELESS_KILLED).for_each(|_| assert_eq!(setbacks.add(Setback::Killed), FIRST_PAUSE));
        assert!(!setbacks.are_hopeless());
        setbacks.add(Setback::Killed);
        assert!(setbacks.are_hopeless());
    }

    #[test]
    fn idle_workers_that_keep_dying_are_replaced_ever_more_slowly_and_never_hopeless() {
        let mut setbacks = Setbacks::default();
        assert_eq!(setbacks.add(Setback::Unused), Duration::ZERO);
        assert_eq!(setbacks.add(Setback::Unused), FIRST_PAUSE);
        for _ in 0..1000 {
            setbacks.add(Setback::Unused);
        }
        assert!(!setbacks.are_hopeless());
        // That the next one gets ready says nothing new.
        setbacks.forget_starts();
        assert_eq!(setbacks.add(Setback::Unused), FIRST_PAUSE * 64);
        setbacks.forget_all();
        assert_eq!(setbacks.add(Setback::Unused), Duration::ZERO);
    }

    #[test]
    fn a_process_that_was_made_says_nothing_about_initializers() {
        let mut setbacks = Setbacks::default();
        for _ in 0..HOPELESS {
            setbacks.add(Setback::NotMade);
        }
        setbacks.forget_not_made();
        setbacks.add(Setback::NotReady);
        assert!(!setbacks.are_hopeless());
    }
}
