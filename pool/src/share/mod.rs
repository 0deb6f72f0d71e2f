//! Values that are sent to each worker once: [`Shared`].
//!
//! ```text
//! share(value) ──► Original: the encoded value, in memory that nobody can change      original.rs
//!      │              ▲  ▲
//!      ▼              │  └── items that use it, until they have ended (a block of a job holds it)
//!   Shared ── Keeper ─┘
//!      │ is encoded as a number, and noted                                          sending.rs
//!      ▼
//!   item ──► driver: does this worker have the original? if not, that comes first
//!              ▼
//!            worker: table of what came; the number of an item finds its value        kept.rs
//! ```
//!
//! What can be shared, and what a worker holds of it, is in `kinds.rs`.

pub(crate) mod kept;
mod kinds;
pub(crate) mod original;
pub(crate) mod sending;

use std::fmt;
use std::io;
use std::ops::Deref;
use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::{Arc, Weak};

use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::codec::CodecError;
use crate::error::Error;
use crate::sys::memory::Constant;
pub use kinds::{IntoShared, Number, Shareable};
use original::{Home, Keeper, Original, Owner};
use sending::{Encoding, Used};

/// A value that the workers of a pool have, so that it need not travel with every item. Made by
/// [`Pool::share`](crate::Pool::share).
///
/// It dereferences to the value, in the program and in tasks. A task takes it as `Shared<T>` or `&Shared<T>`, alone or
/// inside of a type of its own; only a number travels. Clones are handles on the same value.
///
/// What a worker has of it depends on `T`:
///
/// - `Shared<[f64]>`, and slices of the other numbers, and `Shared<str>`: nothing. All processes map the same memory,
///   which nobody can write to.
/// - any other type: a value of its own, decoded when the first item that uses it comes. That counts as part of that item, and if
///   it fails, items that use it end with [`Error::Decode`](crate::Error::Decode).
///
/// When the last handle is dropped and no item uses it any more, workers are told to drop what they have; each does so before
/// it goes on to its next chunk. A task that keeps a clone in a `static` keeps the value in that worker.
///
/// It can be sent only as an argument, and only by the pool that made it: in a result, in another pool's call (also in a
/// pool that a task makes), or in the arguments of an [`initializer`](crate::PoolBuilder::initializer) it is an [`Error::Encode`](crate::Error::Encode).
///
/// # Examples
///
/// ```
/// use pool::{pool_task, Pool, Shared};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Query {
///     texts: Shared<Vec<String>>,
///     word: String,
/// }
///
/// #[pool_task]
/// fn count(query: Query) -> usize {
///     query.texts.iter().filter(|text| text.contains(&query.word)).count()
/// }
///
/// let pool = Pool::new()?;
/// let texts = pool.share(vec!["to be".to_owned(), "or not to be".to_owned()])?;
/// let queries = ["not", "be"].map(|word| Query { texts: texts.clone(), word: word.to_owned() });
/// assert_eq!(pool.map(count, queries)?, [1, 2]);
/// # Ok::<(), pool::Error>(())
/// ```
pub struct Shared<T: ?Sized> {
    /// In what `holder` keeps: a value in an `Arc`, or constant memory.
    value: NonNull<T>,
    holder: Arc<dyn Send + Sync>,
    /// `None` in a worker to which it was sent. After `holder`, so that what is dropped last is what workers learn of.
    keeper: Option<Arc<Keeper>>,
}

// SAFETY: it is a pointer to a `T` of which there are only shared references, and `holder` can be sent by itself.
unsafe impl<T: ?Sized + Send + Sync> Send for Shared<T> {}
// SAFETY: as for `Send`.
unsafe impl<T: ?Sized + Send + Sync> Sync for Shared<T> {}

impl<T: ?Sized> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the two functions below, which alone make handles, let it point into what `holder` keeps. That is
        // there as long as this handle, stays where it is, and nobody has a mutable reference to it.
        unsafe { self.value.as_ref() }
    }
}

impl<T: Send + Sync + 'static> Shared<T> {
    /// A handle on a value of this process.
    fn of(value: T) -> Self {
        let holder = Arc::new(value);
        Self { value: NonNull::from(&*holder), holder, keeper: None }
    }
}

impl<T: ?Sized> Shared<T> {
    /// A handle on what `view` finds in constant memory.
    fn in_place(
        memory: Memory,
        view: impl for<'m> FnOnce(&'m [u8]) -> Result<&'m T, CodecError>,
    ) -> Result<Self, CodecError> {
        Ok(Self { value: NonNull::from(view(memory.bytes())?), holder: memory.0, keeper: None })
    }

    /// Copies a value into memory that workers can map.
    pub(crate) fn new(
        value: impl IntoShared<T>,
        home: Arc<Home>,
        owner: Weak<dyn Owner>,
    ) -> Result<Self, Error> {
        Self::try_new(value, home, owner)
            .map_err(|source| Error::Share { value: std::any::type_name::<T>(), source })
    }

    fn try_new(
        value: impl IntoShared<T>,
        home: Arc<Home>,
        owner: Weak<dyn Owner>,
    ) -> Result<Self, CodecError> {
        let encoding = Encoding::enter(Home::NONE, Used::new());
        let bytes = catch_unwind(AssertUnwindSafe(|| value.bytes()))
            .unwrap_or_else(|payload| {
                std::mem::forget(payload);
                Err(CodecError::new("its `Serialize` implementation panicked"))
            })
            .map_err(|error| sending::complaint().map_or(error, CodecError::new))?;
        let no_memory =
            |error| CodecError::new(format!("no shared memory for {} bytes: {error}", bytes.len()));
        let original = Original::new(&bytes, home).map_err(no_memory)?;
        let memory = original.map().map_err(no_memory)?;
        drop((bytes, encoding));
        let shared = value.hold(memory)?;
        Ok(Self { keeper: Some(Arc::new(Keeper::new(original, owner))), ..shared })
    }
}

impl<T: ?Sized> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self { value: self.value, holder: self.holder.clone(), keeper: self.keeper.clone() }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shared").field(&&**self).finish()
    }
}

impl<T: ?Sized> Serialize for Shared<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match sending::note(self.keeper.as_ref()) {
            Ok(id) => serializer.serialize_u64(id),
            Err(reason) => {
                sending::complain(reason);
                Err(S::Error::custom(reason))
            }
        }
    }
}

impl<'de, T: ?Sized + Shareable> Deserialize<'de> for Shared<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        kept::find(u64::deserialize(deserializer)?).map_err(|reason| {
            sending::complain(&reason);
            D::Error::custom(reason)
        })
    }
}

/// Memory that holds an encoded value and that nobody can change.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Constant>);

impl Memory {
    pub(crate) fn map(file: BorrowedFd<'_>) -> io::Result<Self> {
        Constant::map(file).map(Arc::new).map(Self)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }
}
