//! The worker's end of its link: an [`Inbox`] of frames to work on and an [`Outbox`] for what comes of them.
//!
//! The two are apart because a task borrows from the inbox while its result goes to the outbox. Results are written
//! into the ring at once and committed one by one, but published in batches: publishing costs the
//! parent a cache miss, and if this process dies the parent finds what was committed.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{Ordering, compiler_fence, fence};
use std::time::{Duration, Instant};

use super::bell::Bell;
use super::control::{Parcel, ParcelsIn, Setup};
use super::last_words::LastWords;
use super::layout::{self, Committed, INLINE_MAX, Leash, Progress, Running, SharedRing, SharedWords};
use super::region::Region;
pub(crate) use super::ring::Front;
use super::ring::{Consumer, Corrupt, Position, Producer};
pub(crate) use super::segment::Missing;
use super::segment::{Mapped, Segments, Supply};
use super::spin::Spin;
use crate::codec::ALIGN;
use crate::frame::{Entries, EntryHeader, FrameHeader, Kind, Status};
use crate::sys::clock::Nanos;
use crate::sys::memory;

/// Results wait no longer than this for their neighbours, if items are short enough to be batched at all.
const LONGEST_BATCH: Duration = Duration::from_micros(500);
/// Items between two glances at the clock, at most.
const MOST_UNTIMED: u32 = 16;

/// Builds both halves from what the parent sent, and the place for what is said in a panic.
pub(crate) fn adopt(setup: Setup) -> io::Result<(Inbox, Outbox, LastWords)> {
    let link = Arc::new(Region::adopt(setup.link));
    let bell = Arc::new(Region::adopt(setup.bell));
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
        spin: Spin::new(setup.terms.may_spin),
        parcels: setup.parcels,
    };
    let outbox = Outbox {
        results: Producer::new(SharedRing::results(link.clone())),
        own,
        parent: layout::parent_bell(&bell),
        progress,
        leash: Leash::new(link.clone()),
        segments: Segments::default(),
        grants: setup.grants,
        open: None,
        is_cut_off: false,
        published: Instant::now(),
        until_glance: 1,
        untimed: 1,
    };
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
        let start = Instant::now();
        let args = &self.args;
        if !self.spin.look(|| args.has_more()) {
            loop {
                let seen = self.bell.prepare();
                if self.args.has_more() {
                    self.bell.cancel();
                    break;
                }
                self.bell.sleep(seen, None);
                if self.args.has_more() {
                    break;
                }
            }
        }
        self.spin.learn(start.elapsed());
    }

    /// Makes sure that all of a frame can be read.
    ///
    /// # Errors
    ///
    /// If its only item lies in a segment that cannot be read. This end of the link is of no more use then.
    pub(crate) fn fetch(&mut self, front: &Front) -> Result<(), Missing> {
        match Entries::new(self.body(front)).next() {
            Some((EntryHeader { segment: 0, .. }, _)) | None => Ok(()),
            Some((entry, _)) => self.mapped.find(entry.segment, entry.len, &self.parcels).map(drop),
        }
    }

    /// The items of a frame, in place.
    pub(crate) fn items(&self, front: &Front) -> impl Iterator<Item = &[u8]> {
        Entries::new(self.body(front)).map(|(entry, bytes)| match entry.segment {
            0 => bytes,
            id => self.mapped.bytes(id, entry.len),
        })
    }

    fn body(&self, front: &Front) -> &[u8] {
        // SAFETY: the frame was checked by `front`, is released only by `release`, which takes `&mut self`, and
        // the parent leaves it alone until then, but for the word `revoked` of the header, which is not part of
        // the body.
        unsafe { self.args.memory().slice(front.body, front.header.size as usize) }
    }

    /// What the parent wants skipped of a frame: 0, or one of the marks of [`FrameHeader`].
    #[inline]
    pub(crate) fn mark(&self, front: &Front) -> u32 {
        let offset = front.body - FrameHeader::SIZE + FrameHeader::REVOKED_OFFSET;
        self.args.memory().word(offset).load(Ordering::Relaxed)
    }

    /// Gives the memory of a frame back to the parent.
    pub(crate) fn release(&mut self, front: Front) {
        self.args.release(front.end);
    }
}

/// Whether the time of a chunk's items counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    Runs,
    Stands,
}

/// Tells, on any thread of a worker, whether the item that runs should come to an end.
#[derive(Clone, Debug)]
pub(crate) struct Interruption {
    progress: Progress,
    leash: Leash,
}

impl Interruption {
    pub(crate) fn is_wanted(&self) -> bool {
        self.leash.is_interrupted(self.progress.running())
    }
}

/// Frames to the parent.
pub(crate) struct Outbox {
    results: Producer<SharedRing>,
    own: Rc<Bell<SharedWords>>,
    parent: Bell<SharedWords>,
    progress: Progress,
    leash: Leash,
    segments: Segments,
    grants: ParcelsIn,
    open: Option<Open>,
    is_cut_off: bool,
    /// When something was published last, or the chunk was begun.
    published: Instant,
    /// Items until the next glance at the clock, and how many were agreed on last time.
    until_glance: u32,
    untimed: u32,
}

/// A frame that is being written.
struct Open {
    at: Position,
    header: FrameHeader,
}

impl Open {
    fn end(&self) -> Position {
        self.at + (FrameHeader::SIZE + self.header.size as usize) as u64
    }
}

impl Outbox {
    /// Sends a frame that is no result. `entry` is as for [`commit`](Self::commit).
    pub(crate) fn send(&mut self, kind: Kind, status: Status, entry: &mut Vec<u8>) {
        self.put(FrameHeader::new(kind), status, entry);
        self.publish();
    }

    /// Says that a chunk comes next. What the parent wants skipped is to be looked at after this.
    pub(crate) fn begin_chunk(&mut self, chunk: u64) {
        self.published = Instant::now();
        self.progress.set_started(None);
        self.progress.set_running(Running { chunk: chunk as u32, item: 0, is_begun: false });
        fence(Ordering::SeqCst);
    }

    /// Says that this item is begun: if this process dies from now on, it is the one that is lost. False if the parent
    /// wants no item begun; then nothing was said, and the caller is to [`stand_by`](Self::stand_by).
    #[inline]
    pub(crate) fn begin_item(&self, chunk: u64, item: u32, clock: Clock) -> bool {
        let running = Running { chunk: chunk as u32, item, is_begun: true };
        self.progress.set_running(running);
        // The parent has this process execute a barrier after it halts it, so that either it sees the store or
        // this sees the halt.
        compiler_fence(Ordering::SeqCst);
        if self.leash.is_halted() {
            self.progress.set_running(Running { is_begun: false, ..running });
            return false;
        }
        if clock == Clock::Runs {
            self.progress.set_started(Some(Nanos::now()));
        }
        true
    }

    /// Says that the item that was begun came to its end.
    #[inline]
    pub(crate) fn end_item(&self, clock: Clock) {
        if clock == Clock::Runs {
            self.progress.set_started(None);
        }
    }

    /// Waits until the parent wants items begun again. It may end this process instead.
    pub(crate) fn stand_by(&mut self) {
        self.publish();
        wait_for(&self.own, || !self.leash.is_halted());
    }

    /// What tells a task whether it should come to an end.
    pub(crate) fn interruption(&self) -> Interruption {
        Interruption { progress: self.progress.clone(), leash: self.leash.clone() }
    }

    /// Tells whether nothing large can be sent from this process any more, so that another worker should go on.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.is_cut_off
    }

    /// Writes and commits the outcome of an item: the bytes in `entry` behind room for an [`EntryHeader`].
    #[inline]
    pub(crate) fn commit(&mut self, chunk: u64, item: u32, status: Status, entry: &mut Vec<u8>) {
        let header = FrameHeader { chunk, first: item, ..FrameHeader::new(Kind::Done) };
        self.put(header, status, entry);
        self.until_glance -= 1;
        if self.until_glance == 0 {
            self.glance();
        }
    }

    /// Commits the last item that this process begins, and says with it that it was the last.
    pub(crate) fn commit_last(&mut self, chunk: u64, item: u32, status: Status, entry: &mut Vec<u8>) {
        let revoked = FrameHeader::SPENT;
        let header = FrameHeader { chunk, first: item, revoked, ..FrameHeader::new(Kind::Done) };
        self.put(header, status, entry);
        self.publish();
    }

    /// Publishes what has waited for long enough, and settles when to look again.
    fn glance(&mut self) {
        let waited = self.published.elapsed();
        let count = self.open.as_ref().map_or(1, |open| open.header.count.max(1));
        let short = waited / count < Duration::from_micros(1);
        self.untimed = if short { (self.untimed * 2).min(MOST_UNTIMED) } else { 1 };
        self.until_glance = self.untimed;
        if waited >= LONGEST_BATCH {
            self.publish();
        }
    }

    /// Appends to the open frame or opens one like `header`.
    fn put(&mut self, header: FrameHeader, status: Status, entry: &mut Vec<u8>) {
        let len = entry.len() - EntryHeader::SIZE;
        if len > INLINE_MAX {
            return self.put_large(header, status, entry);
        }
        // Header, bytes and padding in one copy.
        entry[..EntryHeader::SIZE].copy_from_slice(&EntryHeader::inline(status, len).to_bytes());
        entry.resize(entry.len().next_multiple_of(ALIGN), 0);
        let at = self.place(header, entry.len());
        self.results.write(at, entry);
        self.count(entry.len(), status, header.revoked);
    }

    /// Puts bytes into a segment and its id into a frame of its own.
    fn put_large(&mut self, header: FrameHeader, status: Status, entry: &mut Vec<u8>) {
        self.publish();
        let bytes = &entry[EntryHeader::SIZE..];
        let len = bytes.len();
        let segments = &self.segments;
        wait_for(&self.own, || segments.has_room(self.results.consumed()));
        let released = self.results.consumed();
        let Self { results, own, parent, grants, .. } = self;
        let mut asking = Asking { results, own, parent, grants, is_cut_off: false };
        let put = self.segments.put(bytes, released, &mut asking);
        self.is_cut_off |= asking.is_cut_off;
        match put {
            Ok(segment) => {
                let at = self.place(header, EntryHeader::SIZE);
                self.results.write(at, &EntryHeader { len, status, segment }.to_bytes());
                self.count(EntryHeader::SIZE, status, header.revoked);
                if let Some(open) = &self.open {
                    self.segments.hold(segment, open.end());
                }
                self.publish();
            }
            Err(error) => {
                entry.truncate(EntryHeader::SIZE);
                entry.extend_from_slice(format!("no shared memory for {len} bytes: {error}").as_bytes());
                self.put(header, Status::EncodeFailed, entry);
            }
        }
    }

    /// Finds room for an entry, in the open frame if it is for the same chunk and has some.
    fn place(&mut self, header: FrameHeader, len: usize) -> Position {
        if let Some(open) = &self.open {
            let end = open.end();
            let same = open.header.chunk == header.chunk && open.header.size as usize + len <= INLINE_MAX;
            if same && self.results.can_extend(end + len as u64) {
                return end;
            }
            self.publish();
        }
        let needed = FrameHeader::SIZE + len;
        let at = loop {
            if let Some(at) = self.results.reserve(needed) {
                break at;
            }
            wait_for(&self.own, || self.results.reserve(needed).is_some());
        };
        self.results.write(at, &header.to_bytes());
        self.open = Some(Open { at, header });
        at + FrameHeader::SIZE as u64
    }

    /// Counts an entry that is complete; `mark` is for its frame.
    #[inline]
    fn count(&mut self, footprint: usize, status: Status, mark: u32) {
        let Some(open) = &mut self.open else { unreachable!("`place` opened a frame for this entry") };
        open.header.size += footprint as u32;
        open.header.count += 1;
        open.header.failed += u32::from(status != Status::Ok);
        open.header.revoked |= mark;
        self.progress.set_committed(Committed {
            start: Committed::tag(open.at),
            count: open.header.count,
            size: open.header.size,
        });
    }

    /// Sends the open frame, if there is one, and wakes the parent if it sleeps.
    pub(crate) fn publish(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        let now = Instant::now();
        open.header.task_or_nanos = (now - self.published).as_nanos() as u64;
        self.published = now;
        self.results.write(open.at, &open.header.to_bytes());
        self.results.publish(open.end());
        self.parent.ring();
    }
}

/// Where the outbox gets segments: the parent makes them.
struct Asking<'o> {
    results: &'o mut Producer<SharedRing>,
    own: &'o Bell<SharedWords>,
    parent: &'o Bell<SharedWords>,
    grants: &'o ParcelsIn,
    /// Nothing can be received any more.
    is_cut_off: bool,
}

impl Asking<'_> {
    /// Sends a frame of a header only.
    fn say(&mut self, header: FrameHeader) {
        wait_for(self.own, || self.results.reserve(FrameHeader::SIZE).is_some());
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
        wait_for(self.own, || {
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
            Some(Ok(Parcel::Room { .. } | Parcel::Forget { .. })) | None => {
                unreachable!("such an answer is not sent")
            }
        }
    }

    fn give_back(&mut self, id: u16) {
        self.say(FrameHeader { first: id.into(), ..FrameHeader::new(Kind::GiveBack) });
    }
}

/// Sleeps until the parent has taken so much that there is room; it rings after it took something.
fn wait_for(own: &Bell<SharedWords>, mut has_room: impl FnMut() -> bool) {
    while !has_room() {
        let seen = own.prepare();
        if has_room() {
            own.cancel();
            return;
        }
        own.sleep(seen, None);
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
