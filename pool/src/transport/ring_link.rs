//! The link that is: two rings in shared memory, and segments for what is large.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::{Duration, Instant};

use super::bell::Bell;
use super::control::{self, ParcelsOut, WorkerEnd};
use super::last_words::LastWords;
pub(crate) use super::layout::ParentBell;
use super::layout::{self, Committed, Holds, INLINE_MAX, Leash, Progress, SharedRing, SharedWords};
use super::link::{Corrupt, Held, Link, Running, Sent};
use super::package::Package;
use super::region::Region;
use super::ring::{Consumer, Memory, Position, Producer};
use super::segment::Granted;
use super::stock::{Known, Loan, Stock};
use crate::body::{Entries, EntryHeader, Shape};
use crate::codec::ALIGN;
use crate::exit::LastPanic;
use crate::frame::{FrameHeader, Kind, Status};
use crate::share::original::Original;
use crate::sys::barrier;
use crate::sys::clock::Nanos;

/// A process that ends closes its channels before its parent learns of it, but not this much before.
const LONGEST_END: Duration = Duration::from_secs(1);

/// So many large bodies that came in ordinary memory may be on their way.
const MOST_FILLED: usize = 4;
/// Bytes of a frame whose only item lies in a segment.
const LENT_FRAME: usize = FrameHeader::SIZE + EntryHeader::SIZE;
/// So many shared values may be on their way to a worker; each costs a descriptor, and room in the channel.
const MOST_UNTAKEN: usize = 16;

/// A link of two rings in shared memory.
pub(crate) struct RingLink {
    args: Producer<SharedRing>,
    results: Consumer<SharedRing>,
    worker: Bell<SharedWords>,
    /// It was sent something, or gets an answer, and was not rung since.
    is_unrung: bool,
    progress: Progress,
    leash: Leash,
    words: LastWords,
    parcels: ParcelsOut,
    stock: Stock,
    known: Known,
    /// Segments with bodies that came in ordinary memory, and where the frames end that speak of them.
    filled: VecDeque<(Position, Loan)>,
    grants: ParcelsOut,
    granted: Granted,
    /// The body of the last frame that was received, if it stays where it is.
    held: Option<Held>,
    /// Shared values whose parcels the worker has not taken, oldest first.
    untaken: VecDeque<u64>,
    /// Since when the worker takes no more parcels.
    broken: Option<Instant>,
    /// Since when it may wait for an answer that could not be sent.
    unanswered: Option<Instant>,
}

impl std::fmt::Debug for RingLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RingLink")
            .field("args", &self.args)
            .field("results", &self.results)
            .finish_non_exhaustive()
    }
}

impl RingLink {
    /// Makes the memory and channels of a link, and the end of it that goes to a worker.
    pub(crate) fn new(bell: &ParentBell, stock: &Stock) -> io::Result<(Self, WorkerEnd)> {
        let (region, file) = Region::with_file(layout::LINK)?;
        let region = Arc::new(region);
        layout::touch(&region);
        let (parcels, parcels_in) = control::parcels()?;
        let (grants, grants_in) = control::parcels()?;
        let end = WorkerEnd {
            memory: Package::pack((&region, file.as_ref()), bell.memory())?,
            parcels: parcels_in,
            grants: grants_in,
        };
        let granted = Granted::new(Holds::new(region.clone()));
        let link = Self {
            args: Producer::new(SharedRing::args(region.clone())),
            results: Consumer::new(SharedRing::results(region.clone())),
            worker: layout::worker_bell(&region),
            is_unrung: false,
            progress: Progress::new(region.clone()),
            leash: Leash::new(region.clone()),
            words: LastWords::new(region),
            parcels,
            stock: stock.clone(),
            known: Known::default(),
            filled: VecDeque::new(),
            grants,
            granted,
            held: None,
            untaken: VecDeque::new(),
            broken: None,
            unanswered: None,
        };
        Ok((link, end))
    }

    /// Lets the worker have what was written to its ring up to there.
    fn publish(&mut self, end: Position) {
        self.args.publish(end);
        self.is_unrung = true;
    }

    /// Marks a frame that the worker may be about to run; false if it gave the frame's memory back, where something
    /// else may lie now.
    fn mark(&mut self, sent: Sent, mark: u32) -> bool {
        if self.args.consumed() > sent.0 {
            return false;
        }
        let offset = self.args.offset(sent.0) + FrameHeader::REVOKED_OFFSET;
        self.args.memory().word(offset).fetch_max(mark, Ordering::Relaxed);
        true
    }

    /// Sends a body of one large entry through a segment.
    fn try_send_large(&mut self, header: FrameHeader, body: &[u8]) -> io::Result<Option<Sent>> {
        let (entry, bytes) = Entries::new(body).next().expect("a body holds whole entries");
        debug_assert_eq!(entry.footprint(), body.len(), "a body this large is a single entry");
        let released = self.args.consumed();
        while self.filled.front().is_some_and(|(end, _)| *end <= released) {
            self.filled.pop_front();
        }
        if self.filled.len() >= MOST_FILLED || self.args.reserve(LENT_FRAME).is_none() {
            return Ok(None);
        }
        let mut item = self.stock.lend(bytes.len())?;
        item.append(bytes);
        let sent = self.try_send_lent(header, &item)?;
        if let Some(Sent(at)) = sent {
            self.filled.push_back((at + LENT_FRAME as u64, item));
        }
        Ok(sent)
    }

    /// Tells whether a worker that takes no more parcels cannot just be on its way out. It is left to finish what it has,
    /// unless it waits for a parcel.
    fn is_deaf(&self) -> bool {
        let is_long = |since: Instant| since.elapsed() > LONGEST_END;
        self.broken.is_some_and(|since| is_long(since) && self.args.is_drained())
            || self.unanswered.is_some_and(is_long)
    }

    /// Takes in a frame that concerns the link only.
    fn serve(&mut self, header: &FrameHeader) -> Result<bool, Corrupt> {
        match header.kind() {
            Some(Kind::Want) => {
                self.is_unrung = true;
                if !self.granted.grant(header.first, header.chunk, &self.grants)? {
                    self.broken.get_or_insert_with(Instant::now);
                    self.unanswered = self.broken;
                }
            }
            Some(Kind::Kept) => match self.untaken.pop_front() {
                Some(id) if id == header.chunk => {}
                due => {
                    let due = due.map_or("none is".to_owned(), |due| format!("{due} is"));
                    return Err(Corrupt(format!("it took shared value {}, where {due} due", header.chunk)));
                }
            },
            // It found out by itself that there is none.
            Some(Kind::GiveBack) if self.unanswered.is_some() => {}
            Some(Kind::GiveBack) => self.granted.take_back(header.first)?,
            _ => {
                self.unanswered = None;
                self.granted.use_one();
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Checks that the body from `start` on is made of as many whole items as the header says, and takes out
    /// one that lies in a segment.
    fn normalize(
        &self,
        header: &FrameHeader,
        body: &mut Vec<u8>,
        start: usize,
    ) -> Result<Option<EntryHeader>, Corrupt> {
        if header.shape != 0 {
            return check_packed(header, body.len() - start).map(|()| None);
        }
        let mut entries = Entries::new(&body[start..]);
        let (mut found, mut failed, mut large) = (0, 0, None);
        for (entry, _) in entries.by_ref() {
            found += 1;
            failed += u32::from(entry.status != Status::Ok);
            large = if entry.segment == 0 { large } else { Some(entry) };
        }
        if found == 0
            || (found, failed) != (header.count, header.failed)
            || entries.position() != body.len() - start
        {
            return Err(Corrupt(format!(
                "a body of {} bytes holds {found} entries in {} bytes, {failed} of them failures, and its header says {} and {}",
                body.len() - start,
                entries.position(),
                header.count,
                header.failed
            )));
        }
        match large {
            None => Ok(None),
            Some(entry) if found == 1 => {
                body.truncate(start);
                Ok(Some(entry))
            }
            Some(_) => Err(Corrupt(format!("a body of {found} entries has one in a segment"))),
        }
    }

    /// Appends what a large entry refers to, as an entry that is inline.
    fn fetch(&self, entry: EntryHeader, header: &mut FrameHeader, body: &mut Vec<u8>) -> Result<(), Corrupt> {
        let region = self.granted.find(entry.segment, entry.len)?;
        let inline = EntryHeader { segment: 0, ..entry };
        if body.try_reserve_exact(inline.footprint()).is_ok() {
            body.extend_from_slice(&inline.to_bytes());
            region.append_to(0, entry.len, body);
        } else {
            let reason = format!("no memory for {} bytes", entry.len);
            body.extend_from_slice(&EntryHeader::inline(Status::EncodeFailed, reason.len()).to_bytes());
            body.extend_from_slice(reason.as_bytes());
            header.failed = 1;
        }
        body.resize(body.len().next_multiple_of(ALIGN), 0);
        Ok(())
    }
}

impl Link for RingLink {
    const MAX_BODY: usize = INLINE_MAX;

    fn try_send(&mut self, mut header: FrameHeader, body: &[u8]) -> io::Result<Option<Sent>> {
        if self.broken.is_some() && header.kind() == Some(Kind::Run) {
            return Ok(None);
        }
        if body.len() > INLINE_MAX {
            return self.try_send_large(header, body);
        }
        let len = FrameHeader::SIZE + body.len();
        // Nothing is answered to that, so what is must fit behind it: else nobody would learn when it does.
        let spare = if header.kind() == Some(Kind::Forget) { FrameHeader::SIZE + INLINE_MAX } else { 0 };
        let Some(at) = self.args.reserve(len + spare) else { return Ok(None) };
        header.size = body.len() as u32;
        self.args.write(at, &header.to_bytes());
        self.args.write(at + FrameHeader::SIZE as u64, body);
        self.publish(at + len as u64);
        Ok(Some(Sent(at)))
    }

    fn try_send_lent(&mut self, mut header: FrameHeader, item: &Loan) -> io::Result<Option<Sent>> {
        if self.broken.is_some() && header.kind() == Some(Kind::Run) {
            return Ok(None);
        }
        let Some(at) = self.args.reserve(LENT_FRAME) else { return Ok(None) };
        let end = at + LENT_FRAME as u64;
        let released = self.args.consumed();
        match self.known.introduce(item, end, released, &self.parcels) {
            // The worker is gone, and its end will be reported; what is sent now goes elsewhere.
            Err(error) if is_gone(&error) => {
                self.broken.get_or_insert_with(Instant::now);
                return Ok(None);
            }
            other => header.failed |= other?,
        }
        header.size = EntryHeader::SIZE as u32;
        let entry = EntryHeader { len: item.len(), status: Status::Ok, segment: item.id() };
        self.args.write(at, &header.to_bytes());
        self.args.write(at + FrameHeader::SIZE as u64, &entry.to_bytes());
        self.publish(end);
        Ok(Some(Sent(at)))
    }

    fn try_share(&mut self, share: &Original) -> io::Result<bool> {
        if self.broken.is_some() || self.untaken.len() >= MOST_UNTAKEN {
            return Ok(false);
        }
        let Some(at) = self.args.reserve(FrameHeader::SIZE) else { return Ok(false) };
        if let Err(error) = self.parcels.send_share(share) {
            // The worker is gone, and its end will be reported; what it should have had goes elsewhere.
            return if is_gone(&error) {
                self.broken.get_or_insert_with(Instant::now);
                Ok(false)
            } else {
                Err(error)
            };
        }
        let header = FrameHeader { chunk: share.id(), ..FrameHeader::new(Kind::Share) };
        self.args.write(at, &header.to_bytes());
        self.publish(at + FrameHeader::SIZE as u64);
        self.untaken.push_back(share.id());
        Ok(true)
    }

    fn revoke(&mut self, sent: Sent) {
        self.mark(sent, FrameHeader::SKIP_REST);
    }

    fn recall(&mut self, sent: Sent, number: u64) -> bool {
        if !self.mark(sent, FrameHeader::SKIP_WHOLE) {
            return false;
        }
        // The worker says which chunk it begins and then looks at the mark; one of the two sees the other.
        fence(Ordering::SeqCst);
        let begun = self.progress.running().chunk;
        (number as u32).wrapping_sub(begun) as i32 > 0
    }

    fn ring(&mut self) {
        if std::mem::take(&mut self.is_unrung) {
            self.worker.ring();
        } else {
            self.worker.ring_for_room();
        }
    }

    fn nudge(&mut self) {
        self.worker.ring_anyway();
    }

    #[inline]
    fn has_more(&self) -> bool {
        self.results.has_more() || self.is_deaf()
    }

    fn receive(&mut self, body: &mut Vec<u8>) -> Result<Option<FrameHeader>, Corrupt> {
        let Some(front) = self.results.front()? else {
            return if self.is_deaf() { Err(deaf()) } else { Ok(None) };
        };
        let mut header = front.header;
        if self.serve(&header)? {
            self.results.release(front.end);
            return Ok(None);
        }
        let start = body.len();
        self.results.copy_body(&front, body);
        self.held = None;
        if let Some(entry) = self.normalize(&header, body, start)? {
            self.granted.note_use();
            self.stock.watch();
            self.held = match entry.status {
                Status::Ok => self.granted.hold(entry.segment, entry.len)?,
                _ => None,
            };
            if self.held.is_none() {
                self.fetch(entry, &mut header, body)?;
            }
        }
        self.results.release(front.end);
        Ok(Some(header))
    }

    fn take_held(&mut self) -> Option<Held> {
        self.held.take()
    }

    fn recover(&mut self, body: &mut Vec<u8>) -> Option<FrameHeader> {
        let committed = self.progress.committed();
        let memory = self.results.memory().clone();
        let capacity = memory.capacity() as u64;
        let head = self.results.head();
        // The frame starts where the next one is due, or, if it did not fit there, at the start of the ring.
        let start = [head, head.next_multiple_of(capacity)]
            .into_iter()
            .find(|start| Committed::tag(*start) == committed.start)?;
        let offset = (start % capacity) as usize;
        let size = committed.size as usize;
        if committed.count == 0 || offset + FrameHeader::SIZE + size > capacity as usize {
            return None;
        }
        let mut bytes = [0; FrameHeader::SIZE];
        memory.read(offset, &mut bytes);
        let mut header = FrameHeader::from_bytes(&bytes);
        header.count = committed.count;
        header.size = committed.size;
        let from = body.len();
        body.resize(from + size, 0);
        memory.read(offset + FrameHeader::SIZE, &mut body[from..]);
        header.failed = match Shape::from_raw(header.shape) {
            Shape::Entries => {
                Entries::new(&body[from..]).filter(|(entry, _)| entry.status != Status::Ok).count() as u32
            }
            Shape::Packed(_) => 0,
        };
        let is_sound = header.kind() == Some(Kind::Done)
            && match self.normalize(&header, body, from) {
                Ok(None) => true,
                Ok(Some(entry)) => self.fetch(entry, &mut header, body).is_ok(),
                Err(_) => false,
            };
        if !is_sound {
            body.truncate(from);
            return None;
        }
        Some(header)
    }

    fn running(&self) -> Running {
        self.progress.running()
    }

    fn running_for(&self) -> Option<Duration> {
        self.progress.started().map(Nanos::elapsed)
    }

    fn halt(&mut self) {
        self.leash.set_halted(true);
        // The worker says which item it begins and then looks whether it is halted; one of the two sees the other.
        barrier::everywhere();
    }

    fn resume(&mut self) {
        self.leash.set_halted(false);
        self.worker.ring();
    }

    fn interrupt(&mut self, item: Running) {
        self.leash.interrupt(item);
    }

    fn memory_used(&self) -> Option<Instant> {
        self.granted.used()
    }

    fn empty_memory(&mut self) -> bool {
        // SAFETY: a worker writes results of items only, and all that it was given has been answered.
        unsafe { self.granted.empty() }
    }

    fn last_words(&self, running: Running) -> Option<LastPanic> {
        self.words.about(running)
    }
}

/// Checks that a body of `size` bytes is made of as many packed items as the header says.
fn check_packed(header: &FrameHeader, size: usize) -> Result<(), Corrupt> {
    let shape = Shape::from_raw(header.shape);
    let expected = shape.stride().and_then(|stride| stride.checked_mul(header.count as usize));
    let is_short = matches!(shape, Shape::Packed(len) if usize::from(len) <= Shape::PACKED_MAX);
    if is_short
        && header.kind() == Some(Kind::Done)
        && (header.failed, expected) == (0, Some(size))
        && header.count > 0
    {
        return Ok(());
    }
    Err(Corrupt(format!(
        "a body of {size} bytes is said to hold {} items, {} of them failures, in the shape {shape:?}",
        header.count, header.failed
    )))
}

fn deaf() -> Corrupt {
    Corrupt("its control channel is closed".to_owned())
}

/// Tells whether a message found nobody at the other end. A peer with unread messages resets the connection.
fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected
    )
}

#[cfg(test)]
#[path = "ring_link_tests.rs"]
mod tests;
