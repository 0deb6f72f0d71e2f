//! The header of everything that crosses a ring.
//!
//! A frame is a [`FrameHeader`] and a [body](crate::body).

/// The start of a frame. All sizes are in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// Length of the body, a multiple of [`ALIGN`].
    pub(crate) size: u32,
    /// A [`Kind`] as a number.
    pub(crate) kind: u16,
    /// How the items lie in the body: a [`Shape`](crate::body::Shape) as a number.
    pub(crate) shape: u16,
    /// Which chunk of this link the frame belongs to, counted from 1.
    pub(crate) chunk: u64,
    /// The task's id on the way out, the nanoseconds spent on the way back.
    pub(crate) task_or_nanos: u64,
    /// Place in the chunk of the body's first entry.
    pub(crate) first: u32,
    /// Number of entries in the body.
    pub(crate) count: u32,
    /// On the way back: how many of the entries are no success. On the way out: any of [`TIMED`](Self::TIMED) and
    /// [`PARCELS`](Self::PARCELS).
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
    /// Value of [`failed`](Self::failed) on the way out: segments were sent that this frame speaks of.
    pub(crate) const PARCELS: u32 = 2;
    /// Value of [`revoked`](Self::revoked): all of the chunk, unless the worker has begun it.
    pub(crate) const SKIP_WHOLE: u32 = 1;
    /// Value of [`revoked`](Self::revoked): every item that has not started.
    pub(crate) const SKIP_REST: u32 = 2;
    /// Value of [`revoked`](Self::revoked) on the way back: the worker begins nothing after this, and skips what it has.
    pub(crate) const SPENT: u32 = 1;

    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind: kind as u16, ..Self::default() }
    }

    pub(crate) fn kind(&self) -> Option<Kind> {
        Kind::from_raw(self.kind)
    }

    /// The header as it lies in a ring, in the order of its fields.
    #[inline]
    pub(crate) fn to_bytes(self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[0..4].copy_from_slice(&self.size.to_le_bytes());
        bytes[4..6].copy_from_slice(&self.kind.to_le_bytes());
        bytes[6..8].copy_from_slice(&self.shape.to_le_bytes());
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
            kind: u32_at(4) as u16,
            shape: (u32_at(4) >> 16) as u16,
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
#[repr(u16)]
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
    /// To a worker: keep the shared value `chunk`, which comes in a parcel.
    Share = 10,
    /// To a worker: no item uses the shared value `chunk` any more.
    Forget = 11,
    /// From a worker, to the link: it took the parcel with the shared value `chunk`.
    Kept = 12,
}

impl Kind {
    fn from_raw(raw: u16) -> Option<Self> {
        use Kind::*;
        [Start, Run, Exit, Ready, Refused, Done, Skip, Want, GiveBack, Share, Forget, Kept]
            .into_iter()
            .find(|kind| *kind as u16 == raw)
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
    pub(crate) fn from_raw(raw: u8) -> Option<Self> {
        use Status::*;
        [Ok, Panicked, DecodeFailed, EncodeFailed, UnknownTask, Skipped, ReturnedError, Unfit]
            .get(raw as usize)
            .copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn frame_headers_survive_the_trip(bytes in any::<[u8; 32]>(), more in any::<[u8; 8]>()) {
            let mut all = [0; FrameHeader::SIZE];
            all[..32].copy_from_slice(&bytes);
            all[32..].copy_from_slice(&more);
            prop_assert_eq!(FrameHeader::from_bytes(&all).to_bytes(), all);
        }
    }
}
