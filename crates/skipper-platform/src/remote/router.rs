use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use skipper_core::{
    BoxFuture,
    deployment::DeploymentId,
    generation::Generation,
    port::{DeploymentStats, Error, Router, Verified},
    route::{RouteKey, Service, ServiceId},
};

use super::{
    MAX_FAULT, PROMPT, RemoteNode,
    message::{
        CheckRoutes, Drain, Left, Needs, Nothing, OfDeployment, RemoveService, SetService, SyncServices, Verify,
    },
};

/// Time for a whole table.
const SYNC: Duration = Duration::from_secs(60);
/// Time for a request through the edge.
const VERIFY: Duration = Duration::from_secs(30);

/// The edge of a node, as if it were here. A node without one refuses by name.
#[derive(Debug)]
pub struct RemoteRouter {
    node: Arc<RemoteNode>,
    /// Whether the node's edge took a [`Router::sync`] of this run of the server: what it holds may be older.
    synced: AtomicBool,
}

impl RemoteRouter {
    /// That node's edge.
    #[must_use]
    pub const fn new(node: Arc<RemoteNode>) -> Self {
        Self { node, synced: AtomicBool::new(false) }
    }

    /// It may have missed something: what it holds is older than what is wanted, until it is told everything.
    pub fn missed_something(&self) {
        self.synced.store(false, Ordering::Relaxed);
    }

    async fn ask<T: DeserializeOwned>(&self, method: &str, with: impl Serialize, bound: Duration) -> Result<T, Error> {
        self.node.ask(&format!("/router/{method}"), with, bound, MAX_FAULT).await
    }
}

impl Router for RemoteRouter {
    fn set<'a>(&'a self, service: &'a Service) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move { self.ask("set", SetService { service }, PROMPT).await.map(|Nothing {}| ()) })
    }

    fn remove<'a>(&'a self, id: &'a ServiceId, generation: Generation) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move { self.ask("remove", RemoveService { id, generation }, PROMPT).await.map(|Nothing {}| ()) })
    }

    fn check<'a>(&'a self, routes: &'a [RouteKey]) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move { self.ask("check", CheckRoutes { routes }, PROMPT).await.map(|Nothing {}| ()) })
    }

    fn sync<'a>(&'a self, services: &'a [Service]) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let Nothing {} = self.ask("sync", SyncServices { services }, SYNC).await?;
            self.synced.store(true, Ordering::Relaxed);
            Ok(())
        })
    }

    fn drain<'a>(&'a self, deployment: &'a DeploymentId, bound: Duration) -> BoxFuture<'a, Result<u64, Error>> {
        Box::pin(async move {
            let bound_ms = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
            let with = Drain { deployment, bound_ms };
            self.ask("drain", with, bound.saturating_add(PROMPT)).await.map(|left: Left| left.left)
        })
    }

    fn verify<'a>(&'a self, route: &'a RouteKey, path: &'a str) -> BoxFuture<'a, Result<Verified, Error>> {
        Box::pin(self.ask("verify", Verify { route, path }, VERIFY))
    }

    fn stats<'a>(&'a self, deployment: &'a DeploymentId) -> BoxFuture<'a, Result<DeploymentStats, Error>> {
        Box::pin(self.ask("stats", OfDeployment { deployment }, PROMPT))
    }

    fn needs_sync(&self) -> BoxFuture<'_, bool> {
        Box::pin(async {
            match self.ask("needs_sync", Nothing {}, PROMPT).await {
                Ok(Needs { needs_sync }) => needs_sync || !self.synced.load(Ordering::Relaxed),
                // It cannot be told now, and says so itself once it is connected again.
                Err(_) => false,
            }
        })
    }
}
