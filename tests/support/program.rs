//! Programs that a test runs: binaries of this package with a real `main`.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use pool::StartMethod;
use rustix::process::Signal;

use super::report::scratch_path;
use super::{PATIENCE, comes_true, processes, wait_until};

/// Set in every process that comes of a program: which one it is.
const MARK: &str = "IT_PROGRAM";

/// A program that runs, or is about to.
#[derive(Debug)]
pub struct Program {
    command: Command,
    child: Option<Child>,
    mark: String,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// How a program ended and what it said.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// All of its standard output, its workers' included.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

impl Ended {
    /// Panics unless the program said that all went well.
    #[track_caller]
    pub fn expect_success(self) -> Self {
        assert!(self.status.success(), "{}\n{}\n{}", self.status, self.stdout, self.stderr);
        self
    }
}

/// The name of a start method as programs take it.
pub fn method_name(method: StartMethod) -> &'static str {
    match method {
        StartMethod::ForkServer => "fork-server",
        StartMethod::Spawn => "spawn",
        StartMethod::Fork => "fork",
        _ => unreachable!("there are three"),
    }
}

/// The start method of that name.
pub fn method_named(name: &str) -> StartMethod {
    match name {
        "fork-server" => StartMethod::ForkServer,
        "spawn" => StartMethod::Spawn,
        "fork" => StartMethod::Fork,
        other => panic!("no such start method: {other}"),
    }
}

impl Program {
    /// A scenario of `programs/program.rs`, say.
    pub fn new(path: &str, scenario: &str, method: StartMethod) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let id = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let (stdout, stderr) = (scratch_path("stdout"), scratch_path("stderr"));
        let mut command = Command::new(path);
        command.arg(scenario).arg(method_name(method)).stdin(Stdio::null());
        command.env(MARK, &id);
        let interruptible = || {
            // SAFETY: no handler is installed that could run, and the call is safe in a child before it executes.
            unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
            Ok(())
        };
        // What runs in the background may have been told to ignore Ctrl-C.
        // SAFETY: the closure makes one system call, neither allocates nor locks, and cannot panic.
        unsafe { command.pre_exec(interruptible) };
        let mark = format!("{MARK}={id}");
        Self { command, child: None, mark, stdout, stderr }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it as another user, which takes the rights to do so.
    pub fn as_user(mut self, user: u32) -> Self {
        self.command.uid(user);
        self
    }

    /// Makes it the leader of a session with this terminal, from which it also reads.
    pub fn on_terminal(mut self, terminal: OwnedFd) -> Self {
        let fd = terminal.as_raw_fd();
        self.command.stdin(terminal);
        let lead = move || {
            // SAFETY: these are two system calls.
            let is_done =
                unsafe { libc::setsid() } != -1 && unsafe { libc::ioctl(fd, libc::TIOCSCTTY, 0) } == 0;
            if is_done { Ok(()) } else { Err(io::Error::last_os_error()) }
        };
        // SAFETY: the closure makes two system calls, neither allocates nor locks, and cannot panic.
        unsafe { self.command.pre_exec(lead) };
        self
    }

    /// Starts it.
    pub fn start(mut self) -> Self {
        let file = |path| File::create(path).expect("a file for the output");
        self.command.stdout(file(&self.stdout)).stderr(file(&self.stderr));
        self.child = Some(self.command.spawn().expect("the program starts"));
        self
    }

    /// Runs it to its end.
    pub fn run(self) -> Ended {
        self.start().finish()
    }

    /// Waits for its end, and that of all its processes.
    pub fn finish(mut self) -> Ended {
        let status = self.wait();
        wait_until("the end of the program's processes", || self.processes().is_empty());
        Ended { status, stdout: read(&self.stdout), stderr: read(&self.stderr) }
    }

    fn child(&mut self) -> &mut Child {
        self.child.as_mut().expect("the program was started")
    }

    /// Its process id.
    pub fn pid(&mut self) -> u32 {
        self.child().id()
    }

    /// The processes that came of it and have not ended, itself included.
    pub fn processes(&self) -> Vec<u32> {
        processes::marked(&self.mark)
    }

    /// What its processes are doing.
    pub fn describe(&self) -> String {
        processes::describe(&self.mark)
    }

    /// Gives it a directory for temporary files of its own, because a program that is killed in the middle of a
    /// handshake may leave the name of a socket.
    pub fn in_own_temporary(self) -> Self {
        let temporary = scratch_path("temporary");
        fs::create_dir(&temporary).expect("a directory for temporary files");
        self.env("TMPDIR", temporary)
    }

    /// Has it lead a process group of its own, as a shell does with what it runs in the foreground.
    pub fn in_own_group(mut self) -> Self {
        self.command.process_group(0);
        self
    }

    /// Sends a signal to the program's group, as a terminal does.
    pub fn signal_group(&mut self, signal: Signal) {
        processes::signal_group(self.pid(), signal);
    }

    /// Tells whether it ended.
    pub fn has_ended(&mut self) -> bool {
        self.child().try_wait().expect("the program can be waited for").is_some()
    }

    /// Sends a signal to the program itself and waits for its end.
    pub fn end_with(&mut self, signal: Signal) -> ExitStatus {
        processes::signal(self.pid(), signal);
        self.wait()
    }

    fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        let has_ended = comes_true(PATIENCE, || {
            status = self.child().try_wait().expect("the program can be waited for");
            status.is_some()
        });
        if !has_ended {
            let (stdout, stderr) = (read(&self.stdout), read(&self.stderr));
            panic!("the program does not end:\n{}\n{stdout}\n{stderr}", self.describe());
        }
        status.expect("it was waited for")
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.processes().into_iter().for_each(processes::kill);
    }
}
