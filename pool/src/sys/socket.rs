//! Unix sockets, as far as the library that makes ours leaves something to do.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, Shutdown, SocketAddrUnix, SocketFlags, SocketType, connect, recvmsg,
    sendmsg, shutdown, socket_with,
};

/// Where a process finds its own descriptors as files.
const OWN_DESCRIPTORS: &str = "/proc/self/fd/";

/// Can call at a socket with no more descriptors than it has, and when the name of that is gone.
pub(crate) struct Caller {
    socket: OwnedFd,
    /// The one to call at.
    other: OwnedFd,
}

impl Caller {
    /// For the socket of that name.
    pub(crate) fn new(name: &str) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let other = open(name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self {
            // Where a program closed its standard streams, this may have got one of their numbers.
            other: fcntl_dupfd_cloexec(&other, 3)?,
            socket: socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?,
        })
    }

    /// A name for it that this process has, and one that inherits its descriptor.
    pub(crate) fn name(&self) -> String {
        format!("{OWN_DESCRIPTORS}{}", self.other.as_raw_fd())
    }

    /// The descriptor behind that name.
    pub(crate) fn other(&self) -> BorrowedFd<'_> {
        self.other.as_fd()
    }

    /// Connects to it and hangs up at once.
    pub(crate) fn call(&self) -> io::Result<()> {
        connect(&self.socket, &SocketAddrUnix::new(self.name())?)?;
        Ok(shutdown(&self.socket, Shutdown::Both)?)
    }
}

/// Closes the descriptor that was inherited for this name.
pub(crate) fn forget(name: &str) {
    if let Some(Ok(descriptor)) = name.strip_prefix(OWN_DESCRIPTORS).map(str::parse) {
        // SAFETY: the parent left it open for this process alone, and nothing else here knows of it.
        drop(unsafe { OwnedFd::from_raw_fd(descriptor) });
    }
}

/// Sends one message that carries one descriptor or two.
pub(crate) fn send_with_descriptors<const N: usize>(
    socket: BorrowedFd<'_>,
    message: &[u8],
    descriptors: [BorrowedFd<'_>; N],
) -> io::Result<()> {
    const { assert!(N <= 2, "there is no room for more") };
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    let sent = sendmsg(socket, &[IoSlice::new(message)], &mut control, SendFlags::NOSIGNAL)?;
    if sent == message.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Takes a descriptor out of a message that is there already.
pub(crate) fn receive_descriptor(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut message = [0];
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    recvmsg(socket, &mut [IoSliceMut::new(&mut message)], &mut control, flags)?;
    let descriptors = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    // The kernel leaves it out where this process has no room for another one.
    descriptors.flatten().next().ok_or_else(|| io::Error::other("no descriptor came with the message"))
}
