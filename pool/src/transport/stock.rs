//! The parent's segments for arguments: one stock for all workers of a pool, made once and used again.
//!
//! An item is encoded into a segment before anybody knows which worker it goes to ([`Draft`]), so that it is copied once. A
//! [`Loan`] is a segment in use; it is free again when the last block that speaks of it is dropped, which the driver
//! does once the item was answered or its worker is dead. Each link keeps account of what its worker has ([`Known`]).

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::control::{Parcel, ParcelsOut};
use super::region::Region;
use super::ring::Position;
use crate::codec::{CodecError, Room};
use crate::frame::FrameHeader;
use crate::sys::process;

/// The smallest segment.
const SMALLEST: usize = 64 << 10;
/// How much larger a segment may be than what is known of its item. Memory that is not touched costs nothing, but workers
/// may have little room for the mapping.
const LOOSE: usize = 4;
/// Free segments beyond this many bytes are given back to the system, but for the one that was used last.
const KEEP: usize = 64 << 20;
/// What nobody has used for so long is given back.
pub(crate) const IDLE: Duration = Duration::from_secs(2);
/// More than this a worker need not have; each costs it a descriptor.
const MOST_KNOWN: usize = 32;

/// One segment, under the name by which workers know it.
struct Segment {
    id: u16,
    region: Region,
}

/// The segments of a pool.
#[derive(Clone)]
pub(crate) struct Stock {
    shelf: Arc<Mutex<Shelf>>,
    /// So many may be filled and wait for a worker. What is encoded beyond that stays in ordinary memory.
    most_lent: usize,
    watch: Arc<Watch>,
    /// A fork of the process that has the pool shares the memory and has a copy of the account. It must leave both alone.
    generation: u32,
}

/// Who gives memory back that is not used, and whether that thread knows that there is some.
#[derive(Debug, Default)]
struct Watch {
    thread: OnceLock<Thread>,
    is_kept: AtomicBool,
}

/// A segment that nobody uses.
struct Free {
    segment: Arc<Segment>,
    since: Instant,
}

#[derive(Default)]
struct Shelf {
    /// The one that was used last stands last.
    free: Vec<Free>,
    lent: usize,
    ids: HashSet<u16>,
    last_id: u16,
}

impl fmt::Debug for Stock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shelf = self.shelf();
        f.debug_struct("Stock")
            .field("free", &shelf.free.len())
            .field("lent", &shelf.lent)
            .finish_non_exhaustive()
    }
}

impl Stock {
    /// An empty stock for a pool of that many workers.
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            shelf: Arc::default(),
            watch: Arc::default(),
            most_lent: workers.saturating_mul(2).saturating_add(8),
            generation: process::fork_generation(),
        }
    }

    /// Memory for one item, which takes none before the item needs some.
    #[inline]
    pub(crate) fn draft(&self) -> Draft<'_> {
        Draft { stock: self, loan: None }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        // Nothing panics under this lock.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_room(&self) -> bool {
        self.is_own() && self.shelf().lent < self.most_lent
    }

    fn is_own(&self) -> bool {
        process::fork_generation() == self.generation
    }

    /// Lends a segment of at least `len` bytes.
    pub(crate) fn lend(&self, len: usize) -> io::Result<Loan> {
        let id = {
            let mut shelf = self.shelf();
            let sizes = len..=LOOSE.saturating_mul(len).max(SMALLEST);
            let fits = shelf.free.iter().enumerate().filter(|(_, free)| sizes.contains(&free.len()));
            let best = fits.min_by_key(|(_, free)| free.len()).map(|(place, _)| place);
            if let Some(place) = best {
                let Free { segment, .. } = shelf.free.remove(place);
                shelf.lent += 1;
                return Ok(Loan { segment, len: 0, home: self.clone() });
            }
            shelf.new_id()?
        };
        // Without the lock: it takes a while.
        let granule = (len.next_power_of_two() / 8).max(SMALLEST);
        let len = len.next_multiple_of(granule);
        match Region::new(len).or_else(|error| if self.clear() { Region::new(len) } else { Err(error) }) {
            Ok(region) => {
                self.shelf().lent += 1;
                Ok(Loan { segment: Arc::new(Segment { id, region }), len: 0, home: self.clone() })
            }
            Err(error) => {
                self.shelf().ids.remove(&id);
                Err(error)
            }
        }
    }

    /// Gives all free segments back, so that there may be room for another one; false if there are none.
    fn clear(&self) -> bool {
        let mut shelf = self.shelf();
        let count = shelf.free.len();
        let given_up = shelf.give_up(count);
        drop(shelf);
        given_up.iter().for_each(Free::empty);
        !given_up.is_empty()
    }

    fn take_back(&self, segment: Arc<Segment>) {
        if !self.is_own() {
            return;
        }
        let mut shelf = self.shelf();
        shelf.lent -= 1;
        shelf.free.push(Free { segment, since: Instant::now() });
        let held: usize = shelf.free.iter().map(Free::len).sum();
        let (mut excess, last) = (held.saturating_sub(KEEP), shelf.free.len() - 1);
        let is_excess = |free: &&Free| {
            let is_some = excess > 0;
            excess = excess.saturating_sub(free.len());
            is_some
        };
        let count = shelf.free[..last].iter().take_while(is_excess).count();
        let given_up = shelf.give_up(count);
        drop(shelf);
        given_up.iter().for_each(Free::empty);
        self.watch();
    }

    /// Makes the calling thread the one that gives back what is not used.
    pub(crate) fn be_watched_by_me(&self) {
        self.watch.thread.get_or_init(thread::current);
    }

    /// Has that thread look after memory that is in no use any more, if it does not yet.
    pub(crate) fn watch(&self) {
        if !self.watch.is_kept.swap(true, Ordering::SeqCst) {
            if let Some(thread) = self.watch.thread.get() {
                thread.unpark();
            }
        }
    }

    /// Says that the calling thread does look after it.
    pub(crate) fn keep_watching(&self) {
        self.watch.is_kept.store(true, Ordering::SeqCst);
    }

    /// Says that there may be nothing to look after. To be said before it is found out.
    pub(crate) fn stop_watching(&self) {
        self.watch.is_kept.store(false, Ordering::SeqCst);
    }

    /// Gives back what nobody has used for [`IDLE`]; returns when there will be more, if there is.
    pub(crate) fn trim(&self, now: Instant) -> Option<Instant> {
        let mut shelf = self.shelf();
        let count = shelf.free.iter().take_while(|free| free.since + IDLE <= now).count();
        let given_up = shelf.give_up(count);
        let next = shelf.free.first().map(|free| free.since + IDLE);
        drop(shelf);
        given_up.iter().for_each(Free::empty);
        next
    }
}

impl Free {
    fn len(&self) -> usize {
        self.segment.region.len()
    }

    /// Gives its memory back, though workers may have it mapped still.
    fn empty(&self) {
        // SAFETY: it is off the shelf, so that no frame speaks of it and nobody can lend it any more.
        let emptied = unsafe { self.segment.region.empty() };
        // A system that cannot do so frees it when the last process has unmapped it.
        drop(emptied);
    }
}

impl Shelf {
    /// Takes out those that have not been used for longest.
    fn give_up(&mut self, count: usize) -> Vec<Free> {
        let given_up: Vec<_> = self.free.drain(..count).collect();
        for free in &given_up {
            self.ids.remove(&free.segment.id);
        }
        given_up
    }

    fn new_id(&mut self) -> io::Result<u16> {
        for _ in 0..u16::MAX {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if self.ids.insert(self.last_id) {
                return Ok(self.last_id);
            }
        }
        Err(io::Error::new(io::ErrorKind::OutOfMemory, "all segment ids are in use"))
    }
}

/// A segment that holds an item.
pub(crate) struct Loan {
    segment: Arc<Segment>,
    len: usize,
    home: Stock,
}

impl fmt::Debug for Loan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Loan({} bytes in segment {})", self.len, self.segment.id)
    }
}

impl Loan {
    /// Bytes that it holds.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The name by which workers know it.
    pub(crate) fn id(&self) -> u16 {
        self.segment.id
    }

    /// Appends bytes, for which there is room.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        self.segment.region.write(self.len, bytes);
        self.len += bytes.len();
    }

    /// A copy of what it holds.
    #[cfg(test)]
    pub(crate) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.segment.region.append_to(0, self.len, &mut bytes);
        bytes
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.home.take_back(self.segment.clone());
    }
}

/// An item that may become large while it is encoded.
#[derive(Debug)]
pub(crate) struct Draft<'s> {
    stock: &'s Stock,
    loan: Option<Loan>,
}

impl Draft<'_> {
    /// The item, if it became large.
    pub(crate) fn finish(self) -> Option<Loan> {
        self.loan
    }

    fn grow(&mut self, needed: usize) -> io::Result<&mut Loan> {
        let wanted = match &self.loan {
            Some(loan) => needed.max(LOOSE.saturating_mul(loan.segment.region.len())),
            None => needed,
        };
        let lent = self.stock.lend(wanted);
        let mut new =
            lent.or_else(|error| if wanted > needed { self.stock.lend(needed) } else { Err(error) })?;
        if let Some(old) = self.loan.take() {
            new.segment.region.copy_from(&old.segment.region, old.len);
            new.len = old.len;
        }
        Ok(self.loan.insert(new))
    }
}

impl Room for Draft<'_> {
    fn append(&mut self, bytes: &[u8], more: usize) -> Result<bool, CodecError> {
        let needed = self.loan.as_ref().map_or(0, Loan::len) + bytes.len() + more;
        let loan = match &mut self.loan {
            None if !self.stock.has_room() => return Ok(false),
            Some(loan) if loan.segment.region.len() >= needed => loan,
            _ => self
                .grow(needed)
                .map_err(|error| CodecError::new(format!("no shared memory for {needed} bytes: {error}")))?,
        };
        loan.append(bytes);
        Ok(true)
    }
}

/// What the worker of a link has of the stock.
#[derive(Debug, Default)]
pub(crate) struct Known {
    all: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    id: u16,
    segment: Weak<Segment>,
    /// Where the last frame ends that speaks of it.
    until: Position,
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Segment({}, {:?})", self.id, self.region)
    }
}

impl Known {
    /// Sees to it that the worker has the segment before it reads the frame that ends at `until`; returns what that
    /// frame must say of it. The worker has released everything before `released`.
    pub(crate) fn introduce(
        &mut self,
        loan: &Loan,
        until: Position,
        released: Position,
        parcels: &ParcelsOut,
    ) -> io::Result<u32> {
        let segment = &loan.segment;
        let is_it = |entry: &Entry| Weak::as_ptr(&entry.segment) == Arc::as_ptr(segment);
        if let Some(entry) = self.all.iter_mut().find(|entry| is_it(entry)) {
            entry.until = until;
            return Ok(0);
        }
        self.forget(segment.id, released, parcels)?;
        parcels.send(Parcel::Room { id: segment.id, len: segment.region.len() })?;
        parcels.send(Parcel::Segment { id: segment.id, memory: segment.region.handle()? })?;
        self.all.push(Entry { id: segment.id, segment: Arc::downgrade(segment), until });
        Ok(FrameHeader::PARCELS)
    }

    /// Has the worker unmap what is gone from the stock, and what it has used least lately if it has too much. What
    /// had the id `new` is replaced in any case.
    fn forget(&mut self, new: u16, released: Position, parcels: &ParcelsOut) -> io::Result<()> {
        self.all.retain(|entry| entry.id != new);
        let is_gone = |entry: &Entry| entry.segment.strong_count() == 0;
        while let Some(place) = self.all.iter().position(is_gone) {
            parcels.send(Parcel::Forget { id: self.all.swap_remove(place).id })?;
        }
        if self.all.len() >= MOST_KNOWN {
            let unused = self.all.iter().enumerate().filter(|(_, entry)| entry.until <= released);
            if let Some(place) = unused.min_by_key(|(_, entry)| entry.until).map(|(place, _)| place) {
                parcels.send(Parcel::Forget { id: self.all.swap_remove(place).id })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::control;
    use super::*;

    const MIB: usize = 1 << 20;

    fn free(stock: &Stock) -> Vec<usize> {
        stock.shelf().free.iter().map(Free::len).collect()
    }

    #[test]
    fn a_segment_that_came_back_is_lent_again() {
        let stock = Stock::new(1);
        let ids: Vec<u16> = (0..3).map(|_| stock.lend(MIB).unwrap().id()).collect();
        assert_eq!(ids, [ids[0]; 3]);
        assert_eq!(free(&stock), [MIB]);
        // One that is much too large is kept for larger items.
        assert_ne!(stock.lend(MIB / 8).unwrap().id(), ids[0]);
    }

    #[test]
    fn a_worker_is_told_to_look_for_a_segment_once() {
        let (stock, mut known) = (Stock::new(1), Known::default());
        let (out, _parcels) = control::parcels().unwrap();
        let [one, other] = [stock.lend(1).unwrap(), stock.lend(1).unwrap()];
        let told = [&one, &one, &other, &one].map(|loan| known.introduce(loan, 1, 0, &out).unwrap());
        assert_eq!(told, [FrameHeader::PARCELS, 0, FrameHeader::PARCELS, 0]);
    }

    #[test]
    fn an_item_keeps_its_bytes_as_it_grows() {
        let stock = Stock::new(1);
        let mut draft = stock.draft();
        let piece: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
        assert!((0..20).all(|_| draft.append(&piece, 0).unwrap()));
        assert!(draft.finish().unwrap().to_vec() == piece.repeat(20));
    }

    #[test]
    fn an_item_gets_no_segment_while_too_many_wait() {
        let stock = Stock::new(1);
        let lent: Vec<_> = (0..stock.most_lent).map(|_| stock.lend(1).unwrap()).collect();
        assert!(!stock.draft().append(&[1], 0).unwrap());
        drop(lent);
        assert!(stock.draft().append(&[1], 0).unwrap());
    }

    #[test]
    fn free_segments_are_given_back_beyond_the_limit_but_for_the_last() {
        let stock = Stock::new(1);
        let sizes = [20 * MIB, 32 * MIB, 40 * MIB, 2 * KEEP];
        let [first, second, third, huge] = sizes.map(|size| stock.lend(size).unwrap());
        drop((first, second));
        assert_eq!(free(&stock), sizes[..2]);
        drop(third);
        assert_eq!(free(&stock), sizes[2..3], "as many as it takes, the oldest first");
        drop(huge);
        assert_eq!(free(&stock), sizes[3..]);
    }

    #[test]
    fn who_looks_after_memory_does_not_wake_itself() {
        let stock = Stock::new(1);
        stock.be_watched_by_me();
        stock.stop_watching();
        stock.keep_watching();
        let was_woken = AtomicBool::new(false);
        let sleeper = thread::current();
        thread::scope(|scope| {
            scope.spawn(|| {
                // Long enough to return before this if something called already.
                thread::sleep(Duration::from_millis(50));
                was_woken.store(true, Ordering::SeqCst);
                sleeper.unpark();
            });
            thread::park();
            assert!(was_woken.load(Ordering::SeqCst), "nobody else called");
        });
    }

    #[test]
    fn what_nobody_uses_is_given_back_after_a_while() {
        let stock = Stock::new(1);
        let before = Instant::now();
        drop(stock.lend(1));
        let due = stock.trim(before).expect("there is one");
        assert_eq!(free(&stock).len(), 1);
        assert_eq!((stock.trim(due), free(&stock).len()), (None, 0));
    }
}
