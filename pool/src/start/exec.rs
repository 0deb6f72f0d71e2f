//! Executes the program again and waits until the new process says hello.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::handshake::{Identity, Invitation, VARIABLE};
use crate::start::IsWanted;
use crate::sys::process::{self, Process};
use crate::transport::control::{Door, Hello, Orders};

/// How long a new process may take from its start to its first words. Loading a large program from a cold disk takes
/// seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often to see whether the process died instead of talking.
const GLANCE: Duration = Duration::from_millis(5);

/// The program itself, wherever it came from and whatever happened to its file since.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// Executes the program; the new process waits for orders.
pub(crate) fn execute(depth: u32, is_wanted: IsWanted<'_>) -> Result<(Process, Orders), Error> {
    let identity = Identity::own()?;
    let door = Door::open().map_err(|error| Error::spawn("opening a socket for the handshake", error))?;
    let name = door.name().to_owned();
    let token = random_token();
    let invitation = Invitation { parent: process::own_pid(), depth, token, server: name.clone() };
    let process = spawn(&invitation).map_err(|error| Error::spawn("executing the program again", error))?;

    let (sender, receiver) = mpsc::channel();
    let waiter = thread::Builder::new().name("pool-door".to_owned()).spawn(move || {
        // The receiver is gone if its patience was.
        let _ = sender.send(door.wait());
    });
    let waiter = match waiter {
        Ok(waiter) => waiter,
        Err(error) => {
            end(&process);
            return Err(Error::spawn("starting a thread for the handshake", error));
        }
    };
    let hello = wait_for_hello(&receiver, &process, is_wanted);
    if hello.is_err() {
        // If it is at the door and says nothing, its end is what ends the wait.
        end(&process);
        Door::give_up(&name);
    }
    // It ends: somebody came, or we just did.
    let _ = waiter.join();
    match hello {
        Ok(Hello { token: theirs, identity: other, orders, reports }) => {
            if theirs == token && other == identity {
                return Ok((process, Orders { orders, reports }));
            }
            end(&process);
            let reason = if theirs == token {
                "the executed program has other tasks than this one"
            } else {
                "a stranger answered instead of the executed program"
            };
            Err(Error::spawn("the handshake", io::Error::other(reason)))
        }
        Err(error) => Err(Error::spawn("the handshake", error)),
    }
}

fn wait_for_hello(
    receiver: &mpsc::Receiver<io::Result<Hello>>,
    process: &Process,
    is_wanted: IsWanted<'_>,
) -> io::Result<Hello> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match receiver.recv_timeout(GLANCE) {
            Ok(hello) => return hello,
            Err(RecvTimeoutError::Disconnected) => return Err(io::Error::other("the waiting thread ended")),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Some(ended) = process.collect() {
            let reason = format!("the executed program {} before it answered", ended.exit);
            return Err(io::Error::other(reason));
        }
        if !is_wanted() {
            return Err(io::Error::other("nobody wants it any more"));
        }
        if Instant::now() > deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {PATIENCE:?}")));
        }
    }
}

fn spawn(invitation: &Invitation) -> io::Result<Process> {
    let mut command = Command::new(OWN_PROGRAM);
    if let Some(name) = std::env::args_os().next() {
        command.arg0(name);
    }
    // In a group of its own from the first moment, because Ctrl-C goes to the program's.
    command.process_group(0).env(VARIABLE, invitation.to_text()).stdin(Stdio::null());
    let child = command.spawn()?;
    Process::open_executed(child.id())
}

fn end(process: &Process) {
    process.kill();
    process.collect_within(PATIENCE);
}

/// Random bits that another user's process cannot guess.
fn random_token() -> u128 {
    use std::hash::{BuildHasher, RandomState};
    // Keyed by the system's random numbers, which is what `RandomState` is for.
    let half = || u128::from(RandomState::new().hash_one(process::own_pid()));
    half() << 64 | half()
}
