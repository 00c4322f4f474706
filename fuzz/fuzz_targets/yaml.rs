//! YAML, as it stands in every file of a package.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| skipper_source::fuzz::yaml(bytes));
