//! Both ends of a ring whose other end stores any counters and any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pool::fuzz::ring(data));
