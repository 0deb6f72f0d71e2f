//! mpire's second public workload: which beginnings of words come up often.
//!
//! Theirs has documents of 15,000 and 5,000 words. Random words have next to no beginnings in common, so their count needs
//! tens of gigabytes; these documents have a hundredth of the words. As theirs it counts for each worker.

use std::collections::{HashMap, HashSet};

/// Documents of the workload.
pub(crate) const DOCUMENTS: usize = 2_000;
const WORDS: usize = 100;
const MORE_OR_LESS: usize = 50;
const BYTES: usize = 20;

/// A document: its words, one after the other.
pub(crate) fn document(number: usize) -> Vec<u8> {
    let words = if number % 2 == 0 { WORDS + MORE_OR_LESS } else { WORDS - MORE_OR_LESS };
    let mut state = number as u64 + 1;
    let mut bytes = Vec::with_capacity(words * BYTES);
    while bytes.len() < words * BYTES {
        state = (state * 1_664_525 + 1_013_904_223) % (1 << 32);
        bytes.push((state >> 24) as u8);
    }
    bytes
}

/// A beginning: its length and its bytes, with zeros behind them.
type Prefix = (u8, [u8; BYTES - 1]);

/// How often each beginning was seen.
#[derive(Debug, Default)]
pub(crate) struct Prefixes {
    counts: HashMap<Prefix, u32>,
}

impl Prefixes {
    /// Counts the beginnings of all words of a document.
    pub(crate) fn add(&mut self, document: &[u8]) {
        for word in document.chunks(BYTES) {
            for len in 1..word.len() {
                let mut prefix = [0; BYTES - 1];
                prefix[..len].copy_from_slice(&word[..len]);
                *self.counts.entry((len as u8, prefix)).or_default() += 1;
            }
        }
    }

    /// Those that were seen more than three times.
    pub(crate) fn popular(self) -> HashSet<Vec<u8>> {
        let popular = self.counts.into_iter().filter(|(_, count)| *count > 3);
        popular.map(|((len, prefix), _)| prefix[..usize::from(len)].to_vec()).collect()
    }
}
