//! `Fork`: the zygote is an image of the program, made when the pool is built.

use std::io::{self, Write};

use crate::error::Error;
use crate::start::Obey;
use crate::start::fork_server::Zygote;
use crate::sys::process::{self, Forked, Process};
use crate::sys::signals;
use crate::transport::control::{Orders, Setup};

pub(crate) struct Fork {
    zygote: Option<Zygote>,
}

impl Fork {
    /// Forks the calling process, which must have no thread but the calling one.
    pub(crate) fn new(obey: Obey) -> Result<Self, Error> {
        let threads = process::thread_count()
            .map_err(|error| Error::spawn("counting this process's threads", error))?;
        if threads != 1 {
            let reason = format!(
                "`Fork` copies a process that has one thread, and this one has {threads}; \
                 build the pool before other threads start, or use `ForkServer`"
            );
            return Err(Error::InvalidOption { option: "start_method", reason });
        }
        let parent = process::own_pid();
        let (orders, helm) =
            Orders::pair().map_err(|error| Error::spawn("making the zygote's channel", error))?;
        // What is buffered would be written by every image as well.
        let _ = io::stdout().flush();
        let _ = io::stderr().flush();
        // SAFETY: this process has only the calling thread, as was just counted.
        match unsafe { process::fork() } {
            Ok(Forked::Child) => {
                drop(orders);
                if !process::die_with_parent(parent) {
                    process::exit_at_once(crate::handshake::EXIT_NO_PARENT);
                }
                process::name_thread(c"pool-zygote");
                signals::set_up_worker();
                obey(helm)
            }
            Ok(Forked::Parent(pid)) => {
                let process = Process::open(pid)
                    .map_err(|error| Error::spawn("opening the zygote's process handle", error))?;
                Ok(Self { zygote: Some(Zygote { process, orders }) })
            }
            Err(error) => Err(Error::spawn("forking", error)),
        }
    }

    pub(crate) fn start(&mut self, setup: Setup) -> Result<Process, Error> {
        match &self.zygote {
            Some(zygote) => zygote.fork(setup),
            None => {
                let reason = "the zygote is gone, and a program with several threads cannot be copied again";
                Err(Error::spawn("forking", io::Error::other(reason)))
            }
        }
    }

    pub(crate) fn zygote(&self) -> Option<&Process> {
        self.zygote.as_ref().map(|zygote| &zygote.process)
    }

    pub(crate) fn collect(&mut self) {
        if self.zygote().is_some_and(|process| process.collect().is_some()) {
            self.zygote = None;
        }
    }

    pub(crate) fn shut_down(self) {
        if let Some(zygote) = self.zygote {
            zygote.shut_down();
        }
    }
}
