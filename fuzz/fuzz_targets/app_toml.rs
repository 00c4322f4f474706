//! slip's configuration: what the API writes is what is read, and what is built does not contradict itself.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| skipper_source::fuzz::app_toml(bytes));
