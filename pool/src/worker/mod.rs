//! The worker's side: from the first instruction of the process to the call of user code.
//!
//! Imports nothing of the parent's side; what both need lies in lower modules.

mod entry;
mod panics;
mod run;
mod serve;
mod zygote;

pub use entry::enter_main;
pub(crate) use zygote::obey as obey_orders;
