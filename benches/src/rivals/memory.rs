//! Memory that an allocator does not hand out, and forks. The only unsafe code of the benches.

use std::ffi::c_void;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::ptr;
use std::slice;
use std::sync::atomic::AtomicU32;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};
use rustix::process::{Pid, WaitOptions, waitpid};

/// A mapping of its own that nobody has touched, unmapped when dropped. An allocator would hand out warm memory.
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

/// Words that two processes share.
pub(super) struct SharedWords {
    start: *mut c_void,
    /// Keeps the memory's name in `/proc` until the other process has opened it.
    _file: OwnedFd,
}

// SAFETY: the mapping is the process's and not a thread's, and is seen as atomics only.
unsafe impl Sync for SharedWords {}

impl SharedWords {
    /// Bytes of it.
    const LEN: usize = 8 << 10;

    /// New memory, and where another process finds it.
    pub(super) fn create() -> (Self, String) {
        let file = memfd_create("turns", MemfdFlags::CLOEXEC).expect("memory can be had");
        ftruncate(&file, Self::LEN as u64).expect("there is memory");
        let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        (Self::map(file), path)
    }

    /// What another process made.
    pub(super) fn open(path: &str) -> Self {
        let file = File::options().read(true).write(true).open(path).expect("the other side keeps it open");
        Self::map(file.into())
    }

    fn map(file: OwnedFd) -> Self {
        let flags = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses a place where nothing is mapped.
        let start = unsafe { mmap(ptr::null_mut(), Self::LEN, flags, MapFlags::SHARED, file.as_fd(), 0) };
        Self { start: start.expect("there is memory"), _file: file }
    }

    pub(super) fn words(&self) -> &[AtomicU32] {
        // SAFETY: `start..start + LEN` is mapped as long as `self` lives, begins at a page, holds as many words, and is
        // written by atomics only, by both processes.
        unsafe { slice::from_raw_parts(self.start.cast(), Self::LEN / size_of::<AtomicU32>()) }
    }
}

impl Drop for SharedWords {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no borrow of it is left.
        let _ = unsafe { munmap(self.start, Self::LEN) };
    }
}

/// Makes a child that ends at once, and collects it.
pub(super) fn fork_and_wait() {
    // SAFETY: it is called in a process with one thread, and the child does nothing but to end.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: it ends the process.
        unsafe { libc::_exit(0) };
    }
    let pid = Pid::from_raw(pid).filter(|_| pid > 0).expect("a process can be made");
    waitpid(Some(pid), WaitOptions::empty()).expect("the child is ours");
}
