//! Executes the program again and waits until the new process says hello.

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::handshake::{Identity, Invitation, VARIABLE};
use crate::start::Meanwhile;
use crate::sys::execute;
use crate::sys::process::{self, Process};
use crate::sys::thread::start_thread;
use crate::transport::control::{Door, Hello, Knocker, Orders};

/// How long a new process may take from its start to its first words. Loading a large program from a cold disk takes
/// seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often to see whether the process died instead of talking.
const GLANCE: Duration = Duration::from_millis(5);

/// How long the thread at the door may take to notice that nobody comes any more.
const LAST_CALL: Duration = Duration::from_secs(2);

/// An execution of the program that has not said hello yet. Dropped, it ends.
pub(crate) struct Guest {
    /// Until it is let in.
    process: Option<Process>,
    token: u128,
    identity: Identity,
    knocker: Knocker,
    hello: Receiver<io::Result<Hello>>,
    waiter: Option<JoinHandle<()>>,
}

impl Guest {
    /// Executes the program. It takes its time to load, in which the caller can do something else.
    pub(crate) fn invite(depth: u32) -> Result<Self, Error> {
        let identity = Identity::own()?;
        let (door, knocker) =
            Door::open().map_err(|error| Error::spawn("opening a socket for the handshake", error))?;
        let token = random_token();
        let invitation = Invitation { parent: process::own_pid(), depth, token, server: knocker.name() };
        let process = execute::own_program(VARIABLE, &invitation.to_text(), knocker.as_fd())
            .map_err(|error| Error::spawn("executing the program again", error))?;
        let (sender, hello) = mpsc::channel();
        let waiter = start_thread("pool-door", move || {
            // The receiver is gone if its patience was.
            let _ = sender.send(door.wait());
        });
        match waiter {
            Ok(waiter) => {
                let (process, waiter) = (Some(process), Some(waiter));
                Ok(Self { process, token, identity, knocker, hello, waiter })
            }
            Err(error) => {
                end(&process);
                Err(Error::spawn("starting a thread for the handshake", error))
            }
        }
    }

    /// Waits until it says hello; then it waits for orders.
    pub(crate) fn let_in(mut self, meanwhile: Meanwhile<'_>) -> Result<(Process, Orders), Error> {
        let Some(process) = &self.process else { unreachable!("it is let in once") };
        let hello = wait_for_hello(&self.hello, process, meanwhile);
        let Hello { token, identity, orders, reports } =
            hello.map_err(|error| Error::spawn("the handshake", error))?;
        let reason = match (token == self.token, identity == self.identity) {
            (true, true) => {
                let Some(process) = self.process.take() else { unreachable!("it was just looked at") };
                return Ok((process, Orders { orders, reports }));
            }
            (true, false) => "the executed program has other tasks than this one",
            (false, _) => "a stranger answered instead of the executed program",
        };
        Err(Error::spawn("the handshake", io::Error::other(reason)))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            // If it is at the door and says nothing, its end is what ends the wait.
            end(&process);
            self.knocker.knock();
        }
        // If a stranger stands in the door and says nothing, the thread is left alone.
        let is_over = !matches!(self.hello.recv_timeout(LAST_CALL), Err(RecvTimeoutError::Timeout));
        if let (true, Some(waiter)) = (is_over, self.waiter.take()) {
            let _ = waiter.join();
        }
    }
}

fn wait_for_hello(
    receiver: &Receiver<io::Result<Hello>>,
    process: &Process,
    meanwhile: Meanwhile<'_>,
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
        if !meanwhile() {
            return Err(io::Error::other("nobody wants it any more"));
        }
        if Instant::now() > deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {PATIENCE:?}")));
        }
    }
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
