//! A memory barrier in other processes, for protocols whose fast side cannot afford one.
//!
//! The fast side stores a word, loads another and relies on the compiler alone to keep that order. The slow side
//! stores the other word, calls [`everywhere`], and loads the one: then one of the two sees what the other stored.

use rustix::thread::{MembarrierCommand, membarrier};

/// Makes this process one of those that [`everywhere`] reaches.
pub(crate) fn take_part() {
    // Where the kernel lacks it, `everywhere` takes the slow way, which reaches all.
    let _ = membarrier(MembarrierCommand::RegisterGlobalExpedited);
}

/// Makes every process that takes part execute a barrier, and this one as well.
pub(crate) fn everywhere() {
    if membarrier(MembarrierCommand::GlobalExpedited).is_err() {
        // Slow, and the best that is left if it fails, too: a store reaches other processors within nanoseconds, and
        // a system call takes longer.
        let _ = membarrier(MembarrierCommand::Global);
    }
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}
