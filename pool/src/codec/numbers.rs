//! Which types are plain numbers, and their bytes.

use super::*;

pub(super) struct Numbers<'v> {
    pub(super) bytes: &'v [u8],
    pub(super) align: usize,
}

/// Calls `$found` with the number type that `$T` is, if it is one. The comparison is decided at compile time.
macro_rules! if_number {
    ($T:ty, |$N:ident| $found:expr) => {
        if_number!(@ $T, |$N| $found, u8 i8 u16 i16 u32 i32 u64 i64 u128 i128 usize isize f32 f64)
    };
    (@ $T:ty, |$N:ident| $found:expr, $($number:ty)*) => {
        $(if TypeId::of::<$T>() == TypeId::of::<$number>() { type $N = $number; return $found; })*
    };
}

/// The same over `Vec`s of numbers.
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

/// Appends `value` if it is a single plain number: as its bytes, which costs less than a shorter encoding saves.
#[inline]
pub(super) fn append_number<T: 'static>(value: &T, out: &mut Vec<u8>) -> bool {
    if_number!(T, |N| match (value as &dyn Any).downcast_ref::<N>() {
        Some(number) => {
            out.extend_from_slice(&number.to_le_bytes());
            true
        }
        None => false,
    });
    false
}

/// Reads a `T` if it is a single plain number; `take` yields that many bytes.
#[inline]
pub(super) fn number_from<'f, T: 'static>(
    take: impl FnOnce(usize) -> Result<&'f [u8], CodecError>,
) -> Result<Option<T>, CodecError> {
    if_number!(T, |N| {
        let bytes = take(size_of::<N>())?;
        let mut number = Some(N::from_le_bytes(bytes.try_into().expect("so many bytes were taken")));
        Ok((&mut number as &mut dyn Any).downcast_mut::<Option<T>>().and_then(Option::take))
    });
    Ok(None)
}

/// The bytes of `value` if it is a `Vec` of plain numbers.
pub(super) fn of_vec<T: 'static>(value: &T) -> Option<Numbers<'_>> {
    if_number_vec!(T, |N| (value as &dyn Any).downcast_ref::<Vec<N>>().and_then(|vec| bytes_of(vec)));
    None
}

/// The bytes of `slice` if its elements are plain numbers.
pub(super) fn of_slice<T: 'static>(slice: &[T]) -> Option<Numbers<'_>> {
    if_number!(T, |N| bytes_of(same_slice::<T, N>(slice)));
    None
}

/// Reads a `T` if it is a `Vec` of plain numbers.
pub(super) fn vec_from<'f, T: 'static>(
    raw: impl FnOnce(usize) -> Result<Raw<'f>, CodecError>,
) -> Result<Option<T>, CodecError> {
    if_number_vec!(T, |N| {
        let mut vec = Some(raw(align_of::<N>())?.to_vec::<N>()?);
        Ok((&mut vec as &mut dyn Any).downcast_mut::<Option<T>>().and_then(Option::take))
    });
    Ok(None)
}

/// Reads a slice in bulk if `T` is a plain number.
pub(super) fn slice_from<'f, T: 'static>(
    raw: impl FnOnce(usize) -> Result<&'f [u8], CodecError>,
) -> Result<Option<Slice<'f, T>>, CodecError> {
    if_number!(T, |N| {
        let bytes = raw(align_of::<N>())?;
        match bytemuck::try_cast_slice::<u8, N>(bytes) {
            Ok(slice) => Ok(Some(Slice::Borrowed(same_slice::<N, T>(slice)))),
            Err(_) => {
                let mut vec = Some(to_vec::<N>(bytes)?);
                let vec = (&mut vec as &mut dyn Any).downcast_mut::<Option<Vec<T>>>().and_then(Option::take);
                Ok(vec.map(Slice::Owned))
            }
        }
    });
    Ok(None)
}

pub(super) fn to_vec<N: bytemuck::Pod>(bytes: &[u8]) -> Result<Vec<N>, CodecError> {
    count_of::<N>(bytes.len())?;
    Ok(bytemuck::allocation::pod_collect_to_vec(bytes))
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
    let mut vec = Vec::<N>::new();
    vec.try_reserve_exact(count).map_err(|_| CodecError::new(format!("no memory for {length} bytes")))?;
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

/// Names a slice by a type that is known to be the same.
fn same_slice<A: 'static, B: 'static>(slice: &[A]) -> &[B] {
    assert_eq!(TypeId::of::<A>(), TypeId::of::<B>(), "only called for equal types");
    // SAFETY: `A` and `B` are the same type, so this is the slice itself under its other name.
    unsafe { std::slice::from_raw_parts(slice.as_ptr().cast::<B>(), slice.len()) }
}
