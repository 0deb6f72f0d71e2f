//! Names as numbers: what identifies a task and a job on the byte side.
//!
//! A task's id comes from its registered name alone, so two builds of one program agree on it whatever
//! the order in which the linker or the macro saw the tasks.

use std::fmt;

/// The 64-bit FNV-1a hash of a task's registered name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(u64);

impl TaskId {
    /// Computes the id of the task registered as `name`; usable in constants.
    pub const fn of(name: &str) -> Self {
        Self(fnv1a(FNV_OFFSET, name.as_bytes()))
    }

    /// Restores an id that came over the wire.
    pub(crate) const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// Returns the number that travels in frames.
    pub const fn raw(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskId({:016x})", self.0)
    }
}

/// The start value of FNV-1a (<http://www.isthe.com/chongo/tech/comp/fnv/>).
pub(crate) const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// Continues an FNV-1a hash with more bytes.
pub(crate) const fn fnv1a(mut hash: u64, bytes: &[u8]) -> u64 {
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u64).wrapping_mul(FNV_PRIME);
        i += 1;
    }
    hash
}

/// Finds one job in the driver's table; a key outlives its job and then finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct JobKey {
    pub(crate) place: u32,
    /// Tells the jobs apart that had this place.
    pub(crate) turn: u32,
}

impl JobKey {
    /// Finds nothing, ever.
    pub(crate) const NONE: Self = Self { place: u32::MAX, turn: 0 };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_is_the_published_fnv1a_of_the_name() {
        // Test vectors of the FNV authors (draft-eastlake-fnv, appendix C).
        assert_eq!(TaskId::of("").raw(), 0xcbf2_9ce4_8422_2325);
        assert_eq!(TaskId::of("a").raw(), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(TaskId::of("foobar").raw(), 0x8594_4171_f739_67e8);
    }
}
