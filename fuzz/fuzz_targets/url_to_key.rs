//! Feeds arbitrary bytes to the layouts. The promises live in the library, where an ordinary test
//! runs them over the seeds.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| standin::site::check_layout(data));
