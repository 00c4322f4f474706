//! The apps that a directory of slip's configures: how the directory is followed while the server runs, and how an app at a
//! tag becomes the spec of a revision.
//!
//! ```text
//! directory ── LiveApps ──► Apps
//! Source::App + Apps + the image's /slip/slip.toml + secrets ── Builder ──► manifest, Spec
//! ```

mod build;
mod configured;
mod live;
pub mod previews;
pub(crate) mod secrets;
pub mod takeover;
mod tls;
mod write;

pub(crate) use build::Builder;
pub use configured::{Apps, Engines};
pub use live::LiveApps;
pub use tls::EdgeTls;
pub(crate) use write::Refusal;
