//! What lies where in the memory of a link, and who writes it.
//!
//! ```text
//! link region    parent's half: control page, ring to the worker   (read-only in the worker)
//!                worker's half: control page, ring to the parent   (only read by the parent)
//! bell region    parent's page: is a thread of the parent asleep?  (read-only in workers)
//!                shared page:   how often it was rung
//! ```
//!
//! Each counter has a cache line of its own, so that a store by one side costs the other one miss.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::time::Duration;

use super::bell::{Bell, Words};
use super::package::Sendable;
use super::region::Region;
use super::ring::{self, Memory};
use crate::body::EntryHeader;
use crate::codec::LARGE;
use crate::sys::clock::Nanos;
use crate::sys::futex;

/// A multiple of the kernel's page size; other machines than x86 have pages of 4, 16 or 64 KiB.
const PAGE: usize = if cfg!(target_arch = "x86_64") { 4 << 10 } else { 64 << 10 };
/// Bytes in each ring.
pub(crate) const RING: usize = 128 << 10;
/// Bytes of one half of a link region: control page and ring share whole pages.
pub(super) const HALF: usize = (CONTROL + RING).next_multiple_of(PAGE);
const CONTROL: usize = 4 << 10;
/// Bytes of a link region.
pub(crate) const LINK: usize = 2 * HALF;
/// Bytes of the bell region.
pub(crate) const BELL: usize = 2 * PAGE;

/// Bodies up to this size travel in the ring, larger ones in a segment.
pub(crate) const INLINE_MAX: usize = RING / 4;
const _: () = assert!(INLINE_MAX == EntryHeader::SIZE + LARGE, "what fits is not put elsewhere");

/// Where a worker's [last words](super::last_words) lie: in its control page, behind its counters.
pub(super) const WORDS: usize = HALF + (1 << 10);
pub(super) const WORDS_END: usize = HALF + CONTROL;

/// Any worker may write to the word on which the parent sleeps. If one gone wrong undoes another's ring there, the parent
/// finds out after this time.
const LONGEST_SLEEP: Duration = Duration::from_millis(500);

/// Offsets in the parent's half.
mod parent {
    pub(super) const ARGS_TAIL: usize = 0;
    pub(super) const RESULTS_HEAD: usize = 128;
    pub(super) const WORKER_RINGS: usize = 256;
    pub(super) const HALT: usize = 384;
    pub(super) const INTERRUPT: usize = 392;
    pub(super) const HELD: usize = 400;
    pub(super) const ARGS_RING: usize = super::CONTROL;
}

/// Offsets in the worker's half.
mod worker {
    use super::HALF;

    pub(super) const ARGS_HEAD: usize = HALF;
    pub(super) const RESULTS_TAIL: usize = HALF + 128;
    pub(super) const WORKER_SLEEPING: usize = HALF + 256;
    pub(super) const RUNNING: usize = HALF + 384;
    pub(super) const COMMITTED: usize = HALF + 392;
    pub(super) const STARTED: usize = HALF + 400;
    pub(super) const RESULTS_RING: usize = HALF + super::CONTROL;
}

/// One ring of a link region.
#[derive(Clone, Debug)]
pub(crate) struct SharedRing {
    region: Arc<Region>,
    head: usize,
    tail: usize,
    data: usize,
}

impl SharedRing {
    /// The ring to the worker.
    pub(crate) fn args(region: Arc<Region>) -> Self {
        Self { region, head: worker::ARGS_HEAD, tail: parent::ARGS_TAIL, data: parent::ARGS_RING }
    }

    /// The ring to the parent.
    pub(crate) fn results(region: Arc<Region>) -> Self {
        Self { region, head: parent::RESULTS_HEAD, tail: worker::RESULTS_TAIL, data: worker::RESULTS_RING }
    }

    /// A 32-bit word at an offset in the ring's bytes.
    pub(crate) fn word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset < RING, "inside the ring");
        self.region.u32_at(self.data + offset)
    }

    /// Lends bytes of the ring in place.
    ///
    /// # Safety
    ///
    /// The bytes are published and not released while the slice lives, and the producer keeps to the protocol.
    pub(crate) unsafe fn slice(&self, offset: usize, len: usize) -> &[u8] {
        assert!(offset + len <= RING, "inside the ring");
        // SAFETY: a producer that keeps to the protocol leaves published bytes alone until they are released.
        unsafe { self.region.slice(self.data + offset, len) }
    }
}

impl Memory for SharedRing {
    #[inline]
    fn capacity(&self) -> usize {
        RING
    }
    #[inline]
    fn head(&self) -> u64 {
        self.region.u64_at(self.head).load(ring::LOAD)
    }
    #[inline]
    fn set_head(&self, head: u64) {
        self.region.u64_at(self.head).store(head, ring::STORE);
    }
    #[inline]
    fn tail(&self) -> u64 {
        self.region.u64_at(self.tail).load(ring::LOAD)
    }
    #[inline]
    fn set_tail(&self, tail: u64) {
        self.region.u64_at(self.tail).store(tail, ring::STORE);
    }
    #[inline]
    fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= RING, "inside the ring");
        self.region.write(self.data + offset, bytes);
    }
    #[inline]
    fn read(&self, offset: usize, bytes: &mut [u8]) {
        assert!(offset + bytes.len() <= RING, "inside the ring");
        self.region.read(self.data + offset, bytes);
    }
    #[inline]
    fn append_to(&self, offset: usize, len: usize, out: &mut Vec<u8>) {
        assert!(offset + len <= RING, "inside the ring");
        self.region.append_to(self.data + offset, len, out);
    }
}

/// What a worker says about itself as it goes; outlives it.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    region: Arc<Region>,
}

/// Where in its work a worker is, by its own account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Running {
    /// The low 32 bits of the chunk's number.
    pub(crate) chunk: u32,
    /// Place of the item in its chunk.
    pub(crate) item: u32,
    /// Whether the item was begun; if not, those before it were.
    pub(crate) is_begun: bool,
}

impl Running {
    /// No chunk has so many items.
    const NOT_BEGUN: u32 = 1 << 31;

    /// How many items of the chunk were begun.
    pub(crate) fn begun(self) -> u32 {
        self.item + u32::from(self.is_begun)
    }

    pub(super) fn pack(self) -> u64 {
        let flag = if self.is_begun { 0 } else { Self::NOT_BEGUN };
        u64::from(self.chunk) << 32 | u64::from(self.item | flag)
    }

    fn unpack(word: u64) -> Self {
        let item = word as u32;
        Self {
            chunk: (word >> 32) as u32,
            item: item & !Self::NOT_BEGUN,
            is_begun: item & Self::NOT_BEGUN == 0,
        }
    }
}

impl Progress {
    pub(crate) fn new(region: Arc<Region>) -> Self {
        Self { region }
    }

    /// Worker: this is the item that it is at.
    #[inline]
    pub(crate) fn set_running(&self, running: Running) {
        self.region.u64_at(worker::RUNNING).store(running.pack(), Ordering::Release);
    }

    /// What the worker said last.
    #[inline]
    pub(crate) fn running(&self) -> Running {
        Running::unpack(self.region.u64_at(worker::RUNNING).load(Ordering::Acquire))
    }

    /// Worker: the item that it said it is at begins now, and its time counts; `None`: none runs. So the time is never
    /// taken for that of the item before.
    #[inline]
    pub(crate) fn set_started(&self, at: Option<Nanos>) {
        self.region.u64_at(worker::STARTED).store(at.map_or(0, Nanos::raw), Ordering::Release);
    }

    /// Parent: when the item that runs began, if one runs whose time counts.
    pub(crate) fn started(&self) -> Option<Nanos> {
        Nanos::from_raw(self.region.u64_at(worker::STARTED).load(Ordering::Acquire))
    }

    /// Worker: so much of the frame that it is writing is complete.
    #[inline]
    pub(crate) fn set_committed(&self, committed: Committed) {
        self.region.u64_at(worker::COMMITTED).store(committed.pack(), Ordering::Release);
    }

    /// Parent: what a worker that died had committed and not published.
    pub(crate) fn committed(&self) -> Committed {
        Committed::unpack(self.region.u64_at(worker::COMMITTED).load(Ordering::Acquire))
    }
}

/// What the parent has to say to a worker in the middle of a chunk.
#[derive(Clone, Debug)]
pub(crate) struct Leash {
    region: Arc<Region>,
}

impl Leash {
    pub(crate) fn new(region: Arc<Region>) -> Self {
        Self { region }
    }

    /// Parent: the worker begins no further item, or may go on.
    pub(crate) fn set_halted(&self, halted: bool) {
        self.region.u32_at(parent::HALT).store(u32::from(halted), Ordering::SeqCst);
    }

    #[inline]
    pub(crate) fn is_halted(&self) -> bool {
        self.region.u32_at(parent::HALT).load(Ordering::Relaxed) != 0
    }

    /// Parent: this item should come to an end.
    pub(crate) fn interrupt(&self, item: Running) {
        self.region.u64_at(parent::INTERRUPT).store(item.pack(), Ordering::Release);
    }

    /// Worker: whether this item should come to an end.
    pub(crate) fn is_interrupted(&self, item: Running) -> bool {
        // Before its first chunk, whose number is 1, a worker is at no item.
        item.chunk != 0 && self.region.u64_at(parent::INTERRUPT).load(Ordering::Acquire) == item.pack()
    }
}

/// Which segments with results the parent reads still, though it released the frames that speak of them: a bit for each.
#[derive(Clone, Debug)]
pub(crate) struct Holds {
    region: Arc<Region>,
}

impl Holds {
    pub(crate) fn new(region: Arc<Region>) -> Self {
        Self { region }
    }

    /// Worker: all of them. To be asked after how far the parent has released frames.
    pub(crate) fn all(&self) -> u64 {
        self.word().load(Ordering::Acquire)
    }

    /// Parent: before it releases the frame.
    pub(crate) fn set(&self, bit: u64) {
        self.word().fetch_or(bit, Ordering::Relaxed);
    }

    /// Parent: when it has read it.
    pub(crate) fn clear(&self, bit: u64) {
        self.word().fetch_and(!bit, Ordering::Release);
    }

    fn word(&self) -> &AtomicU64 {
        self.region.u64_at(parent::HELD)
    }
}

/// The complete part of a frame that is still being written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Committed {
    /// Where the frame starts, in words of eight bytes, cut to 24 bits: which frame this is about.
    pub(crate) start: u32,
    /// Entries complete.
    pub(crate) count: u32,
    /// Bytes of the body complete.
    pub(crate) size: u32,
}

impl Committed {
    pub(crate) fn tag(position: u64) -> u32 {
        (position >> 3) as u32 & 0xFF_FFFF
    }

    fn pack(self) -> u64 {
        debug_assert!(self.count < 1 << 20 && self.size < 1 << 20, "frames are smaller than the ring");
        u64::from(self.start) << 40 | u64::from(self.count) << 20 | u64::from(self.size)
    }

    fn unpack(word: u64) -> Self {
        Self {
            start: (word >> 40) as u32,
            count: (word >> 20) as u32 & 0xF_FFFF,
            size: word as u32 & 0xF_FFFF,
        }
    }
}

/// The words of a bell in shared memory.
#[derive(Clone, Debug)]
pub(crate) struct SharedWords {
    sleeper: Arc<Region>,
    sleeping: usize,
    ringers: Arc<Region>,
    rings: usize,
    /// No sleep is longer.
    longest: Option<Duration>,
}

impl Words for SharedWords {
    fn set_sleeping(&self, sleeping: u32) {
        self.sleeper.u32_at(self.sleeping).store(sleeping, Ordering::Relaxed);
    }
    fn sleeping(&self) -> u32 {
        self.sleeper.u32_at(self.sleeping).load(Ordering::Relaxed)
    }
    fn rings(&self) -> u32 {
        self.ringers.u32_at(self.rings).load(Ordering::Relaxed)
    }
    fn count_ring(&self) {
        self.ringers.u32_at(self.rings).fetch_add(1, Ordering::Relaxed);
    }
    fn fence(&self) {
        fence(Ordering::SeqCst);
    }
    fn sleep(&self, seen: u32, timeout: Option<Duration>) {
        let timeout = timeout.into_iter().chain(self.longest).min();
        futex::wait(self.ringers.u32_at(self.rings), seen, timeout);
    }
    fn wake(&self) {
        futex::wake(self.ringers.u32_at(self.rings));
    }
}

/// The bell on which one worker sleeps.
pub(crate) fn worker_bell(link: &Arc<Region>) -> Bell<SharedWords> {
    Bell::new(SharedWords {
        sleeper: link.clone(),
        sleeping: worker::WORKER_SLEEPING,
        ringers: link.clone(),
        rings: parent::WORKER_RINGS,
        longest: None,
    })
}

/// The bell on which the parent's leading thread sleeps.
pub(crate) fn parent_bell(bell: &Arc<Region>) -> Bell<SharedWords> {
    Bell::new(SharedWords {
        sleeper: bell.clone(),
        sleeping: 0,
        ringers: bell.clone(),
        rings: PAGE,
        longest: Some(LONGEST_SLEEP),
    })
}

/// What all workers of a pool share: the bell on which the parent's leading thread sleeps.
#[derive(Clone, Debug)]
pub(crate) struct ParentBell {
    region: Arc<Region>,
    file: Arc<Option<OwnedFd>>,
    bell: Arc<Bell<SharedWords>>,
}

impl ParentBell {
    pub(crate) fn new() -> io::Result<Self> {
        let (region, file) = Region::with_file(BELL)?;
        let region = Arc::new(region);
        let bell = Arc::new(parent_bell(&region));
        Ok(Self { region, file: Arc::new(file), bell })
    }

    /// Its memory, to be sent.
    pub(super) fn memory(&self) -> Sendable<'_> {
        (&self.region, self.file.as_ref().as_ref())
    }
}

impl std::ops::Deref for ParentBell {
    type Target = Bell<SharedWords>;

    fn deref(&self) -> &Self::Target {
        &self.bell
    }
}

/// Has the pages of a new link made that are used first: control pages, and where the rings begin. Each costs microseconds
/// when it is touched first, and the others are not wanted before their ring comes to them.
pub(crate) fn touch(link: &Region) {
    [0, CONTROL, HALF, HALF + CONTROL].into_iter().for_each(|page| link.write(page, &[0]));
}

/// Makes everything that only the parent writes read-only in this process, a worker.
pub(crate) fn protect(link: &Region, bell: &Region) -> io::Result<()> {
    // SAFETY: a worker writes only to the second half of its link ...
    unsafe { link.protect(0, HALF) }?;
    // SAFETY: ... and to the second page of the bell region.
    unsafe { bell.protect(0, PAGE) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_interrupted_before_the_first_item() {
        let region = Arc::new(Region::new(LINK).unwrap());
        let (progress, leash) = (Progress::new(region.clone()), Leash::new(region));
        assert!(!leash.is_interrupted(progress.running()));
        progress.set_running(Running { chunk: 1, item: 0, is_begun: true });
        assert!(!leash.is_interrupted(progress.running()));
        leash.interrupt(progress.running());
        assert!(leash.is_interrupted(progress.running()));
    }
}
