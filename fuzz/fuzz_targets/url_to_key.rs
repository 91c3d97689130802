//! Feeds arbitrary bytes to URLs and layouts. The promises live in the library, where an ordinary test
//! runs them over the seeds.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    standin::site::check_identity(data);
    standin::site::check_layout(data);
});
