//! Vectors of plain numbers, and text, as their bytes.

use std::any::TypeId;

use super::*;
use crate::sys::memory;

/// Bytes as [`Writer::raw`] wrote them.
pub(super) enum Raw<'f> {
    Here(&'f [u8]),
    /// Inside `item`, as was checked.
    Outside {
        item: &'f dyn Outside,
        start: usize,
        length: usize,
    },
}

impl Raw<'_> {
    pub(super) fn to_vec<N: bytemuck::Pod>(&self) -> Result<Vec<N>, CodecError> {
        match *self {
            Raw::Here(bytes) => to_vec(bytes),
            Raw::Outside { item, start, length } => copy(item, start, length),
        }
    }
}

/// Reads a `T` in bulk if it is a `Vec` of plain numbers or a string; `raw` yields the bytes for an alignment.
pub(super) fn bulk_from<'f, T: 'static>(
    raw: impl FnOnce(usize) -> Result<Raw<'f>, CodecError>,
) -> Result<Option<T>, CodecError> {
    if TypeId::of::<T>() != TypeId::of::<String>() {
        return vec_from(raw);
    }
    let text = String::from_utf8(raw(1)?.to_vec()?).map_err(|error| no_text(error.utf8_error()))?;
    let mut text = Some(text);
    Ok((&mut text as &mut dyn Any).downcast_mut::<Option<T>>().and_then(Option::take))
}

pub(super) struct Numbers<'v> {
    pub(super) bytes: &'v [u8],
    pub(super) align: usize,
}

/// Calls `$found` with the number type of which `$T` is a `Vec`, if it is one. The comparison is decided at compile time.
macro_rules! if_number_vec {
    ($T:ty, |$N:ident| $found:expr) => {
        if_number_vec!(@ $T, |$N| $found, u8 i8 u16 i16 u32 i32 u64 i64 u128 i128 usize isize f32 f64)
    };
    (@ $T:ty, |$N:ident| $found:expr, $($number:ty)*) => {
        $(if TypeId::of::<$T>() == TypeId::of::<Vec<$number>>() { type $N = $number; return $found; })*
    };
}

fn bytes_of<N: bytemuck::Pod>(slice: &[N]) -> Option<Numbers<'_>> {
    Some(Numbers { bytes: bytemuck::cast_slice(slice), align: align_of::<N>() })
}

/// The bytes of `value` if it is a `Vec` of plain numbers.
pub(super) fn of_vec<T: 'static>(value: &T) -> Option<Numbers<'_>> {
    if_number_vec!(T, |N| (value as &dyn Any).downcast_ref::<Vec<N>>().and_then(|vec| bytes_of(vec)));
    None
}

/// Reads a `T` if it is a `Vec` of plain numbers.
fn vec_from<'f, T: 'static>(
    raw: impl FnOnce(usize) -> Result<Raw<'f>, CodecError>,
) -> Result<Option<T>, CodecError> {
    if_number_vec!(T, |N| {
        let mut vec = Some(raw(align_of::<N>())?.to_vec::<N>()?);
        Ok((&mut vec as &mut dyn Any).downcast_mut::<Option<T>>().and_then(Option::take))
    });
    Ok(None)
}

pub(super) fn to_vec<N: bytemuck::Pod>(bytes: &[u8]) -> Result<Vec<N>, CodecError> {
    let count = count_of::<N>(bytes.len())?;
    let Ok(numbers) = bytemuck::try_cast_slice(bytes) else {
        return Ok(bytemuck::allocation::pod_collect_to_vec(bytes));
    };
    let mut vec = with_room(count)?;
    vec.extend_from_slice(numbers);
    Ok(vec)
}

/// An empty vector with room for so many values, all of which will come.
fn with_room<N>(count: usize) -> Result<Vec<N>, CodecError> {
    let mut vec = Vec::<N>::new();
    let bytes = count * size_of::<N>();
    vec.try_reserve_exact(count).map_err(|_| CodecError::new(format!("no memory for {bytes} bytes")))?;
    memory::expect_use(vec.as_ptr().cast(), bytes);
    Ok(vec)
}

/// How many numbers so many bytes are.
fn count_of<N>(bytes: usize) -> Result<usize, CodecError> {
    if bytes % size_of::<N>() != 0 {
        let name = std::any::type_name::<N>();
        return Err(CodecError::new(format!("{bytes} bytes are no whole number of `{name}`")));
    }
    Ok(bytes / size_of::<N>())
}

/// Copies numbers straight to where they stay.
pub(super) fn copy<N: bytemuck::Pod>(
    item: &dyn Outside,
    start: usize,
    length: usize,
) -> Result<Vec<N>, CodecError> {
    let count = count_of::<N>(length)?;
    let mut vec = with_room::<N>(count)?;
    let place = vec.as_mut_ptr().cast::<MaybeUninit<u8>>();
    // SAFETY: that many bytes were just reserved, and a byte that is not initialized may be anything.
    let place = unsafe { std::slice::from_raw_parts_mut(place, length) };
    let end = place.as_ptr_range().end.cast::<u8>();
    let filled = item.read(start, place);
    assert!(filled.len() == length && filled.as_ptr_range().end == end, "it returns what it filled");
    // SAFETY: the capacity is at least that, all of its bytes were just filled, and any bytes are a number.
    unsafe { vec.set_len(count) };
    Ok(vec)
}
