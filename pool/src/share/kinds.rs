//! What can be shared: slices of numbers and text in place, all other values by a copy in each worker.

use std::borrow::Cow;

use bytemuck::Pod;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{CodecError, Reader, Writer};
use crate::share::{Memory, Shared};

/// What a [`Shared`](crate::Shared) can stand for: slices of numbers, `str`, and what can be an argument by value and be
/// used by several threads.
///
/// # Examples
///
/// ```
/// use std::collections::HashMap;
///
/// fn can_be_shared<T: ?Sized + pool::Shareable>() {}
/// can_be_shared::<HashMap<String, Vec<u8>>>();
/// can_be_shared::<[f32]>();
/// can_be_shared::<str>();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be shared with workers",
    label = "is no slice of numbers, no `str`, and not a sized type with `Serialize`, `Deserialize`, `Send` and `Sync`",
    note = "derive `serde::Serialize` and `serde::Deserialize` for a type of your own; share a `Vec` in place of a slice of anything but numbers"
)]
pub trait Shareable: Send + Sync + 'static {
    /// Decodes a value, or finds it in place.
    #[doc(hidden)]
    fn open(memory: Memory) -> Result<Shared<Self>, CodecError>;
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Shareable for T {
    fn open(memory: Memory) -> Result<Shared<T>, CodecError> {
        let mut reader = Reader::new(memory.bytes());
        let value = reader.value()?;
        reader.finish()?;
        Ok(Shared::of(value))
    }
}

#[diagnostic::do_not_recommend]
impl<N: Number> Shareable for [N] {
    fn open(memory: Memory) -> Result<Shared<[N]>, CodecError> {
        Shared::in_place(memory, |bytes| {
            // What is empty lies nowhere in particular.
            if bytes.is_empty() {
                return Ok(Default::default());
            }
            bytemuck::try_cast_slice(bytes).map_err(|_| {
                let name = std::any::type_name::<N>();
                CodecError::new(format!("{} bytes are no slice of `{name}`", bytes.len()))
            })
        })
    }
}

#[diagnostic::do_not_recommend]
impl Shareable for str {
    fn open(memory: Memory) -> Result<Shared<str>, CodecError> {
        Shared::in_place(memory, |bytes| {
            std::str::from_utf8(bytes)
                .map_err(|error| CodecError::new(format!("cannot decode `str`: {error}")))
        })
    }
}

/// What [`Pool::share`](crate::Pool::share) takes for a [`Shared<T>`](crate::Shared): the value, and for slices and `str`
/// also what holds one.
///
/// # Examples
///
/// ```
/// fn fits<T: ?Sized>(_: impl pool::IntoShared<T>) {}
/// fits::<Vec<f64>>(vec![0.5]);
/// fits::<[f64]>(vec![0.5]);
/// fits::<[f64]>(&[0.5][..]);
/// fits::<str>("text");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be shared with workers as `{T}`",
    label = "is no value that can be shared as `{T}`",
    note = "derive `serde::Serialize` and `serde::Deserialize` for a type of your own, and pass the value itself; it must be `Send` and `Sync`",
    note = "for a slice of numbers pass the slice or a `Vec`, for `str` a `&str` or a `String`"
)]
pub trait IntoShared<T: ?Sized> {
    /// The value as bytes.
    #[doc(hidden)]
    fn bytes(&self) -> Result<Cow<'_, [u8]>, CodecError>;

    /// A handle for the caller's process.
    #[doc(hidden)]
    fn hold(self, memory: Memory) -> Result<Shared<T>, CodecError>;
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> IntoShared<T> for T {
    fn bytes(&self) -> Result<Cow<'_, [u8]>, CodecError> {
        let mut bytes = Vec::new();
        Writer::new(&mut bytes).value(self)?;
        Ok(Cow::Owned(bytes))
    }

    fn hold(self, _: Memory) -> Result<Shared<T>, CodecError> {
        Ok(Shared::of(self))
    }
}

/// Implements [`IntoShared`] for what holds a slice of numbers or text: its bytes are copied as they are.
macro_rules! holders {
    ($($Holder:ty: $T:ty $(, $N:ident)?;)*) => { $(
        #[diagnostic::do_not_recommend]
        impl $(<$N: Number>)? IntoShared<$T> for $Holder {
            fn bytes(&self) -> Result<Cow<'_, [u8]>, CodecError> {
                let held: &$T = self;
                Ok(Cow::Borrowed(AsBytes::as_bytes(held)))
            }

            fn hold(self, memory: Memory) -> Result<Shared<$T>, CodecError> {
                <$T>::open(memory)
            }
        }
    )* };
}
holders! {
    Vec<N>: [N], N;
    Box<[N]>: [N], N;
    &[N]: [N], N;
    String: str;
    &str: str;
}

trait AsBytes {
    fn as_bytes(&self) -> &[u8];
}

impl<N: Number> AsBytes for [N] {
    fn as_bytes(&self) -> &[u8] {
        bytemuck::cast_slice(self)
    }
}

impl AsBytes for str {
    fn as_bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// The numbers whose slices can be shared: all of Rust's integers and floats.
///
/// # Examples
///
/// ```
/// fn is_number<N: pool::Number>(_: N) {}
/// is_number(1u8);
/// is_number(0.5);
/// ```
#[diagnostic::on_unimplemented(
    message = "slices of `{Self}` cannot be shared, only slices of numbers",
    label = "is no plain number",
    note = "share a `Vec` of them; each worker gets a copy then"
)]
pub trait Number: Pod + Send + Sync {}

macro_rules! numbers {
    ($($N:ty)*) => { $(impl Number for $N {})* };
}
numbers!(u8 i8 u16 i16 u32 i32 u64 i64 u128 i128 usize isize f32 f64);
