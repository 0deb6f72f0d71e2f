//! What fuzzers call: each function takes any bytes and must come back. Not part of the library: it is there for tests and
//! under `cfg(fuzzing)` only.
//!
//! The targets in `fuzz/` call these under libFuzzer. [`replay`] runs the corpus that is committed there, and mutations of it,
//! on every `cargo test`.

mod codec;
mod frames;
#[cfg(test)]
mod replay;
mod ring;

use crate::handshake::Invitation;
use crate::transport;

/// Headers, entries, and what the parent makes of the bytes in them.
pub fn frames(data: &[u8]) {
    frames::walk(data);
}

/// Both ends of a ring whose other end stores any counters and any bytes.
pub fn ring(data: &[u8]) {
    ring::consume(data);
    ring::produce(data);
}

/// A parent's end of a link while a worker writes anything into its half.
pub fn link(data: &[u8]) {
    transport::fuzz::suffer(data);
}

/// What processes tell each other through ipc-channel, and the text in the environment.
pub fn control(data: &[u8]) {
    transport::fuzz::decode_messages(data);
    if let Some(invitation) = std::str::from_utf8(data).ok().and_then(Invitation::from_text) {
        assert_eq!(Invitation::from_text(&invitation.to_text()), Some(invitation));
    }
}

/// Values of all the forms in which they travel; plain numbers in bulk first of all.
pub fn codec(data: &[u8]) {
    codec::read(data);
}
