//! Regions for bodies that are too large for a ring, made once and used again.
//!
//! The parent makes them all: those for arguments by itself, those for results when a worker wants one. So whatever the
//! parent maps is its own, sealed and as large as it believes. The side that writes keeps account of which are free
//! ([`Segments`]): a segment is free again when the frame that speaks of it was released. The other side looks
//! them up, the worker in what arrived ([`Mapped`]), the parent in what it granted ([`Granted`]).

use std::collections::HashMap;
use std::io;

use super::control::{Parcel, ParcelsIn, ParcelsOut};
use super::region::Region;
use super::ring::{Corrupt, Position};
use crate::sys::memory;

/// The smallest segment.
const SMALLEST: usize = 64 << 10;
/// Free segments beyond this many bytes are given back to the system when a new one is made.
const KEEP: usize = 64 << 20;
/// So many segments at once may be on their way; each costs both sides a descriptor.
const MOST_BUSY: usize = 4;
/// More than a worker can make use of, given how much it keeps free and how much it may have on its way.
const MOST_GRANTED: usize = 256;

/// Where segments come from and go to.
pub(crate) trait Supply {
    /// Makes a segment that the other side knows by this id.
    fn make(&mut self, id: u16, len: usize) -> io::Result<Region>;
    /// Says that this one is not used any more.
    fn give_back(&mut self, id: u16);
}

/// The segments that this side writes.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    all: Vec<Segment>,
    last_id: u16,
}

#[derive(Debug)]
struct Segment {
    id: u16,
    region: Region,
    /// Free once the frame that ends here was released.
    busy_until: Position,
}

impl Segments {
    /// Tells whether another body may be sent: whether not too many segments wait for the other side.
    pub(crate) fn has_room(&self, released: Position) -> bool {
        self.all.iter().filter(|segment| segment.busy_until > released).count() < MOST_BUSY
    }

    /// Copies `bytes` into a segment that is free at `released`; returns its id. Call
    /// [`hold`](Self::hold) once the frame's end is known.
    pub(crate) fn put(
        &mut self,
        bytes: &[u8],
        released: Position,
        supply: &mut impl Supply,
    ) -> io::Result<u16> {
        let fits =
            |segment: &&mut Segment| segment.busy_until <= released && segment.region.len() >= bytes.len();
        let best = self.all.iter_mut().filter(fits).min_by_key(|segment| segment.region.len());
        let segment = match best {
            Some(segment) => segment,
            None => self.make(bytes.len(), released, supply)?,
        };
        segment.region.write(0, bytes);
        segment.busy_until = Position::MAX;
        Ok(segment.id)
    }

    /// Says that the segment is in use until the frame that ends at `end` is released.
    pub(crate) fn hold(&mut self, id: u16, end: Position) {
        if let Some(segment) = self.all.iter_mut().find(|segment| segment.id == id) {
            segment.busy_until = end;
        }
    }

    fn make(&mut self, len: usize, released: Position, supply: &mut impl Supply) -> io::Result<&mut Segment> {
        self.trim(released, supply);
        let granule = (len.next_power_of_two() / 8).max(SMALLEST);
        let id = self.free_id()?;
        let region = supply.make(id, len.next_multiple_of(granule))?;
        self.all.push(Segment { id, region, busy_until: 0 });
        Ok(self.all.last_mut().expect("it was pushed in the line above"))
    }

    /// Gives free segments back as long as more than [`KEEP`] bytes are held.
    fn trim(&mut self, released: Position, supply: &mut impl Supply) {
        let mut held: usize = self.all.iter().map(|segment| segment.region.len()).sum();
        self.all.retain(|segment| {
            if held <= KEEP || segment.busy_until > released {
                return true;
            }
            held -= segment.region.len();
            supply.give_back(segment.id);
            false
        });
    }

    fn free_id(&mut self) -> io::Result<u16> {
        for _ in 0..u16::MAX {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if self.all.iter().all(|segment| segment.id != self.last_id) {
                return Ok(self.last_id);
            }
        }
        Err(io::Error::new(io::ErrorKind::OutOfMemory, "all segment ids are in use"))
    }
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

/// Parent: for arguments it makes them as it needs them.
impl Supply for &ParcelsOut {
    fn make(&mut self, id: u16, len: usize) -> io::Result<Region> {
        let region = Region::sparse(len)?;
        self.send(Parcel::Room { len: region.len() })?;
        self.send(Parcel::Segment { id, memory: region.handle()? })?;
        Ok(region)
    }

    fn give_back(&mut self, id: u16) {
        // If the other side is gone, so is its mapping.
        let _ = self.send(Parcel::Forget { id });
    }
}

/// Worker: the segments with arguments, as far as they arrived.
#[derive(Debug, Default)]
pub(crate) struct Mapped {
    by_id: HashMap<u16, Region>,
}

impl Mapped {
    /// A segment that [`find`](Self::find) found.
    pub(crate) fn get(&self, id: u16) -> Option<&Region> {
        self.by_id.get(&id)
    }

    /// Finds a segment and checks that it holds `len` bytes; takes parcels from the channel as needed.
    ///
    /// # Errors
    ///
    /// What segments there are is not known afterwards.
    pub(crate) fn find(&mut self, id: u16, len: usize, parcels: &ParcelsIn) -> Result<&Region, Missing> {
        // A parcel may replace what we have under this id, so those that wait come first.
        loop {
            match parcels.take() {
                Ok(Parcel::Room { len }) => match memory::sealed(len) {
                    Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
                        return Err(Missing::NoRoom(format!("no room for {len} bytes: {error}")));
                    }
                    // Anything else that is wrong will show.
                    _ => {}
                },
                Ok(Parcel::Segment { id, memory }) => {
                    self.by_id.insert(id, Region::adopt(memory));
                }
                Ok(Parcel::Forget { id }) => {
                    self.by_id.remove(&id);
                }
                Ok(Parcel::Denied { .. }) => unreachable!("the parent was not asked for these"),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) if self.by_id.contains_key(&id) => break,
                Err(_) => return Err(Missing::Corrupt),
            }
        }
        Ok(checked(self.by_id.get(&id), id, len)?)
    }
}

/// Parent: the segments for results. What a worker says of them may be of any value.
#[derive(Debug, Default)]
pub(crate) struct Granted {
    by_id: HashMap<u16, Region>,
    /// A worker waits for the answer before it goes on, and then puts a result into what it got.
    is_unused: bool,
}

impl Granted {
    /// Makes a segment for a worker that wants one, or tells it why there is none. False if it could not be told.
    pub(crate) fn grant(&mut self, id: u32, len: u64, grants: &ParcelsOut) -> Result<bool, Corrupt> {
        let id = to_id(id)?;
        // What is answered without being read would fill the channel, and then the parent would wait for room.
        if std::mem::replace(&mut self.is_unused, true) {
            return Err(Corrupt("it wants a segment and has not used the one before".to_owned()));
        }
        if self.by_id.contains_key(&id) {
            return Err(Corrupt(format!("it wants segment {id} again")));
        }
        let made = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory.into()).and_then(|len| {
            if self.by_id.len() >= MOST_GRANTED {
                let reason = format!("the worker has {MOST_GRANTED} segments");
                return Err(io::Error::new(io::ErrorKind::OutOfMemory, reason));
            }
            let region = Region::sparse(len)?;
            grants.send(Parcel::Segment { id, memory: region.handle()? })?;
            Ok(region)
        });
        match made {
            Ok(region) => {
                self.by_id.insert(id, region);
                Ok(true)
            }
            Err(error) => Ok(grants.send(Parcel::Denied { reason: error.to_string() }).is_ok()),
        }
    }

    /// Takes note that the worker answered something.
    pub(crate) fn use_one(&mut self) {
        self.is_unused = false;
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
        checked(self.by_id.get(&id), id, len)
    }
}

fn to_id(raw: u32) -> Result<u16, Corrupt> {
    match u16::try_from(raw) {
        Ok(id) if id != 0 => Ok(id),
        _ => Err(Corrupt(format!("{raw} is the id of no segment"))),
    }
}

fn checked(region: Option<&Region>, id: u16, len: usize) -> Result<&Region, Corrupt> {
    match region {
        Some(region) if region.len() >= len => Ok(region),
        Some(region) => Err(Corrupt(format!("{len} bytes in segment {id} of {} bytes", region.len()))),
        None => Err(Corrupt(format!("there is no segment {id}"))),
    }
}
