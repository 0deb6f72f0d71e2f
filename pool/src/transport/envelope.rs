//! Constant memory on its way to a worker.
//!
//! Whatever memory comes by ipc-channel it maps for writing, which is what nobody may do here. A channel it passes on
//! unopened, and a descriptor can wait in one as well as a message. So that is what is sent: a channel that leads
//! nowhere, with the descriptor in it.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use ipc_channel::ipc::{self, IpcReceiver};
use serde::{Deserialize, Serialize};

use super::sealed::descriptor_of;
use crate::sys::socket;

/// A channel with a descriptor in it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Envelope {
    channel: IpcReceiver<()>,
}

impl Envelope {
    /// Puts a descriptor in.
    pub(super) fn seal(file: BorrowedFd<'_>) -> io::Result<Self> {
        let (sender, channel) = ipc::channel::<()>()?;
        socket::send_with_descriptors(descriptor_of(&sender).ok_or_else(not_understood)?, &[0], [file])?;
        Ok(Self { channel })
    }

    /// Takes it out.
    pub(super) fn open(self) -> io::Result<OwnedFd> {
        socket::receive_descriptor(descriptor_of(&self.channel).ok_or_else(not_understood)?)
    }
}

/// Another version of ipc-channel may not say which descriptors its channels have.
fn not_understood() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "this version of ipc-channel does not tell its descriptors")
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::sys::memory::{self, Constant};

    #[test]
    fn what_was_put_in_comes_out_at_the_other_end_of_another_channel() {
        let file = memory::constant(b"as it is").unwrap();
        let (sender, receiver) = ipc::channel::<Envelope>().unwrap();
        sender.send(Envelope::seal(file.as_fd()).unwrap()).unwrap();
        drop(file);
        let arrived = receiver.recv().unwrap().open().unwrap();
        assert_eq!(Constant::map(arrived.as_fd()).unwrap().bytes(), b"as it is");
    }
}
