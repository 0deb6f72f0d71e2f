//! One place of the pool: empty, or with a worker whose life is watched.
//!
//! ```text
//! empty ── occupy ──► occupied ── collect ──► empty, at once or after a pause
//!   ▲                    │ terminate, or told to leave and not gone in time: SIGTERM, at the deadline SIGKILL
//!   │                    │ give_up, when it should be ready and is not: SIGKILL
//!   └── back_off ◄───────┘
//! ```

use std::time::Instant;

use super::setbacks::{Setback, Setbacks};
use crate::exit::Ended;
use crate::sys::process::Process;

/// A place and its history.
#[derive(Debug)]
pub(crate) struct Slot {
    process: Option<Process>,
    /// Not filled before this, if it is empty.
    not_before: Instant,
    /// When to see whether the worker is ready.
    ready_by: Option<Instant>,
    /// It was not.
    is_overdue: bool,
    /// When to see whether it left, which it was told to.
    gone_by: Option<Instant>,
    /// When SIGTERM becomes SIGKILL.
    kill_at: Option<Instant>,
    setbacks: Setbacks,
}

impl Slot {
    pub(crate) fn empty() -> Self {
        Self {
            process: None,
            not_before: Instant::now(),
            ready_by: None,
            is_overdue: false,
            gone_by: None,
            kill_at: None,
            setbacks: Setbacks::default(),
        }
    }

    pub(crate) fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// Takes in a worker, which should be ready by then if there is a limit.
    pub(crate) fn occupy(&mut self, process: Process, ready_by: Option<Instant>) {
        self.process = Some(process);
        self.ready_by = ready_by;
        self.is_overdue = false;
        self.kill_at = None;
        self.setbacks.forget_not_made();
    }

    /// Should the place be filled now, if workers are wanted?
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.process.is_none() && self.not_before <= now
    }

    /// When something is to be done without being asked.
    pub(crate) fn due(&self, wants_workers: bool) -> Option<Instant> {
        match self.process {
            Some(_) => self.kill_at.into_iter().chain(self.ready_by).chain(self.gone_by).min(),
            None => wants_workers.then_some(self.not_before),
        }
    }

    /// Waits before the place is filled again.
    pub(crate) fn back_off(&mut self, setback: Setback) {
        self.not_before = Instant::now() + self.setbacks.add(setback);
    }

    /// What happened before to the workers of this place.
    pub(crate) fn setbacks(&mut self) -> &mut Setbacks {
        &mut self.setbacks
    }

    pub(crate) fn is_hopeless(&self) -> bool {
        self.setbacks.are_hopeless()
    }

    /// Tells, once, that the worker should be ready by now.
    pub(crate) fn should_be_ready(&mut self, now: Instant) -> bool {
        self.ready_by.take_if(|time| *time <= now).is_some()
    }

    /// Sets when the worker should have left, if it is the one with this process id.
    pub(crate) fn leave_only(&mut self, pid: u32, gone_by: Option<Instant>) {
        if self.process.as_ref().is_some_and(|process| process.pid() == pid) {
            self.gone_by = gone_by;
        }
    }

    /// Tells, once, that the worker should have left by now.
    pub(crate) fn should_be_gone(&mut self, now: Instant) -> bool {
        self.gone_by.take_if(|time| *time <= now).is_some()
    }

    /// Ends a worker that is not ready in time.
    pub(crate) fn give_up(&mut self) {
        self.is_overdue = true;
        self.kill();
    }

    /// Tells whether the worker that was here last was given up.
    pub(crate) fn is_overdue(&self) -> bool {
        self.is_overdue
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
        (self.ready_by, self.gone_by, self.kill_at) = (None, None, None);
        self.not_before = Instant::now();
        Some(ended)
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::Duration;

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
        slot.occupy(process, None);
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
    fn a_place_is_filled_again_after_its_pause() {
        let mut slot = Slot::empty();
        let before = Instant::now();
        assert!(slot.is_due(before));
        (0..5).for_each(|_| slot.back_off(Setback::NotReady));
        assert!(!slot.is_due(before) && slot.is_hopeless());
        assert!(slot.is_due(Instant::now() + Duration::from_secs(10)));
        assert!(slot.due(true).is_some() && slot.due(false).is_none());
    }

    #[test]
    fn a_worker_that_was_told_to_leave_is_looked_at_once_when_it_should_be_gone() {
        let mut slot = stubborn();
        let pid = slot.process().unwrap().pid();
        let now = Instant::now();
        slot.leave_only(pid + 1, Some(now));
        assert!(slot.due(true).is_none() && !slot.should_be_gone(now));
        slot.leave_only(pid, Some(now));
        assert_eq!(slot.due(false), Some(now));
        assert!(!slot.should_be_gone(now - Duration::from_millis(1)));
        assert!(slot.should_be_gone(now) && !slot.should_be_gone(now));
        slot.terminate(now);
        assert_eq!(comes_to_an_end(&mut slot), Some(Exit::Signal(9)));
        assert!(slot.due(true).is_some_and(|due| due <= Instant::now()), "to be filled");
    }

    #[test]
    fn a_worker_is_looked_at_once_when_it_should_be_ready_and_killed_if_it_is_not() {
        let mut slot = stubborn();
        let now = Instant::now();
        slot.ready_by = Some(now);
        assert_eq!(slot.due(true), Some(now));
        assert!(!slot.should_be_ready(now - Duration::from_millis(1)));
        assert!(slot.should_be_ready(now) && !slot.should_be_ready(now));
        assert!(slot.due(true).is_none() && !slot.is_overdue());
        slot.give_up();
        assert_eq!(comes_to_an_end(&mut slot), Some(Exit::Signal(9)));
        assert!(slot.is_overdue());
    }
}
