//! A package as it is uploaded: any bytes are taken for a zip.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| skipper_source::fuzz::archive(bytes));
