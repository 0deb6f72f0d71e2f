//! The conditions under which the workers of a pool work: limits, CPUs, environment, directory.
//!
//! The builder makes them, each worker puts itself under them before any code of the user's runs in it, and what a dead
//! worker's end has to do with them is told here.

use std::ffi::OsString;
use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::exit::{Ended, Exit, Limit};

/// Numbers of signals, the same on every Linux machine.
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;
const SIGSEGV: i32 = 11;
const SIGXCPU: i32 = 24;

/// What is set for each worker. Nothing, by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Conditions {
    /// Bytes of address space.
    pub(crate) address_space: Option<u64>,
    /// Seconds of CPU time until SIGXCPU comes.
    pub(crate) cpu_seconds: Option<u64>,
    /// Bytes of resident memory beyond which a worker is replaced.
    pub(crate) resident: Option<u64>,
    pub(crate) nice: Option<i32>,
    /// The CPUs to run on; all, if there is none.
    pub(crate) cpus: Vec<usize>,
    /// Environment variables to set or to remove, in this order.
    pub(crate) variables: Vec<(OsString, Option<OsString>)>,
    /// The current directory, as an absolute path.
    pub(crate) directory: Option<OsString>,
}

impl Conditions {
    /// The conditions of the worker in this place: of the CPUs it gets the one whose turn it is.
    pub(crate) fn for_place(&self, place: usize) -> Self {
        let cpus = match self.cpus.len() {
            0 => Vec::new(),
            count => vec![self.cpus[place % count]],
        };
        Self { cpus, ..self.clone() }
    }

    /// The limit to which the way a worker ended points.
    pub(crate) fn limit_behind(&self, ended: &Ended) -> Option<Limit> {
        let address_space = self.address_space.map(Limit::AddressSpace);
        let cpu_time = self.cpu_seconds.map(Duration::from_secs);
        match ended.exit {
            Exit::Signal(SIGXCPU) => cpu_time.map(Limit::CpuTime),
            // The kernel watches limits by the tick; what it tells of an ended process is exact, and some percent less or more.
            Exit::Signal(SIGKILL) if ended.report.cpu_time? >= cpu_time? * 9 / 10 => {
                cpu_time.map(Limit::CpuTime)
            }
            // So end a process whose allocator aborts, and one whose stack cannot grow.
            Exit::Signal(SIGABRT | SIGSEGV) => address_space,
            _ => None,
        }
    }
}

/// What a worker could not do to meet its conditions, and why: so it does not become one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unmet {
    pub(crate) step: Step,
    /// What it was to do, or why it cannot.
    pub(crate) detail: String,
    /// The system's error number.
    pub(crate) errno: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Step {
    Directory,
    Nice,
    Cpus,
    CpuTime,
    AddressSpace,
}

impl Step {
    fn doing(self) -> &'static str {
        match self {
            Step::Directory => "setting its current directory",
            Step::Nice => "setting its nice value",
            Step::Cpus => "pinning it to a CPU",
            Step::CpuTime => "limiting its CPU time",
            Step::AddressSpace => "limiting its address space",
        }
    }
}

impl From<Unmet> for Error {
    fn from(unmet: Unmet) -> Self {
        let system = io::Error::from_raw_os_error(unmet.errno);
        Error::spawn(unmet.step.doing(), io::Error::new(system.kind(), format!("{}: {system}", unmet.detail)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::ExitReport;

    fn ended(exit: Exit, cpu_seconds: f64) -> Ended {
        let cpu_time = Some(Duration::from_secs_f64(cpu_seconds));
        Ended { exit, report: ExitReport { cpu_time, ..ExitReport::default() } }
    }

    #[test]
    fn cpus_go_round() {
        let conditions = Conditions { cpus: vec![3, 5], ..Conditions::default() };
        let cpus: Vec<_> = (0..4).map(|place| conditions.for_place(place).cpus).collect();
        assert_eq!(cpus, [[3], [5], [3], [5]]);
        assert_eq!(Conditions::default().for_place(3), Conditions::default());
    }

    #[test]
    fn an_end_points_to_the_limit_that_brings_such_ends_about() {
        let conditions = Conditions { address_space: Some(9), cpu_seconds: Some(2), ..Conditions::default() };
        let behind = |exit, seconds| conditions.limit_behind(&ended(exit, seconds));
        let (space, time) = (Some(Limit::AddressSpace(9)), Some(Limit::CpuTime(Duration::from_secs(2))));
        assert_eq!(behind(Exit::Signal(SIGXCPU), 2.0), time);
        assert_eq!(behind(Exit::Signal(SIGKILL), 2.9), time);
        assert_eq!(behind(Exit::Signal(SIGKILL), 1.5), None);
        assert_eq!(behind(Exit::Signal(SIGABRT), 2.999), space);
        assert_eq!(behind(Exit::Signal(SIGSEGV), 0.0), space);
        assert_eq!(behind(Exit::Code(1), 9.0), None);
        let none = Conditions::default();
        for signal in [SIGXCPU, SIGKILL, SIGABRT, SIGSEGV] {
            assert_eq!(none.limit_behind(&ended(Exit::Signal(signal), 9.0)), None);
        }
    }
}
