//! What a task is to the compiler, and the words it uses when something is none.
//!
//! `#[pool_task]` implements [`Task`]; users only name it in bounds. The argument tuple's arity is a
//! trait of the tuple, not of the task, so that a mistake at a call gives one error and the right one.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{CodecError, Reader, Slice, Writer};
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
    note = "annotate the function with `#[pool_task]`; closures and generic functions cannot be sent to worker processes"
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

impl<A> OneArgument for (A,) {
    type Argument = A;

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
    ($(($($T:ident)*))*) => { $(impl<$($T),*> StarArguments for ($($T,)*) {})* };
}
star_tuples!(() (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H)
             (A B C D E F G H I) (A B C D E F G H I J) (A B C D E F G H I J K) (A B C D E F G H I J K L));

/// The item type of `map` for a task: its one argument.
pub(crate) type Argument<'a, T> = <<T as Task>::Args<'a> as OneArgument>::Argument;

/// What can be an argument or a result by value. Not for users: generated code names it, and its words are
/// what they read.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent between processes; derive `serde::Serialize` and `serde::Deserialize` for it",
    label = "does not implement both `Serialize` and `Deserialize`",
    note = "`#[derive(serde::Serialize, serde::Deserialize)]` on the type does it; if a type such as `Vec<T>` is named, it is about `T`",
    note = "a type of another crate often has a feature named `serde`"
)]
pub trait Sendable: Serialize + DeserializeOwned + 'static {
    /// Appends the value to the arguments or results of a call.
    fn write(&self, out: &mut Writer<'_>) -> Result<(), CodecError>;

    /// Takes the next value.
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError>;
}

// The words above, instead of one error for each of the two traits.
#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + 'static> Sendable for T {
    fn write(&self, out: &mut Writer<'_>) -> Result<(), CodecError> {
        out.value(self)
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        input.value()
    }
}

/// What can be an argument by reference: the caller keeps the value, the worker lends its own to the function.
#[diagnostic::on_unimplemented(
    message = "a task cannot take `&{Self}`, because a worker cannot make a `{Self}` of its own",
    label = "take an owned type instead"
)]
pub trait Lend {
    /// What a worker holds during the call: borrowed from the frame if possible.
    type Held<'f>: Deref<Target = Self>;

    /// Appends the value to the arguments of a call.
    fn write(&self, out: &mut Writer<'_>) -> Result<(), CodecError>;

    /// Takes the next argument.
    fn read<'f>(input: &mut Reader<'f>) -> Result<Self::Held<'f>, CodecError>;
}

impl Lend for str {
    type Held<'f> = &'f str;

    fn write(&self, out: &mut Writer<'_>) -> Result<(), CodecError> {
        out.text(self)
    }

    fn read<'f>(input: &mut Reader<'f>) -> Result<&'f str, CodecError> {
        input.text()
    }
}

impl<T: Sendable> Lend for [T] {
    type Held<'f> = Slice<'f, T>;

    fn write(&self, out: &mut Writer<'_>) -> Result<(), CodecError> {
        out.slice(self)
    }

    fn read<'f>(input: &mut Reader<'f>) -> Result<Slice<'f, T>, CodecError> {
        input.slice()
    }
}

impl Lend for Path {
    type Held<'f> = PathBuf;

    fn write(&self, out: &mut Writer<'_>) -> Result<(), CodecError> {
        out.value(&self.to_path_buf())
    }

    fn read<'f>(input: &mut Reader<'f>) -> Result<PathBuf, CodecError> {
        input.value()
    }
}

impl<T: Sendable> Lend for T {
    type Held<'f> = Held<T>;

    fn write(&self, out: &mut Writer<'_>) -> Result<(), CodecError> {
        out.value(self)
    }

    fn read<'f>(input: &mut Reader<'f>) -> Result<Held<T>, CodecError> {
        input.value().map(Held)
    }
}

/// A decoded argument that a task takes by reference.
#[derive(Debug)]
pub struct Held<T>(T);

impl<T> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
