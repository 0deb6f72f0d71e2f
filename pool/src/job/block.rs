//! Encoded items of one job that stand in a row.

use std::sync::Arc;

use crate::body::{Batch, Items, Shape, Taken};
use crate::job::few::{FEW, few};
use crate::share::original::Original;
use crate::share::sending::Used;
use crate::transport::stock::Loan;

/// Consecutive items of a job as bytes. Cheap to cut: the parts share the bytes, which stay until
/// every part has ended, so that items of a worker that dies can be sent again.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// Place of the first item in the job.
    pub(crate) first: usize,
    pub(crate) count: u32,
    pub(crate) shape: Shape,
    payload: Payload,
    /// The shared values that items of it use; for a part, those of the whole.
    shares: Option<Arc<[Arc<Original>]>>,
    start: usize,
    end: usize,
}

/// The usual single item should not pay for an allocation, others not for two, and a large one not for a copy.
#[derive(Clone, Debug)]
enum Payload {
    Few([u8; FEW]),
    Small(Arc<[u8]>),
    Large(Arc<Vec<u8>>),
    /// A single item that lies where workers can read it.
    Lent(Arc<Loan>),
}

/// From here on a copy costs more than an allocation.
const LARGE: usize = 1 << 10;

/// Blocks of many short items have less than this.
const USUAL: usize = 64 << 10;

/// Where the bytes of a block are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bytes<'b> {
    /// A body.
    Here(&'b [u8]),
    /// The bytes of the only item.
    Lent(&'b Loan),
}

impl Block {
    /// Takes the items of `batch`, and leaves it empty: with its memory unless the block keeps that.
    pub(crate) fn take(first: usize, batch: &mut Batch) -> Self {
        let Taken { count, shape, start, bytes } = batch.take();
        let size = bytes.len() - start;
        if size < LARGE {
            let items = &bytes[start..];
            let payload = few(items).map_or_else(|| Payload::Small(Arc::from(items)), Payload::Few);
            bytes.clear();
            Self { first, count, shape, payload, shares: None, start: 0, end: size }
        } else {
            let end = bytes.len();
            // The next block is probably like this one.
            let next = Vec::with_capacity(if end < USUAL { end } else { 0 });
            let payload = Payload::Large(Arc::new(std::mem::replace(bytes, next)));
            Self { first, count, shape, payload, shares: None, start, end }
        }
    }

    /// An item that was encoded into a segment.
    pub(crate) fn lent(index: usize, loan: Loan) -> Self {
        let end = loan.len();
        let payload = Payload::Lent(Arc::new(loan));
        Self { first: index, count: 1, shape: Shape::Entries, payload, shares: None, start: 0, end }
    }

    /// Has the block keep the shared values that its items use.
    pub(crate) fn using(mut self, used: &Used) -> Self {
        self.shares = Some(used.originals().into());
        self
    }

    /// A copy that has the shared values, which this one lacks from now on, because it will not be sent any more.
    pub(crate) fn take_shares_along(&mut self) -> Self {
        Self { shares: self.shares.take(), ..self.clone() }
    }

    /// Lets go of them: it will not be sent any more.
    pub(crate) fn release_shares(&mut self) {
        self.shares = None;
    }

    pub(crate) fn shares(&self) -> &[Arc<Original>] {
        self.shares.as_deref().unwrap_or_default()
    }

    pub(crate) fn bytes(&self) -> Bytes<'_> {
        let all = match &self.payload {
            Payload::Few(bytes) => &bytes[..],
            Payload::Small(bytes) => &bytes[..],
            Payload::Large(bytes) => &bytes[..],
            Payload::Lent(loan) => return Bytes::Lent(loan),
        };
        Bytes::Here(&all[self.start..self.end])
    }

    /// How many bytes that are.
    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    /// Cuts up to `items` items of together up to `bytes` bytes off the front, but at least one item. `None` if
    /// that is all of it.
    pub(crate) fn split_front(&mut self, items: u32, bytes: usize) -> Option<Block> {
        if self.count <= items && self.len() <= bytes || self.count == 1 {
            return None;
        }
        let (count, size) = self.measure(items.max(1), bytes);
        if count == self.count {
            return None;
        }
        let front = Block { count, end: self.start + size, ..self.clone() };
        self.first += count as usize;
        self.count -= count;
        self.start += size;
        Some(front)
    }

    /// How many items, up to `items`, fit into `bytes` bytes, at least one; and their bytes.
    fn measure(&self, items: u32, bytes: usize) -> (u32, usize) {
        if let Some(stride) = self.shape.stride() {
            let fit =
                bytes.checked_div(stride).map_or(u32::MAX, |fit| u32::try_from(fit).unwrap_or(u32::MAX));
            let count = self.count.min(items).min(fit.max(1));
            return (count, count as usize * stride);
        }
        let Bytes::Here(body) = self.bytes() else { return (self.count, self.len()) };
        let mut entries = Items::new(self.shape, self.count, body);
        let (mut count, mut size) = (0, 0);
        while count < items && entries.next().is_some() {
            if count > 0 && entries.position() > bytes {
                break;
            }
            count += 1;
            size = entries.position();
        }
        (count, size)
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

    fn block(items: &[&[u8]]) -> Block {
        let mut batch = Batch::default();
        for item in items {
            let fill = |out: &mut Vec<u8>| {
                out.extend_from_slice(item);
                Ok::<(), ()>(())
            };
            batch.append(fill).unwrap();
        }
        Block::take(10, &mut batch)
    }

    fn items(block: &Block) -> Vec<Vec<u8>> {
        let Bytes::Here(body) = block.bytes() else { panic!("nothing here is large") };
        Items::new(block.shape, block.count, body).map(|(_, bytes)| bytes.to_vec()).collect()
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
    fn splitting_keeps_every_item_that_is_packed() {
        let mut rest = block(&[b"a", b"b", b"c", b"d"]);
        assert_eq!(rest.shape, Shape::Packed(1));
        let front = rest.split_front(3, usize::MAX).unwrap();
        assert_eq!(items(&front), [b"a", b"b", b"c"]);
        assert_eq!((rest.first, items(&rest)), (13, vec![b"d".to_vec()]));
        let empty = block(&[b"", b"", b""]);
        assert_eq!(empty.clone().part(1, 1).map(|part| (part.first, part.count)), Some((11, 1)));
        assert_eq!(empty.skip(2).map(|rest| (rest.first, rest.count)), Some((12, 1)));
    }

    #[test]
    fn bytes_bound_a_part_but_one_item_always_goes() {
        for last in [40, 41] {
            let mut rest = block(&[&[1; 40], &[2; 40], &vec![3; last]]);
            assert_eq!(rest.split_front(3, 100).unwrap().count, 2);
            let mut rest = block(&[&[1; 40], &vec![2; last]]);
            assert_eq!(rest.split_front(3, 10).unwrap().count, 1);
        }
    }

    #[test]
    fn skipping_drops_items_that_ended() {
        assert_eq!(items(&block(&[b"a", b"b", b"c"]).skip(2).unwrap()), [b"c"]);
        assert!(block(&[b"a"]).skip(1).is_none());
    }
}
