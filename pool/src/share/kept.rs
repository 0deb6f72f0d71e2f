//! The shared values that this process, a worker, was sent.
//!
//! The worker's loop puts them in and takes them out as the parent says; arguments that name one find it here. A value is decoded
//! when it is first asked for, and then all arguments have that one.

use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::share::{Memory, Shareable, Shared};

/// By the numbers that the parent gave them.
static TABLE: Mutex<BTreeMap<u64, Kept>> = Mutex::new(BTreeMap::new());

/// What this process has of a shared value.
pub(crate) enum Kept {
    /// The memory; nobody has asked for the value yet.
    Closed(Memory),
    /// A handle on the value.
    Open(Box<dyn Any + Send + Sync>),
    /// It cannot be had, for this reason.
    Lost(String),
}

fn table() -> MutexGuard<'static, BTreeMap<u64, Kept>> {
    // No user code runs while it is locked.
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts in what has come, or why it could not be mapped; takes out what had that number, whose drop may run user code.
pub(crate) fn keep(id: u64, memory: io::Result<Memory>) -> Option<Kept> {
    let kept = match memory {
        Ok(memory) => Kept::Closed(memory),
        Err(error) => Kept::Lost(format!("the shared value could not be mapped into the worker: {error}")),
    };
    table().insert(id, kept)
}

/// Takes one out. To drop it may run user code.
pub(crate) fn forget(id: u64) -> Option<Kept> {
    table().remove(&id)
}

/// Finds one, and decodes it if it is the first time.
pub(super) fn find<T: Shareable + ?Sized>(id: u64) -> Result<Shared<T>, String> {
    let memory = match table().get(&id) {
        Some(Kept::Open(handle)) => return typed(&**handle),
        Some(Kept::Closed(memory)) => memory.clone(),
        Some(Kept::Lost(reason)) => return Err(reason.clone()),
        None => return Err("this process was sent no such shared value".to_owned()),
    };
    // If this panics, it is tried again for the next item.
    let opened = T::open(memory).map_err(|error| format!("the shared value: {error}"));
    let kept = match &opened {
        Ok(handle) => Kept::Open(Box::new(handle.clone())),
        Err(reason) => Kept::Lost(reason.clone()),
    };
    // Another thread of the task may have opened it meanwhile, and what that made is dropped without the lock.
    let other = table().insert(id, kept);
    drop(other);
    opened
}

fn typed<T: Shareable + ?Sized>(handle: &(dyn Any + Send + Sync)) -> Result<Shared<T>, String> {
    let name = std::any::type_name::<T>();
    let handle = handle.downcast_ref::<Shared<T>>().cloned();
    handle.ok_or_else(|| format!("the shared value is used as `{name}` and as another type"))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::os::fd::AsFd;
    use std::panic::catch_unwind;
    use std::time::{Duration, Instant};

    use serde::{Deserialize, Deserializer, Serialize};

    use super::*;
    use crate::sys::memory;

    fn memory_of(bytes: &[u8]) -> io::Result<Memory> {
        Memory::map(memory::constant(bytes)?.as_fd())
    }

    thread_local! {
        static DECODED: Cell<u32> = const { Cell::new(0) };
    }

    /// Counts how often it is decoded; 0 cannot be, and at 1 it panics.
    #[derive(Debug, PartialEq, Serialize)]
    struct Counted(u8);

    impl<'de> Deserialize<'de> for Counted {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            DECODED.set(DECODED.get() + 1);
            match u8::deserialize(deserializer)? {
                0 => Err(serde::de::Error::custom("zero")),
                1 => panic!("one"),
                value => Ok(Self(value)),
            }
        }
    }

    /// Needs the table when it is dropped; while it is decoded for the first time, another thread of the task seems to open it.
    #[derive(Serialize)]
    struct Contended(u8);

    thread_local! {
        static IS_OPENED_TWICE: Cell<bool> = const { Cell::new(false) };
        static DROPPED_WITHOUT_LOCK: Cell<Option<bool>> = const { Cell::new(None) };
    }

    impl<'de> Deserialize<'de> for Contended {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let value = u8::deserialize(deserializer)?;
            if !IS_OPENED_TWICE.replace(true) {
                drop(find::<Contended>(4000));
            }
            Ok(Self(value))
        }
    }

    impl Drop for Contended {
        fn drop(&mut self) {
            // Other tests have the table for a moment.
            let deadline = Instant::now() + Duration::from_secs(5);
            let mut is_free = TABLE.try_lock().is_ok();
            while !is_free && Instant::now() < deadline {
                is_free = TABLE.try_lock().is_ok();
            }
            DROPPED_WITHOUT_LOCK.set(Some(is_free));
        }
    }

    // The table is one for all tests, so each has ids of its own.

    #[test]
    fn what_another_thread_opened_at_the_same_time_is_dropped_without_the_lock() {
        keep(4000, memory_of(&[4]));
        let found = find::<Contended>(4000).unwrap();
        assert_eq!(DROPPED_WITHOUT_LOCK.take(), Some(true));
        assert_eq!(found.0, 4);
        drop(forget(4000));
    }

    #[test]
    fn a_value_is_decoded_when_it_is_first_asked_for_and_once() {
        keep(1000, memory_of(&[7]));
        assert_eq!(DECODED.get(), 0);
        let first = find::<Counted>(1000).unwrap();
        let second = find::<Counted>(1000).unwrap();
        assert!(std::ptr::eq(&*first, &*second) && *first == Counted(7));
        assert_eq!(DECODED.get(), 1);
        assert!(find::<u8>(1000).err().unwrap().contains("another type"));
        drop(forget(1000));
        assert!(find::<Counted>(1000).err().unwrap().contains("no such"));
        assert_eq!(*first, Counted(7), "who has it keeps it");
    }

    #[test]
    fn a_value_that_cannot_be_decoded_is_tried_once_and_one_that_panics_again() {
        keep(2000, memory_of(&[0]));
        let reasons = [find::<Counted>(2000), find::<Counted>(2000)].map(|found| found.err().unwrap());
        assert!(reasons[0] == reasons[1] && reasons[0].contains("Counted"), "{reasons:?}");
        assert_eq!(DECODED.get(), 1);
        keep(2001, memory_of(&[1]));
        assert!((0..2).all(|_| catch_unwind(|| find::<Counted>(2001).is_ok()).is_err()));
        keep(2001, memory_of(&[2]));
        assert_eq!(*find::<Counted>(2001).unwrap(), Counted(2));
        (2000..=2001).for_each(|id| drop(forget(id)));
    }

    #[test]
    fn bytes_that_are_too_many_or_no_such_slice_are_refused() {
        keep(3000, memory_of(&[5, 5]));
        assert!(find::<Counted>(3000).err().unwrap().contains("left over"));
        keep(3001, memory_of(&[0; 7]));
        assert!(find::<[f64]>(3001).err().unwrap().contains("7 bytes are no slice of `f64`"));
        keep(3002, memory_of(&[0xFF]));
        assert!(find::<str>(3002).err().unwrap().contains("utf-8"));
        keep(3003, Err(io::ErrorKind::OutOfMemory.into()));
        assert!(find::<[u8]>(3003).err().unwrap().contains("could not be mapped"));
        (3000..=3003).for_each(|id| drop(forget(id)));
    }
}
