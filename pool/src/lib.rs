//! A process pool.

// In reading order: from the call to the worker, then what both sides share.
mod pool;
mod options;
mod builder;

mod job;
mod driver;
mod supervisor;
mod start;
mod worker;

mod transport;
mod task;
mod registry;
mod handshake;
mod frame;
mod codec;
mod error;
mod exit;
mod id;
mod sys;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

pub use builder::PoolBuilder;
pub use codec::CodecError;
pub use error::{Error, Part, Result};
pub use exit::Exit;
pub use job::async_result::AsyncResult;
pub use job::imap::Imap;
pub use options::Options;
pub use pool::Pool;
pub use pool_macros::{main, pool_task};
pub use start::StartMethod;
pub use task::{Arguments, OneArgument, StarArguments, Task};
