//! The headers of everything that crosses a ring.
//!
//! A frame is a [`FrameHeader`] and a body, which is a sequence of entries: one [`EntryHeader`] and the bytes of
//! one item (its arguments, or its outcome), padded to [`ALIGN`]. Nothing here is trusted: whoever reads
//! checks every length with [`Entries`] before it touches a byte.

use crate::codec::{ALIGN, padding};

/// The start of a frame. All sizes are in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// Length of the body, a multiple of [`ALIGN`].
    pub(crate) size: u32,
    /// A [`Kind`] as a number.
    pub(crate) kind: u32,
    /// Which chunk of this link the frame belongs to, counted from 1.
    pub(crate) chunk: u64,
    /// The task's id on the way out, the nanoseconds spent on the way back.
    pub(crate) task_or_nanos: u64,
    /// Place in the chunk of the body's first entry.
    pub(crate) first: u32,
    /// Number of entries in the body.
    pub(crate) count: u32,
    /// On the way back: how many of the entries are no success. On the way out: [`TIMED`](Self::TIMED) or 0.
    pub(crate) failed: u32,
    /// On the way out, set later and in place: what is to be skipped. On the way back: [`SPENT`](Self::SPENT) or 0.
    pub(crate) revoked: u32,
}

impl FrameHeader {
    pub(crate) const SIZE: usize = 40;
    /// Where [`revoked`](Self::revoked) lies.
    pub(crate) const REVOKED_OFFSET: usize = 36;
    /// Value of [`failed`](Self::failed) on the way out: when each item starts is to be noted.
    pub(crate) const TIMED: u32 = 1;
    /// Value of [`revoked`](Self::revoked): all of the chunk, unless the worker has begun it.
    pub(crate) const SKIP_WHOLE: u32 = 1;
    /// Value of [`revoked`](Self::revoked): every item that has not started.
    pub(crate) const SKIP_REST: u32 = 2;
    /// Value of [`revoked`](Self::revoked) on the way back: the worker begins nothing after this, and skips what it has.
    pub(crate) const SPENT: u32 = 1;

    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind: kind as u32, ..Self::default() }
    }

    pub(crate) fn kind(&self) -> Option<Kind> {
        Kind::from_raw(self.kind)
    }

    /// The header as it lies in a ring, in the order of its fields.
    #[inline]
    pub(crate) fn to_bytes(self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[0..4].copy_from_slice(&self.size.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.kind.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.chunk.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.task_or_nanos.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.first.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.count.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.failed.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.revoked.to_le_bytes());
        bytes
    }

    #[inline]
    pub(crate) fn from_bytes(bytes: &[u8; Self::SIZE]) -> Self {
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        Self {
            size: u32_at(0),
            kind: u32_at(4),
            chunk: u64_at(8),
            task_or_nanos: u64_at(16),
            first: u32_at(24),
            count: u32_at(28),
            failed: u32_at(32),
            revoked: u32_at(36),
        }
    }
}

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Kind {
    /// To a worker: run the initializer (the body's only entry, if there is one) and report.
    Start = 1,
    /// To a worker: run the items of one chunk.
    Run = 2,
    /// To a worker: run the finalizer (the body's only entry, if there is one) and exit.
    Exit = 3,
    /// From a worker: the initializer is done, and items may come.
    Ready = 4,
    /// From a worker: the initializer failed; the body's only entry says how.
    Refused = 5,
    /// From a worker: outcomes of consecutive items of one chunk.
    Done = 6,
    /// Either way: nothing; the next frame is at the start of the ring.
    Skip = 7,
    /// From a worker, to the link: it wants a segment; `first` is the id, `chunk` the length.
    Want = 8,
    /// From a worker, to the link: it does not use segment `first` any more.
    GiveBack = 9,
}

impl Kind {
    fn from_raw(raw: u32) -> Option<Self> {
        use Kind::*;
        [Start, Run, Exit, Ready, Refused, Done, Skip, Want, GiveBack]
            .into_iter()
            .find(|kind| *kind as u32 == raw)
    }
}

/// How an item ended, as its worker tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Status {
    /// The bytes are the encoded result.
    Ok = 0,
    /// The bytes are a [`PanicReport`](crate::handshake::PanicReport).
    Panicked = 1,
    /// The arguments could not be decoded; the bytes are the reason as text.
    DecodeFailed = 2,
    /// The result could not be encoded; the bytes are the reason as text.
    EncodeFailed = 3,
    /// The worker has no such task.
    UnknownTask = 4,
    /// Not started, because the chunk was revoked.
    Skipped = 5,
    /// The initializer returned `Err`; the bytes are its text.
    ReturnedError = 6,
    /// The worker is not what the pool wants; the bytes are an [`Unmet`](crate::conditions::Unmet).
    Unfit = 7,
}

impl Status {
    fn from_raw(raw: u8) -> Option<Self> {
        use Status::*;
        [Ok, Panicked, DecodeFailed, EncodeFailed, UnknownTask, Skipped, ReturnedError, Unfit]
            .get(raw as usize)
            .copied()
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

/// Appends an entry whose bytes `fill` appends; returns what `fill` returns, and nothing stays if it failed.
pub(crate) fn append_entry<E>(
    body: &mut Vec<u8>,
    fill: impl FnOnce(&mut Vec<u8>) -> Result<Status, E>,
) -> Result<(), E> {
    let start = body.len();
    body.extend_from_slice(&[0; EntryHeader::SIZE]);
    match fill(body) {
        Ok(status) => {
            let len = body.len() - start - EntryHeader::SIZE;
            body.resize(body.len() + padding(len, ALIGN), 0);
            let header = EntryHeader::inline(status, len).to_bytes();
            body[start..start + EntryHeader::SIZE].copy_from_slice(&header);
            Ok(())
        }
        Err(error) => {
            body.truncate(start);
            Err(error)
        }
    }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn entries_arrive_as_they_were_appended(items in any::<Vec<Vec<u8>>>()) {
            let mut body = Vec::new();
            for item in &items {
                append_entry::<()>(&mut body, |out| { out.extend_from_slice(item); Ok(Status::Ok) }).unwrap();
            }
            prop_assert_eq!(body.len() % ALIGN, 0);
            let read: Vec<Vec<u8>> = Entries::new(&body).map(|(_, bytes)| bytes.to_vec()).collect();
            prop_assert_eq!(read, items);
        }

        #[test]
        fn frame_headers_survive_the_trip(bytes in any::<[u8; 32]>(), more in any::<[u8; 8]>()) {
            let mut all = [0; FrameHeader::SIZE];
            all[..32].copy_from_slice(&bytes);
            all[32..].copy_from_slice(&more);
            prop_assert_eq!(FrameHeader::from_bytes(&all).to_bytes(), all);
        }

        #[test]
        fn any_bytes_can_be_walked(body in any::<Vec<u8>>()) {
            let walked: usize = Entries::new(&body).map(|(header, _)| header.footprint()).sum();
            prop_assert!(walked <= body.len());
        }

        #[test]
        fn entry_headers_survive_the_trip(len in 0usize..1 << 40, status in 0u8..8, segment in any::<u16>()) {
            let header = EntryHeader { len, status: Status::from_raw(status).unwrap(), segment };
            prop_assert_eq!(EntryHeader::from_bytes(header.to_bytes()), Some(header));
        }
    }

    #[test]
    fn an_entry_that_fails_leaves_nothing() {
        let mut body = vec![0; 8];
        assert!(
            append_entry(&mut body, |out| {
                out.push(1);
                Err(())
            })
            .is_err()
        );
        assert_eq!(body.len(), 8);
    }
}
