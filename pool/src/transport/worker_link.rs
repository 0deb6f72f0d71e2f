//! The worker's end of its link: an [`Inbox`] of frames to work on and an [`Outbox`] for what comes of them.
//!
//! The two are apart because a task borrows from the inbox while its result goes to the outbox.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use super::bell::Bell;
use super::control::{ParcelsIn, Setup, WorkerEnd};
use super::last_words::LastWords;
use super::layout::{self, Progress, Running, SharedRing, SharedWords};
use super::outbox::Outbox;
pub(crate) use super::ring::Front;
use super::ring::{Consumer, Corrupt};
use super::segment::Mapped;
pub(crate) use super::segment::Missing;
use super::spin::Spin;
use crate::body::{Items, Shape};
use crate::frame::FrameHeader;

/// Builds both halves from what the parent sent, and the place for what is said in a panic.
pub(crate) fn adopt(setup: Setup) -> io::Result<(Inbox, Outbox, LastWords)> {
    let Setup { end: WorkerEnd { memory, parcels, grants }, terms } = setup;
    let (link, bell) = memory.open()?;
    let (link, bell) = (Arc::new(link), Arc::new(bell));
    if link.len() != layout::LINK || bell.len() != layout::BELL {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the regions are of another layout"));
    }
    layout::protect(&link, &bell)?;
    let own = Rc::new(layout::worker_bell(&link));
    let progress = Progress::new(link.clone());
    progress.set_running(Running::default());
    let inbox = Inbox {
        args: Consumer::new(SharedRing::args(link.clone())),
        bell: own.clone(),
        mapped: Mapped::default(),
        spin: Spin::of_worker(terms.may_spin),
        parcels,
    };
    let outbox = Outbox::new(&link, &bell, own, progress, grants);
    Ok((inbox, outbox, LastWords::new(link)))
}

/// Frames from the parent. It is trusted: it could run any code in this process anyway.
pub(crate) struct Inbox {
    args: Consumer<SharedRing>,
    bell: Rc<Bell<SharedWords>>,
    mapped: Mapped,
    parcels: ParcelsIn,
    spin: Spin,
}

impl Inbox {
    /// Waits for the next frame; [`fetch`](Self::fetch) comes before its items.
    pub(crate) fn next(&mut self) -> Result<Front, Corrupt> {
        if !self.args.has_more() {
            self.wait();
        }
        loop {
            if let Some(front) = self.args.front()? {
                return Ok(front);
            }
            self.wait();
        }
    }

    fn wait(&mut self) {
        let (args, bell) = (&self.args, &self.bell);
        self.spin.wait(|| args.has_more(), || bell.wait_until(|| args.has_more()));
    }

    /// Makes sure that all of a frame can be read.
    ///
    /// # Errors
    ///
    /// If its only item lies in a segment that cannot be read. This end of the link is of no more use then.
    pub(crate) fn fetch(&mut self, front: &Front) -> Result<(), Missing> {
        let Some((entry, _)) = self.entries(front).next().filter(|(entry, _)| entry.segment != 0) else {
            return Ok(());
        };
        // To look costs some microseconds, and in a steady state nothing comes.
        if front.header.failed & FrameHeader::PARCELS != 0 {
            self.mapped.unpack(&self.parcels)?;
        }
        self.mapped.find(entry.segment, entry.len).map(drop)
    }

    /// Takes the shared value that a frame speaks of.
    ///
    /// # Errors
    ///
    /// If it cannot be received. This end of the link is of no more use then.
    pub(crate) fn take_share(&mut self, id: u64) -> Result<OwnedFd, Missing> {
        self.mapped.take_share(id, &self.parcels)
    }

    /// The items of a frame, in place.
    #[inline]
    pub(crate) fn items(&self, front: &Front) -> impl Iterator<Item = &[u8]> {
        self.entries(front).map(|(entry, bytes)| match entry.segment {
            0 => bytes,
            id => self.mapped.bytes(id, entry.len),
        })
    }

    fn entries(&self, front: &Front) -> Items<'_> {
        Items::new(Shape::from_raw(front.header.shape), front.header.count, self.body(front))
    }

    fn body(&self, front: &Front) -> &[u8] {
        // SAFETY: the frame was checked by `front`, is released only by `release`, which takes `&mut self`, and
        // the parent leaves it alone until then, but for the word `revoked` of the header, which is not part of
        // the body.
        unsafe { self.args.memory().slice(front.body, front.header.size as usize) }
    }

    /// Where the parent says what it wants skipped of a frame: 0, or one of the marks of [`FrameHeader`].
    pub(crate) fn mark(&self, front: &Front) -> &AtomicU32 {
        let offset = front.body - FrameHeader::SIZE + FrameHeader::REVOKED_OFFSET;
        self.args.memory().word(offset)
    }

    /// Gives the memory of a frame back to the parent.
    pub(crate) fn release(&mut self, front: Front) {
        self.args.release(front.end);
    }
}

impl Mapped {
    /// The first bytes of a segment that was found before.
    fn bytes(&self, id: u16, len: usize) -> &[u8] {
        let region = self.get(id).unwrap_or_else(|| unreachable!("`fetch` found segment {id}"));
        // SAFETY: the parent writes to a segment only when the frame that speaks of it was released.
        unsafe { region.slice(0, len) }
    }
}
