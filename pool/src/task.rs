//! What a task is to the compiler, and the words it uses when something is none.
//!
//! `#[pool_task]` implements [`Task`]; users only name it in bounds. The argument tuple's arity is a
//! trait of the tuple, not of the task, so that a mistake at a call gives one error and the right one.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{CodecError, Reader, Writer};
use crate::id::TaskId;

/// A function that workers can run, made by [`#[pool_task]`](macro@crate::pool_task).
///
/// The attribute implements it; programs name it only in bounds of their own generic code. The unit
/// struct that implements it dereferences to the plain function.
///
/// # Examples
///
/// ```
/// use pool::{pool_task, Pool, Task};
///
/// #[pool_task]
/// fn half(n: u32) -> u32 { n / 2 }
///
/// fn twice<T>(pool: &Pool, task: T, n: u32) -> pool::Result<u32>
/// where
///     T: for<'a> Task<Args<'a> = (u32,), Output = u32>,
/// {
///     let once = pool.apply(task, (n,))?;
///     pool.apply(task, (once,))
/// }
///
/// assert_eq!(twice(&Pool::new()?, half, 20)?, 5);
/// assert!(<half as Task>::NAME.ends_with("half"));
/// # Ok::<(), pool::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a pool task",
    label = "this was not registered with the pool",
    note = "annotate the function with `#[pool_task]`, and pass it by its name; closures and generic functions cannot be sent to worker processes"
)]
pub trait Task: Copy + Send + Sync + 'static {
    /// The arguments of one call, as a tuple; references live as long as `'a`.
    type Args<'a>: Arguments;
    /// What one call returns.
    type Output: 'static;
    /// The name under which the task is registered: module path and function name, unless given.
    const NAME: &'static str;
    /// The id that frames carry.
    #[doc(hidden)]
    const ID: TaskId = TaskId::of(Self::NAME);

    /// Encodes the arguments of one call; runs in the caller.
    #[doc(hidden)]
    fn encode(args: &Self::Args<'_>, out: &mut Writer<'_>) -> Result<(), CodecError>;

    /// Decodes what the worker returned; runs in the caller.
    #[doc(hidden)]
    fn decode(input: &mut Reader<'_>) -> Result<Self::Output, CodecError>;
}

/// A tuple of up to twelve arguments.
///
/// # Examples
///
/// ```
/// fn is_tuple<A: pool::Arguments>(_: A) {}
/// is_tuple(());
/// is_tuple((1, "two", 3.0));
/// ```
pub trait Arguments {}

/// The arguments of a task that takes exactly one: what `map` and its kin accept.
///
/// # Examples
///
/// ```
/// use pool::OneArgument;
///
/// assert_eq!(<(u8,)>::from_argument(7), (7,));
/// ```
#[diagnostic::on_unimplemented(
    message = "`map` and `imap` call a task with one argument, but this task takes `{Self}`",
    label = "this task does not take exactly one argument",
    note = "use `starmap` or `istarmap`, whose items are tuples of all the arguments"
)]
pub trait OneArgument: Arguments {
    /// The one argument.
    type Argument;

    /// Wraps it in its tuple.
    fn from_argument(argument: Self::Argument) -> Self;
}

#[diagnostic::do_not_recommend]
impl<A> OneArgument for (A,) {
    type Argument = A;

    #[inline]
    fn from_argument(argument: A) -> Self {
        (argument,)
    }
}

/// The arguments of a task that `starmap` accepts: none, or two and more.
///
/// # Examples
///
/// ```
/// fn unpacks<A: pool::StarArguments>(_: A) {}
/// unpacks((1, 2));
/// ```
#[diagnostic::on_unimplemented(
    message = "`starmap` and `istarmap` unpack tuples of arguments, but this task takes one argument, `{Self}`",
    label = "this task takes exactly one argument",
    note = "use `map` or `imap`, whose items are the arguments themselves"
)]
pub trait StarArguments: Arguments {}

macro_rules! tuples {
    ($(($($T:ident)*))*) => { $(impl<$($T),*> Arguments for ($($T,)*) {})* };
}
tuples!(() (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H)
        (A B C D E F G H I) (A B C D E F G H I J) (A B C D E F G H I J K) (A B C D E F G H I J K L));

macro_rules! star_tuples {
    ($(($($T:ident)*))*) => { $(#[diagnostic::do_not_recommend] impl<$($T),*> StarArguments for ($($T,)*) {})* };
}
star_tuples!(() (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H)
             (A B C D E F G H I) (A B C D E F G H I J) (A B C D E F G H I J K) (A B C D E F G H I J K L));

/// The item type of `map` for a task: its one argument.
pub(crate) type Argument<'a, T> = <<T as Task>::Args<'a> as OneArgument>::Argument;

/// What can be an argument or a result by value. Generated code names it; programs read its words.
///
/// The bounds of serde stand at the one `impl`, not here, so that a type without them gives one error.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent between processes; derive `serde::Serialize` and `serde::Deserialize` for it",
    label = "does not implement both `Serialize` and `Deserialize`",
    note = "write `#[derive(serde::Serialize, serde::Deserialize)]` above the type; for a type such as `Vec<T>`, above `T`",
    note = "for a type of another crate, look for a feature named `serde`"
)]
pub trait Sendable: Sized + 'static {
    /// Appends the value to an item.
    fn write(&self, out: &mut Writer<'_>) -> Result<(), CodecError>;

    /// Takes the next value of an item.
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError>;

    /// Appends a slice of such values to an item.
    fn write_slice(slice: &[Self], out: &mut Writer<'_>) -> Result<(), CodecError>;

    /// Takes the slice that is next in an item.
    fn read_slice(input: &mut Reader<'_>) -> Result<Vec<Self>, CodecError>;
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + 'static> Sendable for T {
    #[inline]
    fn write(&self, out: &mut Writer<'_>) -> Result<(), CodecError> {
        out.value(self)
    }

    #[inline]
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        input.value()
    }

    fn write_slice(slice: &[Self], out: &mut Writer<'_>) -> Result<(), CodecError> {
        out.slice(slice)
    }

    fn read_slice(input: &mut Reader<'_>) -> Result<Vec<Self>, CodecError> {
        input.slice()
    }
}

/// What can be an argument by reference: the caller keeps its value, the worker lends the function its own.
#[diagnostic::on_unimplemented(
    message = "`&{Self}` cannot be sent between processes; derive `serde::Serialize` and `serde::Deserialize` for `{Self}`",
    label = "does not implement both `Serialize` and `Deserialize`",
    note = "write `#[derive(serde::Serialize, serde::Deserialize)]` above the type; for a type such as `[T]`, above `T`",
    note = "for a type of another crate, look for a feature named `serde`"
)]
pub trait Lend {
    /// Appends the value to an item.
    fn write(&self, out: &mut Writer<'_>) -> Result<(), CodecError>;

    /// Takes the next value of an item, borrowed from it if possible.
    fn read<'f>(input: &mut Reader<'f>) -> Result<Lent<'f, Self>, CodecError>;
}

/// What a worker holds while the function borrows it.
///
/// No associated type of [`Lend`], so that a type that cannot be lent gives one error.
#[derive(Debug)]
pub enum Lent<'f, T: ?Sized> {
    /// Lies in the item.
    Borrowed(&'f T),
    /// Was decoded.
    Owned(Box<T>),
}

impl<T: ?Sized> Deref for Lent<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Lent::Borrowed(value) => value,
            Lent::Owned(value) => value,
        }
    }
}

#[diagnostic::do_not_recommend]
impl Lend for str {
    fn write(&self, out: &mut Writer<'_>) -> Result<(), CodecError> {
        out.text(self)
    }

    fn read<'f>(input: &mut Reader<'f>) -> Result<Lent<'f, str>, CodecError> {
        input.text().map(Lent::Borrowed)
    }
}

#[diagnostic::do_not_recommend]
impl<T: Sendable> Lend for [T] {
    fn write(&self, out: &mut Writer<'_>) -> Result<(), CodecError> {
        T::write_slice(self, out)
    }

    fn read<'f>(input: &mut Reader<'f>) -> Result<Lent<'f, [T]>, CodecError> {
        T::read_slice(input).map(Vec::into_boxed_slice).map(Lent::Owned)
    }
}

#[diagnostic::do_not_recommend]
impl Lend for Path {
    fn write(&self, out: &mut Writer<'_>) -> Result<(), CodecError> {
        out.value(&self.to_path_buf())
    }

    fn read<'f>(input: &mut Reader<'f>) -> Result<Lent<'f, Path>, CodecError> {
        Ok(Lent::Owned(input.value::<PathBuf>()?.into_boxed_path()))
    }
}

#[diagnostic::do_not_recommend]
impl<T: Sendable> Lend for T {
    fn write(&self, out: &mut Writer<'_>) -> Result<(), CodecError> {
        Sendable::write(self, out)
    }

    fn read<'f>(input: &mut Reader<'f>) -> Result<Lent<'f, T>, CodecError> {
        <T as Sendable>::read(input).map(Box::new).map(Lent::Owned)
    }
}
