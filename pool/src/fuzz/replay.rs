//! The short run of the fuzz targets: the corpus in `fuzz/corpus`, and mutations that are the same every time.

use std::fs;
use std::path::Path;

/// Numbers from a seed (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end.max(1)
    }
}

/// The corpus of a target, sorted by name.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).expect("the corpus lies in the repository");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("its entries are readable").path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths.into_iter().map(|path| fs::read(path).expect("its files are readable")).collect()
}

/// Changes some bytes, numbers or pieces.
fn mutate(random: &mut Random, bytes: &mut Vec<u8>, other: &[u8]) {
    const NUMBERS: [u64; 8] = [0, 1, 7, 8, 0x7FFF_FFFF, 0xFFFF_FFFF, 1 << 39, u64::MAX];
    for _ in 0..1 + random.below(4) {
        let at = random.below(bytes.len());
        match random.below(6) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            1 if !bytes.is_empty() => bytes[at] = random.below(256) as u8,
            2 => {
                let width = [1, 2, 4, 8][random.below(4)];
                let number = NUMBERS[random.below(8)].wrapping_add(random.below(3) as u64).to_le_bytes();
                let end = bytes.len().min(at + width);
                let len = end - at;
                bytes[at..end].copy_from_slice(&number[..len]);
            }
            3 => bytes.truncate(at),
            4 => {
                let piece = &other[random.below(other.len())..];
                let piece = &piece[..random.below(piece.len()).min(64)];
                bytes.splice(at..at, piece.iter().copied());
            }
            _ if bytes.len() >= 16 => {
                let (from, to) = (random.below(bytes.len() - 8), random.below(bytes.len() - 8));
                bytes.copy_within(from..from + 8, to);
            }
            _ => bytes.push(random.below(256) as u8),
        }
    }
}

fn replay(name: &str, target: fn(&[u8]), rounds: usize) {
    let corpus = corpus(name);
    corpus.iter().for_each(|bytes| target(bytes));
    let mut random = Random(0x5EED);
    for round in 0..rounds {
        let mut bytes = corpus[round % corpus.len()].clone();
        let other = &corpus[random.below(corpus.len())];
        mutate(&mut random, &mut bytes, other);
        target(&bytes);
    }
}

#[test]
fn frames_of_any_bytes_are_read_or_refused() {
    replay("frames", super::frames, 20_000);
}

#[test]
fn rings_with_any_counters_are_read_or_refused() {
    replay("ring", super::ring, 20_000);
}

#[test]
fn a_worker_that_writes_anything_is_heard_or_given_up() {
    replay("link", super::link, 2_000);
}

#[test]
fn control_messages_of_any_bytes_are_read_or_refused() {
    replay("control", super::control, 5_000);
}

#[test]
fn items_of_any_bytes_are_read_or_refused() {
    replay("codec", super::codec, 20_000);
}
