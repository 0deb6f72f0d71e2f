//! A single-producer single-consumer queue of frames in shared memory.
//!
//! Positions count bytes since the start and never wrap; a position's offset is its remainder by the
//! capacity, a power of two. A frame never wraps: where it would, the producer writes a [`Kind::Skip`]
//! and starts over. `tail` is stored by the producer only, `head` by the consumer only, each with
//! release order after the bytes it covers, and read by the other side with acquire order.
//!
//! The algorithm is generic over [`Memory`], so that loom can run it on memory that it watches. What
//! the consumer reads is checked before use: the other process may have gone wrong.

use std::sync::atomic::Ordering;

use crate::frame::{FrameHeader, Kind};

/// How a side loads the other's counter: then it sees the bytes that were written, or is done with, before that.
pub(crate) const LOAD: Ordering = Ordering::Acquire;
/// How a side stores its own counter.
pub(crate) const STORE: Ordering = Ordering::Release;

/// The bytes of a ring and its two counters.
pub(crate) trait Memory {
    /// Bytes in the ring: a power of two, and a multiple of 64.
    fn capacity(&self) -> usize;
    /// Loads `head` with order [`LOAD`].
    fn head(&self) -> u64;
    /// Stores `head` with order [`STORE`].
    fn set_head(&self, head: u64);
    /// Loads `tail` with order [`LOAD`].
    fn tail(&self) -> u64;
    /// Stores `tail` with order [`STORE`].
    fn set_tail(&self, tail: u64);
    /// Copies bytes in. Only the producer calls it, for bytes between `tail` and `head + capacity`.
    fn write(&self, offset: usize, bytes: &[u8]);
    /// Copies bytes out. Only the consumer calls it, for bytes between `head` and `tail`.
    fn read(&self, offset: usize, bytes: &mut [u8]);
    /// The same, to the end of a vector.
    fn append_to(&self, offset: usize, len: usize, out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + len, 0);
        self.read(offset, &mut out[start..]);
    }
}

/// A position in the stream of bytes that went through a ring.
pub(crate) type Position = u64;

/// The writing end.
#[derive(Debug)]
pub(crate) struct Producer<M> {
    memory: M,
    /// Our own counter; what the memory holds is only for the other side.
    tail: Position,
    /// The same as the consumer knows it.
    published: Position,
    /// The last `head` seen: room that is certain.
    head: Position,
}

impl<M: Memory> Producer<M> {
    pub(crate) fn new(memory: M) -> Self {
        Self { memory, tail: 0, published: 0, head: 0 }
    }

    pub(crate) fn memory(&self) -> &M {
        &self.memory
    }

    /// Finds `len` bytes in one piece at or after the tail; `None` while there is no room.
    ///
    /// The place is `tail` unless the piece would wrap; then the rest of the ring is marked as skipped. A piece of more
    /// than half the ring might never find room, so there are none.
    pub(crate) fn reserve(&mut self, len: usize) -> Option<Position> {
        let capacity = self.memory.capacity();
        debug_assert!(len <= capacity / 2 && len % 8 == 0, "callers send what fits, in whole words");
        let offset = self.offset(self.tail);
        let skip = if offset + len > capacity { capacity - offset } else { 0 };
        if !self.has_room(self.tail + (skip + len) as u64) {
            return None;
        }
        if skip > 0 {
            let header = FrameHeader::new(Kind::Skip);
            let visible = FrameHeader::SIZE.min(skip);
            self.memory.write(offset, &header.to_bytes()[..visible]);
            self.tail += skip as u64;
        }
        Some(self.tail)
    }

    /// How many bytes from `end` on may be written, in the piece that starts at the tail.
    pub(crate) fn room_after(&mut self, end: Position) -> usize {
        self.consumed();
        self.certain_room_after(end)
    }

    /// The same as far as is known without a look at the consumer's counter, which costs a cache miss.
    pub(crate) fn certain_room_after(&self, end: Position) -> usize {
        let capacity = self.memory.capacity();
        let taken = (end - self.tail) as usize;
        let contiguous = capacity.saturating_sub(self.offset(self.tail) + taken);
        contiguous.min((self.head + capacity as u64 - end) as usize)
    }

    fn has_room(&mut self, end: Position) -> bool {
        let capacity = self.memory.capacity() as u64;
        if end - self.head <= capacity {
            return true;
        }
        // A consumer gone wrong may store anything; only progress that is possible counts.
        let head = self.memory.head();
        if head > self.head && head <= self.tail {
            self.head = head;
        }
        end - self.head <= capacity
    }

    /// Copies bytes to a place inside a reserved piece.
    #[inline]
    pub(crate) fn write(&self, at: Position, bytes: &[u8]) {
        self.memory.write(self.offset(at), bytes);
    }

    /// Hands everything before `end` to the consumer.
    pub(crate) fn publish(&mut self, end: Position) {
        self.tail = end;
        self.published = end;
        self.memory.set_tail(end);
    }

    /// Where the next frame starts, unless it wraps.
    #[cfg(test)]
    pub(crate) fn tail(&self) -> Position {
        self.tail
    }

    /// How far the consumer has come, as far as it can be believed.
    pub(crate) fn consumed(&mut self) -> Position {
        let head = self.memory.head();
        if head > self.head && head <= self.tail {
            self.head = head;
        }
        self.head
    }

    /// Tells whether the consumer says that it has taken everything that was published.
    pub(crate) fn is_drained(&self) -> bool {
        self.memory.head() == self.published
    }

    #[inline]
    pub(crate) fn offset(&self, at: Position) -> usize {
        (at as usize) & (self.memory.capacity() - 1)
    }
}

/// The reading end.
#[derive(Debug)]
pub(crate) struct Consumer<M> {
    memory: M,
    head: Position,
}

/// A frame that lies in the ring, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Front {
    pub(crate) header: FrameHeader,
    /// Offset of the body in the ring.
    pub(crate) body: usize,
    /// Where the next frame starts.
    pub(crate) end: Position,
}

/// Why what lies in a ring cannot be a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Corrupt(pub(crate) String);

impl<M: Memory> Consumer<M> {
    pub(crate) fn new(memory: M) -> Self {
        Self { memory, head: 0 }
    }

    pub(crate) fn memory(&self) -> &M {
        &self.memory
    }

    /// Where the next frame starts, if no skip lies before it.
    pub(crate) fn head(&self) -> Position {
        self.head
    }

    /// Tells whether something was published: one load.
    pub(crate) fn has_more(&self) -> bool {
        self.memory.tail() != self.head
    }

    /// Returns the next frame, which stays where it is until [`release`](Self::release).
    pub(crate) fn front(&mut self) -> Result<Option<Front>, Corrupt> {
        let mut skipped = false;
        loop {
            let tail = self.memory.tail();
            if tail == self.head {
                return Ok(None);
            }
            let published = tail.wrapping_sub(self.head);
            if published > self.memory.capacity() as u64 || tail % 8 != 0 {
                return Err(Corrupt(format!("tail {tail} is impossible after head {}", self.head)));
            }
            let front = self.frame_at(published as usize)?;
            if front.header.kind() != Some(Kind::Skip) {
                return Ok(Some(front));
            }
            // Else a producer gone wrong could keep us here.
            if std::mem::replace(&mut skipped, true) {
                return Err(Corrupt("the ring is skipped twice".to_owned()));
            }
            self.release(front.end);
        }
    }

    /// Reads the frame at the head, of which at most `published` bytes may be used.
    fn frame_at(&self, published: usize) -> Result<Front, Corrupt> {
        let capacity = self.memory.capacity();
        let offset = (self.head as usize) & (capacity - 1);
        let contiguous = capacity - offset;
        let mut bytes = [0; FrameHeader::SIZE];
        let visible = FrameHeader::SIZE.min(contiguous);
        if visible > published {
            return Err(Corrupt(format!("a header of {visible} bytes, but {published} are published")));
        }
        self.memory.read(offset, &mut bytes[..visible]);
        let header = FrameHeader::from_bytes(&bytes);
        let len = match header.kind() {
            Some(Kind::Skip) => contiguous,
            Some(_) => FrameHeader::SIZE + header.size as usize,
            None => return Err(Corrupt(format!("unknown kind of frame {}", header.kind))),
        };
        if len > contiguous.min(published) || len % 8 != 0 {
            return Err(Corrupt(format!(
                "a frame of {len} bytes where {} can be",
                contiguous.min(published)
            )));
        }
        Ok(Front { header, body: offset + FrameHeader::SIZE, end: self.head + len as u64 })
    }

    /// Copies the body of a frame to the end of `out`.
    pub(crate) fn copy_body(&self, front: &Front, out: &mut Vec<u8>) {
        self.memory.append_to(front.body, front.header.size as usize, out);
    }

    /// Gives the memory of everything before `end` back to the producer.
    pub(crate) fn release(&mut self, end: Position) {
        self.head = end;
        self.memory.set_head(end);
    }
}

#[cfg(test)]
#[path = "ring_tests.rs"]
mod tests;
