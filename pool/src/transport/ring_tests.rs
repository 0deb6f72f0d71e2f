//! Tests of the ring: a model of a queue, corrupt memory, and loom for the order of its loads and stores.

use std::collections::VecDeque;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::transport::layout::{self, SharedRing};
use crate::transport::one_thread::{CAPACITY, OneThread};
use crate::transport::region::Region;

/// Words in the largest body that a ring of that capacity is sure to take.
const MOST_WORDS: usize = (CAPACITY / 2 - FrameHeader::SIZE) / 8;

/// Sends a frame whose body is `words` times `fill`; false if there was no room.
fn send<M: Memory>(producer: &mut Producer<M>, chunk: u64, words: usize, fill: u8) -> bool {
    let len = FrameHeader::SIZE + words * 8;
    let Some(at) = producer.reserve(len) else { return false };
    let header = FrameHeader { size: (words * 8) as u32, chunk, ..FrameHeader::new(Kind::Run) };
    producer.write(at, &header.to_bytes());
    producer.write(at + FrameHeader::SIZE as u64, &vec![fill; words * 8]);
    producer.publish(at + len as u64);
    true
}

fn receive<M: Memory>(consumer: &mut Consumer<M>) -> Option<(u64, Vec<u8>)> {
    let front = consumer.front().expect("the producer is sound")?;
    let mut body = Vec::new();
    consumer.copy_body(&front, &mut body);
    consumer.release(front.end);
    Some((front.header.chunk, body))
}

#[test]
fn a_ring_is_drained_though_room_was_looked_for_at_its_start() {
    let memory = OneThread::new();
    let (mut producer, mut consumer) = (Producer::new(memory.clone()), Consumer::new(memory));
    assert!(send(&mut producer, 1, MOST_WORDS, 1) && !producer.is_drained());
    assert!(receive(&mut consumer).is_some() && producer.is_drained());
    assert!(send(&mut producer, 2, 1, 2));
    assert!(receive(&mut consumer).is_some());
    // That does not fit behind what was sent, and comes to nothing.
    assert!(producer.reserve(CAPACITY / 2).is_some_and(|at| at == CAPACITY as u64));
    assert!(producer.is_drained());
}

proptest! {
    #[test]
    fn behaves_as_a_queue(steps in proptest::collection::vec(proptest::option::of(0usize..=MOST_WORDS), 1..300)) {
        let memory = OneThread::new();
        let (mut producer, mut consumer) = (Producer::new(memory.clone()), Consumer::new(memory));
        let mut model = VecDeque::new();
        for (chunk, step) in steps.into_iter().enumerate() {
            let chunk = chunk as u64;
            match step {
                Some(words) => {
                    if send(&mut producer, chunk, words, chunk as u8) {
                        model.push_back((chunk, vec![chunk as u8; words * 8]));
                    } else {
                        prop_assert!(!model.is_empty(), "an empty ring takes every frame of this size");
                    }
                }
                None => prop_assert_eq!(receive(&mut consumer), model.pop_front()),
            }
        }
        while let Some(expected) = model.pop_front() {
            prop_assert_eq!(receive(&mut consumer), Some(expected));
        }
        prop_assert_eq!(receive(&mut consumer), None);
    }

    #[test]
    fn corrupt_memory_is_an_error_or_a_frame_inside_it(bytes in proptest::collection::vec(any::<u8>(), CAPACITY),
                                                       tail in any::<u64>(), small in any::<bool>()) {
        let memory = OneThread::new();
        memory.write(0, &bytes);
        memory.set_tail(if small { tail % (2 * CAPACITY as u64) } else { tail });
        let mut consumer = Consumer::new(memory);
        for _ in 0..CAPACITY {
            match consumer.front() {
                Ok(Some(front)) => {
                    prop_assert!(front.body + front.header.size as usize <= CAPACITY);
                    consumer.copy_body(&front, &mut Vec::new());
                    consumer.release(front.end);
                }
                Ok(None) | Err(Corrupt(_)) => break,
            }
        }
    }

    #[test]
    fn a_consumer_that_lies_about_its_head_cannot_make_the_producer_overwrite_what_is_unread(lie in any::<u64>()) {
        let memory = OneThread::new();
        let mut producer = Producer::new(memory.clone());
        while send(&mut producer, 1, 2, 0x11) {}
        let tail = producer.tail();
        memory.set_head(lie);
        let freed = if lie <= tail { lie } else { 0 };
        if let Some(at) = producer.reserve(FrameHeader::SIZE) {
            prop_assert!(at + FrameHeader::SIZE as u64 - freed <= CAPACITY as u64);
        }
    }
}

#[test]
fn a_frame_of_half_the_ring_fits_wherever_the_empty_ring_stands() {
    for words in 0..=MOST_WORDS {
        let memory = OneThread::new();
        let (mut producer, mut consumer) = (Producer::new(memory.clone()), Consumer::new(memory));
        assert!(send(&mut producer, 1, words, 1) && receive(&mut consumer).is_some());
        assert!(send(&mut producer, 2, MOST_WORDS, 2), "after {words} words");
        assert_eq!(receive(&mut consumer), Some((2, vec![2; MOST_WORDS * 8])));
    }
}

/// In the memory that links really use. Sanitizers watch this; what loom runs is a model.
#[test]
fn frames_cross_from_thread_to_thread_in_shared_memory() {
    const FRAMES: u64 = 5_000;
    let words = |chunk: u64| chunk as usize * 7 % 500;
    let region = Arc::new(Region::new(layout::LINK).unwrap());
    let mut producer = Producer::new(SharedRing::results(region.clone()));
    let sender = std::thread::spawn(move || {
        for chunk in 1..=FRAMES {
            while !send(&mut producer, chunk, words(chunk), chunk as u8) {
                std::thread::yield_now();
            }
        }
    });
    let mut consumer = Consumer::new(SharedRing::results(region));
    for chunk in 1..=FRAMES {
        while !consumer.has_more() {
            std::thread::yield_now();
        }
        assert_eq!(receive(&mut consumer), Some((chunk, vec![chunk as u8; words(chunk) * 8])));
    }
    sender.join().unwrap();
}

mod ordering {
    use loom::cell::UnsafeCell;
    use loom::sync::atomic::AtomicU64;

    use super::*;
    use crate::transport::bell::Bell;
    use crate::transport::bell::tests::{LoomWords, sleep_until};

    /// Memory that tells loom about every access, a word at a time.
    struct Watched {
        head: AtomicU64,
        tail: AtomicU64,
        words: Vec<UnsafeCell<[u8; 8]>>,
    }

    impl Watched {
        fn new() -> Self {
            Self {
                head: AtomicU64::new(0),
                tail: AtomicU64::new(0),
                words: (0..16).map(|_| UnsafeCell::new([0; 8])).collect(),
            }
        }
    }

    impl Memory for loom::sync::Arc<Watched> {
        fn capacity(&self) -> usize {
            128
        }
        fn head(&self) -> u64 {
            self.head.load(LOAD)
        }
        fn set_head(&self, head: u64) {
            self.head.store(head, STORE);
        }
        fn tail(&self) -> u64 {
            self.tail.load(LOAD)
        }
        fn set_tail(&self, tail: u64) {
            self.tail.store(tail, STORE);
        }
        fn write(&self, offset: usize, bytes: &[u8]) {
            for (word, bytes) in self.words[offset / 8..].iter().zip(bytes.chunks(8)) {
                word.with_mut(|word| {
                    // SAFETY: loom fails the test if any other access is concurrent with this one.
                    unsafe { (&mut *word)[..bytes.len()].copy_from_slice(bytes) }
                });
            }
        }
        fn read(&self, offset: usize, bytes: &mut [u8]) {
            for (word, bytes) in self.words[offset / 8..].iter().zip(bytes.chunks_mut(8)) {
                word.with(|word| {
                    // SAFETY: loom fails the test if a write is concurrent with this read.
                    bytes.copy_from_slice(unsafe { &(&*word)[..bytes.len()] });
                });
            }
        }
    }

    #[test]
    fn no_byte_is_read_before_it_is_published_or_overwritten_before_it_is_released() {
        loom::model(|| {
            let memory = loom::sync::Arc::new(Watched::new());
            let mut producer = Producer::new(memory.clone());
            let sender = loom::thread::spawn(move || {
                for chunk in 1..=3 {
                    while !send(&mut producer, chunk, 1, chunk as u8) {
                        loom::thread::yield_now();
                    }
                }
            });
            let mut consumer = Consumer::new(memory);
            for chunk in 1..=3 {
                let (got, body) = loop {
                    if let Some(frame) = receive(&mut consumer) {
                        break frame;
                    }
                    loom::thread::yield_now();
                };
                assert_eq!((got, body), (chunk, vec![chunk as u8; 8]));
            }
            sender.join().unwrap();
        });
    }

    /// Both ends sleep where they would otherwise look again and again: the consumer until there is a frame, the producer
    /// until there is room.
    #[test]
    fn ends_that_sleep_are_woken_for_frames_and_for_room() {
        const FRAMES: u64 = 3;
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(move || {
            let memory = loom::sync::Arc::new(Watched::new());
            let [for_frames, for_room] = [0, 1].map(|_| std::sync::Arc::new(LoomWords::default()));
            let mut producer = Producer::new(memory.clone());
            let sender = loom::thread::spawn({
                let (for_frames, for_room) = (for_frames.clone(), for_room.clone());
                move || {
                    let (own, other) = (Bell::new(&*for_room), Bell::new(&*for_frames));
                    for chunk in 1..=FRAMES {
                        // A frame of half the ring, so that every other one has to wait.
                        sleep_until(&own, || producer.reserve(64).is_some());
                        assert!(send(&mut producer, chunk, 3, chunk as u8));
                        other.ring();
                    }
                }
            });
            let mut consumer = Consumer::new(memory);
            let (own, other) = (Bell::new(&*for_frames), Bell::new(&*for_room));
            for chunk in 1..=FRAMES {
                sleep_until(&own, || consumer.has_more());
                let (got, body) = receive(&mut consumer).expect("it has more");
                assert_eq!((got, body), (chunk, vec![chunk as u8; 24]));
                other.ring();
            }
            sender.join().unwrap();
        });
    }
}
