//! Packages: what they say of themselves, and what comes of them.

mod build;
mod metadata;
mod render;

pub use build::{Built, build};
pub use metadata::{Metadata, metadata};
pub use render::{RenderOptions, Rendered, render};

pub(crate) use metadata::{MAX_DESCRIPTION, MAX_NAME, MAX_VERSION, MAX_WORDS, split_tags};
pub(crate) use render::{Context, RESERVED, context, render_context, schema, validated};

/// The `apiVersion` of packages and documents in Skipper's own format.
pub const API_VERSION: &str = "skipper/v2";
