//! Encoded items of one job that stand in a row.

use std::sync::Arc;

use crate::frame::Entries;

/// Consecutive items of a job as bytes. Cheap to cut: the parts share the bytes, which stay until
/// every part has ended, so that items of a worker that dies can be sent again.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// Place of the first item in the job.
    pub(crate) first: usize,
    pub(crate) count: u32,
    payload: Payload,
    start: usize,
    end: usize,
}

/// A million single items should not pay for two allocations each, and a large one not for a copy.
#[derive(Clone, Debug)]
enum Payload {
    Small(Arc<[u8]>),
    Large(Arc<Vec<u8>>),
}

/// From here on a copy costs more than an allocation.
const LARGE: usize = 32 << 10;

impl Block {
    /// Takes the entries in `body`, and leaves it empty: with its capacity unless the block keeps it.
    pub(crate) fn take(first: usize, count: u32, body: &mut Vec<u8>) -> Self {
        let end = body.len();
        let payload = if end < LARGE {
            let payload = Payload::Small(Arc::from(&body[..]));
            body.clear();
            payload
        } else {
            Payload::Large(Arc::new(std::mem::take(body)))
        };
        Self { first, count, payload, start: 0, end }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        let all = match &self.payload {
            Payload::Small(bytes) => &bytes[..],
            Payload::Large(bytes) => &bytes[..],
        };
        &all[self.start..self.end]
    }

    /// Cuts up to `items` items of together up to `bytes` bytes off the front, but at least one item. `None` if
    /// that is all of it.
    pub(crate) fn split_front(&mut self, items: u32, bytes: usize) -> Option<Block> {
        if self.count <= items && self.end - self.start <= bytes || self.count == 1 {
            return None;
        }
        let mut entries = Entries::new(self.bytes());
        let (mut count, mut size) = (0, 0);
        while count < items.max(1) && entries.next().is_some() {
            if count > 0 && entries.position() > bytes {
                break;
            }
            count += 1;
            size = entries.position();
        }
        if count == self.count {
            return None;
        }
        let front = Block { count, end: self.start + size, ..self.clone() };
        self.first += count as usize;
        self.count -= count;
        self.start += size;
        Some(front)
    }

    /// Items `first..first + count` of the block; `None` if that is none.
    pub(crate) fn part(self, first: u32, count: u32) -> Option<Block> {
        let mut rest = self.skip(first)?;
        if count == 0 {
            return None;
        }
        Some(rest.split_front(count, usize::MAX).unwrap_or(rest))
    }

    /// Drops the first `items` items; `None` if that was all of it.
    pub(crate) fn skip(mut self, items: u32) -> Option<Block> {
        if items >= self.count {
            return None;
        }
        if items > 0 {
            self.split_front(items, usize::MAX);
        }
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Status, append_entry};

    fn block(items: &[&[u8]]) -> Block {
        let mut body = Vec::new();
        for item in items {
            append_entry::<()>(&mut body, |out| {
                out.extend_from_slice(item);
                Ok(Status::Ok)
            })
            .unwrap();
        }
        Block::take(10, items.len() as u32, &mut body)
    }

    fn items(block: &Block) -> Vec<Vec<u8>> {
        Entries::new(block.bytes()).map(|(_, bytes)| bytes.to_vec()).collect()
    }

    #[test]
    fn splitting_keeps_every_item_and_its_place() {
        let mut rest = block(&[b"a", b"bb", b"", b"dddddddddd"]);
        let front = rest.split_front(3, usize::MAX).unwrap();
        assert_eq!((front.first, front.count), (10, 3));
        assert_eq!(items(&front), [&b"a"[..], b"bb", b""]);
        assert_eq!((rest.first, rest.count), (13, 1));
        assert_eq!(items(&rest), [b"dddddddddd"]);
        assert!(rest.split_front(1, 0).is_none(), "one item cannot be cut");
    }

    #[test]
    fn bytes_bound_a_part_but_one_item_always_goes() {
        let mut rest = block(&[&[1; 40], &[2; 40], &[3; 40]]);
        assert_eq!(rest.split_front(3, 100).unwrap().count, 2);
        let mut rest = block(&[&[1; 40], &[2; 40]]);
        assert_eq!(rest.split_front(3, 10).unwrap().count, 1);
    }

    #[test]
    fn skipping_drops_items_that_ended() {
        assert_eq!(items(&block(&[b"a", b"b", b"c"]).skip(2).unwrap()), [b"c"]);
        assert!(block(&[b"a"]).skip(1).is_none());
    }
}
