//! Rings whose other end has gone wrong.

use crate::frame::FrameHeader;
use crate::transport::one_thread::{CAPACITY, OneThread};
use crate::transport::ring::{Consumer, Memory, Producer};

/// Where a counter goes next: most often to where it may be.
fn moved(counter: u64, by: u8) -> u64 {
    counter.wrapping_add(if by < 0xF0 { u64::from(by % 64) * 8 } else { u64::from(by) << 56 | u64::from(by) })
}

/// The first bytes fill the ring; each of those that follow moves the tail.
pub(super) fn consume(data: &[u8]) {
    let (bytes, moves) = data.split_at(data.len().min(CAPACITY));
    let memory = OneThread::new();
    memory.write(0, bytes);
    let mut consumer = Consumer::new(memory.clone());
    for by in moves {
        memory.set_tail(moved(memory.tail(), *by));
        match consumer.front() {
            Ok(Some(front)) => {
                let size = front.header.size as usize;
                assert!(front.body + size <= CAPACITY);
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
    let memory = OneThread::new();
    let mut producer = Producer::new(memory.clone());
    let mut believed = 0;
    for pair in data.chunks_exact(2) {
        let sent = memory.tail();
        memory.set_head(moved(memory.head(), pair[0]));
        let len = FrameHeader::SIZE + usize::from(pair[1]) * 8 % (CAPACITY / 2 - FrameHeader::SIZE + 8);
        let reserved = producer.reserve(len);
        let consumed = producer.consumed();
        // What was never sent cannot have been read, and what was read is not unread again.
        assert!(believed <= consumed && consumed <= reserved.unwrap_or(sent).max(sent));
        if let Some(at) = reserved {
            let end = at + len as u64;
            assert!(sent <= at && end - consumed <= CAPACITY as u64);
            assert!(producer.room_after(at) as u64 >= end - at);
            producer.write(at, &vec![pair[1]; len]);
            producer.publish(end);
        }
        believed = consumed;
    }
}
