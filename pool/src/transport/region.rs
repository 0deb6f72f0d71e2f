//! Shared memory as words and bytes: every access to it goes through here, bounds checked.
//!
//! Two processes map a region. Which of them may write where is a matter of [`layout`](super::layout):
//! every word and every byte has one writer, but for the count of a bell.

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, AtomicU64};

use ipc_channel::ipc::IpcSharedMemory;

use super::control::guarded;
use super::sealed;
use crate::sys::memory;

/// Shared memory of a fixed size, mapped for as long as this lives.
pub(crate) struct Region {
    /// Keeps the mapping alive, and can be sent to another process.
    memory: IpcSharedMemory,
    base: *mut u8,
    len: usize,
}

// SAFETY: the base pointer is to a mapping that any thread may use; all access is through atomics or
// through copies whose callers keep the one-writer rule.
unsafe impl Send for Region {}
// SAFETY: as for `Send`: no method needs the region for itself.
unsafe impl Sync for Region {}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Region({} bytes)", self.len)
    }
}

impl Region {
    /// Makes a region of zeroes that takes no memory before it is written to.
    pub(crate) fn new(len: usize) -> io::Result<Self> {
        Ok(Self::with_file(len)?.0)
    }

    /// Makes one, and returns its memory as a file too, unless ipc-channel made it.
    pub(super) fn with_file(len: usize) -> io::Result<(Self, Option<OwnedFd>)> {
        let (memory, file) = sealed::zeroes(len)?;
        Ok((Self::adopt(memory), file))
    }

    /// Uses a region that another process made.
    pub(crate) fn adopt(mut memory: IpcSharedMemory) -> Self {
        let len = memory.len();
        // SAFETY: only the pointer is kept. No `&mut` to these bytes exists beyond this line, and all
        // later access is by the raw copies and atomics below.
        let base = unsafe { memory.deref_mut() }.as_mut_ptr();
        Self { memory, base, len }
    }

    /// The handle to send to another process. To be sent at once: what this process executes meanwhile inherits it.
    pub(crate) fn handle(&self) -> io::Result<IpcSharedMemory> {
        guarded(|| self.memory.clone())
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn u64_at(&self, offset: usize) -> &AtomicU64 {
        self.check(offset, 8);
        assert!(offset % 8 == 0, "words are aligned by the layout");
        // SAFETY: inside the mapping, aligned (mappings start at pages), and only ever used as an atomic.
        unsafe { AtomicU64::from_ptr(self.base.add(offset).cast()) }
    }

    #[inline]
    pub(crate) fn u32_at(&self, offset: usize) -> &AtomicU32 {
        self.check(offset, 4);
        assert!(offset % 4 == 0, "words are aligned by the layout");
        // SAFETY: inside the mapping, aligned (mappings start at pages), and only ever used as an atomic.
        unsafe { AtomicU32::from_ptr(self.base.add(offset).cast()) }
    }

    /// Copies bytes in. The caller is the one writer of this place, and nobody reads it now.
    #[inline]
    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) {
        self.check(offset, bytes.len());
        if let Ok(word) = <[u8; 8]>::try_from(bytes) {
            // The usual item; a copy whose length the compiler does not know costs more than the rest of a call.
            // SAFETY: inside the mapping; a word has no alignment here.
            unsafe { self.base.add(offset).cast::<[u8; 8]>().write(word) };
            return;
        }
        // SAFETY: inside the mapping; `bytes` is memory of this process, so the two do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.base.add(offset), bytes.len()) }
    }

    /// Copies bytes out. A sound writer leaves this place alone meanwhile; after an unsound one the bytes
    /// are of any value.
    #[inline]
    pub(crate) fn read(&self, offset: usize, bytes: &mut [u8]) {
        self.check(offset, bytes.len());
        // SAFETY: inside the mapping; `bytes` is memory of this process, so the two do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(self.base.add(offset), bytes.as_mut_ptr(), bytes.len()) }
    }

    /// Appends a copy of bytes to `out`; what holds for [`read`](Self::read) holds here.
    pub(crate) fn append_to(&self, offset: usize, len: usize, out: &mut Vec<u8>) {
        self.check(offset, len);
        out.reserve(len);
        // SAFETY: inside the mapping on one side and inside the capacity just reserved on the other; the
        // two are different memory.
        unsafe {
            std::ptr::copy_nonoverlapping(
                self.base.add(offset),
                out.spare_capacity_mut().as_mut_ptr().cast(),
                len,
            )
        };
        // SAFETY: that many bytes were just initialized.
        unsafe { out.set_len(out.len() + len) };
    }

    /// Copies bytes out to where nothing is yet; what holds for [`read`](Self::read) holds here.
    pub(crate) fn read_into<'i>(&self, offset: usize, bytes: &'i mut [MaybeUninit<u8>]) -> &'i mut [u8] {
        self.check(offset, bytes.len());
        let (start, len) = (bytes.as_mut_ptr().cast::<u8>(), bytes.len());
        // SAFETY: inside the mapping; `bytes` is memory of this process, so the two do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(self.base.add(offset), start, len) };
        // SAFETY: these are the bytes of `bytes`, borrowed as long, and all of them were just written.
        unsafe { std::slice::from_raw_parts_mut(start, len) }
    }

    /// Copies the first bytes of another region in; what holds for [`write`](Self::write) and [`read`](Self::read)
    /// holds here.
    pub(crate) fn copy_from(&self, other: &Region, len: usize) {
        self.check(0, len);
        other.check(0, len);
        // SAFETY: inside either mapping, and two mappings do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(other.base, self.base, len) }
    }

    /// Gives the memory back to the system until it is used again, in all processes. What it holds is zeroes then.
    ///
    /// # Safety
    ///
    /// No process counts on what it holds, or borrows from it.
    pub(crate) unsafe fn empty(&self) -> io::Result<()> {
        // SAFETY: all of our mapping, of which the caller promises that nobody refers to it.
        unsafe { memory::empty(self.base, self.len) }
    }

    /// Lends bytes in place.
    ///
    /// # Safety
    ///
    /// Nobody, in any process, writes to this place while the slice lives.
    pub(crate) unsafe fn slice(&self, offset: usize, len: usize) -> &[u8] {
        self.check(offset, len);
        // SAFETY: inside the mapping, initialized, and unchanged by the caller's promise.
        unsafe { std::slice::from_raw_parts(self.base.add(offset), len) }
    }

    /// Takes this process's right to write to some whole pages away.
    ///
    /// # Safety
    ///
    /// No code of this process writes there any more.
    pub(crate) unsafe fn protect(&self, offset: usize, len: usize) -> io::Result<()> {
        self.check(offset, len);
        // SAFETY: inside the mapping (it starts at a page), and nobody writes there by the caller's promise.
        unsafe { memory::protect_from_writes(self.base.add(offset), len) }
    }

    #[inline]
    fn check(&self, offset: usize, len: usize) {
        assert!(
            offset.checked_add(len).is_some_and(|end| end <= self.len),
            "{len} bytes at {offset} of a region of {} bytes",
            self.len
        );
    }
}
