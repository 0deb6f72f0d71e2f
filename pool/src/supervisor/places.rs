//! All places of the pool, and what cannot wait: orders, limits, and workers that ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::commands::{Command, Commands};
use super::setbacks::Setback;
use super::slot::Slot;
use super::{Departed, Roster};
use crate::conditions::Conditions;
use crate::error::Error;
use crate::exit::{Ended, Exit};
use crate::handshake::Complaint;
use crate::sys::event;
use crate::sys::process::Process;
use crate::transport::ring_link::RingLink;

/// Numbers of signals, the same on every Linux machine.
const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;
/// How long a worker has to leave after SIGTERM before SIGKILL.
const GRACE: Duration = Duration::from_millis(300);

/// The workers' places, and the rules for who is in them.
pub(crate) struct Places {
    slots: Vec<Slot>,
    roster: Arc<dyn Roster>,
    commands: Arc<Commands>,
    pub(crate) rules: Rules,
    /// All workers are being ended, and so is one that comes only now.
    is_over: bool,
}

/// What is asked of workers that come and go.
pub(crate) struct Rules {
    pub(crate) conditions: Conditions,
    /// Why a worker that never gets ready is the fault of the pool's user, and whose fault it is.
    pub(crate) initializer: Option<&'static str>,
    /// How long a worker may take to get ready once its process is made, and to leave once it is told to.
    pub(crate) start_timeout: Duration,
}

impl Places {
    /// Bytes that each of them takes.
    pub(crate) const PLACE: usize = size_of::<Slot>();

    pub(crate) fn new(count: usize, roster: Arc<dyn Roster>, commands: Arc<Commands>, rules: Rules) -> Self {
        Self { slots: (0..count).map(|_| Slot::empty()).collect(), roster, commands, rules, is_over: false }
    }

    pub(super) fn count(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn are_all_empty(&self) -> bool {
        self.slots.iter().all(|slot| slot.process().is_none())
    }

    /// Should this place be filled now, if workers are wanted?
    pub(super) fn is_due(&self, place: usize) -> bool {
        self.slots[place].is_due(Instant::now())
    }

    /// Does what cannot wait; tells whether workers are wanted. Called again and again while a process is being made.
    pub(super) fn attend(&mut self) -> bool {
        for command in self.commands.take() {
            let (deadline, gone_by) = (Instant::now() + GRACE, self.limit());
            match command {
                Command::Kill(place, pid) => self.slots[place].kill_only(pid),
                Command::End(place, pid) => self.slots[place].end_only(pid, deadline),
                Command::Leave(place, pid) => self.slots[place].leave_only(pid, gone_by),
                Command::Terminate => {
                    self.is_over = true;
                    self.slots.iter_mut().for_each(|slot| slot.terminate(deadline));
                }
            }
        }
        let now = Instant::now();
        for place in 0..self.slots.len() {
            if self.slots[place].should_be_ready(now) && self.roster.give_up_if_starting(place) {
                self.slots[place].give_up();
            }
            if self.slots[place].should_be_gone(now) {
                self.slots[place].terminate(now + GRACE);
            }
            self.slots[place].kill_if_due(now);
            self.collect(place);
        }
        self.roster.wants_worker()
    }

    /// Sleeps until one of these processes or a worker ends, a command comes or a time is due.
    pub(super) fn sleep(&self, helpers: Vec<&Process>, wants_workers: bool) {
        let processes = self.slots.iter().filter_map(Slot::process).chain(helpers);
        let fds: Vec<_> =
            std::iter::once(self.commands.as_fd()).chain(processes.map(Process::as_fd)).collect();
        let due = self.slots.iter().filter_map(|slot| slot.due(wants_workers)).min();
        event::sleep_on(&fds, due.map(|due| due.saturating_duration_since(Instant::now())));
    }

    /// Puts a new worker into its place.
    pub(super) fn occupy(&mut self, place: usize, process: Process, link: RingLink) {
        let pid = process.pid();
        let ready_by = self.limit();
        self.slots[place].occupy(process, ready_by);
        self.roster.attach(place, link, pid);
        if self.is_over {
            self.slots[place].terminate(Instant::now() + GRACE);
        }
    }

    /// Notes that no process could be made for a place, for this reason.
    pub(super) fn stay_empty(&mut self, place: usize, error: Error) {
        self.slots[place].back_off(Setback::NotMade);
        if self.slots[place].is_hopeless() && self.are_all_empty() && self.roster.wants_worker() {
            self.roster.fail(error);
        }
    }

    /// A limit beyond the end of time is none.
    fn limit(&self) -> Option<Instant> {
        Instant::now().checked_add(self.rules.start_timeout)
    }

    /// Empties a place whose worker ended.
    fn collect(&mut self, place: usize) {
        if let Some(mut ended) = self.slots[place].collect() {
            ended.report.limit = self.rules.conditions.limit_behind(&ended);
            let departed = self.roster.detach(place, &ended);
            self.judge(place, departed, &ended);
        }
    }

    /// Decides what the end of a worker means for the next one.
    fn judge(&mut self, place: usize, departed: Departed, ended: &Ended) {
        let slot = &mut self.slots[place];
        let is_overdue = slot.is_overdue();
        if departed.was_ready && !is_overdue {
            if departed.was_used {
                slot.setbacks().forget_all();
            } else {
                slot.setbacks().forget_starts();
                slot.back_off(Setback::Unused);
            }
            return;
        }
        slot.back_off(match (&ended.exit, &departed.complaint) {
            // Nothing in a process does that to itself by mistake.
            (Exit::Signal(SIGKILL | SIGTERM), None) if !is_overdue => Setback::Killed,
            _ => Setback::NotReady,
        });
        // Trying again for as long as that takes each time would look like a hang.
        let is_first = is_overdue && !departed.any_was_ready;
        if is_first || slot.is_hopeless() && self.roster.wants_worker() {
            let complaint = departed.complaint.unwrap_or_else(|| {
                Complaint::Told(if is_overdue {
                    format!("its worker did not get ready within {:?}", self.rules.start_timeout)
                } else {
                    format!("its process never got ready and {ended}")
                })
            });
            self.roster.fail(complaint.into_error(self.rules.initializer));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::Command;
    use std::sync::Mutex;

    use super::*;
    use crate::supervisor::Spares;
    use crate::transport::ring_link::ParentBell;
    use crate::transport::stock::Stock;

    /// A driver's side that only remembers why it failed.
    #[derive(Default)]
    struct Failures(Mutex<Vec<String>>);

    impl Roster for Failures {
        fn attach(&self, _: usize, _: RingLink, _: u32) {}
        fn detach(&self, _: usize, _: &Ended) -> Departed {
            unreachable!("no process was made")
        }
        fn clear_away(&self) {}
        fn give_up_if_starting(&self, _: usize) -> bool {
            true
        }
        fn wants_worker(&self) -> bool {
            true
        }
        fn fail(&self, error: Error) {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            self.0.lock().unwrap().push(format!("{error}; {}", source.unwrap_or_default()));
        }
    }

    fn places(count: usize, initializer: Option<&'static str>) -> (Places, Arc<Failures>) {
        let roster = Arc::new(Failures::default());
        let rules =
            Rules { conditions: Conditions::default(), initializer, start_timeout: Duration::from_secs(5) };
        let commands = Arc::new(Commands::new().unwrap());
        (Places::new(count, roster.clone(), commands, rules), roster)
    }

    fn judged(places: &mut Places, place: usize, departed: &Departed, exit: Exit, times: u32) {
        (0..times).for_each(|_| places.judge(place, departed.clone(), &exit.clone().into()));
    }

    const NEVER_READY: Departed =
        Departed { was_ready: false, was_used: false, any_was_ready: true, complaint: None };

    #[test]
    fn a_place_that_never_gets_a_worker_ready_ends_the_pool_with_the_last_reason() {
        let (mut places, roster) = places(1, Some("init"));
        judged(&mut places, 0, &NEVER_READY, Exit::Code(1), 4);
        assert!(roster.0.lock().unwrap().is_empty());
        let refused = Departed { complaint: Some(Complaint::Told("no model".to_owned())), ..NEVER_READY };
        judged(&mut places, 0, &refused, Exit::Code(123), 1);
        assert_eq!(*roster.0.lock().unwrap(), ["the pool's initializer `init` failed: no model; "]);
    }

    #[test]
    fn a_worker_that_gets_ready_is_a_new_beginning_for_its_place() {
        let (mut places, roster) = places(1, Some("init"));
        for was_used in [true, false] {
            judged(&mut places, 0, &NEVER_READY, Exit::Code(1), 4);
            let ready = Departed { was_ready: true, was_used, ..NEVER_READY };
            judged(&mut places, 0, &ready, Exit::Signal(9), 1);
        }
        judged(&mut places, 0, &NEVER_READY, Exit::Code(1), 4);
        assert!(roster.0.lock().unwrap().is_empty());
    }

    #[test]
    fn the_first_worker_of_a_pool_that_is_not_ready_in_time_ends_it() {
        for (initializer, text) in [
            (Some("init"), "the pool's initializer `init` failed: its worker did not get ready within 5s; "),
            (
                None,
                "cannot start a worker process: starting it failed; its worker did not get ready within 5s",
            ),
        ] {
            let (mut places, roster) = places(2, initializer);
            places.slots[0].give_up();
            judged(&mut places, 0, &NEVER_READY, Exit::Signal(9), 4);
            assert!(roster.0.lock().unwrap().is_empty(), "others got ready");
            // Even one that got ready at the last moment says nothing for the next one.
            let late = Departed { was_ready: true, ..NEVER_READY };
            judged(&mut places, 0, &late, Exit::Signal(9), 1);
            assert_eq!(*roster.0.lock().unwrap(), [text]);
            places.slots[1].give_up();
            let first = Departed { any_was_ready: false, ..NEVER_READY };
            judged(&mut places, 1, &first, Exit::Signal(9), 1);
            assert_eq!(*roster.0.lock().unwrap(), [text, text]);
        }
    }

    #[test]
    fn a_place_for_which_no_process_can_be_made_ends_the_pool_at_the_fifth_try() {
        let (mut places, roster) = places(1, None);
        for tries in 1..=5 {
            places.stay_empty(0, Error::spawn("forking", std::io::ErrorKind::OutOfMemory));
            assert_eq!(roster.0.lock().unwrap().len(), usize::from(tries == 5));
        }
    }

    #[test]
    fn a_place_that_was_just_emptied_is_due_at_once() {
        let (mut places, _) = places(1, None);
        judged(
            &mut places,
            0,
            &Departed { was_ready: true, was_used: true, ..NEVER_READY },
            Exit::Code(3),
            1,
        );
        assert!(places.is_due(0) && places.slots[0].due(true).is_some());
    }

    #[test]
    #[expect(clippy::zombie_processes, reason = "the place collects it")]
    fn a_worker_that_comes_after_the_end_is_ended_as_well() {
        let (mut places, _) = places(1, None);
        places.commands.terminate();
        places.attend();
        let (link, _end) =
            Spares::new(ParentBell::new().unwrap(), Stock::new(1)).take().expect("a link can be had");
        let child = Command::new("sleep").arg("600").process_group(0).spawn().unwrap();
        places.occupy(0, Process::open(child.id()).unwrap(), link);
        let deadline = Instant::now() + Duration::from_secs(20);
        let ended = loop {
            places.slots[0].kill_if_due(Instant::now());
            if let Some(ended) = places.slots[0].collect() {
                break ended;
            }
            assert!(Instant::now() < deadline, "nobody ends it");
            std::thread::yield_now();
        };
        assert!(matches!(ended.exit, Exit::Signal(SIGTERM | SIGKILL)));
    }
}
