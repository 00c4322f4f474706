//! What every verb and handler works with. Cheap to clone; there is one for each server.

use std::{fmt, ops::Deref, sync::Arc, time::Duration};

use skipper_core::{
    name::PlatformName,
    port::{Clock, Ids, Router},
    secret::SecretValue,
};
use skipper_engine::{EngineHandle, Platforms};
use skipper_store::Store;
use tokio::{sync::watch, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    apps::{LiveApps, takeover::Slips},
    caddy::Board,
    config::{About, Limits, Retention, User},
    edge::EdgeView,
    fleet::Fleet,
    metrics::Metrics,
    resolver::PackageResolver,
    tenant_platforms::TenantPlatforms,
    verb::{KeptCache, catalog::HeldPackages, versions::HeldVersions},
    webhooks::Webhooks,
};

/// The parts of a server.
pub struct Parts {
    /// Everything that is remembered.
    pub store: Store,
    /// Wakes the engine and reads what it knows.
    pub engine: EngineHandle,
    /// The platform accounts.
    pub platforms: Platforms,
    /// The account of applications that name none.
    pub default_platform: PlatformName,
    /// What switches traffic.
    pub router: Arc<dyn Router>,
    /// What can be seen of it.
    pub edge: Arc<dyn EdgeView>,
    /// What is known of the Caddy in front of it.
    pub caddy: Board,
    /// Turns sources into specs; the engine has the same.
    pub resolver: Arc<PackageResolver>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<dyn Ids>,
    /// The token that the configuration names.
    pub admin_token: Option<SecretValue>,
    /// The user that the configuration names.
    pub user: Option<User>,
    /// Which accounts tokens that are scoped to a tenant may use.
    pub tenant_platforms: TenantPlatforms,
    /// The apps of the directory that the server was given, if it was.
    pub apps: LiveApps,
    /// What of a slip that ran here still serves.
    pub slips: Slips,
    /// Nodes and their orders.
    pub fleet: Fleet,
    /// What the door of webhooks keeps in memory.
    pub webhooks: Webhooks,
    /// What the server says of itself.
    pub about: About,
    /// Bounds of what comes from outside.
    pub limits: Limits,
    /// How long things are remembered.
    pub retention: Retention,
    /// A folder for files that are made while they are sent.
    pub scratch: std::path::PathBuf,
    /// Packages as releases remember them, read lately.
    pub kept: KeptCache,
    /// Versions that were read lately.
    pub versions: HeldVersions,
    /// Packages that were read lately.
    pub packages: HeldPackages,
    /// Counters.
    pub metrics: Metrics,
    /// Work that must not end with its request.
    pub tasks: TaskTracker,
    /// Where the server is that tends what runs, when it is another one.
    pub tended_by: watch::Sender<Option<String>>,
    /// Cancelled when the server stops.
    pub stop: CancellationToken,
}

/// A handle on the parts.
#[derive(Clone)]
pub struct App(Arc<Parts>, Instant);

impl App {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts), Instant::now())
    }

    /// How long it has been there.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.1.elapsed()
    }

    /// Runs a call of the store and counts how long it took.
    pub(crate) async fn timed<T>(&self, call: &'static str, future: impl Future<Output = T>) -> T {
        let started = tokio::time::Instant::now();
        let result = future.await;
        self.metrics.store(call, started.elapsed());
        result
    }

    /// The HTTP service of every door.
    pub fn router(&self) -> axum::Router {
        crate::api::table::router(self)
    }
}

impl Deref for App {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("store", &self.store.location()).finish_non_exhaustive()
    }
}
