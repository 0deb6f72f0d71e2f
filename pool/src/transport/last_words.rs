//! What a worker says as it panics, in memory that outlives it.
//!
//! A panic that is caught is an answer like any other. One that ends the process never becomes an answer: then the parent finds
//! here what the worker wrote while it panicked, tagged with the item that it ran. What the parent reads may
//! be of any value, so it copies it out and checks every length.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::layout::{self, Progress, Running};
use super::region::Region;
use crate::exit::LastPanic;

/// What lies where, from the start of the place: the tag, the lengths of both texts in bytes, the texts.
const TAG: usize = layout::WORDS;
const LENGTHS: usize = layout::WORDS + 8;
const TEXTS: usize = layout::WORDS + 16;
const ROOM: usize = layout::WORDS_END - TEXTS;
/// Longest text about the place of a panic.
const LONGEST_PLACE: usize = 512;
/// Stands where a text was cut.
const CUT: &str = "…";

/// Both ends: the worker speaks, the parent listens when it is dead.
#[derive(Clone, Debug)]
pub(crate) struct LastWords {
    region: Arc<Region>,
}

impl LastWords {
    pub(crate) fn new(region: Arc<Region>) -> Self {
        Self { region }
    }

    /// Worker: notes a panic of the item that it is running, in place of what was noted before. One thread at a time.
    pub(crate) fn say(&self, message: &str, location: &str) {
        // The end of a path says more than its start.
        let mut start = location.len().saturating_sub(LONGEST_PLACE);
        while !location.is_char_boundary(start) {
            start += 1;
        }
        let location = &location[start..];
        let mut end = message.len().min(ROOM - location.len());
        let mut mark = "";
        if end < message.len() {
            mark = CUT;
            end -= CUT.len();
            while !message.is_char_boundary(end) {
                end -= 1;
            }
        }
        let lengths = self.region.u64_at(LENGTHS);
        // Whoever finds this half written finds nothing.
        lengths.store(0, Ordering::Release);
        self.region.write(TEXTS, &message.as_bytes()[..end]);
        self.region.write(TEXTS + end, mark.as_bytes());
        let len = end + mark.len();
        self.region.write(TEXTS + len, location.as_bytes());
        let tag = Progress::new(self.region.clone()).running();
        self.region.u64_at(TAG).store(tag.pack(), Ordering::Relaxed);
        lengths.store((len as u64) << 32 | location.len() as u64, Ordering::Release);
    }

    /// Parent: what the worker said while it ran this item.
    pub(crate) fn about(&self, item: Running) -> Option<LastPanic> {
        let lengths = self.region.u64_at(LENGTHS).load(Ordering::Acquire);
        let (message, location) = ((lengths >> 32) as usize, lengths as u32 as usize);
        let tag = self.region.u64_at(TAG).load(Ordering::Relaxed);
        if lengths == 0 || message > ROOM || location > ROOM - message {
            return None;
        }
        if tag != item.pack() {
            return None;
        }
        let text = |offset, len| {
            let mut bytes = vec![0; len];
            self.region.read(TEXTS + offset, &mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        };
        Some(LastPanic { message: text(0, message), location: text(message, location) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(chunk: u32, item: u32) -> Running {
        Running { chunk, item, is_begun: true }
    }

    fn words() -> (LastWords, Progress) {
        let region = Arc::new(Region::new(layout::LINK).unwrap());
        (LastWords::new(region.clone()), Progress::new(region))
    }

    #[test]
    fn what_is_said_is_heard_of_the_item_that_ran_and_of_no_other() {
        let (words, progress) = words();
        assert_eq!(words.about(at(0, 0)), None);
        progress.set_running(at(7, 3));
        words.say("first", "a.rs:1:2");
        words.say("no", "b.rs:3:4");
        let said = LastPanic { message: "no".to_owned(), location: "b.rs:3:4".to_owned() };
        assert_eq!(words.about(at(7, 3)), Some(said));
        assert_eq!((words.about(at(7, 4)), words.about(at(8, 3)), words.about(at(0, 0))), (None, None, None));
    }

    proptest! {
        #[test]
        fn texts_of_any_length_are_cut_between_characters(message in "[aä€😀]{0,2000}", place in "[aä€😀]{1,300}") {
            let (words, _) = words();
            words.say(&message, &place);
            let said = words.about(at(0, 0)).unwrap();
            prop_assert!(place.ends_with(&said.location));
            prop_assert!(place.len() - said.location.len() < 4 || said.location.len() > LONGEST_PLACE - 4);
            match said.message.strip_suffix(CUT) {
                Some(kept) => prop_assert!(message.starts_with(kept) && kept.len() + 1024 > ROOM),
                None => prop_assert_eq!(said.message, message),
            }
        }

        #[test]
        fn a_place_full_of_anything_can_be_read(bytes in proptest::collection::vec(any::<u8>(), ROOM + 16), small in any::<[u16; 2]>()) {
            let (words, _) = words();
            words.region.write(TAG, &bytes);
            words.region.u64_at(TAG).store(0, Ordering::Relaxed);
            let _ = words.about(at(0, 0));
            words.region.u64_at(LENGTHS).store(u64::from(small[0]) << 32 | u64::from(small[1]), Ordering::Relaxed);
            let _ = words.about(at(0, 0));
        }
    }
}
