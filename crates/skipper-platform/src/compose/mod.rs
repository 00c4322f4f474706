//! Projects of compose: a tenant's services on one host, carried out by the `docker compose` or `docker-compose` that is there.
//!
//! [`Driver`] is what the agent of a node uses as it is; [`ComposePlatform`] makes an account of it. Its way of an apply
//! ([`apply`](Driver::apply)):
//!
//! 1. the tenant's folder is taken ([`folder`]): one at a time acts on it, whichever process that is, and none with a right that is lower
//!    than one it has seen;
//! 2. the new files are laid aside, compose resolves them ([`tool`]), and what it made of them is held against the policy;
//! 3. images that are missing are fetched; until here nothing that runs was touched;
//! 4. the files take their place, `up` does what has changed, and services are asked for their health ([`health`]);
//! 5. the files are kept as the last good ones; or, where any of it failed, those that were kept take their place again.
//!
//! The engine is the truth about containers ([`look`]); compose's own words are for people.

mod apply;
mod child;
mod config;
mod driver;
mod folder;
mod health;
mod images;
mod look;
mod mounts;
mod platform;
mod policy;
mod remove;
mod report;
mod tool;

pub use config::{ComposeConfig, ReadYaml};
pub use driver::{Driver, Wanted};
pub use folder::Owner;
pub use look::{Container, Published};
pub use platform::{ComposePlatform, capabilities, review};
pub use report::{Report, ServiceReport};
