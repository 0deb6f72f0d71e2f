//! Locks in memory that processes share, which know of the death of who holds them.

use std::fs::File;
use std::os::fd::AsRawFd;

use pool::{Error, StartMethod, pool_task};

use crate::support::report::scratch_path;
use crate::support::{start, tasks};

crate::cases![a_lock_that_a_killed_worker_held_tells_so];

/// Maps the file in which the lock is, for as long as the process lives.
fn lock_in(path: &str) -> *mut libc::pthread_mutex_t {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let (protection, fd) = (libc::PROT_READ | libc::PROT_WRITE, file.as_raw_fd());
    // SAFETY: the file is as long, and nothing else knows of the mapping.
    let memory = unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, libc::MAP_SHARED, fd, 0) };
    assert_ne!(memory, libc::MAP_FAILED);
    memory.cast()
}

#[pool_task]
fn make(path: &str) {
    let mut kind = std::mem::MaybeUninit::uninit();
    let shared = libc::PTHREAD_PROCESS_SHARED;
    // SAFETY: it is initialized here, first of all.
    assert_eq!(unsafe { libc::pthread_mutexattr_init(kind.as_mut_ptr()) }, 0);
    // SAFETY: it was just initialized.
    assert_eq!(unsafe { libc::pthread_mutexattr_setpshared(kind.as_mut_ptr(), shared) }, 0);
    let robust = libc::PTHREAD_MUTEX_ROBUST;
    // SAFETY: as above.
    assert_eq!(unsafe { libc::pthread_mutexattr_setrobust(kind.as_mut_ptr(), robust) }, 0);
    // SAFETY: nobody uses the lock yet.
    assert_eq!(unsafe { libc::pthread_mutex_init(lock_in(path), kind.as_ptr()) }, 0);
}

#[pool_task]
fn locks(path: &str, dies: bool) -> i32 {
    // SAFETY: the lock was initialized.
    let outcome = unsafe { libc::pthread_mutex_trylock(lock_in(path)) };
    if dies {
        tasks::end_process("kill");
    }
    outcome
}

fn a_lock_that_a_killed_worker_held_tells_so(method: StartMethod) {
    let path = scratch_path("lock");
    std::fs::write(&path, [0; 4096]).unwrap();
    let path = path.to_str().unwrap();
    let pool = start(method, 1);
    pool.apply(make, (path,)).unwrap();
    assert!(matches!(pool.apply(locks, (path, true)), Err(Error::WorkerLost { .. })));
    assert_eq!(pool.apply(locks, (path, false)).unwrap(), libc::EOWNERDEAD);
}
