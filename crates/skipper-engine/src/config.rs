//! What the engine is made of, and its numbers.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use skipper_core::{
    BoxFuture,
    deployment::Live,
    port::{Clock, Ids, Platform, Resolver, RolloutStore, Router},
    spec::Target,
};

/// Everything the engine needs of the world.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Where rollouts, plans and step logs are.
    pub store: Arc<dyn RolloutStore>,
    /// The platform accounts by name.
    pub platforms: Platforms,
    /// What switches traffic.
    pub routers: Routers,
    /// Turns sources into specs.
    pub resolver: Arc<dyn Resolver>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Ids of supervision's own requests.
    pub ids: Arc<dyn Ids>,
    /// Names this server in leases. The same after a restart, so that it takes up at once what it left; different for
    /// every server that shares a store.
    pub owner: String,
    /// The numbers.
    pub tuning: Tuning,
}

/// The configured platform accounts, and those that come and go with the nodes of the fleet.
#[derive(Debug, Clone, Default)]
pub struct Platforms {
    by_target: BTreeMap<Target, Arc<dyn Platform>>,
    elsewhere: Option<Arc<dyn Elsewhere>>,
}

/// Accounts that are not configured here, and the routers that are theirs.
pub trait Elsewhere: Send + Sync + fmt::Debug {
    /// The account of that name.
    fn get(&self, target: &Target) -> Option<Arc<dyn Platform>>;

    /// Those that can be asked something now, by name.
    fn all(&self) -> Vec<(Target, Arc<dyn Platform>)> {
        Vec::new()
    }

    /// What switches traffic for that account: always the same one for the same account. `None` where the edge of this server does.
    fn router(&self, target: &Target) -> Option<Arc<dyn Router>> {
        let _ = target;
        None
    }

    /// The routers that can be told something now; one that comes back later asks for everything then
    /// ([`Router::needs_sync`]).
    fn routers(&self) -> Vec<Arc<dyn Router>> {
        Vec::new()
    }

    /// Resolves when something may have changed on one of these accounts. May resolve without reason.
    fn changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}

impl Platforms {
    /// Adds an account, or replaces the one of that name.
    #[must_use]
    pub fn with(mut self, target: Target, platform: Arc<dyn Platform>) -> Self {
        self.by_target.insert(target, platform);
        self
    }

    /// Where accounts are that are not among these.
    #[must_use]
    pub fn and(mut self, elsewhere: Arc<dyn Elsewhere>) -> Self {
        self.elsewhere = Some(elsewhere);
        self
    }

    /// The account of that name.
    #[must_use]
    pub fn get(&self, target: &Target) -> Option<Arc<dyn Platform>> {
        let own = self.by_target.get(target).cloned();
        own.or_else(|| self.elsewhere.as_ref()?.get(target))
    }

    /// The configured ones, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Target, &Arc<dyn Platform>)> {
        self.by_target.iter()
    }

    /// Those elsewhere that can be asked something now, by name.
    #[must_use]
    pub fn elsewhere(&self) -> Vec<(Target, Arc<dyn Platform>)> {
        self.elsewhere.as_ref().map(|elsewhere| elsewhere.all()).unwrap_or_default()
    }

    /// Resolves when something may have changed elsewhere.
    pub(crate) async fn changed_elsewhere(&self) {
        match &self.elsewhere {
            Some(elsewhere) => elsewhere.changed().await,
            None => std::future::pending().await,
        }
    }
}

impl FromIterator<(Target, Arc<dyn Platform>)> for Platforms {
    fn from_iter<I: IntoIterator<Item = (Target, Arc<dyn Platform>)>>(accounts: I) -> Self {
        Self { by_target: accounts.into_iter().collect(), elsewhere: None }
    }
}

/// What switches traffic: one edge for all, but for the targets that have a router of their own.
#[derive(Clone)]
pub struct Routers {
    edge: Arc<dyn Router>,
    own: BTreeMap<Target, Arc<dyn Router>>,
    elsewhere: Option<Arc<dyn Elsewhere>>,
}

impl fmt::Debug for Routers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routers").field("edge", &self.edge).field("own", &self.own.keys()).finish()
    }
}

impl Routers {
    /// One edge for every target.
    #[must_use]
    pub fn new(edge: Arc<dyn Router>) -> Self {
        Self { edge, own: BTreeMap::new(), elsewhere: None }
    }

    /// Gives a target a router of its own.
    #[must_use]
    pub fn with(mut self, target: Target, router: Arc<dyn Router>) -> Self {
        self.own.insert(target, router);
        self
    }

    /// Where the routers of accounts are that are not configured.
    #[must_use]
    pub fn and(mut self, elsewhere: Arc<dyn Elsewhere>) -> Self {
        self.elsewhere = Some(elsewhere);
        self
    }

    /// The router of a target.
    #[must_use]
    pub fn of(&self, target: &Target) -> Arc<dyn Router> {
        let own = self.own.get(target).cloned();
        let other = || self.elsewhere.as_ref()?.router(target);
        own.or_else(other).unwrap_or_else(|| Arc::clone(&self.edge))
    }

    /// Every router that some of these are reached by, once, each with those of them that it is told of. In the order in which they
    /// were given.
    pub(crate) fn split<'a>(&self, lives: impl IntoIterator<Item = &'a Live>) -> Vec<(Arc<dyn Router>, Vec<&'a Live>)> {
        let mut split: Vec<(Arc<dyn Router>, Vec<&Live>)> = Vec::new();
        for live in lives {
            let router = self.of(live.deployment.target());
            match split.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &router)) {
                Some((_, told)) => told.push(live),
                None => split.push((router, vec![live])),
            }
        }
        split
    }

    /// Those of accounts that are not configured which can be told something now.
    #[must_use]
    pub fn elsewhere(&self) -> Vec<Arc<dyn Router>> {
        self.elsewhere.as_ref().map(|elsewhere| elsewhere.routers()).unwrap_or_default()
    }

    /// Every configured router once.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<dyn Router>> {
        let mut all = vec![Arc::clone(&self.edge)];
        for router in self.own.values() {
            if !all.iter().any(|known| Arc::ptr_eq(known, router)) {
                all.push(Arc::clone(router));
            }
        }
        all
    }
}

/// The engine's numbers; the defaults suit one server with SQLite.
#[derive(Debug, Clone)]
pub struct Tuning {
    /// Rollouts worked on at the same time. One that waits for another machine makes room for others after a moment.
    pub max_rollouts: usize,
    /// How long a lease lasts and how often it is renewed.
    pub lease: LeaseSettings,
    /// How often the store is asked for due rollouts when nothing wakes the engine.
    pub poll_every: Duration,
    /// How often a running rollout asks whether it was cancelled when nothing wakes it.
    pub cancel_poll: Duration,
    /// Longest a source may take to resolve.
    pub resolve_bound: Duration,
    /// How often everything that runs is looked at when no platform reports a change.
    pub sweep_every: Duration,
    /// How often what serves is asked whether it is still healthy.
    pub pulse_every: Duration,
    /// How often a router is asked whether it must be told everything again.
    pub router_poll: Duration,
    /// Longest one question of supervision to a platform may take.
    pub observe_bound: Duration,
    /// Restarts of what died.
    pub restart: RestartSettings,
    /// Clearing away what no revision needs.
    pub garbage: GarbageSettings,
    /// How long a stopping engine waits for its tasks.
    pub grace: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            max_rollouts: 64,
            lease: LeaseSettings::default(),
            poll_every: Duration::from_secs(2),
            cancel_poll: Duration::from_millis(500),
            // As long as the default bound of one fetch: resolving may have to fetch.
            resolve_bound: Duration::from_secs(600),
            sweep_every: Duration::from_secs(30),
            pulse_every: Duration::from_secs(10),
            router_poll: Duration::from_secs(1),
            observe_bound: Duration::from_secs(5),
            restart: RestartSettings::default(),
            garbage: GarbageSettings::default(),
            grace: Duration::from_secs(5),
        }
    }
}

/// How long a lease lasts. Invariant: two renewals may be lost before it expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseSettings {
    ttl: Duration,
    renew_every: Duration,
}

/// A lease that would be lost with the first late renewal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a lease of {ttl:?} renewed every {renew_every:?} is too short; it has to last three renewals")]
pub struct LeaseTooShort {
    ttl: Duration,
    renew_every: Duration,
}

impl LeaseSettings {
    /// Checks and makes.
    ///
    /// # Errors
    ///
    /// [`LeaseTooShort`] when fewer than three renewals fit into the lease.
    pub fn try_new(ttl: Duration, renew_every: Duration) -> Result<Self, LeaseTooShort> {
        if renew_every.is_zero() || renew_every.saturating_mul(3) > ttl {
            return Err(LeaseTooShort { ttl, renew_every });
        }
        Ok(Self { ttl, renew_every })
    }

    /// How long a lease lasts.
    #[must_use]
    pub const fn ttl(self) -> Duration {
        self.ttl
    }

    /// How often it is renewed.
    #[must_use]
    pub const fn renew_every(self) -> Duration {
        self.renew_every
    }
}

impl Default for LeaseSettings {
    fn default() -> Self {
        // Long enough for a busy disk, short enough that another server takes over before anybody asks.
        Self { ttl: Duration::from_secs(15), renew_every: Duration::from_secs(4) }
    }
}

/// When platforms lose what was kept for revisions: images, above all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GarbageSettings {
    /// How often it is looked for; never when `None`.
    pub every: Option<Duration>,
    /// How many revisions of each release that served before keep what they are made of; at least one.
    pub revisions: u32,
    /// What a revision is made of is kept this long after the last change to that revision, whatever became of it.
    pub keep: Duration,
}

impl Default for GarbageSettings {
    fn default() -> Self {
        Self { every: Some(Duration::from_secs(600)), revisions: 10, keep: Duration::from_secs(7 * 24 * 60 * 60) }
    }
}

/// How what died is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartSettings {
    /// Pause before the first restart; each further one doubles it.
    pub first: Duration,
    /// Longest pause.
    pub max: Duration,
    /// So many restarts within [`RestartSettings::window`] make the release degraded; restarts go on, slowly.
    pub degraded_after: u32,
    /// An instance that ran this long has a clean record again.
    pub window: Duration,
}

impl Default for RestartSettings {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            max: Duration::from_secs(60),
            degraded_after: 5,
            window: Duration::from_secs(600),
        }
    }
}
