//! Regions for bodies that are too large for a ring, made once and used again.
//!
//! The parent makes them all: those for arguments by itself, those for results when a worker wants one. So whatever the
//! parent maps is its own, sealed and as large as it believes. Those for arguments are in the [`stock`](super::stock), and
//! a worker looks them up in what arrived ([`Mapped`]). A worker keeps account of those for its results
//! ([`Segments`]), and the parent looks them up in what it granted ([`Granted`]). Such a segment is free again when the frame
//! that speaks of it was released, unless the parent has set the segment's bit: then a result waits there for who wants it
//! ([`Held`]).

use std::borrow::Borrow;
use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use super::control::{Parcel, ParcelsIn, ParcelsOut};
use super::envelope::Envelope;
use super::layout::Holds;
use super::region::Region;
use super::ring::{Corrupt, Position};
use crate::codec::Outside;
use crate::sys::{memory, process};

/// The smallest segment.
const SMALLEST: usize = 64 << 10;
/// Free segments beyond this many bytes are given back to the system when a new one is made.
const KEEP: usize = 64 << 20;
/// So many segments at once may be on their way; each costs both sides a descriptor.
const MOST_BUSY: usize = 4;
/// Most segments for results that a worker may have: each has a bit of a word.
const MOST_GRANTED: usize = 63;
/// More than a result goes through as it grows, even if most are denied, and no more than the channel takes.
const MOST_UNUSED: usize = 32;
/// So many results of a worker may wait in their segments for who wants them; others are copied out as they come.
const MOST_HELD: usize = 2;

/// Where segments come from and go to.
pub(crate) trait Supply {
    /// Makes a segment that the other side knows by this id.
    fn make(&mut self, id: u16, len: usize) -> io::Result<Region>;
    /// Says that this one is not used any more.
    fn give_back(&mut self, id: u16);
}

/// Worker: the segments that it writes results into.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    all: Vec<Segment>,
}

#[derive(Debug)]
struct Segment {
    id: u16,
    region: Region,
    /// Free once the frame that ends here was released, and the parent does not read it any more.
    busy_until: Position,
}

impl Segment {
    fn is_busy(&self, released: Position, held: u64) -> bool {
        self.busy_until > released || held & bit(self.id) != 0
    }
}

impl Segments {
    /// Tells whether another body may be sent: whether not too many segments wait for the other side. `held` has a bit set for
    /// each that the parent reads still.
    pub(crate) fn has_room(&self, released: Position, held: u64) -> bool {
        self.all.iter().filter(|segment| segment.is_busy(released, held)).count() < MOST_BUSY
    }

    /// Finds a segment of at least `len` bytes that is free; returns its id. It is in use until
    /// [`hold`](Self::hold) says how long.
    pub(crate) fn take(
        &mut self,
        len: usize,
        released: Position,
        held: u64,
        supply: &mut impl Supply,
    ) -> io::Result<u16> {
        let fits = |segment: &&mut Segment| !segment.is_busy(released, held) && segment.region.len() >= len;
        let best = self.all.iter_mut().filter(fits).min_by_key(|segment| segment.region.len());
        let segment = match best {
            Some(segment) => segment,
            None => self.make(len, released, held, supply)?,
        };
        segment.busy_until = Position::MAX;
        Ok(segment.id)
    }

    /// The memory of a segment that was taken.
    pub(crate) fn region(&self, id: u16) -> &Region {
        match self.all.iter().find(|segment| segment.id == id) {
            Some(segment) => &segment.region,
            None => unreachable!("what is in use is not given back"),
        }
    }

    /// Says that the segment is in use until the frame that ends at `end` is released.
    pub(crate) fn hold(&mut self, id: u16, end: Position) {
        if let Some(segment) = self.all.iter_mut().find(|segment| segment.id == id) {
            segment.busy_until = end;
        }
    }

    fn make(
        &mut self,
        len: usize,
        released: Position,
        held: u64,
        supply: &mut impl Supply,
    ) -> io::Result<&mut Segment> {
        self.trim(released, held, supply);
        let granule = (len.next_power_of_two() / 8).max(SMALLEST);
        let id = self.free_id()?;
        let region = supply.make(id, len.next_multiple_of(granule))?;
        self.all.push(Segment { id, region, busy_until: 0 });
        Ok(self.all.last_mut().expect("it was pushed in the line above"))
    }

    /// Gives free segments back as long as more than [`KEEP`] bytes are held, or as many segments as there can be.
    fn trim(&mut self, released: Position, held: u64, supply: &mut impl Supply) {
        let mut bytes: usize = self.all.iter().map(|segment| segment.region.len()).sum();
        let mut count = self.all.len();
        self.all.retain(|segment| {
            if bytes <= KEEP && count < MOST_GRANTED || segment.is_busy(released, held) {
                return true;
            }
            bytes -= segment.region.len();
            count -= 1;
            supply.give_back(segment.id);
            false
        });
    }

    fn free_id(&mut self) -> io::Result<u16> {
        (1..=MOST_GRANTED as u16)
            .find(|id| self.all.iter().all(|segment| segment.id != *id))
            .ok_or_else(|| io::Error::new(io::ErrorKind::OutOfMemory, "all segment ids are in use"))
    }
}

/// Where a segment stands in the word that says which ones the parent reads.
fn bit(id: u16) -> u64 {
    1 << id
}

/// Why a segment cannot be read.
#[derive(Debug)]
pub(crate) enum Missing {
    /// This process cannot have that much memory.
    NoRoom(String),
    /// It was not sent, or is shorter than it should be.
    Corrupt,
}

impl From<Corrupt> for Missing {
    fn from(_: Corrupt) -> Self {
        Missing::Corrupt
    }
}

/// Worker: the segments with arguments, as far as they arrived.
#[derive(Debug, Default)]
pub(crate) struct Mapped {
    by_id: HashMap<u16, Region>,
    /// Shared values that came and were not asked for yet.
    shares: Vec<(u64, Envelope)>,
    /// The segment that comes next and cannot be mapped, and why not. The frame that speaks of it is not the one that is
    /// being read, perhaps; what the frames before it need has come.
    too_large: Option<(u16, String)>,
}

impl Mapped {
    /// A segment that [`find`](Self::find) found.
    pub(crate) fn get(&self, id: u16) -> Option<&Region> {
        self.by_id.get(&id)
    }

    /// Finds a segment that arrived and checks that it holds `len` bytes.
    pub(crate) fn find(&self, id: u16, len: usize) -> Result<&Region, Missing> {
        if let Some((_, reason)) = self.too_large.as_ref().filter(|(too_large, _)| *too_large == id) {
            return Err(Missing::NoRoom(reason.clone()));
        }
        Ok(checked(self.by_id.get(&id), id, len)?)
    }

    /// Takes a shared value that was sent out of its parcel.
    pub(crate) fn take_share(&mut self, id: u64, parcels: &ParcelsIn) -> Result<OwnedFd, Missing> {
        loop {
            if let Some(place) = self.shares.iter().position(|(found, _)| *found == id) {
                return self.shares.swap_remove(place).1.open().map_err(|_| Missing::Corrupt);
            }
            // No more than that: a segment behind it for which there is no room fails the item that needs it.
            if !self.unpack_one(parcels)? {
                return Err(Missing::Corrupt);
            }
        }
    }

    /// Takes what is in the channel, up to a segment for which there is no room. It may replace what has the same id, so it
    /// comes before [`find`](Self::find) wherever parcels were sent.
    ///
    /// # Errors
    ///
    /// What segments there are is not known afterwards.
    pub(crate) fn unpack(&mut self, parcels: &ParcelsIn) -> Result<(), Missing> {
        while self.unpack_one(parcels)? {}
        Ok(())
    }

    /// Takes one parcel; false if there is none, or none may be taken any more.
    fn unpack_one(&mut self, parcels: &ParcelsIn) -> Result<bool, Missing> {
        if self.too_large.is_some() {
            return Ok(false);
        }
        match parcels.take() {
            Ok(Parcel::Room { id, len }) => match memory::sealed(len) {
                Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
                    self.too_large = Some((id, format!("no room for {len} bytes: {error}")));
                }
                // Anything else that is wrong will show.
                _ => {}
            },
            Ok(Parcel::Segment { id, memory }) => {
                let region = Region::adopt(memory);
                // Other workers may read it, too. Where it cannot be protected, it is as it would be otherwise.
                // SAFETY: nothing in a worker writes to a segment with arguments.
                let _ = unsafe { region.protect(0, region.len()) };
                self.by_id.insert(id, region);
            }
            Ok(Parcel::Forget { id }) => {
                self.by_id.remove(&id);
            }
            Ok(Parcel::Share { id, memory }) => self.shares.push((id, memory)),
            Ok(Parcel::Denied { .. }) => unreachable!("the parent was not asked for these"),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(_) => return Err(Missing::Corrupt),
        }
        Ok(true)
    }
}

/// Parent: the segments for results. What a worker says of them may be of any value.
#[derive(Debug)]
pub(crate) struct Granted {
    by_id: HashMap<u16, Arc<Region>>,
    holds: Arc<Holds>,
    /// How many were granted since the worker answered something. It waits for each, and then puts a result into it, or
    /// finds that it needs a larger one.
    unused: usize,
    /// When one was used last, unless their memory was given back since.
    used: Option<Instant>,
}

impl Granted {
    pub(crate) fn new(holds: Holds) -> Self {
        Self { by_id: HashMap::new(), holds: Arc::new(holds), unused: 0, used: None }
    }

    /// Notes that a segment is in use now.
    pub(crate) fn note_use(&mut self) {
        self.used = Some(Instant::now());
    }

    /// When a segment was used last, unless their memory was given back since.
    pub(crate) fn used(&self) -> Option<Instant> {
        self.used
    }

    /// Gives the memory of all segments back in which no result waits; tells whether that was all of them.
    ///
    /// # Safety
    ///
    /// The worker runs no item, so that it writes to none of them.
    pub(crate) unsafe fn empty(&mut self) -> bool {
        let held = self.holds.all();
        for (_, region) in self.by_id.iter().filter(|(id, _)| held & bit(**id) == 0) {
            // SAFETY: the worker is not writing, and nobody here has a result there that was not taken.
            let emptied = unsafe { region.empty() };
            // A system that cannot do so frees it with the worker.
            drop(emptied);
        }
        if held == 0 {
            self.used = None;
        }
        held == 0
    }

    /// Leaves a result where it is, for who wants it, unless there are enough of those. To be called before its frame is
    /// released.
    pub(crate) fn hold(&self, id: u16, len: usize) -> Result<Option<Held>, Corrupt> {
        let region = checked(self.by_id.get(&id), id, len)?;
        if Arc::strong_count(&self.holds) > MOST_HELD || self.holds.all() & bit(id) != 0 {
            return Ok(None);
        }
        self.holds.set(bit(id));
        let (region, holds) = (region.clone(), self.holds.clone());
        Ok(Some(Held { region, len, id, holds, generation: process::fork_generation() }))
    }

    /// Makes a segment for a worker that wants one, or tells it why there is none. False if it could not be told.
    pub(crate) fn grant(&mut self, id: u32, len: u64, grants: &ParcelsOut) -> Result<bool, Corrupt> {
        let id = to_id(id)?;
        // What is answered without being read would fill the channel, and then the parent would wait for room.
        self.unused += 1;
        if self.unused > MOST_UNUSED {
            return Err(Corrupt(format!("it wants a segment and has not used the {MOST_UNUSED} before")));
        }
        if self.by_id.contains_key(&id) {
            return Err(Corrupt(format!("it wants segment {id} again")));
        }
        let made = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory.into()).and_then(|len| {
            if self.by_id.len() >= MOST_GRANTED {
                let reason = format!("the worker has {MOST_GRANTED} segments");
                return Err(io::Error::new(io::ErrorKind::OutOfMemory, reason));
            }
            let region = Region::new(len)?;
            grants.send(Parcel::Segment { id, memory: region.handle()? })?;
            Ok(region)
        });
        match made {
            Ok(region) => {
                self.by_id.insert(id, Arc::new(region));
                Ok(true)
            }
            Err(error) => Ok(grants.send(Parcel::Denied { reason: error.to_string() }).is_ok()),
        }
    }

    /// Takes note that the worker answered something.
    pub(crate) fn use_one(&mut self) {
        self.unused = 0;
    }

    /// Unmaps a segment that the worker does not use any more.
    pub(crate) fn take_back(&mut self, id: u32) -> Result<(), Corrupt> {
        match self.by_id.remove(&to_id(id)?) {
            Some(_) => Ok(()),
            None => Err(Corrupt(format!("it gives back segment {id}, which it does not have"))),
        }
    }

    /// Finds a segment and checks that it holds `len` bytes.
    pub(crate) fn find(&self, id: u16, len: usize) -> Result<&Region, Corrupt> {
        checked(self.by_id.get(&id), id, len).map(|region| &**region)
    }
}

/// A result in the segment that its worker put it into. The worker leaves it alone meanwhile, or is unsound; so every byte
/// is copied before it is looked at.
#[derive(Debug)]
pub(crate) struct Held {
    region: Arc<Region>,
    len: usize,
    id: u16,
    holds: Arc<Holds>,
    /// A fork of this process has a copy, with which it must not give the segment back.
    generation: u32,
}

impl Outside for Held {
    fn len(&self) -> usize {
        self.len
    }

    fn read<'i>(&self, at: usize, into: &'i mut [MaybeUninit<u8>]) -> &'i mut [u8] {
        self.region.read_into(at, into)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if process::fork_generation() == self.generation {
            self.holds.clear(bit(self.id));
        }
    }
}

fn to_id(raw: u32) -> Result<u16, Corrupt> {
    match u16::try_from(raw) {
        Ok(id) if (1..=MOST_GRANTED as u16).contains(&id) => Ok(id),
        _ => Err(Corrupt(format!("{raw} is the id of no segment"))),
    }
}

fn checked<R: Borrow<Region>>(region: Option<&R>, id: u16, len: usize) -> Result<&R, Corrupt> {
    match region.map(|found| (found, found.borrow().len())) {
        Some((found, most)) if most >= len => Ok(found),
        Some((_, most)) => Err(Corrupt(format!("{len} bytes in segment {id} of {most} bytes"))),
        None => Err(Corrupt(format!("there is no segment {id}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::control;
    use super::*;

    #[test]
    fn a_segment_for_which_there_is_no_room_is_missed_by_the_frame_that_speaks_of_it_only() {
        let (out, parcels) = control::parcels().unwrap();
        let region = Region::new(SMALLEST).unwrap();
        out.send(Parcel::Room { id: 1, len: region.len() }).unwrap();
        out.send(Parcel::Segment { id: 1, memory: region.handle().unwrap() }).unwrap();
        out.send(Parcel::Room { id: 2, len: 1 << 60 }).unwrap();
        let mut mapped = Mapped::default();
        for _ in 0..2 {
            mapped.unpack(&parcels).unwrap();
            assert_eq!(mapped.find(1, 5).map(Region::len).ok(), Some(SMALLEST));
        }
        let missing = mapped.find(2, 5).map(Region::len).unwrap_err();
        assert!(matches!(missing, Missing::NoRoom(_)), "{missing:?}");
    }
}
