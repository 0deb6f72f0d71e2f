//! The way of results from a worker to its parent.
//!
//! Results are written into the ring at once and committed one by one, but published in batches: publishing costs the
//! parent a cache miss, and if this process dies the parent finds what was committed.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{Ordering, compiler_fence, fence};
use std::time::{Duration, Instant};

use super::asking::Asking;
use super::bell::Bell;
use super::control::ParcelsIn;
use super::layout::{self, Committed, Holds, INLINE_MAX, Leash, Progress, Running, SharedRing, SharedWords};
use super::region::Region;
use super::ring::{Position, Producer};
use super::segment::Segments;
use crate::body::{EntryHeader, Shape};
use crate::codec::{ALIGN, CodecError, Room};
use crate::frame::{FrameHeader, Kind, Status};
use crate::handshake;
use crate::id::TaskId;
use crate::sys::clock::Nanos;
use crate::sys::process;

/// Results wait no longer than this for their neighbours, if items are short enough to be batched at all.
const LONGEST_BATCH: Duration = Duration::from_micros(500);
/// Time and items between two glances at the clock, at most, if items are as short as those before them.
const LONGEST_UNTIMED: Duration = Duration::from_micros(10);
const MOST_UNTIMED: u32 = 64;

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
    /// Tells the worker from a child that a task forked.
    generation: u32,
    segments: Segments,
    holds: Holds,
    moved: Option<Moved>,
    grants: ParcelsIn,
    open: Option<Open>,
    /// Whose results these are.
    task: TaskId,
    /// A task whose results were of several lengths, so that they are not packed.
    varied: Option<TaskId>,
    is_cut_off: bool,
    /// When something was published last, or the chunk was begun.
    published: Instant,
    /// Items until the next glance at the clock, and how many were agreed on last time.
    until_glance: u32,
    untimed: u32,
}

/// A large outcome that is being written, or was.
#[derive(Debug)]
struct Moved {
    segment: u16,
    len: usize,
}

/// A frame that is being written.
struct Open {
    at: Position,
    header: FrameHeader,
    shape: Shape,
    /// Where the next item goes.
    end: Position,
    /// Bytes from there on that are certainly free.
    room: usize,
    /// The length of outcomes that are just copied there; [`OTHER`](Self::OTHER) if each needs more than that.
    usual: usize,
}

impl Open {
    /// No outcome is of this length.
    const OTHER: usize = usize::MAX;

    /// Tells whether an outcome can be in this frame; if so, how many bytes its header takes.
    #[inline]
    fn takes(&self, chunk: u64, status: Status, len: usize) -> Option<usize> {
        if self.header.chunk != chunk {
            return None;
        }
        match self.shape {
            Shape::Entries => Some(EntryHeader::SIZE),
            Shape::Packed(packed) => (status == Status::Ok && len == usize::from(packed)).then_some(0),
        }
    }
}

impl Outbox {
    /// The outbox of the worker with this link, which sleeps on `own`.
    pub(super) fn new(
        link: &Arc<Region>,
        bell: &Arc<Region>,
        own: Rc<Bell<SharedWords>>,
        progress: Progress,
        grants: ParcelsIn,
    ) -> Self {
        Self {
            results: Producer::new(SharedRing::results(link.clone())),
            own,
            parent: layout::parent_bell(bell),
            progress,
            leash: Leash::new(link.clone()),
            generation: process::fork_generation(),
            segments: Segments::default(),
            holds: Holds::new(link.clone()),
            moved: None,
            grants,
            open: None,
            task: TaskId::from_raw(0),
            varied: None,
            is_cut_off: false,
            published: Instant::now(),
            until_glance: 1,
            untimed: 1,
        }
    }

    /// Sends a frame that is no result.
    pub(crate) fn send(&mut self, kind: Kind, status: Status, bytes: &mut Vec<u8>) {
        self.put(FrameHeader::new(kind), status, bytes);
        self.publish();
    }

    /// Says that the parcel with a shared value was taken.
    pub(crate) fn say_kept(&mut self, id: u64) {
        self.publish();
        let Self { results, own, parent, grants, .. } = self;
        let mut asking = Asking { results, own, parent, grants, is_cut_off: false };
        asking.say(FrameHeader { chunk: id, ..FrameHeader::new(Kind::Kept) });
    }

    /// Says that a chunk comes next. What the parent wants skipped is to be looked at after this.
    pub(crate) fn begin_chunk(&mut self, chunk: u64, task: TaskId) {
        self.published = Instant::now();
        self.task = task;
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
        self.own.wait_until(|| !self.leash.is_halted());
    }

    /// What tells a task whether it should come to an end.
    pub(crate) fn interruption(&self) -> Interruption {
        Interruption { progress: self.progress.clone(), leash: self.leash.clone() }
    }

    /// Tells whether nothing large can be sent from this process any more, so that another worker should go on.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.is_cut_off
    }

    /// Writes and commits the outcome of an item.
    #[inline]
    pub(crate) fn commit(&mut self, chunk: u64, item: u32, status: Status, bytes: &mut Vec<u8>) {
        if !self.put_usual(status, bytes) && !self.put_next(chunk, status, bytes) {
            self.put(FrameHeader { chunk, first: item, ..FrameHeader::new(Kind::Done) }, status, bytes);
        }
        self.until_glance -= 1;
        if self.until_glance == 0 {
            self.glance();
        }
    }

    /// Commits the last item that this process begins, and says with it that it was the last.
    pub(crate) fn commit_last(&mut self, chunk: u64, item: u32, status: Status, bytes: &mut Vec<u8>) {
        self.publish();
        let revoked = FrameHeader::SPENT;
        let header = FrameHeader { chunk, first: item, revoked, ..FrameHeader::new(Kind::Done) };
        self.put(header, status, bytes);
        self.publish();
    }

    /// Publishes what has waited for long enough, and settles when to look again.
    fn glance(&mut self) {
        let waited = self.published.elapsed();
        let count = self.open.as_ref().map_or(1, |open| open.header.count.max(1));
        let each = (waited / count).as_nanos().max(1);
        let untimed = (LONGEST_UNTIMED.as_nanos() / each).clamp(1, MOST_UNTIMED.into()) as u32;
        self.untimed = untimed.min(self.untimed * 2);
        self.until_glance = self.untimed;
        if waited >= LONGEST_BATCH {
            self.publish();
        }
    }

    /// Appends an outcome to the open frame if it is as those before it, which is what most are; only
    /// [`commit`](Self::commit) calls it, whose frames are published at the end of a chunk.
    #[inline]
    fn put_usual(&mut self, status: Status, bytes: &[u8]) -> bool {
        let Some(open) = &mut self.open else { return false };
        if bytes.len() != open.usual || bytes.len() > open.room || status != Status::Ok {
            return false;
        }
        self.results.write(open.end, bytes);
        Self::count(open, &self.progress, bytes.len(), status);
        true
    }

    /// Appends an outcome to the open frame; false if it does not belong there or there may be no room. A large one does
    /// not belong there, and no frame is open then.
    fn put_next(&mut self, chunk: u64, status: Status, bytes: &mut Vec<u8>) -> bool {
        let Some(open) = &mut self.open else { return false };
        let len = bytes.len();
        let Some(header) = open.takes(chunk, status, len) else { return false };
        let footprint = header + len.next_multiple_of(ALIGN);
        if footprint > open.room {
            return false;
        }
        if len % ALIGN != 0 {
            bytes.resize(len.next_multiple_of(ALIGN), 0);
        }
        if header > 0 {
            self.results.write(open.end, &EntryHeader::inline(status, len).to_bytes());
        }
        self.results.write(open.end + header as u64, bytes);
        Self::count(open, &self.progress, footprint, status);
        true
    }

    /// Counts an outcome that is complete.
    #[inline]
    fn count(open: &mut Open, progress: &Progress, footprint: usize, status: Status) {
        open.end += footprint as u64;
        open.room -= footprint;
        open.header.size += footprint as u32;
        open.header.count += 1;
        open.header.failed += u32::from(status != Status::Ok);
        progress.set_committed(Committed {
            start: Committed::tag(open.at),
            count: open.header.count,
            size: open.header.size,
        });
    }

    /// Appends an outcome to the open frame if it fits, or opens one like `header`.
    fn put(&mut self, header: FrameHeader, status: Status, bytes: &mut Vec<u8>) {
        if let Some(moved) = &self.moved {
            if status == Status::Ok {
                return self.put_moved(header, status);
            }
            // It failed on the way.
            self.segments.hold(moved.segment, 0);
            self.moved = None;
        }
        if bytes.len() > INLINE_MAX - EntryHeader::SIZE {
            return self.put_large(header, status, bytes);
        }
        self.make_room(header, status, bytes.len());
        let is_put = self.put_next(header.chunk, status, bytes);
        debug_assert!(is_put, "there is room now");
    }

    /// Puts bytes that were written elsewhere into a segment.
    fn put_large(&mut self, header: FrameHeader, status: Status, bytes: &mut Vec<u8>) {
        match self.append(bytes, 0) {
            Ok(_) => self.put_moved(header, status),
            Err(error) => {
                bytes.clear();
                bytes.extend_from_slice(error.to_string().as_bytes());
                self.put(header, Status::EncodeFailed, bytes);
            }
        }
    }

    /// Puts the id of the segment with the outcome into a frame of its own.
    fn put_moved(&mut self, header: FrameHeader, status: Status) {
        let Some(Moved { segment, len }) = self.moved.take() else { return };
        self.publish();
        self.open(header, Shape::Entries, EntryHeader::SIZE);
        let Some(open) = &mut self.open else { unreachable!("it was just opened") };
        self.results.write(open.end, &EntryHeader { len, status, segment }.to_bytes());
        Self::count(open, &self.progress, EntryHeader::SIZE, status);
        self.segments.hold(segment, open.end);
        self.publish();
    }

    /// Finds a segment of that size for the outcome, and moves what there is of it there.
    fn grow(&mut self, needed: usize) -> io::Result<Moved> {
        /// Memory that is not touched costs nothing.
        const GROWTH: usize = 4;
        // Such a child may come here before its task's end is noticed, and would take what the worker is sent.
        if !process::is_generation(self.generation) {
            process::exit_at_once(handshake::EXIT_FORKED);
        }
        self.publish();
        let (segments, holds) = (&self.segments, &self.holds);
        self.own.wait_for_room(|| segments.has_room(self.results.consumed(), holds.all()));
        let old = self.moved.take();
        let wanted = old
            .as_ref()
            .map_or(needed, |old| needed.max(GROWTH.saturating_mul(self.segments.region(old.segment).len())));
        let released = self.results.consumed();
        let Self { results, own, parent, grants, .. } = self;
        let mut asking = Asking { results, own, parent, grants, is_cut_off: false };
        let mut taken = self.segments.take(wanted, released, self.holds.all(), &mut asking);
        if taken.is_err() && wanted > needed && !asking.is_cut_off {
            taken = self.segments.take(needed, released, self.holds.all(), &mut asking);
        }
        self.is_cut_off |= asking.is_cut_off;
        if let (Ok(new), Some(old)) = (&taken, &old) {
            self.segments.region(*new).copy_from(self.segments.region(old.segment), old.len);
        }
        if let Some(old) = &old {
            self.segments.hold(old.segment, 0);
        }
        Ok(Moved { segment: taken?, len: old.map_or(0, |old| old.len) })
    }

    /// Finds room for an outcome, in the open frame if it belongs there.
    fn make_room(&mut self, header: FrameHeader, status: Status, len: usize) {
        let footprint = |header: usize| header + len.next_multiple_of(ALIGN);
        if let Some(open) = &mut self.open {
            if let Some(header) = open.takes(header.chunk, status, len) {
                let most = INLINE_MAX - open.header.size as usize;
                open.room = self.results.room_after(open.end).min(most);
                if footprint(header) <= open.room {
                    return;
                }
            } else if open.header.chunk == header.chunk && status == Status::Ok {
                self.varied = Some(self.task);
            }
            self.publish();
        }
        let packs =
            status == Status::Ok && header.kind() == Some(Kind::Done) && self.varied != Some(self.task);
        match Shape::of_one(len) {
            shape @ Shape::Packed(_) if packs => self.open(header, shape, footprint(0)),
            _ => self.open(header, Shape::Entries, footprint(EntryHeader::SIZE)),
        }
    }

    /// Opens a frame like `header` with room for that many bytes of a body.
    fn open(&mut self, header: FrameHeader, shape: Shape, size: usize) {
        let header = FrameHeader { shape: shape.to_raw(), ..header };
        let needed = FrameHeader::SIZE + size;
        let at = loop {
            if let Some(at) = self.results.reserve(needed) {
                break at;
            }
            self.own.wait_for_room(|| self.results.reserve(needed).is_some());
        };
        self.results.write(at, &header.to_bytes());
        let end = at + FrameHeader::SIZE as u64;
        let room = self.results.certain_room_after(end).min(INLINE_MAX);
        let usual = shape.stride().filter(|stride| shape == Shape::of_one(*stride)).unwrap_or(Open::OTHER);
        self.open = Some(Open { at, header, shape, end, room, usual });
    }

    /// Sends the open frame, if there is one, and wakes the parent if it sleeps.
    pub(crate) fn publish(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        let now = Instant::now();
        open.header.task_or_nanos = (now - self.published).as_nanos() as u64;
        self.published = now;
        self.results.write(open.at, &open.header.to_bytes());
        self.results.publish(open.end);
        self.parent.ring();
    }
}

/// For the outcome of the item that runs. What is left of it if it fails goes with the next call of
/// [`commit`](Outbox::commit).
impl Room for Outbox {
    fn append(&mut self, bytes: &[u8], more: usize) -> Result<bool, CodecError> {
        let needed = self.moved.as_ref().map_or(0, |moved| moved.len) + bytes.len() + more;
        let has_room =
            self.moved.as_ref().is_some_and(|moved| self.segments.region(moved.segment).len() >= needed);
        if !has_room {
            let grown = self.grow(needed);
            self.moved =
                Some(grown.map_err(|error| {
                    CodecError::new(format!("no shared memory for {needed} bytes: {error}"))
                })?);
        }
        if let Some(moved) = &mut self.moved {
            self.segments.region(moved.segment).write(moved.len, bytes);
            moved.len += bytes.len();
        }
        Ok(true)
    }
}
