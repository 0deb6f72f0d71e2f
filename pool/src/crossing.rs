//! How a type crosses the process border: as its bytes if those are all there is to it, else in the format.
//!
//! A trait cannot be implemented one way for some types and another way for all others. But generated code names each type,
//! and never a type parameter. So it asks `(&&&Crossing::<T>::HERE).way()`, and method lookup, which takes references off
//! one by one, finds the first of the three traits `Goes..` that fits `T`. What that returns says which implementation of
//! [`Crosses`] or [`Lends`] is meant.

use std::marker::PhantomData;

use bytemuck::Pod;

use crate::codec::{CodecError, Reader, Slice, Writer};
use crate::task::{Lend, Lent, Sendable};

/// To be asked for the way of a type.
#[derive(Debug)]
pub struct Crossing<T: ?Sized>(PhantomData<T>);

impl<T: ?Sized> Crossing<T> {
    /// The only value.
    pub const HERE: Self = Self(PhantomData);
}

/// Plain values in a row.
#[derive(Debug)]
pub struct InBulk;

/// One plain value.
#[derive(Debug)]
pub struct AsBytes;

/// Anything else.
#[derive(Debug)]
pub struct InFormat;

/// Types that go [`InBulk`].
pub trait GoesInBulk {
    /// Says so.
    fn way(&self) -> InBulk {
        InBulk
    }
}

impl<N: Pod> GoesInBulk for &&Crossing<Vec<N>> {}
impl<N: Pod> GoesInBulk for &&Crossing<[N]> {}

/// Types that go [`AsBytes`].
pub trait GoesAsBytes {
    /// Says so.
    fn way(&self) -> AsBytes {
        AsBytes
    }
}

impl<N: Pod> GoesAsBytes for &Crossing<N> {}

/// Types that go [`InFormat`].
pub trait GoesInFormat {
    /// Says so.
    fn way(&self) -> InFormat {
        InFormat
    }
}

impl<T: ?Sized> GoesInFormat for Crossing<T> {}

/// What can be an argument or a result by value, in the way `W`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent between processes; derive `serde::Serialize` and `serde::Deserialize` for it",
    label = "does not implement both `Serialize` and `Deserialize`",
    note = "write `#[derive(serde::Serialize, serde::Deserialize)]` above the type; for a type such as `Vec<T>`, above `T`",
    note = "for a type of another crate, look for a feature named `serde`"
)]
pub trait Crosses<W>: Sized {
    /// Appends the value to an item.
    fn write(&self, out: &mut Writer<'_>, way: W) -> Result<(), CodecError>;

    /// Takes the next value of an item.
    fn read(input: &mut Reader<'_>, way: W) -> Result<Self, CodecError>;
}

#[diagnostic::do_not_recommend]
impl<T: Sendable> Crosses<InFormat> for T {
    #[inline]
    fn write(&self, out: &mut Writer<'_>, _: InFormat) -> Result<(), CodecError> {
        Sendable::write(self, out)
    }

    #[inline]
    fn read(input: &mut Reader<'_>, _: InFormat) -> Result<Self, CodecError> {
        Sendable::read(input)
    }
}

#[diagnostic::do_not_recommend]
impl<N: Pod> Crosses<AsBytes> for N {
    #[inline]
    fn write(&self, out: &mut Writer<'_>, _: AsBytes) -> Result<(), CodecError> {
        out.plain(self)
    }

    #[inline]
    fn read(input: &mut Reader<'_>, _: AsBytes) -> Result<Self, CodecError> {
        input.plain()
    }
}

#[diagnostic::do_not_recommend]
impl<N: Pod> Crosses<InBulk> for Vec<N> {
    fn write(&self, out: &mut Writer<'_>, _: InBulk) -> Result<(), CodecError> {
        out.plain_slice(self)
    }

    fn read(input: &mut Reader<'_>, _: InBulk) -> Result<Self, CodecError> {
        input.plain_vec()
    }
}

/// What can be an argument by reference, in the way `W`.
#[diagnostic::on_unimplemented(
    message = "`&{Self}` cannot be sent between processes; derive `serde::Serialize` and `serde::Deserialize` for `{Self}`",
    label = "does not implement both `Serialize` and `Deserialize`",
    note = "write `#[derive(serde::Serialize, serde::Deserialize)]` above the type; for a type such as `[T]`, above `T`",
    note = "for a type of another crate, look for a feature named `serde`"
)]
pub trait Lends<W> {
    /// Appends the value to an item.
    fn write(&self, out: &mut Writer<'_>, way: W) -> Result<(), CodecError>;

    /// Takes the next value of an item, borrowed from it if possible.
    fn read<'f>(input: &mut Reader<'f>, way: W) -> Result<Lent<'f, Self>, CodecError>;
}

#[diagnostic::do_not_recommend]
impl<T: Lend + ?Sized> Lends<InFormat> for T {
    fn write(&self, out: &mut Writer<'_>, _: InFormat) -> Result<(), CodecError> {
        Lend::write(self, out)
    }

    fn read<'f>(input: &mut Reader<'f>, _: InFormat) -> Result<Lent<'f, Self>, CodecError> {
        Lend::read(input)
    }
}

#[diagnostic::do_not_recommend]
impl<N: Pod> Lends<AsBytes> for N {
    fn write(&self, out: &mut Writer<'_>, _: AsBytes) -> Result<(), CodecError> {
        out.plain_slice(std::slice::from_ref(self))
    }

    fn read<'f>(input: &mut Reader<'f>, _: AsBytes) -> Result<Lent<'f, Self>, CodecError> {
        match input.plain_slice()? {
            Slice::Borrowed([value]) => Ok(Lent::Borrowed(value)),
            Slice::Owned(values) if values.len() == 1 => Ok(Lent::Owned(Box::new(values[0]))),
            other => Err(CodecError::new(format!("{} values where one should be", other.len()))),
        }
    }
}

#[diagnostic::do_not_recommend]
impl<N: Pod> Lends<InBulk> for [N] {
    fn write(&self, out: &mut Writer<'_>, _: InBulk) -> Result<(), CodecError> {
        out.plain_slice(self)
    }

    fn read<'f>(input: &mut Reader<'f>, _: InBulk) -> Result<Lent<'f, Self>, CodecError> {
        Ok(match input.plain_slice()? {
            Slice::Borrowed(slice) => Lent::Borrowed(slice),
            Slice::Owned(vec) => Lent::Owned(vec.into_boxed_slice()),
        })
    }
}

#[diagnostic::do_not_recommend]
impl<N: Pod> Lends<InBulk> for Vec<N> {
    fn write(&self, out: &mut Writer<'_>, _: InBulk) -> Result<(), CodecError> {
        out.plain_slice(self)
    }

    fn read<'f>(input: &mut Reader<'f>, _: InBulk) -> Result<Lent<'f, Self>, CodecError> {
        input.plain_vec().map(Box::new).map(Lent::Owned)
    }
}
