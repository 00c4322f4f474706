use std::fmt;

use super::Error;
use crate::{
    BoxFuture,
    id::ReleaseId,
    name::{ReleaseName, TenantName},
    release::Source,
    spec::Spec,
    time::Timestamp,
};

/// What is to be resolved.
#[derive(Debug, Clone)]
pub struct ResolveRequest {
    /// The release.
    pub release: ReleaseId,
    /// Its name.
    pub release_name: ReleaseName,
    /// Its tenant.
    pub tenant: TenantName,
    /// The revision that is to come of it.
    pub revision: u64,
    /// What was asked for.
    pub source: Source,
    /// Rendered already, within the request: only pinning is left.
    pub rendered: Option<(String, Spec)>,
    /// When it must be done.
    pub deadline: Timestamp,
}

/// Manifest and spec, final: digests pinned, [`crate::route::Listener::Auto`] replaced by a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// As people read it.
    pub manifest: String,
    /// As the engine runs it.
    pub spec: Spec,
}

/// Turns a source into manifest and spec. The engine knows no source format; this is how it gets around one.
pub trait Resolver: Send + Sync + fmt::Debug {
    /// Fetches what the source needs, pins it, renders. Asks no registry for anything that is already here.
    fn resolve<'a>(&'a self, request: &'a ResolveRequest) -> BoxFuture<'a, Result<Resolved, Error>>;
}
