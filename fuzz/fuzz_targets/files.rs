#![no_main]

use libfuzzer_sys::fuzz_target;
use locum_fuzz::files::play;

fuzz_target!(|input: &[u8]| play(input));
