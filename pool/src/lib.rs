//! A process pool with the calls of Python's `multiprocessing.Pool`, checked by the compiler.
//!
//! A [`Pool`] keeps a number of worker processes. Mark a function with
//! [`#[pool_task]`](macro@pool_task), hand it and its arguments to the pool, and it runs in one of
//! them. The compiler checks task, arguments and result from the call to the worker and back. There is nothing
//! to set up: no guard in `main`, no call at the start, no special test harness. A worker is the same program, which
//! notices before `main` that it is to serve.
//!
//! ```
//! use pool::{pool_task, Pool};
//!
//! #[pool_task]
//! fn square(x: u64) -> u64 { x * x }
//!
//! #[pool_task]
//! fn add(a: i64, b: i64) -> i64 { a + b }
//!
//! #[pool_task]
//! fn count(text: &str, word: &str) -> usize { text.matches(word).count() }
//!
//! fn main() -> pool::Result<()> {
//!     let pool = Pool::new()?;                                       // one worker per CPU we may use
//!     assert_eq!(pool.map(square, 0..4)?, [0, 1, 4, 9]);             // chunks, blocks, ordered
//!     assert_eq!(pool.apply(add, (1, 2))?, 3);                       // one item, blocks
//!     assert_eq!(pool.starmap(add, [(1, 2), (3, 4)])?, [3, 7]);      // several arguments
//!     assert_eq!(pool.apply(count, ("to be or not to be", "be"))?, 2); // borrowed, not cloned
//!     let sum = pool.apply_async(add, (20, 22));                     // does not block
//!     let printed = pool.apply_async(add, (1, 1)).callback(|n| println!("{n}"));
//!     for n in pool.imap(square, 0..) {                              // lazy, bounded, ordered
//!         if n? > 100 {
//!             break;
//!         }
//!     }
//!     assert_eq!(sum.get()?, 42);
//!     printed.get()?;                                                // the callback has run
//!     assert_eq!(square(3), 9);                                      // still a plain call
//!     pool.close();
//!     pool.join()
//! }
//! ```
//!
//! # The price: a task's name is a pattern
//!
//! The attribute turns `fn count` into a unit struct `count` that dereferences to the function. The name of a unit
//! struct is a pattern, so where a task `count` is in scope, `let count = 3` and `for count in ..` do not compile
//! ("interpreted as a unit struct"):
//!
//! ```compile_fail
//! use pool::pool_task;
//!
//! #[pool_task]
//! fn count(text: &str) -> usize { text.len() }
//!
//! let count = 3;
//! ```
//!
//! There are two ways out: keep tasks in a module and call them through it, or name the struct yourself, and the
//! function stays as it was.
//!
//! ```
//! use pool::{pool_task, Pool};
//!
//! mod tasks {
//!     #[pool::pool_task]
//!     pub fn count(text: &str) -> usize { text.len() }
//! }
//!
//! #[pool_task(handle = Shout)]
//! fn shout(text: &str) -> String { text.to_uppercase() }
//!
//! let pool = Pool::new()?;
//! let count = pool.apply(tasks::count, ("four",))?;
//! let shout = pool.apply(Shout, ("four",))?;
//! assert_eq!((count, &*shout), (4, "FOUR"));
//! # Ok::<(), pool::Error>(())
//! ```
//!
//! # The calls
//!
//! | Call | Arguments per item | Blocks | Results |
//! | --- | --- | --- | --- |
//! | [`apply`](Pool::apply) | a tuple | yes | one |
//! | [`apply_async`](Pool::apply_async) | a tuple | no | one, by its [`AsyncResult`] |
//! | [`map`](Pool::map) | one | yes | a `Vec` in input order |
//! | [`map_async`](Pool::map_async) | one | no | a `Vec` in input order, by its [`AsyncResult`] |
//! | [`imap`](Pool::imap) | one | in `next` | an iterator, in input order: [`Imap`] |
//! | [`imap_unordered`](Pool::imap_unordered) | one | in `next` | an iterator, as they arrive |
//! | [`starmap`](Pool::starmap), [`starmap_async`](Pool::starmap_async) | a tuple | as `map`, `map_async` | as `map`, `map_async` |
//! | [`istarmap`](Pool::istarmap), [`istarmap_unordered`](Pool::istarmap_unordered) | a tuple | in `next` | as `imap`, `imap_unordered` |
//!
//! [`Pool::options`] has the same calls with settings for a single job: the size of chunks, how far lazy calls read
//! ahead, whether a job gives up at its first failure, how long an item may run, how often it is tried again. Parameters of a task are owned types with serde's two traits, or
//! shared references: the worker borrows `&str` and `&[u8]`, and slices of [plain values](macro@pool_task#plain-values), from shared memory.
//!
//! Values of more than 32 KiB travel through shared memory that is made once and used again. Those that are plain, or text, are copied
//! once on each way, unless many wait:
//!
//! ```
//! use pool::{pool_task, Pool};
//!
//! #[pool_task]
//! fn centre(points: &[[f64; 3]]) -> [f64; 3] {
//!     let mut sum = [0.0; 3];
//!     for point in points {
//!         (0..3).for_each(|axis| sum[axis] += point[axis] / points.len() as f64);
//!     }
//!     sum
//! }
//!
//! let points = vec![[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]];
//! assert_eq!(Pool::new()?.apply(centre, (&points,))?, [2.0, 2.0, 2.0]);
//! # Ok::<(), pool::Error>(())
//! ```
//!
//! # What all items use
//!
//! An argument travels with its item. What many items use, a model or a table, is [shared](Pool::share) instead: each worker gets it
//! once, with the first item that uses it, and a number stands for it from then on. Slices of numbers and `str` are not even
//! copied then; all processes map the same memory, which none can write to. When the last handle is dropped,
//! it goes everywhere.
//!
//! ```
//! use pool::{pool_task, Pool, Shared};
//!
//! #[pool_task]
//! fn nearest(points: &Shared<[f64]>, to: f64) -> usize {
//!     let distance = |at: &usize| (points[*at] - to).abs();
//!     (0..points.len()).min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(0)
//! }
//!
//! let pool = Pool::new()?;
//! let points = pool.share(vec![0.0, 2.5, 7.0, 9.5])?;
//! assert_eq!(pool.starmap(nearest, [1.0, 8.0, 9.0].map(|to| (&points, to)))?, [0, 2, 3]);
//! assert_eq!(nearest(&points, 3.0), 1); // the program has it, too
//! # Ok::<(), pool::Error>(())
//! ```
//!
//! # How workers are made
//!
//! | [`StartMethod`] | How | For |
//! | --- | --- | --- |
//! | [`ForkServer`](StartMethod::ForkServer), the default | the program is executed again once, as a helper with one thread that never reaches `main` and forks workers on request | quick replacement, no state of the parent |
//! | [`Spawn`](StartMethod::Spawn) | the program is executed again for every worker | the most isolated |
//! | [`Fork`](StartMethod::Fork) | the helper is a fork of the program, made in [`build`](PoolBuilder::build) | large read-only data that was loaded before; the process must have one thread then |
//!
//! With the first two, a worker knows nothing of what `main` did: statics have their initial values. Use an
//! [`initializer`](PoolBuilder::initializer) to prepare workers.
//!
//! A worker begins in a constructor, before `main`. If the program needs what runs later (constructors of C++ libraries
//! that are linked in, or all of Rust's runtime), mark its `main` with [`#[pool::main]`](macro@main): then workers begin at the top of
//! `main`, and still run nothing of it.
//!
//! # When things fail
//!
//! This is the short form; the page [`faults`] says what is promised for each fault, and what is not.
//!
//! An item is run at most once, unless its job asks for [`retries`](Options::retries). One item's failure hides no other's result: `map` runs every item and then
//! returns the error of the lowest index; `imap` yields one `Result` per item and goes on.
//!
//! | What happens | What the item gets | What becomes of the rest |
//! | --- | --- | --- |
//! | the task returns `Err` | that value; it is a result like any other | nothing |
//! | the task panics | [`Error::Panicked`] with message, place and, if `RUST_BACKTRACE` asks for it, backtrace | the same worker goes on |
//! | its worker dies (a signal, `exit`, `abort`) | [`Error::WorkerLost`] with the process id, the [`Exit`] and an [`ExitReport`] (peak memory, CPU time), for the item that was running; whether it had effects is unknown | finished results are kept, items not started go to other workers, the worker is replaced |
//! | an argument or a result cannot be encoded or decoded | [`Error::Encode`] or [`Error::Decode`], which say which of the two | nothing |
//! | a [shared](Shared) value that it uses cannot be decoded or mapped in its worker | [`Error::Decode`] | nothing |
//! | the initializer panics, returns `Err`, hangs, or its worker dies of it | [`Error::Initializer`], and so does every later call | the pool is over |
//! | the same, but only in a worker that replaces another one | nothing yet | its place is tried again, with pauses, while the others work; after five failures in a row as above |
//! | the pool is terminated or dropped | [`Error::Terminated`] | the same |
//! | it runs longer than [`timeout`](Options::timeout) | [`Error::TimedOut`] | its worker is ended and replaced; items behind it go to other workers |
//! | the job is [cancelled](AsyncResult::cancel) | [`Error::Cancelled`] | the same for its other items; workers that run them are ended |
//! | a callback panics | [`Error::CallbackPanicked`] from the handle that the callback belongs to | nothing |
//! | the caller's iterator panics | the panic goes on in the caller | the job is cancelled, a lazy one when its [`Imap`] is dropped; the pool works on |
//!
//! ```
//! use pool::{pool_task, Error, Exit, Pool};
//!
//! #[pool_task]
//! fn careful(n: u32) -> u32 {
//!     match n {
//!         2 => panic!("two is too much"),
//!         3 => std::process::exit(7),
//!         n => n,
//!     }
//! }
//!
//! let pool = Pool::new()?;
//! let results: Vec<_> = pool.imap(careful, 1..=4).collect();
//! assert!(matches!(results[0], Ok(1)));
//! assert!(matches!(&results[1], Err(Error::Panicked { message, .. }) if message == "two is too much"));
//! assert!(matches!(&results[2], Err(Error::WorkerLost { exit: Exit::Code(7), index: 2, .. })));
//! assert!(matches!(results[3], Ok(4)));
//! # Ok::<(), Error>(())
//! ```
//!
//! # How it ends
//!
//! - [`close`](Pool::close), then [`join`](Pool::join): all work is done, callbacks have run, workers have run the
//!   [`finalizer`](PoolBuilder::finalizer).
//! - [`terminate`](Pool::terminate), or dropping the pool, also when `main` panics and unwinds: workers and what they started
//!   get SIGTERM, after 300 ms SIGKILL; every open handle ends with [`Error::Terminated`]. Dropping waits until no
//!   process and no thread is left, and two seconds at the most: a callback that does not return, say, is left alone.
//! - If the program ends without dropping the pool (`exit`, `abort`, a pool in a `static`, a signal, SIGKILL too), the kernel kills
//!   workers and helper with it. Nothing is run in them then.
//! - Ctrl-C goes to the program alone: workers ignore SIGINT and have process groups of their own. Programs that a task
//!   executes inherit that they ignore it.
//!
//! # Limits
//!
//! - Linux only, 5.4 or later (it waits for processes by pidfd).
//! - A task is a registered function: no closure, no generic function, no method, no `async fn`.
//! - Values travel by postcard, which does not describe itself: types that need `deserialize_any` (untagged enums, flattened
//!   fields, `serde_json::Value`) are encoded, or refused, but cannot be decoded.
//! - A task is registered under the path of its module and its name. Two functions of one name in two function bodies of a module
//!   collide, and building a pool gives [`Error::DuplicateTask`]; `#[pool_task(name = "..")]` sets another name.
//! - A task in a dependency that no source line of the program names is not linked, as with every registration by the linker.
//! - Pools in tasks of pools nest four deep; then [`build`](PoolBuilder::build) returns [`Error::TooDeep`].
//! - A program that is compiled with `panic = "abort"` has no panics to catch: the worker dies, and the item is lost.
//! - A fork of the program cannot use its pools; it gets [`Error::ForkedChild`].
//! - When the program itself is killed, so are its workers, but not what their tasks had started.
//!
//! # Environment
//!
//! `POOL_WORKERS` sets the number of workers where the program does not ([`PoolBuilder::workers`]); otherwise it is
//! the number of CPUs that affinity and cgroup allow.
//!
//! # Features
//!
//! None.

// In reading order: from the call to the worker, then what both sides share.
mod builder;
mod options;
mod pool;

#[doc = include_str!("faults.md")]
pub mod faults {}

mod driver;
mod job;
mod supervisor;
mod start;
mod worker;

mod transport;
mod registry;
mod handshake;
mod conditions;
mod crossing;
mod task;
mod body;
mod share;
mod frame;
mod codec;
mod error;
mod exit;
mod payload;
mod id;
mod sys;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

pub use builder::PoolBuilder;
pub use codec::CodecError;
pub use error::{Error, Part, Result, TimeLimit};
pub use exit::{Exit, ExitReport, LastPanic, Limit};
pub use job::async_result::AsyncResult;
pub use job::imap::Imap;
pub use options::Options;
pub use pool::Pool;
pub use share::{IntoShared, Number, Shareable, Shared};
pub use start::StartMethod;
pub use task::{Arguments, OneArgument, StarArguments, Task};
pub use worker::interrupted;

/// Marks a `main` in which workers begin.
///
/// ```standalone_crate
/// use pool::{pool_task, Pool};
///
/// #[pool_task]
/// fn square(n: u64) -> u64 {
///     n * n
/// }
///
/// #[pool::main]
/// fn main() -> pool::Result<()> {
///     let pool = Pool::new()?; // no worker ever reaches this line
///     assert_eq!(pool.map(square, 0..4)?, [0, 1, 4, 9]);
///     Ok(())
/// }
/// ```
pub use pool_macros::main;
/// Marks a function that workers can run.
///
/// ```
/// use pool::{pool_task, Pool};
///
/// #[pool_task]
/// fn count(text: &str, word: &str) -> usize {
///     text.matches(word).count()
/// }
///
/// let pool = Pool::new()?;
/// let line = String::from("to be or not to be");
/// assert_eq!(pool.apply(count, (&line, "be"))?, 2);
/// assert_eq!(count(&line, "not"), 1); // still a plain call
/// # Ok::<(), pool::Error>(())
/// ```
///
/// Types of your own derive serde's traits:
///
/// ```
/// use pool::{pool_task, Pool};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Image {
///     width: usize,
///     pixels: Vec<u8>,
/// }
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// enum ScaleError {
///     Empty,
/// }
///
/// #[pool_task]
/// fn brightness(image: &Image) -> Result<u8, ScaleError> {
///     match image.pixels.iter().map(|pixel| usize::from(*pixel)).sum::<usize>().checked_div(image.pixels.len()) {
///         Some(mean) => Ok(mean as u8),
///         None => Err(ScaleError::Empty),
///     }
/// }
///
/// let images = [Image { width: 2, pixels: vec![10, 20] }, Image { width: 0, pixels: vec![] }];
/// let pool = Pool::new()?;
/// assert_eq!(pool.map(brightness, &images)?, [Ok(15), Err(ScaleError::Empty)]);
/// # assert_eq!(images[0].width, 2);
/// # Ok::<(), pool::Error>(())
/// ```
///
/// A task's name is also a pattern (see below), so programs keep their tasks in a module, or give them a handle:
///
/// ```
/// use pool::{pool_task, Pool, Task};
///
/// mod tasks {
///     use pool::pool_task;
///
///     #[pool_task]
///     pub fn square(n: u64) -> u64 {
///         n * n
///     }
/// }
///
/// #[pool_task(handle = Cube, name = "geometry/cube")]
/// fn cube(n: u64) -> u64 {
///     n * n * n
/// }
///
/// let pool = Pool::new()?;
/// let square = pool.map(tasks::square, 0..4)?;
/// let cube = pool.map(Cube, 0..4)?;
/// assert_eq!((square, cube), (vec![0, 1, 4, 9], vec![0, 1, 8, 27]));
/// assert_eq!(Cube::NAME, "geometry/cube");
/// # Ok::<(), pool::Error>(())
/// ```
pub use pool_macros::pool_task;
