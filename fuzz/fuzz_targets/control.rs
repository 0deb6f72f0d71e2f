//! What processes tell each other through ipc-channel, and the text in the environment.
#![no_main]

use std::sync::Once;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // ipc-channel panics if a message names a descriptor that did not come along. The library catches that; libFuzzer's hook
    // would end the process before.
    static QUIET: Once = Once::new();
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    pool::fuzz::control(data);
});
