//! The memory of a link on its way to a worker.
//!
//! It waits until there is a worker, and meanwhile the program may execute others. Those would inherit ipc-channel's own
//! handles, kept ones and those that are just being sent: it copies descriptors without close-on-exec. So what is kept
//! and sent is a channel, with a message in it that brings the memory. Only the worker opens it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use ipc_channel::ipc::{self, IpcReceiver, IpcSharedMemory};
use serde::{Deserialize, Serialize};

use super::control::{guarded, to_io};
use super::region::Region;
use super::sealed::{descriptor_of, message};
use crate::sys::socket;

/// What the message says, in ipc-channel's words: two regions came along.
type Both = (IpcSharedMemory, IpcSharedMemory);

/// A channel with the memory of a link and that of its bell in it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Package {
    channel: IpcReceiver<()>,
}

/// A region, and its memory to be sent, unless ipc-channel made that: it does not give it away.
pub(super) type Sendable<'r> = (&'r Region, Option<&'r OwnedFd>);

impl Package {
    /// Puts the memory in.
    pub(super) fn pack(link: Sendable<'_>, bell: Sendable<'_>) -> io::Result<Self> {
        let (sender, channel) = ipc::channel::<()>()?;
        match (link.1, bell.1, descriptor_of(&sender)) {
            (Some(link), Some(bell), Some(descriptor)) => {
                socket::send_with_descriptors(descriptor, &message(2), [link.as_fd(), bell.as_fd()])?;
            }
            _ => {
                let both = (link.0.handle()?, bell.0.handle()?);
                guarded(|| sender.to_opaque().to::<Both>().send(both))?.map_err(to_io)?;
            }
        }
        Ok(Self { channel })
    }

    /// Takes it out, in the worker.
    pub(super) fn open(self) -> io::Result<(Region, Region)> {
        let channel = self.channel.to_opaque().to::<Both>();
        let (link, bell) = guarded(|| channel.try_recv())?.map_err(io::Error::other)?;
        Ok((Region::adopt(link), Region::adopt(bell)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packs two regions, writes to them and looks for that in what comes out.
    fn arrives(is_known: bool) {
        let made = [5000, 9000].map(|len| Region::with_file(len).unwrap());
        let [link, bell] = made.each_ref().map(|(region, file)| (region, file.as_ref().filter(|_| is_known)));
        let package = Package::pack(link, bell).unwrap();
        for (region, _) in &made {
            region.write(4000, &(region.len() as u64).to_ne_bytes());
        }
        let (sender, receiver) = ipc::channel().unwrap();
        sender.send(package).unwrap();
        let (link, bell) = receiver.recv().unwrap().open().unwrap();
        let mut words = [[0; 8]; 2];
        link.read(4000, &mut words[0]);
        bell.read(4000, &mut words[1]);
        assert_eq!(words.map(u64::from_ne_bytes), [5000, 9000]);
        assert_eq!((link.len(), bell.len()), (5000, 9000));
    }

    #[test]
    fn both_regions_come_out_at_the_other_end() {
        arrives(true);
    }

    #[test]
    fn memory_that_ipc_channel_made_arrives_too() {
        arrives(false);
    }
}
