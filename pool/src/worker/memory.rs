//! Watches how much memory this process has, so that it is replaced when it has too much.

use std::time::{Duration, Instant};

use crate::sys::limits;

/// Time between two looks, each of which takes some microseconds.
const PAUSE: Duration = Duration::from_millis(1);

/// Looks between items.
#[derive(Debug)]
pub(crate) struct MemoryWatch {
    /// Bytes.
    most: u64,
    looked: Option<Instant>,
}

impl MemoryWatch {
    pub(crate) fn new(most: u64) -> Self {
        Self { most, looked: None }
    }

    /// Tells after an item whether there is too much; the first time for sure, then only if the last look is a while ago.
    pub(crate) fn is_exceeded(&mut self) -> bool {
        let now = Instant::now();
        if self.looked.is_some_and(|looked| now - looked < PAUSE) {
            return false;
        }
        self.looked = Some(now);
        limits::resident_memory().is_ok_and(|bytes| bytes > self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_looks_after_the_first_item_and_then_not_after_every_one() {
        let mut watch = MemoryWatch::new(1);
        assert!(watch.is_exceeded());
        watch.looked = Some(Instant::now() + Duration::from_secs(1000));
        assert!(!watch.is_exceeded());
        watch.looked = Some(Instant::now() - PAUSE);
        assert!(watch.is_exceeded());
        assert!(!MemoryWatch::new(u64::MAX).is_exceeded());
    }
}
