//! Shared memory of a size that is fixed, its protection, and what the system is told of other memory.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::ptr::NonNull;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, ftruncate, memfd_create};
use rustix::io::Errno;
use rustix::mm::{
    Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mmap, mmap_anonymous, mprotect, munmap,
};
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

/// Says of memory of this process's own that all of it will be written to. Where it is new from the system, it then comes in
/// huge pages, if the machine has them for who asks: to be given it page by page costs several times what filling it does.
pub(crate) fn expect_use(start: *const u8, len: usize) {
    /// What glibc's allocator maps anew for each use, alone; shorter memory is used again, and would keep what is said here.
    const ALWAYS_NEW: usize = 32 << 20;
    if len < ALWAYS_NEW {
        return;
    }
    // All of its pages: if some of a mapping were another kind than the others, it could not be moved in one piece when it grows.
    let page = rustix::param::page_size();
    let skipped = start.addr() % page;
    let whole = (skipped + len).next_multiple_of(page);
    let start = start.wrapping_sub(skipped).cast_mut().cast();
    // A system without huge pages provides small ones.
    // SAFETY: this changes how the kernel provides memory, wherever it lies, and not what it holds.
    let _ = unsafe { madvise(start, whole, Advice::LinuxHugepage) };
}

/// Tries whether `len` bytes of memory of this process's own can be had, because who needs them ends the program where they
/// cannot. The answer is a moment old when it is used.
pub(crate) fn probe(len: usize) -> io::Result<()> {
    let rights = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing.
    let mapping = unsafe { mmap_anonymous(std::ptr::null_mut(), len, rights, MapFlags::PRIVATE) }?;
    // SAFETY: this is the mapping of the line above, and nothing refers to it.
    unsafe { munmap(mapping, len) }.map_err(Into::into)
}

/// Makes `len` bytes of shared memory whose size nobody can change any more, in whatever process.
///
/// It is mapped once and unmapped again, because the library that maps it afterwards panics where it cannot. The
/// answer is a moment old then.
pub(crate) fn sealed(len: usize) -> io::Result<OwnedFd> {
    check_file_size(len)?;
    let file = memfd_create("pool", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    ftruncate(&file, len as u64)?;
    fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing.
    let mapping = unsafe { mmap(std::ptr::null_mut(), len, ProtFlags::READ, MapFlags::SHARED, &file, 0) }?;
    // SAFETY: this is the mapping of the line above, and nothing refers to it.
    unsafe { munmap(mapping, len) }?;
    Ok(file)
}

/// Makes shared memory that holds these bytes for good: nobody can change them any more, in whatever process.
pub(crate) fn constant(bytes: &[u8]) -> io::Result<OwnedFd> {
    check_file_size(bytes.len())?;
    let mut file = File::from(memfd_create("pool-share", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    // Written and not mapped: where there is no memory, that is an error and no signal.
    file.write_all(bytes)?;
    fcntl_add_seals(&file, CONSTANT | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(file.into())
}

/// The seals that make what lies in a file constant.
const CONSTANT: SealFlags = SealFlags::WRITE.union(SealFlags::SHRINK);

/// Beyond that limit the kernel does not only refuse, it sends a signal that ends the program.
fn check_file_size(len: usize) -> io::Result<()> {
    match getrlimit(Resource::Fsize).current {
        Some(limit) if limit < len as u64 => Err(Errno::FBIG.into()),
        _ => Ok(()),
    }
}

/// What [`constant`] made, mapped for as long as this lives.
#[derive(Debug)]
pub(crate) struct Constant {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the bytes are constant, so any thread may read them.
unsafe impl Send for Constant {}
// SAFETY: as for `Send`.
unsafe impl Sync for Constant {}

impl Constant {
    /// Maps it, in whichever process the descriptor has come to.
    pub(crate) fn map(file: BorrowedFd<'_>) -> io::Result<Self> {
        if !fcntl_get_seals(file)?.contains(CONSTANT) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the memory is not sealed"));
        }
        let len = usize::try_from(fstat(file)?.st_size).map_err(|_| io::ErrorKind::InvalidData)?;
        if len == 0 {
            return Ok(Self { start: NonNull::dangling(), len });
        }
        // Not `SHARED`, which before Linux 6.7 asks for the right to write. As nobody writes, no page is ever copied.
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing.
        let start = unsafe { mmap(std::ptr::null_mut(), len, ProtFlags::READ, MapFlags::PRIVATE, file, 0) }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, len })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: that many bytes are mapped here until this is dropped; no process can change them or cut them off,
        // because of the seals that `map` found.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Constant {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: this is the mapping that `map` made, and nothing borrows from it any more. Nothing can be done
            // about an error.
            let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn what_is_constant_cannot_be_written_to_cut_or_mapped_for_writing() {
        let file = File::from(constant(b"for good").unwrap());
        assert_eq!(Constant::map(file.as_fd()).unwrap().bytes(), b"for good");
        let denied = [file.write_at(b"x", 0).map(drop), file.set_len(1), file.set_len(100)];
        assert!(
            denied.into_iter().all(|outcome| outcome.unwrap_err().kind() == io::ErrorKind::PermissionDenied)
        );
        let (flags, rights) = (MapFlags::SHARED, ProtFlags::READ | ProtFlags::WRITE);
        // SAFETY: a new mapping overlaps nothing; and there is none.
        let mapped = unsafe { mmap(std::ptr::null_mut(), 8, rights, flags, &file, 0) };
        assert_eq!(mapped.unwrap_err(), Errno::PERM);
    }

    #[test]
    fn nothing_is_constant_too() {
        let file = constant(b"").unwrap();
        assert_eq!(Constant::map(file.as_fd()).unwrap().bytes(), b"");
    }

    #[test]
    fn memory_that_somebody_could_change_is_not_taken_for_constant() {
        let file = sealed(4096).unwrap();
        assert_eq!(Constant::map(file.as_fd()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
