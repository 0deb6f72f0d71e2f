//! Memory that nobody has touched. The only unsafe code of the benches: an allocator would hand out warm memory.

use std::ffi::c_void;
use std::ptr;
use std::slice;

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// A mapping of its own, unmapped when dropped.
pub(super) struct FreshMemory {
    start: *mut c_void,
    len: usize,
}

impl FreshMemory {
    /// As the heap gets it from the kernel.
    pub(super) fn private(len: usize) -> Self {
        Self::map(len, MapFlags::PRIVATE)
    }

    /// As processes share it.
    pub(super) fn shared(len: usize) -> Self {
        Self::map(len, MapFlags::SHARED)
    }

    fn map(len: usize, flags: MapFlags) -> Self {
        // SAFETY: the kernel chooses a place where nothing is mapped.
        let start =
            unsafe { mmap_anonymous(ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, flags) };
        Self { start: start.expect("there is memory"), len }
    }

    pub(super) fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: `start..start + len` is mapped for reading and writing and zeroed, and was never given to anybody
        // else; the borrow of `self` keeps it mapped and exclusive.
        unsafe { slice::from_raw_parts_mut(self.start.cast(), self.len) }
    }
}

impl Drop for FreshMemory {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no borrow of it is left.
        let _ = unsafe { munmap(self.start, self.len) };
    }
}
