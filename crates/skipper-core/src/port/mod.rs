//! What the engine needs of the world. The outer crates comply; the engine and core compile without them.

mod error;
mod platform;
mod resolver;
mod router;
mod store;

pub use error::{Error, ErrorKind};
pub use platform::{
    Capabilities, Cleared, Description, ExecOutput, Foreign, Found, Garbage, HookJob, HookState, Inside, Kept, Launch,
    LogChunk, LogQuery, LogStreamKind, Platform, Standing,
};
pub use resolver::{ResolveRequest, Resolved, Resolver};
pub use router::{DeploymentStats, Router, Verified};
pub use store::{Abandoned, Lease, Loaded, Note, ResolvedNote, RolloutStore, StepNote};

use uuid::Uuid;

use crate::time::Timestamp;

/// The only source of time.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// The only source of ids.
pub trait Ids: Send + Sync + std::fmt::Debug {
    /// A new UUID, version 7 in production so that ids sort by age.
    fn next(&self) -> Uuid;
}
