//! What workers note about items, in memory that the program shares with them and they cannot lose.
//!
//! One byte for each item: how often it was begun (low half) and finished (high half). Before them a page of counts and
//! one of notes on what each thread of the program is doing, for the watcher. Workers open it by the path that is
//! part of a task's arguments, so nothing depends on how they were started.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap};
use rustix::time::{ClockId, clock_gettime};

/// Items of one round.
pub(crate) const ITEMS: usize = 8 << 20;
const COUNTS: usize = 4096;
const NOTES: usize = 64 * NOTE;
const NOTE: usize = 128;
const HEAD: usize = COUNTS + NOTES;

/// Counts that workers and program share.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Count {
    /// Anything that shows the program goes on.
    Progress,
    Initialized,
    Finalized,
    /// The most descriptors that a worker had open.
    MostDescriptors,
}

/// The mapping.
#[derive(Debug)]
pub(crate) struct Ledger {
    base: *mut u8,
}

// SAFETY: all access is through atomics.
unsafe impl Send for Ledger {}
// SAFETY: as for `Send`.
unsafe impl Sync for Ledger {}

impl Ledger {
    /// Makes one; the file keeps it open for workers.
    pub(crate) fn make() -> io::Result<(Self, File)> {
        let file = File::from(memfd_create("stress-ledger", MemfdFlags::CLOEXEC)?);
        ftruncate(&file, (HEAD + ITEMS) as u64)?;
        Ok((Self::map(&file)?, file))
    }

    /// Opens the one that process `handle >> 32` has as descriptor `handle as u32`.
    pub(crate) fn open(handle: u64) -> io::Result<Self> {
        let path = format!("/proc/{}/fd/{}", handle >> 32, handle as u32);
        Self::map(&OpenOptions::new().read(true).write(true).open(path)?)
    }

    /// The one that this worker uses, opened with its first item.
    pub(crate) fn of_worker(handle: u64) -> &'static Self {
        static OPENED: OnceLock<Ledger> = OnceLock::new();
        OPENED.get_or_init(|| Self::open(handle).expect("the program lives and has the ledger open"))
    }

    pub(crate) fn handle(file: &File) -> u64 {
        u64::from(std::process::id()) << 32 | file.as_raw_fd() as u64
    }

    fn map(file: &File) -> io::Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing; it is never unmapped.
        let base =
            unsafe { mmap(std::ptr::null_mut(), HEAD + ITEMS, protection, MapFlags::SHARED, file, 0) }?;
        Ok(Self { base: base.cast() })
    }

    fn byte(&self, offset: usize) -> &AtomicU8 {
        assert!(offset < HEAD + ITEMS, "inside the mapping");
        // SAFETY: inside the mapping, and only ever used as an atomic.
        unsafe { AtomicU8::from_ptr(self.base.add(offset)) }
    }

    fn word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset + 8 <= HEAD && offset % 8 == 0, "inside the head, aligned");
        // SAFETY: inside the mapping, aligned, and only ever used as an atomic.
        unsafe { AtomicU64::from_ptr(self.base.add(offset).cast()) }
    }

    pub(crate) fn count(&self, count: Count) -> &AtomicU64 {
        self.word(count as usize * 64)
    }

    pub(crate) fn progress(&self) {
        self.count(Count::Progress).fetch_add(1, Ordering::Relaxed);
    }

    fn mark_of(&self, id: u64) -> &AtomicU8 {
        self.byte(HEAD + id as usize)
    }

    /// Returns how often it was begun by now.
    pub(crate) fn begin(&self, id: u64) -> u8 {
        self.progress();
        (self.mark_of(id).fetch_add(1, Ordering::SeqCst) & 15) + 1
    }

    pub(crate) fn finish(&self, id: u64) {
        self.mark_of(id).fetch_add(16, Ordering::SeqCst);
    }

    /// How often an item was begun and finished.
    pub(crate) fn mark(&self, id: u64) -> (u8, u8) {
        let mark = self.mark_of(id).load(Ordering::SeqCst);
        (mark & 15, mark >> 4)
    }

    pub(crate) fn clear(&self, items: u64) {
        (0..items).for_each(|id| self.mark_of(id).store(0, Ordering::Relaxed));
    }

    /// Notes what the thread in this place does, and since when; an empty text says that it waits for nothing.
    pub(crate) fn note(&self, place: usize, text: &str) {
        let at = COUNTS + place % 64 * NOTE;
        let bytes = &text.as_bytes()[..text.len().min(NOTE - 16)];
        self.word(at).store(0, Ordering::SeqCst);
        bytes.iter().enumerate().for_each(|(i, byte)| self.byte(at + 16 + i).store(*byte, Ordering::Relaxed));
        self.word(at + 8).store(bytes.len() as u64, Ordering::Relaxed);
        self.word(at).store(if text.is_empty() { 0 } else { now() }, Ordering::SeqCst);
    }

    /// What threads are at, with the milliseconds since they began.
    pub(crate) fn notes(&self) -> Vec<(usize, u64, String)> {
        let read = |place: usize| {
            let at = COUNTS + place * NOTE;
            let since = self.word(at).load(Ordering::SeqCst);
            let len = (self.word(at + 8).load(Ordering::Relaxed) as usize).min(NOTE - 16);
            let bytes: Vec<u8> = (0..len).map(|i| self.byte(at + 16 + i).load(Ordering::Relaxed)).collect();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            (since > 0).then(|| (place, now().saturating_sub(since), text))
        };
        (0..64).filter_map(read).collect()
    }
}

/// Milliseconds that mean the same in every process, and which nobody sets.
fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}
