//! `Fork`: the zygote is an image of the program, made when the pool is built.
//!
//! It cannot be made again later, when the program has threads. So it makes a spare of itself, which takes its
//! place, and makes the next spare, should it die.

use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::start::fork_server::{Trouble, Zygote};
use crate::start::{Meanwhile, Obey};
use crate::sys::descriptors;
use crate::sys::process::{self, Forked, Process};
use crate::sys::signals;
use crate::transport::control::{Orders, Setup};

/// How long a thread that was joined may still be counted.
const LONGEST_END: Duration = Duration::from_millis(100);

/// Counts this process's threads, as soon as it has but one. The kernel counts a thread for a moment after it was joined.
fn count_threads() -> io::Result<usize> {
    let start = Instant::now();
    loop {
        let threads = process::thread_count()?;
        if threads == 1 || start.elapsed() > LONGEST_END {
            return Ok(threads);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

pub(crate) struct Fork {
    /// The one in use, and the spare, as far as they live.
    zygotes: Vec<Zygote>,
}

impl Fork {
    /// Forks the calling process, which must have no thread but the calling one.
    pub(crate) fn new(obey: Obey) -> Result<Self, Error> {
        let threads =
            count_threads().map_err(|error| Error::spawn("counting this process's threads", error))?;
        if threads != 1 {
            let reason = format!(
                "`Fork` copies a process that has one thread, and this one has {threads}; \
                 build the pool before other threads start, or use `ForkServer`"
            );
            return Err(Error::InvalidOption { option: "start_method", reason });
        }
        let parent = process::own_pid();
        // What is made from here on may get its number if it is closed.
        let has_stdin = descriptors::is_stdin_open();
        let (orders, helm) =
            Orders::pair().map_err(|error| Error::spawn("making the zygote's channel", error))?;
        // What is buffered would be written by every image as well.
        let _ = io::stdout().flush();
        let _ = io::stderr().flush();
        // Until the child is set up, the program's handlers would run in it, for a Ctrl-C say.
        let _blocked = signals::Blocked::new();
        // SAFETY: this process has only the calling thread, as was just counted.
        match unsafe { process::fork() } {
            Ok(Forked::Child) => {
                drop(orders);
                if !process::die_with_parent(parent) {
                    process::exit_at_once(crate::handshake::EXIT_NO_PARENT);
                }
                if has_stdin {
                    // It is the program's to read.
                    let _ = descriptors::empty_stdin();
                }
                process::lead_own_group();
                process::name_thread(c"pool-zygote");
                signals::set_up_worker();
                obey(helm)
            }
            Ok(Forked::Parent(pid)) => {
                let process = Process::open(pid)
                    .map_err(|error| Error::spawn("opening the zygote's process handle", error))?;
                process.move_to_own_group();
                Ok(Self { zygotes: vec![Zygote { process, orders }] })
            }
            Err(error) => Err(Error::spawn("forking", error)),
        }
    }

    pub(crate) fn order(&mut self, setup: Setup) -> Result<(), Error> {
        let Some(zygote) = self.zygotes.first() else {
            let reason = "no zygote is left, and a program with several threads cannot be copied again";
            return Err(Error::spawn("forking", io::Error::other(reason)));
        };
        let outcome = zygote.order(setup);
        self.keep_unless_broken(outcome)
    }

    pub(crate) fn take(&mut self, meanwhile: Meanwhile<'_>) -> Result<Process, Error> {
        let Some(zygote) = self.zygotes.first() else { unreachable!("something was ordered from it") };
        let outcome = zygote.take(meanwhile);
        self.keep_unless_broken(outcome)
    }

    fn keep_unless_broken<T>(&mut self, outcome: Result<T, Trouble>) -> Result<T, Error> {
        if matches!(outcome, Err(Trouble::Broken(_))) {
            // The next attempt is the spare's.
            self.zygotes.remove(0);
        }
        outcome.map_err(Trouble::into_error)
    }

    pub(crate) fn helpers(&self) -> impl Iterator<Item = &Process> {
        self.zygotes.iter().map(|zygote| &zygote.process)
    }

    /// Collects zygotes that ended, and has the last one make a spare.
    pub(crate) fn collect(&mut self, meanwhile: Meanwhile<'_>) {
        self.zygotes.retain(|zygote| zygote.process.collect().is_none());
        if let ([only], true) = (&self.zygotes[..], meanwhile()) {
            match only.copy(meanwhile) {
                Ok(spare) => self.zygotes.push(spare),
                // Without a spare it works as well, and it is tried again.
                Err(Trouble::Refused(_)) => {}
                Err(Trouble::Broken(_)) => drop(self.zygotes.remove(0)),
            }
        }
    }
}
