use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::Error;
use crate::{
    BoxFuture,
    deployment::DeploymentId,
    generation::Generation,
    route::{RouteKey, Service, ServiceId},
};

/// What the edge counted for one deployment since it first saw it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DeploymentStats {
    /// Requests that began.
    pub requests: u64,
    /// Requests in flight, open WebSockets and tunnels included.
    pub in_flight: u64,
    /// Answers with a status of 500 to 599, and requests the deployment did not answer.
    pub errors: u64,
    /// Median time to the answer's head, in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile of the same.
    pub p99_ms: f64,
}

/// Who answered a probe through the edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// The deployment that answered.
    pub deployment: DeploymentId,
    /// The status it answered with.
    pub status: u16,
}

/// What switches traffic: the local edge, a node's edge, a platform's own router.
pub trait Router: Send + Sync + fmt::Debug {
    /// Makes the service as given: atomically, new requests follow at once, requests in flight are not cut. Opens
    /// listeners that are new. A lower generation than the one last seen for the service is refused as fenced.
    fn set<'a>(&'a self, service: &'a Service) -> BoxFuture<'a, Result<(), Error>>;

    /// Gives up the routes of a service; listeners that nobody uses any more are closed.
    fn remove<'a>(&'a self, id: &'a ServiceId, generation: Generation) -> BoxFuture<'a, Result<(), Error>>;

    /// Whether routes that it does not have yet could be opened now: permanent, and named, where one could not (nothing
    /// listens with TLS, a certificate is missing, a port is taken). Changes nothing.
    fn check<'a>(&'a self, keys: &'a [RouteKey]) -> BoxFuture<'a, Result<(), Error>> {
        let _ = keys;
        Box::pin(async { Ok(()) })
    }

    /// Makes the whole table as given, for an edge that has lost it or missed changes.
    fn sync<'a>(&'a self, services: &'a [Service]) -> BoxFuture<'a, Result<(), Error>>;

    /// Waits until no request is in flight at the deployment, or at those of its addresses that the table no longer
    /// has, or `bound` has passed. Returns how many were left.
    fn drain<'a>(&'a self, deployment: &'a DeploymentId, bound: Duration) -> BoxFuture<'a, Result<u64, Error>>;

    /// Sends one request along a route, as a user would, and tells which deployment answered.
    fn verify<'a>(&'a self, key: &'a RouteKey, path: &'a str) -> BoxFuture<'a, Result<Verified, Error>>;

    /// Counters of one deployment.
    fn stats<'a>(&'a self, deployment: &'a DeploymentId) -> BoxFuture<'a, Result<DeploymentStats, Error>>;

    /// Whether the edge has been started anew since the last [`Router::sync`], so that it must be told everything again.
    fn needs_sync(&self) -> BoxFuture<'_, bool>;
}
