//! Unix sockets, as far as the library that makes ours leaves something to do.

use std::io;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

/// Connects to the socket of that name and hangs up at once.
pub(crate) fn knock(name: &str) -> io::Result<()> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    Ok(connect(&socket, &SocketAddrUnix::new(name)?)?)
}
