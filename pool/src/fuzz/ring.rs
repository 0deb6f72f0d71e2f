//! Rings whose other end has gone wrong.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::frame::FrameHeader;
use crate::transport::ring::{Consumer, Memory, Producer};

/// Bytes of a ring that is small enough to come round often.
const SMALL: usize = 256;

/// Memory of one thread.
#[derive(Clone)]
struct Small(Rc<Contents>);

struct Contents {
    head: Cell<u64>,
    tail: Cell<u64>,
    bytes: RefCell<[u8; SMALL]>,
}

impl Small {
    fn new() -> Self {
        Self(Rc::new(Contents { head: Cell::new(0), tail: Cell::new(0), bytes: RefCell::new([0; SMALL]) }))
    }
}

impl Memory for Small {
    fn capacity(&self) -> usize {
        SMALL
    }
    fn head(&self) -> u64 {
        self.0.head.get()
    }
    fn set_head(&self, head: u64) {
        self.0.head.set(head);
    }
    fn tail(&self) -> u64 {
        self.0.tail.get()
    }
    fn set_tail(&self, tail: u64) {
        self.0.tail.set(tail);
    }
    fn write(&self, offset: usize, bytes: &[u8]) {
        self.0.bytes.borrow_mut()[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
    fn read(&self, offset: usize, bytes: &mut [u8]) {
        bytes.copy_from_slice(&self.0.bytes.borrow()[offset..offset + bytes.len()]);
    }
}

/// Where a counter goes next: most often to where it may be.
fn moved(counter: u64, by: u8) -> u64 {
    counter.wrapping_add(if by < 0xF0 { u64::from(by % 64) * 8 } else { u64::from(by) << 56 | u64::from(by) })
}

/// The first bytes fill the ring; each of those that follow moves the tail.
pub(super) fn consume(data: &[u8]) {
    let (bytes, moves) = data.split_at(data.len().min(SMALL));
    let memory = Small::new();
    memory.write(0, bytes);
    let mut consumer = Consumer::new(memory.clone());
    for by in moves {
        memory.set_tail(moved(memory.tail(), *by));
        match consumer.front() {
            Ok(Some(front)) => {
                let size = front.header.size as usize;
                assert!(front.body + size <= SMALL);
                assert!(front.end - consumer.head() == (FrameHeader::SIZE + size) as u64);
                assert!(front.end <= memory.tail());
                let mut body = Vec::new();
                consumer.copy_body(&front, &mut body);
                assert_eq!(body.len(), size);
                consumer.release(front.end);
            }
            Ok(None) => assert!(!consumer.has_more()),
            Err(corrupt) => {
                assert!(!corrupt.0.is_empty());
                return;
            }
        }
    }
}

/// Each pair of bytes moves the head and sends a frame.
pub(super) fn produce(data: &[u8]) {
    let memory = Small::new();
    let mut producer = Producer::new(memory.clone());
    let mut believed = 0;
    for pair in data.chunks_exact(2) {
        let sent = memory.tail();
        memory.set_head(moved(memory.head(), pair[0]));
        let len = FrameHeader::SIZE + usize::from(pair[1]) * 8 % (SMALL / 2 - FrameHeader::SIZE + 8);
        let reserved = producer.reserve(len);
        let consumed = producer.consumed();
        // What was never sent cannot have been read, and what was read is not unread again.
        assert!(believed <= consumed && consumed <= reserved.unwrap_or(sent).max(sent));
        if let Some(at) = reserved {
            let end = at + len as u64;
            assert!(sent <= at && end - consumed <= SMALL as u64);
            assert!(producer.room_after(at) as u64 >= end - at);
            producer.write(at, &vec![pair[1]; len]);
            producer.publish(end);
        }
        believed = consumed;
    }
}
