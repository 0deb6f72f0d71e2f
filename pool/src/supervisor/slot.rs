//! One place of the pool: empty, or with a worker whose life is watched.
//!
//! ```text
//! empty ── occupy ──► occupied ── collect ──► empty, at once or after a pause
//!   ▲                    │ terminate: SIGTERM, at the deadline SIGKILL
//!   └── back_off ◄───────┘
//! ```

use std::time::{Duration, Instant};

use crate::exit::Ended;
use crate::sys::process::Process;

/// First pause after a worker that never got ready; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// So many in a row that never got ready are no accident.
const HOPELESS: u32 = 5;

/// So many in a row that were killed by somebody while they started are no accident either.
const HOPELESS_KILLED: u32 = 100;

/// A place and its history.
#[derive(Debug)]
pub(crate) struct Slot {
    process: Option<Process>,
    /// Not filled before this.
    not_before: Option<Instant>,
    /// When SIGTERM becomes SIGKILL.
    kill_at: Option<Instant>,
    /// Workers in a row that never got ready.
    failures: u32,
    /// Those that somebody killed before they got ready.
    killed: u32,
}

impl Slot {
    pub(crate) fn empty() -> Self {
        Self { process: None, not_before: None, kill_at: None, failures: 0, killed: 0 }
    }

    pub(crate) fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    pub(crate) fn occupy(&mut self, process: Process) {
        self.process = Some(process);
        self.not_before = None;
        self.kill_at = None;
    }

    /// Should the place be filled now, if workers are wanted?
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.process.is_none() && self.not_before.is_none_or(|time| time <= now)
    }

    /// When something is to be done without being asked.
    pub(crate) fn due(&self, wants_workers: bool) -> Option<Instant> {
        if self.process.is_some() { self.kill_at } else { self.not_before.filter(|_| wants_workers) }
    }

    /// Waits before the place is filled again: longer each time.
    pub(crate) fn back_off(&mut self) {
        self.not_before = Some(Instant::now() + FIRST_PAUSE * 2u32.pow(self.failures.min(6)));
        self.failures += 1;
    }

    /// The worker was killed before it got ready, which says little about the next one.
    pub(crate) fn back_off_from_killer(&mut self) {
        self.not_before = Some(Instant::now() + FIRST_PAUSE);
        self.killed += 1;
    }

    /// A worker got ready, so what came before was an accident.
    pub(crate) fn forgive(&mut self) {
        self.failures = 0;
        self.killed = 0;
    }

    pub(crate) fn is_hopeless(&self) -> bool {
        self.failures >= HOPELESS || self.killed >= HOPELESS_KILLED
    }

    /// Kills the worker if it is the one with this process id.
    pub(crate) fn kill_only(&self, pid: u32) {
        if self.process.as_ref().is_some_and(|process| process.pid() == pid) {
            self.kill();
        }
    }

    /// Asks the worker to end if it is the one with this process id, and sees to it at the deadline.
    pub(crate) fn end_only(&mut self, pid: u32, deadline: Instant) {
        if self.process.as_ref().is_some_and(|process| process.pid() == pid) {
            self.terminate(deadline);
        }
    }

    fn kill(&self) {
        if let Some(process) = &self.process {
            process.kill();
        }
    }

    /// Asks the worker to end, and sees to it at the deadline.
    pub(crate) fn terminate(&mut self, deadline: Instant) {
        if let Some(process) = &self.process {
            process.terminate();
            self.kill_at.get_or_insert(deadline);
        }
    }

    pub(crate) fn kill_if_due(&mut self, now: Instant) {
        if self.kill_at.is_some_and(|time| time <= now) {
            self.kill_at = None;
            self.kill();
        }
    }

    /// Empties the place if its worker ended, and ends what the worker left behind.
    pub(crate) fn collect(&mut self) -> Option<Ended> {
        let ended = self.process.as_ref()?.collect()?;
        self.process = None;
        self.kill_at = None;
        Some(ended)
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::exit::Exit;

    /// A place with a process that ignores SIGTERM, and has said so.
    #[expect(clippy::zombie_processes, reason = "the place collects it")]
    fn stubborn() -> Slot {
        let script = "trap '' TERM; echo; while :; do read -r line; done";
        let mut shell = Command::new("sh");
        let mut child =
            shell.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let process = Process::open(child.id()).unwrap();
        std::io::Read::read_exact(&mut child.stdout.take().unwrap(), &mut [0]).unwrap();
        let mut slot = Slot::empty();
        slot.occupy(process);
        slot
    }

    fn comes_to_an_end(slot: &mut Slot) -> Option<Exit> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            slot.kill_if_due(Instant::now());
            if let Some(ended) = slot.collect() {
                return Some(ended.exit);
            }
            std::thread::yield_now();
        }
        None
    }

    #[test]
    fn a_worker_that_does_not_end_when_asked_is_killed_at_the_deadline() {
        let mut slot = stubborn();
        let pid = slot.process().unwrap().pid();
        let deadline = Instant::now() + Duration::from_millis(50);
        slot.end_only(pid + 1, deadline);
        assert_eq!(slot.due(true), None);
        slot.end_only(pid, deadline);
        slot.end_only(pid, deadline + Duration::from_secs(1000));
        assert_eq!(slot.due(true), Some(deadline));
        assert_eq!(comes_to_an_end(&mut slot), Some(Exit::Signal(9)));
    }

    #[test]
    fn pauses_grow_and_are_forgotten_once_a_worker_gets_ready() {
        let mut slot = Slot::empty();
        assert!(slot.is_due(Instant::now()));
        (0..HOPELESS).for_each(|_| slot.back_off());
        assert!(!slot.is_due(Instant::now()) && slot.is_hopeless());
        assert!(slot.is_due(Instant::now() + Duration::from_secs(10)));
        slot.forgive();
        assert!(!slot.is_hopeless());
    }

    #[test]
    fn somebody_who_kills_starting_workers_has_to_be_persistent_to_end_the_pool() {
        let mut slot = Slot::empty();
        (1..HOPELESS_KILLED).for_each(|_| slot.back_off_from_killer());
        assert!(!slot.is_hopeless() && slot.is_due(Instant::now() + Duration::from_secs(1)));
        slot.back_off_from_killer();
        assert!(slot.is_hopeless());
    }
}
