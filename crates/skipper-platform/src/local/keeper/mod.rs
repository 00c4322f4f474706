//! stub
use std::{ffi::OsString, process::ExitCode};
/// The keeper's `main`.
pub fn main(_args: impl IntoIterator<Item = OsString>) -> ExitCode {
    ExitCode::FAILURE
}
