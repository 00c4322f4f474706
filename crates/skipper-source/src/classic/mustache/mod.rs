//! The template language as packages of the field use it: the dialect of the library that the original builds on.
//!
//! It differs from [`crate::mustache`] in nearly everything that matters: text is escaped for HTML, a missing value is an
//! error, a name may stand for a method of a value (`list.size`), and text comes out, not YAML. What a template gives here must
//! be the same to the byte, since manifests are kept and compared as text.

mod fetch;
mod parse;
mod render;
mod tree;

pub use render::render;
pub use tree::Template;

pub use parse::parse;
