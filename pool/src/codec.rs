//! Values as bytes: the only file that names the serialization format (postcard).
//!
//! Generated code calls it on both sides of the process border: [`Writer`] where values are sent,
//! [`Reader`] where they arrive. Slices and vectors of plain numbers skip the format and travel as raw
//! aligned bytes, so that a worker can borrow them in place. Every item starts at an address that is
//! a multiple of [`ALIGN`]; padding inside an item counts from there.

use std::any::{Any, TypeId};
use std::fmt;
use std::ops::Deref;

use serde::Serialize;
use serde::de::{Deserialize, DeserializeOwned};

/// What the start of every item is aligned to, on both sides.
pub(crate) const ALIGN: usize = 8;

/// Why a value could not be turned into bytes, or bytes into a value.
///
/// # Examples
///
/// ```
/// use pool::{pool_task, Error, Pool};
/// use std::sync::Mutex;
///
/// #[pool_task]
/// fn locked(value: Mutex<u8>) -> u8 { value.into_inner().unwrap() }
///
/// let poisoned = Mutex::new(1);
/// let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
///     let _guard = poisoned.lock();
///     panic!("poison it");
/// }));
/// let pool = Pool::new()?;
/// let Err(Error::Encode { source, .. }) = pool.apply(locked, (poisoned,)) else { panic!() };
/// assert!(!source.to_string().is_empty());
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodecError {
    reason: String,
}

impl CodecError {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }

    fn from_postcard<T: ?Sized>(doing: &str, error: postcard::Error) -> Self {
        let reason = match error {
            postcard::Error::SerdeSerCustom => "its `Serialize` implementation returned an error".to_owned(),
            postcard::Error::SerdeDeCustom => "its `Deserialize` implementation returned an error".to_owned(),
            postcard::Error::SerializeSeqLengthUnknown => {
                "it serializes a sequence without saying its length, which this format needs".to_owned()
            }
            postcard::Error::WontImplement => {
                "it asks for a self-describing format (`deserialize_any`, untagged or flattened), which this is not"
                    .to_owned()
            }
            other => other.to_string(),
        };
        Self { reason: format!("cannot {doing} `{}`: {reason}", std::any::type_name::<T>()) }
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for CodecError {}

/// Appends the values of one item to a buffer.
#[derive(Debug)]
pub struct Writer<'b> {
    out: &'b mut Vec<u8>,
    base: usize,
}

impl<'b> Writer<'b> {
    /// Starts an item at the end of `out`; alignment counts from there.
    #[inline]
    pub(crate) fn new(out: &'b mut Vec<u8>) -> Self {
        let base = out.len();
        Self { out, base }
    }

    /// Appends an owned value, or one that the receiver will own.
    #[inline]
    pub fn value<T: Serialize + 'static>(&mut self, value: &T) -> Result<(), CodecError> {
        if numbers::append_number(value, self.out) {
            return Ok(());
        }
        match numbers::of_vec(value) {
            Some(numbers) => self.raw(numbers.bytes, numbers.align),
            None => postcard::serialize_with_flavor(value, Append(self.out))
                .map_err(|error| CodecError::from_postcard::<T>("encode", error))?,
        }
        Ok(())
    }

    /// Appends a slice: in bulk if it is of plain numbers, else element by element.
    pub fn slice<T: Serialize + 'static>(&mut self, slice: &[T]) -> Result<(), CodecError> {
        match numbers::of_slice(slice) {
            Some(numbers) => self.raw(numbers.bytes, numbers.align),
            None => postcard::serialize_with_flavor(slice, Append(self.out))
                .map_err(|error| CodecError::from_postcard::<[T]>("encode", error))?,
        }
        Ok(())
    }

    /// Appends a string that the receiver may borrow.
    pub fn text(&mut self, text: &str) -> Result<(), CodecError> {
        self.raw(text.as_bytes(), 1);
        Ok(())
    }

    /// Length in bytes as eight little-endian bytes, padding, then the bytes.
    fn raw(&mut self, bytes: &[u8], align: usize) {
        self.out.reserve(size_of::<u64>() + align + bytes.len());
        self.out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        let padding = padding(self.out.len() - self.base, align);
        self.out.resize(self.out.len() + padding, 0);
        self.out.extend_from_slice(bytes);
    }
}

/// How many bytes to skip so that `offset` becomes a multiple of `align`.
pub(crate) const fn padding(offset: usize, align: usize) -> usize {
    offset.next_multiple_of(align) - offset
}

/// Lets postcard append to a `Vec` that already holds something.
struct Append<'v>(&'v mut Vec<u8>);

impl postcard::ser_flavors::Flavor for Append<'_> {
    type Output = ();

    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(data);
        Ok(())
    }

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Takes the values of one item out of its bytes, in the order they were written.
#[derive(Debug)]
pub struct Reader<'f> {
    item: &'f [u8],
    at: usize,
}

impl<'f> Reader<'f> {
    /// Starts to read an item; `item` is all of it.
    #[inline]
    pub(crate) fn new(item: &'f [u8]) -> Self {
        Self { item, at: 0 }
    }

    /// Reads a value that the caller owns.
    #[inline]
    pub fn value<T: DeserializeOwned + 'static>(&mut self) -> Result<T, CodecError> {
        if let Some(number) = numbers::number_from(|size| self.take(size))? {
            return Ok(number);
        }
        match numbers::vec_from(|align| self.raw(align))? {
            Some(vec) => Ok(vec),
            None => self.formatted(),
        }
    }

    /// Reads a slice; it is borrowed from the item if it is of plain numbers and lies aligned.
    pub fn slice<T: DeserializeOwned + 'static>(&mut self) -> Result<Slice<'f, T>, CodecError> {
        match numbers::slice_from(|align| self.raw(align))? {
            Some(slice) => Ok(slice),
            None => self.formatted().map(Slice::Owned),
        }
    }

    /// Reads a string, borrowed from the item.
    pub fn text(&mut self) -> Result<&'f str, CodecError> {
        std::str::from_utf8(self.raw(1)?)
            .map_err(|error| CodecError::new(format!("cannot decode `str`: {error}")))
    }

    /// Checks that nothing is left, as is the case when both sides agree on the types.
    #[inline]
    pub fn finish(&self) -> Result<(), CodecError> {
        match self.item.len() - self.at {
            0 => Ok(()),
            left => Err(left_over(left)),
        }
    }

    fn formatted<T: Deserialize<'f>>(&mut self) -> Result<T, CodecError> {
        let rest = &self.item[self.at..];
        let (value, rest) = postcard::take_from_bytes(rest)
            .map_err(|error| CodecError::from_postcard::<T>("decode", error))?;
        self.at = self.item.len() - rest.len();
        Ok(value)
    }

    /// Length, padding and bytes, as [`Writer::raw`] wrote them.
    fn raw(&mut self, align: usize) -> Result<&'f [u8], CodecError> {
        let length = self.take(size_of::<u64>())?;
        let length = u64::from_le_bytes(length.try_into().expect("eight bytes were taken"));
        self.take(padding(self.at, align))?;
        self.take(usize::try_from(length).map_err(|_| short())?)
    }

    #[inline]
    fn take(&mut self, len: usize) -> Result<&'f [u8], CodecError> {
        let end = self.at.checked_add(len).ok_or_else(short)?;
        let bytes = self.item.get(self.at..end).ok_or_else(short)?;
        self.at = end;
        Ok(bytes)
    }
}

#[cold]
fn left_over(bytes: usize) -> CodecError {
    CodecError::new(format!("{bytes} bytes are left over after the last value"))
}

#[cold]
fn short() -> CodecError {
    CodecError::new("the bytes end before the value does")
}

/// Encodes one value that is no item, such as what a worker reports of a panic.
pub(crate) fn to_bytes<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    postcard::serialize_with_flavor(value, Append(out))
        .map_err(|error| CodecError::from_postcard::<T>("encode", error))
}

/// Decodes what [`to_bytes`] encoded.
pub(crate) fn from_bytes<'f, T: Deserialize<'f>>(bytes: &'f [u8]) -> Result<T, CodecError> {
    postcard::from_bytes(bytes).map_err(|error| CodecError::from_postcard::<T>("decode", error))
}

/// A slice argument in a worker: borrowed from the frame, or decoded.
#[derive(Debug)]
pub enum Slice<'f, T> {
    /// Lies in shared memory as it was sent.
    Borrowed(&'f [T]),
    /// Was decoded element by element, or copied because it lay unaligned.
    Owned(Vec<T>),
}

impl<T> Deref for Slice<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Slice::Borrowed(slice) => slice,
            Slice::Owned(vec) => vec,
        }
    }
}

/// Which types are plain numbers, and their bytes.
mod numbers {
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

    /// Reads a `T` in bulk if it is a `Vec` of plain numbers; `raw` yields the bytes for an alignment.
    pub(super) fn vec_from<'f, T: 'static>(
        raw: impl FnOnce(usize) -> Result<&'f [u8], CodecError>,
    ) -> Result<Option<T>, CodecError> {
        if_number_vec!(T, |N| {
            let mut vec = Some(to_vec::<N>(raw(align_of::<N>())?)?);
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
                    let vec =
                        (&mut vec as &mut dyn Any).downcast_mut::<Option<Vec<T>>>().and_then(Option::take);
                    Ok(vec.map(Slice::Owned))
                }
            }
        });
        Ok(None)
    }

    fn to_vec<N: bytemuck::Pod>(bytes: &[u8]) -> Result<Vec<N>, CodecError> {
        if bytes.len() % size_of::<N>() != 0 {
            let name = std::any::type_name::<N>();
            return Err(CodecError::new(format!("{} bytes are no whole number of `{name}`", bytes.len())));
        }
        Ok(bytemuck::allocation::pod_collect_to_vec(bytes))
    }

    /// Names a slice by a type that is known to be the same.
    fn same_slice<A: 'static, B: 'static>(slice: &[A]) -> &[B] {
        assert_eq!(TypeId::of::<A>(), TypeId::of::<B>(), "only called for equal types");
        // SAFETY: `A` and `B` are the same type, so this is the slice itself under its other name.
        unsafe { std::slice::from_raw_parts(slice.as_ptr().cast::<B>(), slice.len()) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Record {
        id: u64,
        name: String,
        tags: Vec<String>,
        scores: BTreeMap<String, f64>,
        nested: Option<Box<Record>>,
    }

    fn record() -> impl Strategy<Value = Record> {
        let leaf = (any::<u64>(), ".*", any::<Vec<String>>(), any::<BTreeMap<String, i32>>()).prop_map(
            |(id, name, tags, scores)| Record {
                id,
                name,
                tags,
                scores: scores.into_iter().map(|(k, v)| (k, f64::from(v))).collect(),
                nested: None,
            },
        );
        leaf.prop_recursive(3, 8, 1, |inner| {
            inner.prop_map(|inner| Record { id: 1, nested: Some(Box::new(inner.clone())), ..inner })
        })
    }

    /// Copies an item to where the ring would put it: at a multiple of `ALIGN`.
    fn aligned(bytes: &[u8]) -> Vec<u64> {
        let mut words = vec![0u64; bytes.len().div_ceil(8)];
        bytemuck::cast_slice_mut::<u64, u8>(&mut words)[..bytes.len()].copy_from_slice(bytes);
        words
    }

    proptest! {
        #[test]
        fn values_arrive_as_they_were_sent(a in any::<u64>(), text in ".*", numbers in any::<Vec<u32>>(),
                                           floats in any::<Vec<i64>>(), record in record()) {
            let mut out = Vec::new();
            let mut writer = Writer::new(&mut out);
            writer.value(&a).unwrap();
            writer.text(&text).unwrap();
            writer.value(&numbers).unwrap();
            writer.slice(&floats).unwrap();
            writer.value(&record).unwrap();
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.value::<u64>().unwrap(), a);
            prop_assert_eq!(reader.text().unwrap(), &text);
            prop_assert_eq!(reader.value::<Vec<u32>>().unwrap(), numbers);
            prop_assert_eq!(&*reader.slice::<i64>().unwrap(), &floats[..]);
            prop_assert_eq!(reader.value::<Record>().unwrap(), record);
            prop_assert!(reader.finish().is_ok());
        }

        #[test]
        fn any_bytes_decode_or_fail_without_a_panic(bytes in any::<Vec<u8>>()) {
            let _ = Reader::new(&bytes).value::<Record>();
            let _ = Reader::new(&bytes).value::<Vec<f64>>();
            let _ = Reader::new(&bytes).slice::<u16>();
            let _ = Reader::new(&bytes).text();
        }
    }

    #[test]
    fn numbers_are_borrowed_when_the_item_lies_aligned() {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        writer.value(&7u8).unwrap();
        writer.slice(&[1.5f64, 2.5]).unwrap();
        let words = aligned(&out);
        let mut reader = Reader::new(&bytemuck::cast_slice(&words)[..out.len()]);
        reader.value::<u8>().unwrap();
        assert!(matches!(reader.slice::<f64>().unwrap(), Slice::Borrowed([1.5, 2.5])));
    }

    #[test]
    fn numbers_are_copied_when_the_item_lies_unaligned() {
        let mut out = vec![0];
        Writer::new(&mut out).slice(&[1u64, 2]).unwrap();
        let words = aligned(&out);
        let bytes: &[u8] = &bytemuck::cast_slice(&words)[1..out.len()];
        assert!(matches!(Reader::new(bytes).slice::<u64>().unwrap(), Slice::Owned(vec) if vec == [1, 2]));
    }

    #[test]
    fn slices_of_other_types_are_decoded() {
        let mut out = Vec::new();
        Writer::new(&mut out).slice(&["a".to_owned(), "b".to_owned()]).unwrap();
        assert_eq!(&*Reader::new(&out).slice::<String>().unwrap(), ["a", "b"]);
    }

    #[test]
    fn a_length_past_the_end_is_an_error() {
        let mut out = u64::MAX.to_le_bytes().to_vec();
        out.push(1);
        assert!(Reader::new(&out).text().is_err());
        assert!(Reader::new(&out).value::<Vec<u64>>().is_err());
    }
}
