//! Shared memory of a size that is fixed, and its protection.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mmap, mprotect, munmap};
use rustix::process::{Resource, getrlimit};

/// Takes the right to write to whole pages of this process's own mapping away.
///
/// # Safety
///
/// `start..start + len` must be whole pages of one live mapping, and nothing in this process may write there
/// any more.
pub(crate) unsafe fn protect_from_writes(start: *mut u8, len: usize) -> io::Result<()> {
    // SAFETY: the caller promises that these pages are ours and that nobody here writes to them.
    unsafe { mprotect(start.cast(), len, MprotectFlags::READ) }.map_err(Into::into)
}

/// Gives the memory of whole pages of shared memory back to the system, for every process that maps them. They are zeroes
/// from then on.
///
/// # Safety
///
/// `start..start + len` must be whole pages of one live shared mapping, and nobody may refer to what they hold.
pub(crate) unsafe fn empty(start: *mut u8, len: usize) -> io::Result<()> {
    // SAFETY: the caller promises that these pages are ours and that nobody refers to them.
    unsafe { madvise(start.cast(), len, Advice::LinuxRemove) }.map_err(Into::into)
}

/// Makes `len` bytes of shared memory whose size nobody can change any more, in whatever process.
///
/// It is mapped once and unmapped again, because the library that maps it afterwards panics where it cannot. The
/// answer is a moment old then.
pub(crate) fn sealed(len: usize) -> io::Result<OwnedFd> {
    // Beyond that limit the kernel does not only refuse, it sends a signal that ends the program.
    if getrlimit(Resource::Fsize).current.is_some_and(|limit| limit < len as u64) {
        return Err(Errno::FBIG.into());
    }
    let file = memfd_create("pool", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    ftruncate(&file, len as u64)?;
    fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing.
    let mapping = unsafe { mmap(std::ptr::null_mut(), len, ProtFlags::READ, MapFlags::SHARED, &file, 0) }?;
    // SAFETY: this is the mapping of the line above, and nothing refers to it.
    unsafe { munmap(mapping, len) }?;
    Ok(file)
}
