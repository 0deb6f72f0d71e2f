//! Shared memory whose size is fixed for good.
//!
//! Memory that ipc-channel makes can be made shorter by every process that has it, and whoever touches it
//! beyond its new end dies of SIGBUS: the parent too, if a task writes to a descriptor that is not its own. The kernel can
//! seal the size, but only where that was provided for when the memory was made. ipc-channel does not provide for it, and it
//! takes foreign memory only out of a message. So this sends itself one.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use ipc_channel::ipc::{IpcReceiver, IpcSender, IpcSharedMemory};
use ipc_channel::platform::{self, OsIpcSender};

use super::control::guarded;
use crate::sys::{memory, socket};

/// Makes `len` zeroes that take no memory before they are written to; and returns the file that they are, unless ipc-channel
/// had to make it.
pub(super) fn zeroes(len: usize) -> io::Result<(IpcSharedMemory, Option<OwnedFd>)> {
    if is_understood()? {
        let file = memory::sealed(len)?;
        Ok((guarded(|| adopt(file.as_fd(), len))??, Some(file)))
    } else {
        drop(memory::sealed(len)?);
        Ok((guarded(|| IpcSharedMemory::from_byte(0, len))?, None))
    }
}

/// Tells whether ipc-channel words its messages as this file does. Another version may not; then there is memory, if no
/// seal on it.
fn is_understood() -> io::Result<bool> {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    if let Some(answer) = ANSWER.get() {
        return Ok(*answer);
    }
    let file = memory::sealed(1)?;
    match guarded(|| adopt(file.as_fd(), 1)) {
        Ok(Err(error)) if error.raw_os_error().is_some() => Err(error),
        outcome => Ok(*ANSWER.get_or_init(|| matches!(outcome, Ok(Ok(_))))),
    }
}

/// Has ipc-channel take memory over.
fn adopt(file: BorrowedFd<'_>, len: usize) -> io::Result<IpcSharedMemory> {
    let (sender, receiver) = platform::channel()?;
    let descriptor = descriptor_of(&sender).ok_or(io::ErrorKind::Unsupported)?;
    socket::send_with_descriptors(descriptor, &message(1), [file])?;
    // With the last sender gone the receiver does not wait, whatever it makes of the message.
    drop(sender);
    let memory: IpcSharedMemory = receiver.recv()?.to().map_err(io::Error::other)?;
    if memory.len() == len { Ok(memory) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// The first regions that came along, as ipc-channel words that: the length of the whole message, that of its body,
/// and the body, an index for each.
pub(super) fn message(regions: u8) -> Vec<u8> {
    let body: Vec<u8> = (0..regions).collect();
    let len = 2 * size_of::<usize>() + body.len();
    [&len.to_ne_bytes()[..], &body.len().to_ne_bytes(), &body].concat()
}

/// One of ipc-channel's ends of a channel. Nothing but its `Debug` tells its descriptor.
pub(super) trait End: fmt::Debug {
    /// What comes before and after the number.
    const WORDS: (&'static str, &'static str);
}

impl End for OsIpcSender {
    const WORDS: (&'static str, &'static str) = ("OsIpcSender { fd: SharedFileDescriptor(", ") }");
}

impl End for IpcSender<()> {
    const WORDS: (&'static str, &'static str) =
        ("IpcSender { os_sender: OsIpcSender { fd: SharedFileDescriptor(", ") }, phantom: PhantomData<()> }");
}

impl End for IpcReceiver<()> {
    const WORDS: (&'static str, &'static str) =
        ("IpcReceiver { os_receiver: OsIpcReceiver { fd: Cell { value: ", " } }, phantom: PhantomData<()> }");
}

/// The descriptor of an end of a channel.
pub(super) fn descriptor_of<E: End>(end: &E) -> Option<BorrowedFd<'_>> {
    let text = format!("{end:?}");
    let (before, after) = E::WORDS;
    let number = text.strip_prefix(before)?.strip_suffix(after)?.parse().ok()?;
    // SAFETY: the end, which is borrowed as long, says that this is its descriptor.
    Some(unsafe { BorrowedFd::borrow_raw(number) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_version_of_ipc_channel_is_understood() {
        assert!(is_understood().unwrap());
    }

    #[test]
    fn ipc_channel_takes_memory_over_that_is_sealed() {
        let file = memory::sealed(5000).unwrap();
        let memory = adopt(file.as_fd(), 5000).expect("this version's messages are as expected");
        assert_eq!((memory.len(), memory.iter().all(|byte| *byte == 0)), (5000, true));
        let error = std::fs::File::from(file).set_len(0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }
}
