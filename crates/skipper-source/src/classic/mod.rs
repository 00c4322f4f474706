//! Packages of the field: what was written for Spring Cloud Skipper, read and rendered as the original does it.
//!
//! ```text
//! NAME-VERSION/                  one folder, called like the package
//!   package.yml | .yaml          metadata (upper and lower case count as equal)
//!   values.yml | .yaml           values; kept as text
//!   templates/*yml | *yaml       documents, with Mustache; this folder only, not those in it
//!   packages/*/                  packages within this one, laid out alike
//!   *manifest.yml | .yaml        files that are kept with the package
//! ```
//!
//! Two generations differ in what they make of it ([`Renderer`](crate::Renderer)): the first fills in the templates and keeps the
//! text; the second reads the text as YAML and writes it anew. Both are rendered byte for byte, since people compare manifests.

mod carry;
mod double;
mod java;
mod kind;
mod merge;
mod metadata;
pub mod mustache;
mod properties;
mod read;
mod render;
pub mod value;
pub mod yaml;

pub use carry::{Counted, added_values, counted_values};
pub use kind::{applications, spec_of, values_tree};
pub use metadata::{ApiVersion, api_version, metadata};
pub use properties::{file_values, properties_values};
pub use read::{Package, Template};
pub use render::{Manifest, manifest};

pub(crate) use merge::user_map;
pub(crate) use read::is_metadata;
pub(crate) use render::{lint, render};
