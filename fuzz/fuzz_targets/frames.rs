//! Headers, entries, and what the parent makes of the bytes in them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pool::fuzz::frames(data));
