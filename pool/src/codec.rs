//! Values as bytes: the only file that names the serialization format (postcard).
//!
//! Generated code calls it on both sides of the process border: [`Writer`] where values are sent,
//! [`Reader`] where they arrive. Strings, and slices and vectors of plain numbers, skip the format and travel as raw
//! aligned bytes, so that a worker can borrow them in place. Every item starts at an address that is
//! a multiple of [`ALIGN`]; padding inside an item counts from there.

mod bulk;

use std::any::Any;
use std::fmt;
use std::mem::MaybeUninit;
use std::ops::Deref;

use serde::Serialize;
use serde::de::{Deserialize, DeserializeOwned};

use bulk::Raw;

/// What the start of every item is aligned to, on both sides.
pub(crate) const ALIGN: usize = 8;

/// An item of more bytes than this is large, and does not travel in a ring.
pub(crate) const LARGE: usize = (32 << 10) - 8;

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

/// Memory for an item that turned out to be large, so that it need not be copied from a buffer afterwards.
pub(crate) trait Room {
    /// Appends bytes, after which at least `more` will come. False if there is no room now, which only the first
    /// call of an item may be told.
    fn append(&mut self, bytes: &[u8], more: usize) -> Result<bool, CodecError>;
}

/// Appends the values of one item to a buffer; a large one moves on to other memory, if there is some.
pub struct Writer<'b> {
    /// The item, from `base` on; once it has moved, what comes after the bytes that did.
    out: &'b mut Vec<u8>,
    base: usize,
    room: Option<&'b mut dyn Room>,
    /// The buffer does not grow beyond this as long as there is room elsewhere.
    most: usize,
    moved: usize,
}

impl fmt::Debug for Writer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("len", &self.len()).field("moved", &self.moved).finish_non_exhaustive()
    }
}

impl<'b> Writer<'b> {
    /// Starts an item at the end of `out`; alignment counts from there.
    #[inline]
    pub(crate) fn new(out: &'b mut Vec<u8>) -> Self {
        let base = out.len();
        Self { out, base, room: None, most: usize::MAX, moved: 0 }
    }

    /// The same, for an item that moves to `room` once it is large; [`finish`](Self::finish) comes last.
    #[inline]
    pub(crate) fn with_room(out: &'b mut Vec<u8>, room: &'b mut dyn Room) -> Self {
        let most = out.len() + LARGE;
        Self { room: Some(room), most, ..Self::new(out) }
    }

    /// Says that the item is complete. If it has moved, nothing of it is left in the buffer.
    #[inline]
    pub(crate) fn finish(&mut self) -> Result<(), CodecError> {
        if self.moved > 0 { self.move_on(0) } else { Ok(()) }
    }

    /// Tells whether the item is not in the buffer.
    #[inline]
    pub(crate) fn has_moved(&self) -> bool {
        self.moved > 0
    }

    /// Bytes of the item so far.
    fn len(&self) -> usize {
        self.moved + self.out.len() - self.base
    }

    /// Appends bytes to wherever the item is.
    #[inline]
    fn extend(&mut self, bytes: &[u8]) -> Result<(), CodecError> {
        if self.out.len() + bytes.len() > self.most {
            return self.extend_elsewhere(bytes);
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    #[cold]
    fn extend_elsewhere(&mut self, bytes: &[u8]) -> Result<(), CodecError> {
        self.move_on(bytes.len())?;
        match &mut self.room {
            Some(room) if bytes.len() > LARGE => {
                room.append(bytes, 0)?;
                self.moved += bytes.len();
            }
            _ => self.out.extend_from_slice(bytes),
        }
        Ok(())
    }

    /// Empties the buffer into the other memory.
    #[cold]
    fn move_on(&mut self, more: usize) -> Result<(), CodecError> {
        let Some(room) = &mut self.room else { return Ok(()) };
        if room.append(&self.out[self.base..], more)? {
            self.moved = self.len();
            self.out.truncate(self.base);
        } else {
            self.room = None;
            self.most = usize::MAX;
        }
        Ok(())
    }

    /// Appends an owned value, or one that the receiver will own: a string or a vector of numbers in bulk, anything else
    /// in the format.
    pub fn value<T: Serialize + 'static>(&mut self, value: &T) -> Result<(), CodecError> {
        if let Some(text) = (value as &dyn Any).downcast_ref::<String>() {
            return self.text(text);
        }
        match bulk::of_vec(value) {
            Some(numbers) => self.raw(numbers.bytes, numbers.align),
            None => self.formatted(value),
        }
    }

    /// Appends a slice, element by element.
    pub fn slice<T: Serialize>(&mut self, slice: &[T]) -> Result<(), CodecError> {
        self.formatted(slice)
    }

    /// Appends a value of which any bytes are one.
    #[inline]
    pub fn plain<N: bytemuck::Pod>(&mut self, value: &N) -> Result<(), CodecError> {
        self.extend(bytemuck::bytes_of(value))
    }

    /// Appends such values in a row, which the receiver may borrow.
    pub fn plain_slice<N: bytemuck::Pod>(&mut self, values: &[N]) -> Result<(), CodecError> {
        if size_of::<N>() == 0 {
            return self.plain(&(values.len() as u64));
        }
        self.raw(bytemuck::cast_slice(values), align_of::<N>())
    }

    /// Appends a string that the receiver may borrow.
    pub fn text(&mut self, text: &str) -> Result<(), CodecError> {
        self.raw(text.as_bytes(), 1)
    }

    /// Length in bytes as eight little-endian bytes, padding, then the bytes.
    fn raw(&mut self, bytes: &[u8], align: usize) -> Result<(), CodecError> {
        self.out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        let padding = padding(self.len(), align);
        self.out.resize(self.out.len() + padding, 0);
        self.extend(bytes)
    }

    fn formatted<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CodecError> {
        let mut failure = None;
        postcard::serialize_with_flavor(value, Append { writer: self, failure: &mut failure }).map_err(
            |error| failure.take().unwrap_or_else(|| CodecError::from_postcard::<T>("encode", error)),
        )
    }
}

/// How many bytes to skip so that `offset` becomes a multiple of `align`.
pub(crate) const fn padding(offset: usize, align: usize) -> usize {
    offset.next_multiple_of(align) - offset
}

/// Lets postcard append to an item.
struct Append<'a, 'b> {
    writer: &'a mut Writer<'b>,
    /// Why there was no memory, for which postcard has no word.
    failure: &'a mut Option<CodecError>,
}

impl Append<'_, '_> {
    fn note(&mut self, error: CodecError) -> postcard::Error {
        *self.failure = Some(error);
        postcard::Error::SerializeBufferFull
    }
}

impl postcard::ser_flavors::Flavor for Append<'_, '_> {
    type Output = ();

    #[inline]
    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.writer.extend(data).map_err(|error| self.note(error))
    }

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.writer.extend(&[byte]).map_err(|error| self.note(error))
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// The bytes of an item in memory that another process may write to. They are copied before they are looked at.
pub(crate) trait Outside: fmt::Debug {
    /// How many there are.
    fn len(&self) -> usize;

    /// Copies bytes out, as many as `into` takes, and returns `into` with them.
    fn read<'i>(&self, at: usize, into: &'i mut [MaybeUninit<u8>]) -> &'i mut [u8];
}

/// Takes the values of one item out of its bytes, in the order they were written.
#[derive(Debug)]
pub struct Reader<'f> {
    item: &'f [u8],
    at: usize,
    /// Where the bytes are, if not in `item`.
    outside: Option<&'f dyn Outside>,
}

impl<'f> Reader<'f> {
    /// Starts to read an item; `item` is all of it.
    #[inline]
    pub(crate) fn new(item: &'f [u8]) -> Self {
        Self { item, at: 0, outside: None }
    }

    /// Starts to read an item of which nothing can be borrowed.
    pub(crate) fn outside(item: &'f dyn Outside) -> Self {
        Self { item: &[], at: 0, outside: Some(item) }
    }

    /// Reads a value that the caller owns.
    #[inline]
    pub fn value<T: DeserializeOwned + 'static>(&mut self) -> Result<T, CodecError> {
        if let Some(item) = self.outside {
            return self.copied(item);
        }
        match bulk::bulk_from(|align| self.raw(align).map(Raw::Here))? {
            Some(value) => Ok(value),
            None => self.formatted(),
        }
    }

    /// Reads a value of an item that is outside: in bulk with one copy, else out of a copy of all that is left.
    #[cold]
    fn copied<T: DeserializeOwned + 'static>(&mut self, item: &'f dyn Outside) -> Result<T, CodecError> {
        if let Some(value) = bulk::bulk_from(|align| self.raw_outside(item, align))? {
            return Ok(value);
        }
        let left = item.len().checked_sub(self.at).ok_or_else(short)?;
        let copy = bulk::copy::<u8>(item, self.at, left)?;
        let mut reader = Reader::new(&copy);
        let value = reader.value()?;
        self.at += reader.at;
        Ok(value)
    }

    /// Where the bytes are that [`Writer::raw`] wrote.
    fn raw_outside(&mut self, item: &'f dyn Outside, align: usize) -> Result<Raw<'f>, CodecError> {
        let mut length = [MaybeUninit::uninit(); size_of::<u64>()];
        let start =
            self.at.checked_add(length.len()).filter(|start| *start <= item.len()).ok_or_else(short)?;
        let length = item.read(self.at, &mut length);
        let length = u64::from_le_bytes((&*length).try_into().expect("eight bytes were read"));
        let length = usize::try_from(length).map_err(|_| short())?;
        let start = start + padding(start, align);
        self.at = start.checked_add(length).filter(|end| *end <= item.len()).ok_or_else(short)?;
        Ok(Raw::Outside { item, start, length })
    }

    /// Reads what [`Writer::slice`] wrote.
    pub fn slice<T: DeserializeOwned>(&mut self) -> Result<Vec<T>, CodecError> {
        self.formatted()
    }

    /// Reads what [`Writer::plain`] wrote.
    #[inline]
    pub fn plain<N: bytemuck::Pod>(&mut self) -> Result<N, CodecError> {
        match self.outside {
            None => Ok(bytemuck::pod_read_unaligned(self.take(size_of::<N>())?)),
            Some(item) => self.plain_outside(item),
        }
    }

    #[cold]
    fn plain_outside<N: bytemuck::Pod>(&mut self, item: &dyn Outside) -> Result<N, CodecError> {
        let (start, size) = (self.at, size_of::<N>());
        self.at = start.checked_add(size).filter(|end| *end <= item.len()).ok_or_else(short)?;
        Ok(bytemuck::pod_read_unaligned(&bulk::copy::<u8>(item, start, size)?))
    }

    /// Reads what [`Writer::plain_slice`] wrote into a vector.
    pub fn plain_vec<N: bytemuck::Pod>(&mut self) -> Result<Vec<N>, CodecError> {
        if size_of::<N>() == 0 {
            return self.nothings();
        }
        match self.outside {
            None => self.raw(align_of::<N>()).map(Raw::Here),
            Some(item) => self.raw_outside(item, align_of::<N>()),
        }?
        .to_vec()
    }

    /// Reads what [`Writer::plain_slice`] wrote; it is borrowed from the item if it lies aligned there.
    pub fn plain_slice<N: bytemuck::Pod>(&mut self) -> Result<Slice<'f, N>, CodecError> {
        if size_of::<N>() == 0 {
            return self.nothings().map(Slice::Owned);
        }
        let bytes = self.raw(align_of::<N>())?;
        match bytemuck::try_cast_slice(bytes) {
            Ok(slice) => Ok(Slice::Borrowed(slice)),
            Err(_) => bulk::to_vec(bytes).map(Slice::Owned),
        }
    }

    /// Values without bytes, of which only the number crosses.
    fn nothings<N: bytemuck::Pod>(&mut self) -> Result<Vec<N>, CodecError> {
        let count = usize::try_from(self.plain::<u64>()?).map_err(|_| short())?;
        Ok(vec![N::zeroed(); count])
    }

    /// Reads a string, borrowed from the item.
    pub fn text(&mut self) -> Result<&'f str, CodecError> {
        std::str::from_utf8(self.raw(1)?).map_err(no_text)
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
    Writer::new(out).formatted(value)
}

/// Decodes what [`to_bytes`] encoded.
pub(crate) fn from_bytes<'f, T: Deserialize<'f>>(bytes: &'f [u8]) -> Result<T, CodecError> {
    postcard::from_bytes(bytes).map_err(|error| CodecError::from_postcard::<T>("decode", error))
}

fn no_text(error: std::str::Utf8Error) -> CodecError {
    CodecError::new(format!("cannot decode `str`: {error}"))
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

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
