//! What was written: turns a package and its values into the manifest that people read and the spec that the engine
//! runs.
//!
//! Everything here is pure: no network, no clock, no task. A package comes as the bytes of a zip or as a directory, and
//! everything in it is hostile until it was parsed: sizes, counts, depths and names are bounded, and every fault is a
//! [`Finding`] with its file and line.

pub mod app;
pub mod application;
pub mod archive;
pub mod builtin;
pub mod classic;
pub mod finding;
pub mod fleet;
pub mod fuzz;
pub mod index;
pub mod json;
pub mod lint;
pub mod manifest;
pub mod mustache;
pub mod original;
pub mod package;
pub mod scaffold;
pub mod tenant;
pub mod values;
pub mod version;
pub mod yaml;

mod fields;
mod front;
mod nearest;

pub use archive::Archive;
pub use finding::{Faults, Finding, Findings, Position, Severity};
pub use front::{Package, Renderer, UserValues, raw_values};
pub use index::{IndexEntry, IndexFault};
pub use package::{Built, Metadata, RenderOptions, Rendered, build, metadata, render};
pub use version::{maven_cmp, maven_key};
