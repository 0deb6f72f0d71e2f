//! The control plane: ipc-channel's part of the work.
//!
//! Few and small messages, so that a send never blocks: who a process is, the memory of its link, requests to a
//! zygote, and segments before their first use.

use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use ipc_channel::ipc::{self, IpcOneShotServer, IpcReceiver, IpcSender, IpcSharedMemory};
use ipc_channel::{IpcError, TryRecvError};
use serde::{Deserialize, Serialize};

use super::envelope::Envelope;
use super::package::Package;
use crate::conditions::Conditions;
use crate::handshake::Identity;
use crate::share::original::Original;
use crate::sys::{descriptors, socket};

/// What an executed or forked helper process is told to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Become a worker.
    Serve(Setup),
    /// Fork a worker.
    Fork(Setup),
    /// Fork another process that waits for orders, at the other ends of these.
    Copy(IpcReceiver<Order>, IpcSender<Report>),
}

/// All that a worker needs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    pub(crate) end: WorkerEnd,
    pub(crate) terms: Terms,
}

/// The worker's end of a link.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WorkerEnd {
    pub(crate) memory: Package,
    /// Segments with arguments.
    pub(crate) parcels: ParcelsIn,
    /// Segments for results, as the worker wants them.
    pub(crate) grants: ParcelsIn,
}

/// What a new worker is told beside its link.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Terms {
    /// Process id of the program that owns the pool.
    pub(crate) parent: u32,
    /// How deep in pools the worker is; the program itself is at 0.
    pub(crate) depth: u32,
    /// Whether an idle worker may spin for a moment before it sleeps.
    pub(crate) may_spin: bool,
    /// Whether the worker is an image of the program's memory, whose exit handlers are not its own.
    pub(crate) is_image: bool,
    pub(crate) conditions: Conditions,
}

/// A segment on its way to who will read it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Parcel {
    /// See whether there is room for the segment that comes next: where there is none, the library that maps it panics.
    Room { id: u16, len: usize },
    /// Map this under this id, in place of what had the id before.
    Segment { id: u16, memory: IpcSharedMemory },
    /// Unmap it.
    Forget { id: u16 },
    /// Map this for reading, and keep it under this id: a shared value.
    Share { id: u64, memory: Envelope },
    /// The segment that was wanted cannot be had.
    Denied { reason: String },
}

/// First words of an executed process: it is there, and this is where orders go and reports come from.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) token: u128,
    pub(crate) identity: Identity,
    pub(crate) orders: IpcSender<Order>,
    pub(crate) reports: IpcReceiver<Report>,
}

/// What a zygote answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The new process's id.
    Forked(u32),
    /// The system's error number.
    Failed(i32),
}

/// The parent's end of a channel to a helper process.
#[derive(Debug)]
pub(crate) struct Orders {
    pub(crate) orders: IpcSender<Order>,
    pub(crate) reports: IpcReceiver<Report>,
}

/// The helper's end.
#[derive(Debug)]
pub(crate) struct Helm {
    pub(crate) orders: IpcReceiver<Order>,
    pub(crate) reports: IpcSender<Report>,
}

impl Orders {
    /// Makes both ends in one process, which will fork.
    pub(crate) fn pair() -> io::Result<(Orders, Helm)> {
        let (orders, orders_end) = ipc::channel()?;
        let (reports_end, reports) = ipc::channel()?;
        Ok((Orders { orders, reports }, Helm { orders: orders_end, reports: reports_end }))
    }

    /// Sends an order. None brings memory that the library would map, so this takes no descriptor.
    pub(crate) fn send(&self, order: Order) -> io::Result<()> {
        self.orders.send(order).map_err(to_io)
    }

    /// Has a zygote make another one at the other end of a channel; returns its process id.
    pub(crate) fn copy(&self, helm: Helm, patience: Duration, goes_on: &mut dyn FnMut() -> bool) -> Forked {
        self.send(Order::Copy(helm.orders, helm.reports))?;
        self.forked(patience, goes_on)
    }

    /// Waits for the oldest answer of a zygote: the id of the process that it made.
    pub(crate) fn forked(&self, patience: Duration, goes_on: &mut dyn FnMut() -> bool) -> Forked {
        Ok(match receive_within(&self.reports, patience, goes_on)? {
            Report::Forked(pid) => Ok(pid),
            Report::Failed(errno) => Err(io::Error::from_raw_os_error(errno)),
        })
    }
}

/// A process id, or why the zygote could make none; or, outside, why it gave no answer.
pub(crate) type Forked = io::Result<io::Result<u32>>;

fn receive_within<T>(
    receiver: &IpcReceiver<T>,
    patience: Duration,
    goes_on: &mut dyn FnMut() -> bool,
) -> io::Result<T>
where
    T: for<'de> Deserialize<'de> + Serialize,
{
    /// How often to ask whether to go on waiting.
    const GLANCE: Duration = Duration::from_millis(50);
    let deadline = Instant::now().checked_add(patience);
    loop {
        match receiver.try_recv_timeout(GLANCE) {
            Ok(message) => return Ok(message),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::IpcError(IpcError::Io(error)))
                if error.kind() == io::ErrorKind::Interrupted => {}
            Err(TryRecvError::IpcError(error)) => return Err(to_io(error)),
        }
        if deadline.is_some_and(|deadline| Instant::now() > deadline) || !goes_on() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {patience:?}")));
        }
    }
}

impl Helm {
    /// Says hello to the parent that executed this process.
    pub(crate) fn report_to(server: &str, token: u128, identity: Identity) -> io::Result<Helm> {
        let (orders, helm) = Orders::pair()?;
        let door = IpcSender::<Hello>::connect(server.to_owned())?;
        socket::forget(server);
        door.send(Hello { token, identity, orders: orders.orders, reports: orders.reports })
            .map_err(to_io)?;
        Ok(helm)
    }

    /// Waits for the next order; `None` when there will be none.
    pub(crate) fn next(&self) -> Option<Order> {
        loop {
            match self.orders.recv() {
                Ok(order) => return Some(order),
                Err(IpcError::Io(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    }

    /// Answers; false if nobody listens any more.
    pub(crate) fn report(&self, report: Report) -> bool {
        self.reports.send(report).is_ok()
    }
}

/// Where an executed process says hello: the first that comes is heard.
pub(crate) struct Door(IpcOneShotServer<Hello>);

/// Longest name that a Unix socket takes. The library cuts a longer one, and makes a socket of that name.
const LONGEST_NAME: usize = 107;
/// What the library adds to the directory for temporary files.
const NAME_IN_DIRECTORY: &str = "/.tmp123456/socket";

impl Door {
    /// Opens one that has no name in the file system any more: whoever has, or inherits, the descriptor of the
    /// [`Knocker`] finds it.
    pub(crate) fn open() -> io::Result<(Self, Knocker)> {
        check_directory(&std::env::current_dir()?.join(std::env::temp_dir()))?;
        let (server, name) = IpcOneShotServer::new()?;
        let caller = socket::Caller::new(&name);
        let _ = fs::remove_file(&name);
        // To remove it the library opens it, for which there may be no descriptor.
        let _ = Path::new(&name).parent().map(fs::remove_dir);
        Ok((Self(server), Knocker(caller?)))
    }

    /// Waits until somebody calls; blocks, so run it on a thread of its own.
    pub(crate) fn wait(self) -> io::Result<Hello> {
        // The accepted socket is not close-on-exec; it goes at once. A message that was not made by this library may panic.
        guarded(|| self.0.accept())?.map(|(_, hello)| hello).map_err(to_io)
    }
}

/// Sees whether a socket in this directory can be named.
fn check_directory(directory: &Path) -> io::Result<()> {
    let invalid = |reason| Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    // The library panics.
    let Some(name) = directory.to_str() else {
        return invalid(format!("TMPDIR is not UTF-8: {directory:?}"));
    };
    let name = name.trim_end_matches('/');
    if name.len() + NAME_IN_DIRECTORY.len() > LONGEST_NAME {
        let reason = "a socket's name in it would have over";
        return invalid(format!("TMPDIR is too long: {reason} {LONGEST_NAME} bytes: `{name}`"));
    }
    Ok(())
}

/// Knows where a [`Door`] is, and can call there without a further descriptor.
pub(crate) struct Knocker(socket::Caller);

impl Knocker {
    /// What a process that inherits the descriptor connects to.
    pub(crate) fn name(&self) -> String {
        self.0.name()
    }

    /// The descriptor to inherit.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.other()
    }

    /// Ends a [`wait`](Door::wait): the caller has nothing to say. It does nothing if somebody else got in.
    pub(crate) fn knock(&self) {
        let _ = self.0.call();
    }
}

/// The end of a channel for parcels that is the parent's. There is none the other way: a receiver believes its sender
/// about lengths, waits for what is announced and takes in every descriptor, which the parent cannot afford with
/// a task's process at the other end.
pub(crate) struct ParcelsOut {
    sender: IpcSender<Parcel>,
}

/// The worker's end.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ParcelsIn {
    receiver: IpcReceiver<Parcel>,
}

/// Makes a channel for parcels.
pub(crate) fn parcels() -> io::Result<(ParcelsOut, ParcelsIn)> {
    let (sender, receiver) = ipc::channel()?;
    Ok((ParcelsOut { sender }, ParcelsIn { receiver }))
}

impl ParcelsOut {
    pub(crate) fn send(&self, parcel: Parcel) -> io::Result<()> {
        match parcel {
            Parcel::Segment { .. } => guarded(|| self.sender.send(parcel))?,
            // What brings no memory that the library would map takes no descriptor, and says that there is none.
            Parcel::Room { .. } | Parcel::Forget { .. } | Parcel::Share { .. } | Parcel::Denied { .. } => {
                self.sender.send(parcel)
            }
        }
        .map_err(to_io)
    }

    pub(crate) fn send_share(&self, share: &Original) -> io::Result<()> {
        self.send(Parcel::Share { id: share.id(), memory: Envelope::seal(share.file())? })
    }
}

impl ParcelsIn {
    /// Takes a parcel that is there already.
    pub(crate) fn take(&self) -> io::Result<Parcel> {
        loop {
            match guarded(|| self.receiver.try_recv())? {
                Ok(parcel) => return Ok(parcel),
                Err(TryRecvError::IpcError(IpcError::Io(error)))
                    if error.kind() == io::ErrorKind::Interrupted => {}
                Err(TryRecvError::IpcError(error)) => return Err(to_io(error)),
                Err(TryRecvError::Empty) => return Err(io::ErrorKind::WouldBlock.into()),
            }
        }
    }
}

/// Calls the library where it handles shared memory: there it panics if descriptors or address space run out.
pub(super) fn guarded<R>(call: impl FnOnce() -> R) -> io::Result<R> {
    descriptors::probe(DESCRIPTORS)?;
    catch_unwind(AssertUnwindSafe(call))
        .map_err(|_| io::Error::new(io::ErrorKind::OutOfMemory, "shared memory could not be mapped"))
}

/// What one of those calls needs at the most.
const DESCRIPTORS: usize = 4;

pub(super) fn to_io(error: IpcError) -> io::Error {
    match error {
        IpcError::Io(error) => error,
        IpcError::Disconnected => io::ErrorKind::BrokenPipe.into(),
        IpcError::SerializationError(error) => io::Error::other(error),
    }
}
