//! A parent's end of a link while a worker writes anything into its half.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pool::fuzz::link(data));
