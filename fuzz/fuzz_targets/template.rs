//! Mustache templates, and what --set takes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| skipper_source::fuzz::template(bytes));
