//! What frames carry: the items of a chunk, or their outcomes.
//!
//! Items lie in a body in one of two [`Shape`]s. As entries, each is an [`EntryHeader`] and the item's bytes, padded
//! to [`ALIGN`]. Short successes of one length, which plain numbers always are, need no headers: they are packed,
//! one after the other, padded likewise, and the frame's header says the length once. Nothing here is
//! trusted: whoever reads checks every length with [`Items`] before it touches a byte.

use crate::codec::{ALIGN, padding};
use crate::frame::Status;

/// How the items of a body lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Each behind its [`EntryHeader`].
    #[default]
    Entries,
    /// Successes of this many bytes each, without headers.
    Packed(u16),
}

impl Shape {
    /// Most bytes of an item that is packed; a header of a longer one does not matter.
    pub(crate) const PACKED_MAX: usize = 1 << 10;

    /// The shape as a frame's header says it.
    pub(crate) fn to_raw(self) -> u16 {
        match self {
            Shape::Entries => 0,
            Shape::Packed(len) => len + 1,
        }
    }

    pub(crate) fn from_raw(raw: u16) -> Self {
        raw.checked_sub(1).map_or(Shape::Entries, Shape::Packed)
    }

    /// The shape of one success of `len` bytes.
    pub(crate) fn of_one(len: usize) -> Self {
        if len <= Self::PACKED_MAX { Shape::Packed(len as u16) } else { Shape::Entries }
    }

    /// Bytes that each item takes, if that is the same for all.
    pub(crate) fn stride(self) -> Option<usize> {
        match self {
            Shape::Entries => None,
            Shape::Packed(len) => Some(usize::from(len).next_multiple_of(ALIGN)),
        }
    }
}

/// The start of an entry, packed into eight bytes: length, status, and the segment that holds the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryHeader {
    /// Length of the item's bytes, wherever they are.
    pub(crate) len: usize,
    pub(crate) status: Status,
    /// 0 if the bytes follow, else the id of the segment at whose start they are.
    pub(crate) segment: u16,
}

impl EntryHeader {
    pub(crate) const SIZE: usize = 8;
    const LEN_BITS: u32 = 40;

    /// An entry whose bytes follow it.
    pub(crate) fn inline(status: Status, len: usize) -> Self {
        Self { len, status, segment: 0 }
    }

    pub(crate) fn to_bytes(self) -> [u8; Self::SIZE] {
        debug_assert!(self.len < 1 << Self::LEN_BITS, "no machine addresses an item of a tebibyte");
        (self.len as u64 | (self.status as u64) << 40 | u64::from(self.segment) << 48).to_le_bytes()
    }

    pub(crate) fn from_bytes(bytes: [u8; Self::SIZE]) -> Option<Self> {
        let word = u64::from_le_bytes(bytes);
        Some(Self {
            len: usize::try_from(word & ((1 << Self::LEN_BITS) - 1)).ok()?,
            status: Status::from_raw((word >> 40) as u8)?,
            segment: (word >> 48) as u16,
        })
    }

    /// Bytes that the entry takes in a body, header and padding included.
    pub(crate) fn footprint(&self) -> usize {
        Self::SIZE + if self.segment == 0 { self.len.next_multiple_of(ALIGN) } else { 0 }
    }
}

/// Appends an entry of these bytes.
#[cfg(any(test, fuzzing))]
pub(crate) fn append_entry(body: &mut Vec<u8>, status: Status, bytes: &[u8]) {
    body.extend_from_slice(&EntryHeader::inline(status, bytes.len()).to_bytes());
    body.extend_from_slice(bytes);
    body.resize(body.len().next_multiple_of(ALIGN), 0);
}

/// Walks the entries of a body; ends at the first one that does not fit.
#[derive(Clone, Debug)]
pub(crate) struct Entries<'b> {
    body: &'b [u8],
    at: usize,
}

impl<'b> Entries<'b> {
    pub(crate) fn new(body: &'b [u8]) -> Self {
        Self { body, at: 0 }
    }

    /// Where the next entry starts.
    pub(crate) fn position(&self) -> usize {
        self.at
    }
}

impl<'b> Iterator for Entries<'b> {
    type Item = (EntryHeader, &'b [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.body.get(self.at..)?.first_chunk::<{ EntryHeader::SIZE }>()?;
        let header = EntryHeader::from_bytes(*bytes)?;
        let start = self.at + EntryHeader::SIZE;
        let end = self.at.checked_add(header.footprint())?;
        let padded = self.body.get(start..end)?;
        self.at = end;
        Some((header, if header.segment == 0 { &padded[..header.len] } else { padded }))
    }
}

/// Walks the items of a body of either shape; ends at the first one that does not fit.
#[derive(Clone, Debug)]
pub(crate) enum Items<'b> {
    Entries(Entries<'b>),
    Packed(Packed<'b>),
}

impl<'b> Items<'b> {
    /// The items of a body that should be `count`; entries are not counted here.
    #[inline]
    pub(crate) fn new(shape: Shape, count: u32, body: &'b [u8]) -> Self {
        match shape {
            Shape::Entries => Items::Entries(Entries::new(body)),
            Shape::Packed(len) => Items::Packed(Packed { body, at: 0, len: len.into(), left: count }),
        }
    }

    /// Where the next item starts.
    pub(crate) fn position(&self) -> usize {
        match self {
            Items::Entries(entries) => entries.at,
            Items::Packed(packed) => packed.at,
        }
    }
}

impl<'b> Iterator for Items<'b> {
    type Item = (EntryHeader, &'b [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Items::Entries(entries) => entries.next(),
            Items::Packed(packed) => packed.next(),
        }
    }
}

/// Walks items that are packed.
#[derive(Clone, Debug)]
pub(crate) struct Packed<'b> {
    body: &'b [u8],
    at: usize,
    len: usize,
    left: u32,
}

impl<'b> Iterator for Packed<'b> {
    type Item = (EntryHeader, &'b [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let end = self.at + self.len.next_multiple_of(ALIGN);
        let bytes = self.body.get(self.at..end)?.get(..self.len)?;
        self.left = self.left.checked_sub(1)?;
        self.at = end;
        Some((EntryHeader::inline(Status::Ok, self.len), bytes))
    }
}

/// Items that are being encoded to make up a body: packed, as long as they can be.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Of packed items and of a first one that may yet be packed the first [`GAP`](Self::GAP) bytes are free.
    bytes: Vec<u8>,
    count: u32,
    shape: Shape,
    /// The length of items that are packed so far, if it is a whole number of words; else [`OTHER`](Self::OTHER).
    usual: usize,
    /// Where the last item begins, with its header or gap.
    last: usize,
    /// Where its bytes begin.
    start: usize,
    /// Items were of several lengths before, and will be again.
    varies: bool,
}

impl Default for Batch {
    fn default() -> Self {
        let (bytes, shape, usual) = (Vec::new(), Shape::Entries, Self::OTHER);
        Self { bytes, count: 0, shape, usual, last: 0, start: 0, varies: false }
    }
}

impl Batch {
    /// Room for the header of a first item that turns out to be an entry.
    const GAP: usize = EntryHeader::SIZE;
    /// Room for the gap and for the usual only item, so that it is allocated once.
    const USUAL_ITEM: usize = 64;
    /// No item is of this length.
    const OTHER: usize = usize::MAX;

    #[inline]
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Bytes that the items take.
    #[inline]
    pub(crate) fn size(&self) -> usize {
        self.bytes.len() - self.gap()
    }

    #[inline]
    fn gap(&self) -> usize {
        match self.shape {
            Shape::Entries => 0,
            Shape::Packed(_) => Self::GAP,
        }
    }

    /// Begins an item, whose bytes are to be appended to what this returns. [`end`](Self::end) or
    /// [`abandon`](Self::abandon) comes next.
    #[inline]
    pub(crate) fn begin(&mut self) -> &mut Vec<u8> {
        self.last = self.bytes.len();
        // The first item's gap is what an entry's header needs as well.
        if self.count == 0 || self.shape == Shape::Entries {
            if self.bytes.capacity() == 0 {
                self.bytes.reserve(Self::USUAL_ITEM);
            }
            self.bytes.extend_from_slice(&[0; Self::GAP]);
        }
        self.start = self.bytes.len();
        &mut self.bytes
    }

    /// Says that the item that was begun is complete.
    #[inline]
    pub(crate) fn end(&mut self) {
        if self.bytes.len() - self.start != self.usual {
            self.settle();
        }
        self.count += 1;
    }

    /// Drops what there is of the item that was begun.
    pub(crate) fn abandon(&mut self) {
        self.bytes.truncate(self.last);
    }

    /// Appends an item whose bytes `fill` appends; nothing stays of it if that failed.
    #[cfg(test)]
    pub(crate) fn append<E>(&mut self, fill: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let filled = fill(self.begin());
        match filled {
            Ok(()) => self.end(),
            Err(_) => self.abandon(),
        }
        filled
    }

    /// Finds the shape for an item that was just appended and is not as usual.
    fn settle(&mut self) {
        let len = self.bytes.len() - self.start;
        self.bytes.resize(self.bytes.len() + padding(len, ALIGN), 0);
        if self.count == 0 {
            self.shape = if self.varies { Shape::Entries } else { Shape::of_one(len) };
            let is_usual = self.shape != Shape::Entries && len % ALIGN == 0;
            self.usual = if is_usual { len } else { Self::OTHER };
        } else if let Shape::Packed(packed) = self.shape {
            if usize::from(packed) != len {
                self.unpack(packed.into(), len);
            }
            return;
        }
        if self.shape == Shape::Entries {
            let header = EntryHeader::inline(Status::Ok, len).to_bytes();
            self.bytes[self.start - EntryHeader::SIZE..self.start].copy_from_slice(&header);
        }
    }

    /// Gives every item its header, because the last one is `len` bytes long and not `packed`.
    #[cold]
    fn unpack(&mut self, packed: usize, len: usize) {
        let items = Packed { body: &self.bytes[Self::GAP..self.start], at: 0, len: packed, left: self.count };
        let mut bytes = Vec::with_capacity(2 * self.bytes.len());
        for (header, item) in items {
            bytes.extend_from_slice(&header.to_bytes());
            bytes.extend_from_slice(item);
            bytes.resize(bytes.len().next_multiple_of(ALIGN), 0);
        }
        self.last = bytes.len();
        bytes.extend_from_slice(&EntryHeader::inline(Status::Ok, len).to_bytes());
        bytes.extend_from_slice(&self.bytes[self.start..]);
        self.bytes = bytes;
        self.shape = Shape::Entries;
        self.usual = Self::OTHER;
        self.varies = true;
    }

    /// Takes the last of several items out, to be the first of the batch that is returned.
    pub(crate) fn split_last(&mut self) -> Batch {
        let mut bytes = match self.shape {
            Shape::Entries => Vec::new(),
            Shape::Packed(_) => vec![0; Self::GAP],
        };
        bytes.extend_from_slice(&self.bytes[self.last..]);
        self.bytes.truncate(self.last);
        self.count -= 1;
        Batch { bytes, count: 1, last: 0, ..*self }
    }

    /// Takes all items out, as their number, their shape and their bytes from `start` on.
    pub(crate) fn take(&mut self) -> Taken<'_> {
        let (count, shape, start) = (std::mem::take(&mut self.count), self.shape, self.gap());
        self.shape = Shape::Entries;
        self.usual = Self::OTHER;
        Taken { count, shape, start, bytes: &mut self.bytes }
    }
}

/// What was taken out of a [`Batch`]; whoever takes it leaves `bytes` empty.
#[derive(Debug)]
pub(crate) struct Taken<'b> {
    pub(crate) count: u32,
    pub(crate) shape: Shape,
    /// Where the items begin.
    pub(crate) start: usize,
    pub(crate) bytes: &'b mut Vec<u8>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A batch of these items.
    fn batch(items: &[Vec<u8>]) -> Batch {
        let mut batch = Batch::default();
        for item in items {
            append(&mut batch, item);
        }
        batch
    }

    fn append(batch: &mut Batch, item: &[u8]) {
        let fill = |out: &mut Vec<u8>| {
            out.extend_from_slice(item);
            Ok::<(), ()>(())
        };
        batch.append(fill).unwrap();
    }

    /// What a batch holds, and its shape.
    fn take(batch: &mut Batch) -> (Shape, Vec<Vec<u8>>) {
        let size = batch.size();
        let Taken { count, shape, start, bytes } = batch.take();
        let body = bytes.split_off(start);
        bytes.clear();
        assert_eq!(body.len(), size);
        let items: Vec<_> = Items::new(shape, count, &body).map(|(_, bytes)| bytes.to_vec()).collect();
        assert_eq!(items.len(), count as usize);
        (shape, items)
    }

    proptest! {
        #[test]
        fn entries_arrive_as_they_were_appended(items in any::<Vec<Vec<u8>>>()) {
            let mut body = Vec::new();
            for item in &items {
                append_entry(&mut body, Status::Ok, item);
            }
            prop_assert_eq!(body.len() % ALIGN, 0);
            let read: Vec<Vec<u8>> = Entries::new(&body).map(|(_, bytes)| bytes.to_vec()).collect();
            prop_assert_eq!(read, items);
        }

        #[test]
        fn batches_hold_what_was_appended(items in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..4), 1..20)) {
            prop_assert_eq!(take(&mut batch(&items)).1, items);
        }

        #[test]
        fn any_bytes_can_be_walked(body in any::<Vec<u8>>(), raw in any::<u16>(), count in any::<u32>()) {
            let shape = Shape::from_raw(raw);
            prop_assert_eq!(shape.to_raw(), raw);
            let walked: usize = Items::new(shape, count.min(100), &body).map(|(header, bytes)| {
                shape.stride().unwrap_or(header.footprint()).max(bytes.len())
            }).sum();
            prop_assert!(walked <= body.len());
        }

        #[test]
        fn entry_headers_survive_the_trip(len in 0usize..1 << 40, status in 0u8..8, segment in any::<u16>()) {
            let header = EntryHeader { len, status: Status::from_raw(status).unwrap(), segment };
            prop_assert_eq!(EntryHeader::from_bytes(header.to_bytes()), Some(header));
        }
    }

    #[test]
    fn items_of_one_length_are_packed_and_others_are_not() {
        assert_eq!(take(&mut batch(&[vec![1; 8], vec![2; 8]])).0, Shape::Packed(8));
        assert_eq!(take(&mut batch(&[vec![], vec![]])), (Shape::Packed(0), vec![vec![]; 2]));
        assert_eq!(take(&mut batch(&[vec![1; 5], vec![2; 6]])).0, Shape::Entries);
        assert_eq!(take(&mut batch(&[vec![1; Shape::PACKED_MAX + 1]])).0, Shape::Entries);
        let longer = (1 << 16) + 8;
        assert_eq!(
            take(&mut batch(&[vec![1; 8], vec![2; longer]])),
            (Shape::Entries, vec![vec![1; 8], vec![2; longer]])
        );
    }

    #[test]
    fn a_batch_whose_items_varied_does_not_pack_the_next_ones() {
        let mut batch = batch(&[vec![1], vec![2; 2]]);
        take(&mut batch);
        append(&mut batch, &[3]);
        assert_eq!(take(&mut batch), (Shape::Entries, vec![vec![3]]));
    }

    #[test]
    fn the_last_item_can_be_split_off() {
        for items in [[vec![1; 8], vec![2; 8]], [vec![1], vec![2; 20]]] {
            let mut first = batch(&items);
            let mut second = first.split_last();
            assert_eq!(take(&mut first).1, items[..1]);
            append(&mut second, &items[0]);
            assert_eq!(take(&mut second).1, [items[1].clone(), items[0].clone()]);
        }
    }

    #[test]
    fn an_item_that_fails_leaves_the_others_as_they_were() {
        for before in [vec![], vec![vec![1; 8]], vec![vec![1], vec![2; 2]]] {
            let mut batch = batch(&before);
            let failed = batch.append(|out| {
                out.push(7);
                Err(())
            });
            assert!(failed.is_err());
            append(&mut batch, &[9; 8]);
            let expected: Vec<_> = before.into_iter().chain([vec![9; 8]]).collect();
            assert_eq!(take(&mut batch).1, expected);
        }
    }
}
