//! Protection of shared memory, and whether there is any left.

use std::io;

/// Takes the right to write to whole pages of this process's own mapping away.
///
/// # Safety
///
/// `start..start + len` must be whole pages of one live mapping, and nothing in this process may write there
/// any more.
pub(crate) unsafe fn protect_from_writes(start: *mut u8, len: usize) -> io::Result<()> {
    // SAFETY: the caller promises that these pages are ours and that nobody here writes to them.
    unsafe { rustix::mm::mprotect(start.cast(), len, rustix::mm::MprotectFlags::READ) }.map_err(Into::into)
}

/// Tries whether a shared region of `len` bytes can be had, because the library that makes them panics
/// where it cannot. The answer is a moment old when it is used.
pub(crate) fn probe(len: usize) -> io::Result<()> {
    let file = rustix::fs::memfd_create("pool-probe", rustix::fs::MemfdFlags::CLOEXEC)?;
    rustix::fs::ftruncate(&file, len as u64)?;
    // SAFETY: a new private mapping at an address of the kernel's choice overlaps nothing.
    let mapping = unsafe {
        rustix::mm::mmap(
            std::ptr::null_mut(),
            len,
            rustix::mm::ProtFlags::READ,
            rustix::mm::MapFlags::SHARED,
            &file,
            0,
        )
    }?;
    // SAFETY: this is the mapping of the line above, and nothing refers to it.
    unsafe { rustix::mm::munmap(mapping, len) }?;
    Ok(())
}
