//! Regions for bodies that are too large for a ring, made once and used again.
//!
//! The side that writes owns them ([`Segments`]); the other maps each on first use ([`Mapped`]). A segment is
//! free again when the frame that speaks of it was released.

use std::collections::HashMap;
use std::io;

use super::control::{Parcel, Parcels};
use super::region::Region;
use super::ring::{Corrupt, Position};
use crate::sys::memory;

/// The smallest segment.
const SMALLEST: usize = 64 << 10;
/// Free segments beyond this many bytes are given back to the system when a new one is made.
const KEEP: usize = 64 << 20;

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

/// So many segments at once may be on their way; each costs both sides a descriptor.
const MOST_BUSY: usize = 4;

impl Segments {
    /// Tells whether another body may be sent: whether not too many segments wait for the other side.
    pub(crate) fn has_room(&self, released: Position) -> bool {
        self.all.iter().filter(|segment| segment.busy_until > released).count() < MOST_BUSY
    }

    /// Copies `bytes` into a segment that is free at `released`; returns its id. Call
    /// [`hold`](Self::hold) once the frame's end is known.
    pub(crate) fn put(&mut self, bytes: &[u8], released: Position, parcels: &Parcels) -> io::Result<u16> {
        let fits =
            |segment: &&mut Segment| segment.busy_until <= released && segment.region.len() >= bytes.len();
        let best = self.all.iter_mut().filter(fits).min_by_key(|segment| segment.region.len());
        let segment = match best {
            Some(segment) => segment,
            None => self.make(bytes.len(), released, parcels)?,
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

    fn make(&mut self, len: usize, released: Position, parcels: &Parcels) -> io::Result<&mut Segment> {
        self.trim(released, parcels);
        let granule = (len.next_power_of_two() / 8).max(SMALLEST);
        let region = Region::sparse(len.next_multiple_of(granule))?;
        let id = self.free_id()?;
        parcels.send(Parcel::Room { len: region.len() })?;
        parcels.send(Parcel::Segment { id, memory: region.handle()? })?;
        self.all.push(Segment { id, region, busy_until: 0 });
        Ok(self.all.last_mut().expect("it was pushed in the line above"))
    }

    /// Gives free segments back as long as more than [`KEEP`] bytes are held.
    fn trim(&mut self, released: Position, parcels: &Parcels) {
        let mut held: usize = self.all.iter().map(|segment| segment.region.len()).sum();
        self.all.retain(|segment| {
            if held <= KEEP || segment.busy_until > released {
                return true;
            }
            held -= segment.region.len();
            // If the other side is gone, so is its mapping.
            let _ = parcels.send(Parcel::Forget { id: segment.id });
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
    Corrupt(Corrupt),
}

impl Missing {
    fn corrupt(reason: String) -> Self {
        Missing::Corrupt(Corrupt(reason))
    }
}

impl From<Missing> for Corrupt {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::NoRoom(reason) => Corrupt(reason),
            Missing::Corrupt(corrupt) => corrupt,
        }
    }
}

/// The segments that the other side writes, as far as it sent them.
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
    pub(crate) fn find(&mut self, id: u16, len: usize, parcels: &Parcels) -> Result<&Region, Missing> {
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
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) if self.by_id.contains_key(&id) => break,
                Err(error) => return Err(Missing::corrupt(format!("segment {id} did not arrive: {error}"))),
            }
        }
        match self.by_id.get(&id) {
            Some(region) if region.len() >= len => Ok(region),
            Some(region) => {
                Err(Missing::corrupt(format!("{len} bytes in segment {id} of {} bytes", region.len())))
            }
            None => Err(Missing::corrupt(format!("segment {id} was never sent"))),
        }
    }
}
