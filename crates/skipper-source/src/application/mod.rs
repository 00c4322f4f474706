//! Documents of kind `Application`: one application of a release, as people write it, and as the spec has it.
//!
//! Reading is strict: every key is known, every value has a kind and bounds, and all faults are named at once. Writing is
//! canonical: equal applications give equal documents, defaults are left out, and reading a written document gives the
//! same application again.

mod health;
mod ports;
mod process;
mod read;
mod strategy;
mod units;
mod write;

pub use read::read;
pub use units::{bytes_text, cpu_text, duration_text, parse_bytes, parse_cpu, parse_duration};
pub use write::write;

/// The `kind` of the document.
pub const KIND: &str = "Application";
