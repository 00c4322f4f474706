//! Values, templates, properties and manifests of the field.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| skipper_source::fuzz::classic_text(bytes));
