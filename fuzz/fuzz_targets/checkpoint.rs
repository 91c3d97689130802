//! Any bytes as a part of a checkpoint, and as the rows of one: reading ends, in bounded memory.
#![no_main]

use standin::manifest::checkpoint::check_part;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check_part(data));
