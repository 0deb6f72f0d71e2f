//! What a pool's parent keeps of a shared value, without its type: the memory, and who still needs it.
//!
//! An [`Original`] is held by the items that use it, until they have ended, and by a [`Keeper`] for the handles. When both
//! are gone, the pool's driver finds out from [`Home`] and tells the workers.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use crate::share::Memory;
use crate::sys::memory;

/// The pool to which shared values belong.
#[derive(Debug)]
pub(crate) struct Home {
    number: u64,
    has_lost: AtomicBool,
}

impl Home {
    /// The number of no pool.
    pub(crate) const NONE: u64 = 0;

    pub(crate) fn new() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(Home::NONE);
        Self { number: LAST.fetch_add(1, Ordering::Relaxed) + 1, has_lost: AtomicBool::new(false) }
    }

    /// Tells the pools of this process apart.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Tells whether an original is gone since the last time this was asked.
    #[inline]
    pub(crate) fn take_loss(&self) -> bool {
        self.has_lost.load(Ordering::Relaxed) && self.has_lost.swap(false, Ordering::Acquire)
    }

    /// Says that an original is gone.
    pub(crate) fn note_loss(&self) {
        self.has_lost.store(true, Ordering::Release);
    }
}

/// The encoded value, in memory that nobody can change.
pub(crate) struct Original {
    id: u64,
    file: OwnedFd,
    home: Arc<Home>,
}

impl fmt::Debug for Original {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Original({})", self.id)
    }
}

impl Original {
    /// Copies the bytes into new memory.
    pub(crate) fn new(bytes: &[u8], home: Arc<Home>) -> io::Result<Self> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let file = memory::constant(bytes)?;
        Ok(Self { id: LAST.fetch_add(1, Ordering::Relaxed) + 1, file, home })
    }

    /// What travels with items. No two originals of a process have the same, ever.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Maps it into this process as well.
    pub(super) fn map(&self) -> io::Result<Memory> {
        Memory::map(self.file())
    }
}

impl Drop for Original {
    fn drop(&mut self) {
        self.home.note_loss();
    }
}

/// Who tells the workers that originals are gone.
pub(crate) trait Owner: Send + Sync {
    /// Looks for them. Takes the driver's lock.
    fn forget_originals(&self);
}

/// What all handles of one value share. Dropped by user code only, and never under the driver's lock.
pub(crate) struct Keeper {
    /// `None` only while it is being dropped.
    original: Option<Arc<Original>>,
    owner: Weak<dyn Owner>,
}

impl Keeper {
    pub(crate) fn new(original: Original, owner: Weak<dyn Owner>) -> Self {
        Self { original: Some(Arc::new(original)), owner }
    }

    pub(crate) fn original(&self) -> &Arc<Original> {
        self.original.as_ref().unwrap_or_else(|| unreachable!("only `drop` takes it out"))
    }

    /// The number of the pool that it belongs to.
    pub(super) fn home(&self) -> u64 {
        self.original().home.number
    }
}

#[cfg(test)]
impl Keeper {
    /// Of a value that nobody tells the workers about.
    pub(crate) fn unowned(home: &Arc<Home>) -> Arc<Self> {
        struct Nobody;
        impl Owner for Nobody {
            fn forget_originals(&self) {}
        }
        let original = Original::new(b"shared", home.clone()).expect("there is memory");
        Arc::new(Self::new(original, Weak::<Nobody>::new()))
    }

    pub(crate) fn id(&self) -> u64 {
        self.original().id()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let was_last = self.original.take().and_then(Arc::into_inner).is_some();
        if let (true, Some(owner)) = (was_last, self.owner.upgrade()) {
            owner.forget_originals();
        }
    }
}
