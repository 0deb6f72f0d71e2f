//! Values of all the forms in which they travel; plain numbers in bulk first of all.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pool::fuzz::codec(data));
