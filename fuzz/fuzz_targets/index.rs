//! What a repository offers.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| skipper_source::fuzz::index(bytes));
