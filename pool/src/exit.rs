//! How a worker process ended, and what is known about why.

use std::fmt;
use std::time::Duration;

/// How a worker process ended, as the kernel reported it.
///
/// # Examples
///
/// ```
/// use pool::Exit;
///
/// assert_eq!(Exit::Code(3).to_string(), "exited with code 3");
/// assert_eq!(Exit::Signal(9).to_string(), "killed by signal 9 (SIGKILL)");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exit {
    /// The process called `exit` with this code.
    Code(i32),
    /// This signal ended the process.
    Signal(i32),
    /// The pool ended the process because what it sent was corrupt; the text says what was wrong.
    Corrupt(String),
    /// The kernel could not say, because the program itself ignores or collects ended children.
    Unknown,
}

impl Exit {
    /// Tells whether the process ended as one does that ends itself because of a panic: by `abort`, or by an
    /// instruction made for that.
    pub(crate) fn is_abort(&self) -> bool {
        const SIGILL: i32 = 4;
        const SIGTRAP: i32 = 5;
        const SIGABRT: i32 = 6;
        matches!(self, Exit::Signal(SIGILL | SIGTRAP | SIGABRT))
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exited with code {code}"),
            Exit::Signal(signal) => match signal_name(*signal) {
                Some(name) => write!(f, "killed by signal {signal} ({name})"),
                None => write!(f, "killed by signal {signal}"),
            },
            Exit::Corrupt(what) => write!(f, "given up because it sent corrupt data: {what}"),
            Exit::Unknown => f.write_str("ended, and its exit status was collected by other code"),
        }
    }
}

/// What is known of a worker process that was lost, beside how it ended.
///
/// Shown as text it is the tail of an [`Error::WorkerLost`](crate::Error::WorkerLost); empty if nothing is known.
///
/// # Examples
///
/// ```
/// use pool::{Error, Pool, pool_task};
///
/// #[pool_task]
/// fn hungry(bytes: usize) {
///     std::hint::black_box(vec![1u8; bytes]);
///     std::process::abort();
/// }
///
/// let error = Pool::builder().workers(1).build()?.apply(hungry, (64 << 20,)).unwrap_err();
/// let Error::WorkerLost { report, .. } = error else { panic!("{error}") };
/// assert!(report.peak_memory.unwrap() > 64 << 20);
/// assert!(report.cpu_time.is_some());
/// assert!(report.limit.is_none()); // none was set
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExitReport {
    /// The most memory that the process had resident at a time, in bytes, shared pages included; or a child that
    /// it waited for, if that had more.
    ///
    /// `None` if the kernel could not say. For a worker that was executed ([`StartMethod::Spawn`](crate::StartMethod::Spawn)) it cannot as long as
    /// the worker had less than the program that executed it: it counts that in.
    pub peak_memory: Option<u64>,
    /// CPU time that the process used, in user code and in the kernel; with it, that of the children it waited for.
    pub cpu_time: Option<Duration>,
    /// The panic that ended the process, if it was one: the last that the item raised before the process was aborted.
    pub panic: Option<LastPanic>,
    /// The limit of the pool's that the way it ended points to.
    pub limit: Option<Limit>,
}

impl ExitReport {
    /// The report as the end of a sentence.
    pub(crate) fn as_tail(&self) -> String {
        if *self == Self::default() { String::new() } else { format!("; {self}") }
    }
}

impl fmt::Display for ExitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        if let Some(panic) = &self.panic {
            write!(f, "{panic}")?;
            separator = "; ";
        }
        if let Some(limit) = &self.limit {
            write!(f, "{separator}{limit}")?;
            separator = "; ";
        }
        if let Some(bytes) = self.peak_memory {
            write!(f, "{separator}peak memory {}", Bytes(bytes))?;
            separator = ", ";
        }
        if let Some(time) = self.cpu_time {
            write!(f, "{separator}CPU time {:.2} s", time.as_secs_f64())?;
        }
        Ok(())
    }
}

/// The panic that ended a process, where it could not be caught: in a program that is built with `panic = "abort"`, in
/// a destructor during another panic, or at the border to a function of another language.
///
/// It is the last one of the item whose process was aborted: if the task caught it and was aborted for another reason, it is told
/// all the same.
///
/// # Examples
///
/// ```
/// use pool::{pool_task, Error, Pool};
///
/// #[pool_task]
/// fn hands_out_callback(n: u32) -> u32 {
///     extern "C" fn callback(n: u32) -> u32 { 10 / n }
///     callback(n)
/// }
///
/// let error = Pool::builder().workers(1).build()?.apply(hands_out_callback, (0,)).unwrap_err();
/// let Error::WorkerLost { report, .. } = error else { panic!("{error}") };
/// assert_eq!(report.panic.unwrap().message, "attempt to divide by zero");
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LastPanic {
    /// What was given to `panic!`; of a long text the first 2.5 KiB or so.
    pub message: String,
    /// File, line and column.
    pub location: String,
}

impl fmt::Display for LastPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "panicked at {}: {}", self.location, self.message)
    }
}

/// A limit that a pool sets for each of its workers.
///
/// # Examples
///
/// ```
/// use pool::Limit;
///
/// assert_eq!(Limit::AddressSpace(512 << 20).to_string(), "its address space is limited to 512 MiB");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// So many bytes of address space; see [`PoolBuilder::address_space_limit`](crate::PoolBuilder::address_space_limit).
    ///
    /// The process ended by SIGABRT or SIGSEGV, as one does that is refused memory; whether it was refused any, the
    /// kernel does not say.
    AddressSpace(u64),
    /// So much CPU time; see [`PoolBuilder::cpu_time_limit`](crate::PoolBuilder::cpu_time_limit).
    ///
    /// The process ended by SIGXCPU; or by SIGKILL, which the kernel sends a second of CPU time later, when about so much
    /// was used.
    CpuTime(Duration),
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::AddressSpace(bytes) => write!(f, "its address space is limited to {}", Bytes(*bytes)),
            Limit::CpuTime(time) => write!(f, "its CPU time is limited to {} s", time.as_secs()),
        }
    }
}

/// The end of a process, as its parent learns of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) exit: Exit,
    pub(crate) report: ExitReport,
}

impl From<Exit> for Ended {
    fn from(exit: Exit) -> Self {
        Self { exit, report: ExitReport::default() }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.exit, self.report.as_tail())
    }
}

/// A number of bytes, for people.
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) = match self.0 {
            0..1024 => return write!(f, "{} bytes", self.0),
            1024..0x10_0000 => (1024, "KiB"),
            0x10_0000..0x4000_0000 => (0x10_0000, "MiB"),
            _ => (0x4000_0000, "GiB"),
        };
        if self.0 % unit == 0 {
            write!(f, "{} {name}", self.0 / unit)
        } else {
            write!(f, "{:.1} {name}", self.0 as f64 / unit as f64)
        }
    }
}

/// Linux names of the signals that end processes (signal(7)).
fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        10 => "SIGUSR1",
        11 => "SIGSEGV",
        12 => "SIGUSR2",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_is_known() {
        let mut report = ExitReport::default();
        assert!(report.as_tail().is_empty() && report.to_string().is_empty());
        report.cpu_time = Some(Duration::from_millis(1204));
        assert_eq!(report.to_string(), "CPU time 1.20 s");
        report.peak_memory = Some((12 << 20) + (300 << 10));
        assert_eq!(report.to_string(), "peak memory 12.3 MiB, CPU time 1.20 s");
        report.limit = Some(Limit::CpuTime(Duration::from_secs(1)));
        let panic = LastPanic { message: "no".to_owned(), location: "a.rs:1:2".to_owned() };
        report.panic = Some(panic);
        let all =
            "panicked at a.rs:1:2: no; its CPU time is limited to 1 s; peak memory 12.3 MiB, CPU time 1.20 s";
        assert_eq!(report.to_string(), all);
        assert_eq!(Ended { exit: Exit::Code(3), report }.to_string(), format!("exited with code 3; {all}"));
    }

    #[test]
    fn bytes_are_shown_in_the_unit_that_fits() {
        let shown = [7, 2048, 2100, 1 << 20, 5 << 29, 3 << 40].map(|bytes| Bytes(bytes).to_string());
        assert_eq!(shown, ["7 bytes", "2 KiB", "2.1 KiB", "1 MiB", "2.5 GiB", "3072 GiB"]);
    }
}
