//! Moves frames between two processes: rings for small bodies, segments for large ones, and a
//! control channel (ipc-channel) that delivers the memory of both.

mod asking;
pub(crate) mod bell;
pub(crate) mod control;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod envelope;
#[cfg(test)]
pub(crate) mod in_memory;
pub(crate) mod last_words;
mod layout;
pub(crate) mod link;
#[cfg(any(test, fuzzing))]
pub(crate) mod one_thread;
pub(crate) mod outbox;
mod package;
pub(crate) mod ring_link;
mod region;
pub(crate) mod ring;
mod sealed;
mod segment;
pub(crate) mod spin;
pub(crate) mod stock;
pub(crate) mod worker_link;
