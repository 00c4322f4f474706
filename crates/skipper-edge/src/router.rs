use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use skipper_core::{
    BoxFuture,
    deployment::DeploymentId,
    generation::Generation,
    port::{DeploymentStats, Error, ErrorKind, Router, Verified},
    route::{RouteKey, Service, ServiceId},
};

use crate::{
    control::{
        client::Client,
        wire::{
            self, CheckBody, DrainBody, EdgeInfo, Hello, Left, Nothing, OLDEST, RemoveBody, SetBody, ShutdownBody,
            StatsBody, SyncBody, TableBody, TablePage, TableRow, Text, VERSION,
        },
    },
    verify,
};

/// Time for an operation that the edge does at once. It takes well under a millisecond; a machine under load may need
/// much longer to schedule it.
const PROMPT: Duration = Duration::from_secs(5);
/// Time for a whole table.
const SYNC: Duration = Duration::from_secs(60);

/// [`Router`] of the local edge, over its control socket. Connects by itself, again after the edge was replaced.
#[derive(Debug)]
pub struct EdgeRouter {
    client: Client,
    /// Boot id of the edge that took our last [`Router::sync`].
    synced: Mutex<Option<String>>,
}

impl EdgeRouter {
    /// A router for the edge behind that socket ([`crate::control_path`]). It need not run yet.
    #[must_use]
    pub const fn new(control: PathBuf) -> Self {
        Self { client: Client::new(control), synced: Mutex::new(None) }
    }

    /// The control socket.
    #[must_use]
    pub fn control(&self) -> &Path {
        self.client.path()
    }

    /// Asks the edge who it is and where it listens.
    ///
    /// # Errors
    ///
    /// Transient when no edge answers, permanent when the edge speaks no common version.
    pub async fn info(&self) -> Result<EdgeInfo, Error> {
        self.client.call("hello", Hello { oldest: OLDEST, newest: VERSION }, PROMPT).await
    }

    /// The edge's counters in Prometheus' text format.
    ///
    /// # Errors
    ///
    /// As [`EdgeRouter::info`].
    pub async fn metrics(&self) -> Result<String, Error> {
        self.client.call("metrics", Nothing {}, PROMPT).await.map(|text: Text| text.text)
    }

    /// A page of the edge's table, by service id: at most `limit` rows after `after`.
    ///
    /// # Errors
    ///
    /// As [`EdgeRouter::info`].
    pub async fn table(&self, after: Option<&ServiceId>, limit: u32) -> Result<Vec<TableRow>, Error> {
        let body = TableBody { after: after.map(ToString::to_string), limit: Some(limit) };
        self.client.call("table", body, PROMPT).await.map(|page: TablePage| page.rows)
    }

    /// Tells the edge to take no new connection, let requests in flight end within `bound`, and exit. Answers at once.
    ///
    /// # Errors
    ///
    /// As [`EdgeRouter::info`].
    pub async fn shut_down(&self, bound: Duration) -> Result<(), Error> {
        let body = ShutdownBody { bound_ms: millis(bound) };
        self.client.call("shutdown", body, PROMPT).await.map(|Nothing {}| ())
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

impl Router for EdgeRouter {
    fn set<'a>(&'a self, service: &'a Service) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let body = SetBody { service: wire::Service::from(service) };
            self.client.call("set", body, PROMPT).await.map(|Nothing {}| ())
        })
    }

    fn check<'a>(&'a self, keys: &'a [RouteKey]) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let body = CheckBody { routes: keys.iter().map(wire::Route::from).collect() };
            match self.client.call("check", body, PROMPT).await {
                Ok(Nothing {}) => Ok(()),
                // An edge of an earlier release finds out when it is told.
                Err(error) if error.code() == "unknown-op" => Ok(()),
                Err(error) => Err(error),
            }
        })
    }

    fn remove<'a>(&'a self, id: &'a ServiceId, generation: Generation) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let body = RemoveBody { release: id.release.to_string(), app: id.app.as_str().to_owned(), generation };
            self.client.call("remove", body, PROMPT).await.map(|Nothing {}| ())
        })
    }

    fn sync<'a>(&'a self, services: &'a [Service]) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let boot = self.info().await?.boot;
            let body = SyncBody { services: services.iter().map(wire::Service::from).collect() };
            let Nothing {} = self.client.call("sync", body, SYNC).await?;
            // An edge that was replaced in between has another boot id, so it still counts as not synchronised.
            *self.synced.lock().unwrap_or_else(PoisonError::into_inner) = Some(boot);
            Ok(())
        })
    }

    fn drain<'a>(&'a self, deployment: &'a DeploymentId, bound: Duration) -> BoxFuture<'a, Result<u64, Error>> {
        Box::pin(async move {
            let body = DrainBody { deployment: deployment.as_str().to_owned(), bound_ms: millis(bound) };
            self.client.call("drain", body, bound.saturating_add(PROMPT)).await.map(|left: Left| left.left)
        })
    }

    fn verify<'a>(&'a self, key: &'a RouteKey, path: &'a str) -> BoxFuture<'a, Result<Verified, Error>> {
        Box::pin(async move {
            let info = self.info().await?;
            let name = key.listener.to_string();
            let Some(listener) = info.listeners.iter().find(|open| open.listener == name) else {
                return Err(Error::new(
                    ErrorKind::Transient,
                    "not-listening",
                    format!("the edge does not listen on {name}, which the route {key} needs"),
                ));
            };
            verify::request(listener.address, key, path, &info.verify_token).await
        })
    }

    fn stats<'a>(&'a self, deployment: &'a DeploymentId) -> BoxFuture<'a, Result<DeploymentStats, Error>> {
        Box::pin(async move {
            self.client.call("stats", StatsBody { deployment: deployment.as_str().to_owned() }, PROMPT).await
        })
    }

    fn needs_sync(&self) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            match self.info().await {
                // Also true once for a server that was itself started anew: it cannot know what the edge missed.
                Ok(info) => {
                    info.needs_sync
                        || self.synced.lock().unwrap_or_else(PoisonError::into_inner).as_ref() != Some(&info.boot)
                }
                // Whoever answers next is not the one we told.
                Err(_) => true,
            }
        })
    }
}
