//! The worker's side: from the first instruction of the process to the call of user code.
//!
//! Imports nothing of the parent's side; what both need lies in lower modules.

mod chunk;
mod conditions;
mod entry;
mod interrupted;
mod memory;
mod panics;
mod run;
mod serve;
mod zygote;

pub use entry::enter_main;
pub use interrupted::interrupted;
pub(crate) use zygote::obey as obey_orders;
