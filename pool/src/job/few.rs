//! Lists that usually hold one thing, and bytes that usually are few: neither takes memory of its own then.

use std::ops::Deref;

/// A list whose usual length is one.
#[derive(Debug)]
pub(crate) struct Few<T> {
    first: Option<T>,
    more: Vec<T>,
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self { first: None, more: Vec::new() }
    }
}

impl<T> Few<T> {
    pub(crate) fn push(&mut self, item: T) {
        if self.is_empty() {
            self.first = Some(item);
        } else {
            self.more.push(item);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        // Nothing takes the first one out alone.
        self.first.is_none()
    }

    pub(crate) fn last(&self) -> Option<&T> {
        self.more.last().or(self.first.as_ref())
    }

    pub(crate) fn last_mut(&mut self) -> Option<&mut T> {
        self.more.last_mut().or(self.first.as_mut())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(&self.more)
    }
}

impl<T> IntoIterator for Few<T> {
    type Item = T;
    type IntoIter = std::iter::Chain<std::option::IntoIter<T>, std::vec::IntoIter<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.more)
    }
}

/// Bytes of which there are usually no more than [`FEW`].
#[derive(Debug)]
pub(crate) enum FewBytes {
    Here { len: u8, bytes: [u8; FEW] },
    Apart(Vec<u8>),
}

/// So many bytes need no memory of their own. Four numbers, or a short text.
pub(crate) const FEW: usize = 32;

/// The start of a longer array, if there are no more.
pub(crate) fn few(bytes: &[u8]) -> Option<[u8; FEW]> {
    let mut here = [0; FEW];
    here.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(here)
}

impl From<&[u8]> for FewBytes {
    fn from(bytes: &[u8]) -> Self {
        match few(bytes) {
            Some(here) => Self::Here { len: bytes.len() as u8, bytes: here },
            None => Self::Apart(bytes.to_vec()),
        }
    }
}

impl Deref for FewBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Here { len, bytes } => &bytes[..usize::from(*len)],
            Self::Apart(bytes) => bytes,
        }
    }
}

impl FewBytes {
    pub(crate) fn append(&mut self, more: &[u8]) {
        match self {
            Self::Apart(bytes) => bytes.extend_from_slice(more),
            Self::Here { len, bytes } => {
                let start = usize::from(*len);
                let end = start + more.len();
                if let Some(room) = bytes.get_mut(start..end) {
                    room.copy_from_slice(more);
                    *len = end as u8;
                } else {
                    let mut all = Vec::with_capacity(end.next_power_of_two());
                    all.extend_from_slice(&bytes[..start]);
                    all.extend_from_slice(more);
                    *self = Self::Apart(all);
                }
            }
        }
    }

    /// Bytes that they take.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Here { .. } => FEW,
            Self::Apart(bytes) => bytes.capacity(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_keeps_its_order_however_long_it_is() {
        for length in 0..4 {
            let mut list = Few::default();
            (0..length).for_each(|n| list.push(n));
            assert_eq!(list.is_empty(), length == 0);
            assert_eq!(list.last().copied(), (0..length).last());
            assert!(list.iter().copied().eq(0..length));
            assert!(list.into_iter().eq(0..length));
        }
    }

    #[test]
    fn bytes_stay_what_they_were_where_they_become_many() {
        let all: Vec<u8> = (0..100).collect();
        for (first, more) in [(0, 0), (0, 32), (32, 0), (31, 1), (32, 1), (33, 33), (8, 92)] {
            let mut bytes = FewBytes::from(&all[..first]);
            bytes.append(&all[first..first + more]);
            assert_eq!(matches!(bytes, FewBytes::Here { .. }), first + more <= FEW);
            assert_eq!(bytes[..], all[..first + more]);
        }
    }
}
