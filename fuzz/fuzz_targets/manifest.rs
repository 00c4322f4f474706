//! Manifests as they are stored: what is read is what was written.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| skipper_source::fuzz::manifest(bytes));
