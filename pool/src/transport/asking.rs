//! How a worker gets segments for its results: it asks its parent, which makes them.

use std::io;

use super::bell::Bell;
use super::control::{Parcel, ParcelsIn};
use super::layout::{SharedRing, SharedWords};
use super::region::Region;
use super::ring::Producer;
use super::segment::Supply;
use crate::frame::{FrameHeader, Kind};
use crate::sys::memory;

/// Where the outbox gets segments: the parent makes them.
pub(super) struct Asking<'o> {
    pub(super) results: &'o mut Producer<SharedRing>,
    pub(super) own: &'o Bell<SharedWords>,
    pub(super) parent: &'o Bell<SharedWords>,
    pub(super) grants: &'o ParcelsIn,
    /// Nothing can be received any more.
    pub(super) is_cut_off: bool,
}

impl Asking<'_> {
    /// Sends a frame of a header only.
    pub(super) fn say(&mut self, header: FrameHeader) {
        self.own.wait_for_room(|| self.results.reserve(FrameHeader::SIZE).is_some());
        let Some(at) = self.results.reserve(FrameHeader::SIZE) else {
            unreachable!("the room that was waited for stays until it is used")
        };
        self.results.write(at, &header.to_bytes());
        self.results.publish(at + FrameHeader::SIZE as u64);
        self.parent.ring();
    }
}

impl Supply for Asking<'_> {
    fn make(&mut self, id: u16, len: usize) -> io::Result<Region> {
        // Where there is no room, the library that maps it panics.
        memory::sealed(len)?;
        self.say(FrameHeader { first: id.into(), chunk: len as u64, ..FrameHeader::new(Kind::Want) });
        let mut answer = None;
        self.own.wait_until(|| {
            answer = match self.grants.take() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
                other => Some(other),
            };
            answer.is_some()
        });
        match answer {
            Some(Ok(Parcel::Segment { memory, .. })) => Ok(Region::adopt(memory)),
            Some(Ok(Parcel::Denied { reason })) => Err(io::Error::other(reason)),
            Some(Err(error)) => {
                // It was made, and cannot be mapped here; or a task closed the channel.
                self.is_cut_off = error.kind() != io::ErrorKind::OutOfMemory;
                self.give_back(id);
                Err(error)
            }
            Some(Ok(Parcel::Room { .. } | Parcel::Forget { .. } | Parcel::Share { .. })) | None => {
                unreachable!("such an answer is not sent")
            }
        }
    }

    fn give_back(&mut self, id: u16) {
        self.say(FrameHeader { first: id.into(), ..FrameHeader::new(Kind::GiveBack) });
    }
}
