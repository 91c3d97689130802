//! Any bytes as a body: digests, canonical form and links keep their promises.
#![no_main]

use standin::content::check::check_content;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check_content(data));
