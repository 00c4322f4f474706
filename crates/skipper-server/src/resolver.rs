//! From what was asked for to a spec that can be carried out: resources pinned by digest, ports chosen.
//!
//! Packages are rendered within the request, so what is left here is pinning. Rollbacks and scalings take the spec of the
//! revision they name, which is pinned already: then no registry is asked for anything.

use std::{
    collections::BTreeSet,
    fs,
    io::ErrorKind as IoErrorKind,
    net::{IpAddr, Ipv4Addr, TcpListener},
    ops::RangeInclusive,
    sync::Arc,
    time::Duration,
};

use futures::future::try_join_all;
use skipper_core::{
    BoxFuture,
    id::ReleaseId,
    name::{AppName, ReleaseName},
    port::{Clock, Error as PortError, ErrorKind, Ids, Platform, ResolveRequest, Resolved, Resolver},
    release::Source,
    route::{Host, Listener},
    spec::{Application, Spec},
    time::Millis,
};
use skipper_engine::Platforms;
use skipper_store::Store;
use tokio::time::{Instant, sleep};

use crate::{
    apps::{Builder, EdgeTls, LiveApps},
    databases::Branches,
    error::{Code, Error},
    repository::Repositories,
};

/// Longest a plan waits for one resource. A rollout waits as long as the application's own bound.
const PREVIEW_FETCH: Duration = Duration::from_secs(50);
/// How long a rollout tries to reach what cannot be reached: long enough for a server that is being restarted, and no longer than
/// somebody waits who has written a wrong address.
const UNREACHABLE: Duration = Duration::from_secs(10);
/// First and longest pause between two tries.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// Ports that are tried for one application.
const PORTS_TRIED: usize = 32;

/// How many accounts an application may go through: the one that is named, and one that it is given to.
const HANDED_OVER: usize = 2;

/// Whose spec it is.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    /// The release; `None` where there is none yet.
    pub release: Option<ReleaseId>,
    /// Its name.
    pub name: &'a ReleaseName,
}

/// The resolver of the releases door.
#[derive(Debug)]
pub struct PackageResolver {
    store: Store,
    repositories: Repositories,
    platforms: Platforms,
    edge_ports: RangeInclusive<u16>,
    edge_address: IpAddr,
    clock: Arc<dyn Clock>,
    boot_health: Option<Millis>,
    apps: Option<Builder>,
}

impl PackageResolver {
    /// Puts one together.
    #[must_use]
    pub const fn new(
        store: Store,
        repositories: Repositories,
        platforms: Platforms,
        edge_ports: RangeInclusive<u16>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let edge_address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self { store, repositories, platforms, edge_ports, edge_address, clock, boot_health: None, apps: None }
    }

    /// Where ports of routes listen, if not on the loopback.
    #[must_use]
    pub const fn with_edge_address(mut self, address: IpAddr) -> Self {
        self.edge_address = address;
        self
    }

    /// Longest an application of Spring's deployers may take to be healthy, unless the request says otherwise.
    #[must_use]
    pub fn with_boot_health(mut self, bound: Option<Duration>) -> Self {
        self.boot_health = bound.map(|bound| Millis(u64::try_from(bound.as_millis()).unwrap_or(u64::MAX)));
        self
    }

    /// Builds apps of that directory as well; what `tls` knows certificates for, for the edge's TLS listener too.
    #[must_use]
    pub fn with_apps(mut self, apps: LiveApps, ids: Arc<dyn Ids>, tls: EdgeTls) -> Self {
        self.apps = Some(Builder {
            store: self.store.clone(),
            platforms: self.platforms.clone(),
            apps,
            clock: Arc::clone(&self.clock),
            branches: Branches::new(self.store.clone(), Arc::clone(&ids)),
            ids,
            tls,
        });
        self
    }

    /// Whoever makes branches of databases for previews; nobody where there are no apps.
    pub(crate) fn branches(&self) -> Option<Branches> {
        self.apps.as_ref().map(|builder| builder.branches.clone())
    }

    /// Whether the edge serves the host name of an app with TLS.
    pub(crate) async fn serves_tls(&self, host: &Host) -> bool {
        match &self.apps {
            Some(builder) => builder.tls.hosts().await.serves(host),
            None => false,
        }
    }

    /// Sets the bound that the configuration names, as a request would.
    fn bound_health(&self, spec: &mut Spec) {
        if spec.applications.iter().any(|app| app.deployer.is_some()) {
            spec.health_bound = spec.health_bound.or(self.boot_health);
        }
    }

    /// The repositories that packages come from.
    #[must_use]
    pub const fn repositories(&self) -> &Repositories {
        &self.repositories
    }

    /// Looks over what was just rendered; see [`Platform::review`]. Returns what will not be done as it was asked.
    ///
    /// # Errors
    ///
    /// What a platform cannot run, before anybody waits for it.
    pub async fn review(&self, spec: &Spec) -> Result<Vec<String>, Error> {
        let mut told = Vec::new();
        for app in &spec.applications {
            // One that is not configured is refused with the plan.
            if self.platforms.get(&app.target).is_none() {
                continue;
            }
            let (_, said) = reviewed(&self.platforms, &mut app.clone()).await.map_err(|error| port_error(&error))?;
            told.extend(said.into_iter().map(|what| format!("application `{}`: {what}", app.name)));
        }
        Ok(told)
    }

    /// The spec with each application on the account that is going to run it. What cannot run is left as it is:
    /// [`PackageResolver::review`] has told it.
    pub async fn handed_over(&self, spec: &Spec) -> Spec {
        let mut spec = spec.clone();
        for app in &mut spec.applications {
            let mut looked_over = app.clone();
            if reviewed(&self.platforms, &mut looked_over).await.is_ok() {
                app.target = looked_over.target;
            }
        }
        spec
    }

    /// The spec as a rollout would pin it, for a plan: nothing is claimed. A port that is still to be chosen stays
    /// [`Listener::Auto`], unless the release has one.
    ///
    /// # Errors
    ///
    /// A resource cannot be had; a route belongs to another release.
    pub async fn preview(&self, spec: &Spec, owner: Owner<'_>) -> Result<Spec, Error> {
        let mut spec = spec.clone();
        if let Some(release) = owner.release
            && let Some(known) = self.store.release_get_by_id(release).await?
            && let Some(number) = known.serving
            && let Some(serving) = self.store.revision_get(release, number).await?.and_then(|revision| revision.spec)
        {
            for app in &mut spec.applications {
                keep_port(app, serving.application(&app.name), &self.edge_ports);
            }
        }
        self.bound_health(&mut spec);
        self.store.route_claims_check(owner.release, &spec).await?;
        self.fetch_all(&mut spec, Duration::ZERO, |_| PREVIEW_FETCH).await.map_err(|error| port_error(&error))?;
        Ok(spec)
    }

    async fn rendered(&self, request: &ResolveRequest) -> Result<(String, Spec), PortError> {
        if let Some(rendered) = &request.rendered {
            return Ok(rendered.clone());
        }
        match &request.source {
            Source::Package { .. } => self.repositories.render_again(request).await,
            Source::App { .. } => match &self.apps {
                Some(builder) => Box::pin(builder.build(request, UNREACHABLE)).await,
                None => Err(PortError::new(ErrorKind::Permanent, "app-unknown", "this server has no apps")),
            },
            // Everything that it says was known when it was asked for.
            Source::Tenant { .. } => {
                Err(PortError::new(ErrorKind::Damaged, "tenant-unrendered", "the tenant's projects were not stored"))
            }
            Source::Revision { number } => self.stored(request.release, *number).await,
            Source::Scale { number, replicas } => {
                let (manifest, mut spec) = self.stored(request.release, *number).await?;
                for app in &mut spec.applications {
                    if let Some(count) = replicas.get(app.name.as_str()) {
                        app.replicas = *count;
                    }
                }
                Ok((manifest, spec))
            }
        }
    }

    async fn stored(&self, release: ReleaseId, number: u64) -> Result<(String, Spec), PortError> {
        let revision = self.store.revision_get(release, number).await?;
        revision.and_then(|revision| Some((revision.manifest?, revision.spec?))).ok_or_else(|| {
            PortError::new(ErrorKind::Permanent, "revision-gone", format!("revision {number} has no manifest any more"))
                .hint("choose another revision with --to")
        })
    }

    async fn pin(&self, request: &ResolveRequest, spec: &mut Spec) -> Result<(), PortError> {
        if matches!(request.source, Source::Package { .. }) {
            self.bound_health(spec);
        }
        for app in &mut spec.applications {
            if app.routes.iter().any(|route| route.listener == Listener::Auto) {
                let port = self.port_for(request.release, &app.name).await?;
                set_port(app, port);
            }
        }
        let left = request.deadline.since(self.clock.now());
        self.fetch_all(spec, UNREACHABLE, |app| app.bounds.fetch.duration().min(left)).await
    }

    /// The port of the edge for an application that named none: the one that was picked before. What the release is not routed
    /// by yet, and nobody can listen on, is given up for the next one.
    async fn port_for(&self, release: ReleaseId, app: &AppName) -> Result<u16, PortError> {
        let mut useless = BTreeSet::new();
        loop {
            let claim = async |in_use: BTreeSet<u16>| {
                let avoid: Vec<u16> =
                    in_use.union(&useless).copied().filter(|port| self.edge_ports.contains(port)).collect();
                self.store.port_claim(release, app, self.edge_ports.clone(), &avoid).await
            };
            // Better none that a connection came from lately; but connections to the edge itself leave such ports behind too.
            let port = match claim(in_use(false)).await {
                Err(skipper_store::Error::NoFreePort { .. }) => claim(in_use(true)).await,
                claimed => claimed,
            };
            let port = port.map_err(PortError::from)?;
            let fits = useless.len() == PORTS_TRIED || can_listen(self.edge_address, port);
            if fits || !self.store.port_give_up(release, app).await.map_err(PortError::from)? {
                return Ok(port);
            }
            useless.insert(port);
        }
    }

    async fn fetch_all(
        &self,
        spec: &mut Spec,
        patience: Duration,
        bound: impl Fn(&Application) -> Duration,
    ) -> Result<(), PortError> {
        let fetches = spec.applications.iter_mut().map(|app| {
            let bound = bound(app);
            async move {
                // What cannot run is told before anything is fetched for it; the bytes are looked at when they are here.
                let (platform, _) = reviewed(&self.platforms, app).await?;
                patiently(platform.as_ref(), app, patience, bound).await?;
                platform.review(app).await?;
                Ok::<_, PortError>(())
            }
        });
        try_join_all(fetches).await?;
        Ok(())
    }
}

/// Has an application looked over by the account that it is for, and by the one that this gives it to; see
/// [`Platform::review`]. Returns that account, and what will not be done as it was asked.
pub(crate) async fn reviewed(
    platforms: &Platforms,
    app: &mut Application,
) -> Result<(Arc<dyn Platform>, Vec<String>), PortError> {
    let mut told = Vec::new();
    for _ in 0..HANDED_OVER {
        let target = app.target.clone();
        let platform = platforms.get(&target).ok_or_else(|| {
            let message = format!("application `{}` asks for platform `{target}`, which is not configured", app.name);
            PortError::new(ErrorKind::Permanent, "unknown-platform", message)
                .hint("see the configured platforms with `skipper platform list`")
        })?;
        told.extend(platform.review(app).await?);
        if app.target == target {
            return Ok((platform, told));
        }
    }
    let message = format!("application `{}` is given from one platform to the next", app.name);
    Err(PortError::new(ErrorKind::Permanent, "no-platform", message).hint("name the platform that is to run it"))
}

impl Resolver for PackageResolver {
    fn resolve<'a>(&'a self, request: &'a ResolveRequest) -> BoxFuture<'a, Result<Resolved, PortError>> {
        Box::pin(async move {
            let (text, mut spec) = self.rendered(request).await?;
            self.pin(request, &mut spec).await?;
            // What was built just now claims its routes with the plan; that they are another's ends the rollout here.
            self.store.route_claims_check(Some(request.release), &spec).await?;
            Ok(Resolved { manifest: skipper_source::manifest::of(&spec, text), spec })
        })
    }
}

/// Asks again as long as it may help, within `bound` for the whole. What has failed for `patience` is given up: most of what
/// cannot be reached is a wrong address, and whoever waits for the rollout wants to know.
pub(crate) async fn patiently(
    platform: &dyn Platform,
    app: &mut Application,
    patience: Duration,
    bound: Duration,
) -> Result<(), PortError> {
    let (begun, mut pause) = (Instant::now(), FIRST_PAUSE);
    // Not since the beginning: one large file may take longer than that, and fail at its end.
    let mut failing = None;
    loop {
        let error = match platform.pin(app, bound.saturating_sub(begun.elapsed())).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let worth_it = matches!(error.kind(), ErrorKind::Transient | ErrorKind::Unknown);
        if !worth_it || patience.is_zero() {
            return Err(error);
        }
        let tried = failing.get_or_insert_with(Instant::now).elapsed();
        if tried + pause >= patience || begun.elapsed() + pause >= bound {
            // Not transient any more for whoever asks.
            let told = match tried.as_secs() {
                0 => error.chain(),
                secs => format!("{} (tried again and again for {secs} s)", error.chain()),
            };
            let told = PortError::new(ErrorKind::Permanent, error.code(), told);
            return Err(match error.advice() {
                Some(hint) => told.hint(hint.to_owned()),
                None => told,
            });
        }
        sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// What a port said, as an error of a verb.
fn port_error(error: &PortError) -> Error {
    let code = match (error.code(), error.kind()) {
        ("unknown-platform", _) => Code::PlanRefused,
        (_, ErrorKind::Permanent | ErrorKind::Damaged | ErrorKind::NotFound) => Code::PlanRefused,
        _ => Code::PlatformFailed,
    };
    let mapped = Error::new(code, error.chain());
    match error.advice() {
        Some(hint) => mapped.hint(hint),
        None => mapped,
    }
}

fn set_port(app: &mut Application, port: u16) {
    for route in app.routes.iter_mut().filter(|route| route.listener == Listener::Auto) {
        route.listener = Listener::Port(port);
    }
}

/// The port that was chosen for the application before stays its own.
fn keep_port(app: &mut Application, before: Option<&Application>, range: &RangeInclusive<u16>) {
    let chosen = before.into_iter().flat_map(|before| &before.routes).find_map(|route| match route.listener {
        Listener::Port(port) if range.contains(&port) => Some(port),
        _ => None,
    });
    if let Some(port) = chosen {
        set_port(app, port);
    }
}

/// Whether a socket can listen there. Only asking the kernel tells: what a connection has left may be in the way or not.
fn can_listen(address: IpAddr, port: u16) -> bool {
    !TcpListener::bind((address, port)).is_err_and(|error| error.kind() == IoErrorKind::AddrInUse)
}

/// TCP ports that somebody on this host has, or `only_listening`; empty where that cannot be told.
fn in_use(only_listening: bool) -> BTreeSet<u16> {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|text| text.lines().skip(1).filter_map(port_of).collect::<Vec<_>>())
        .filter(|(_, listens)| *listens || !only_listening)
        .map(|(port, _)| port)
        .collect()
}

/// The port of `  0: 0100007F:1F90 00000000:0000 0A …`, and whether somebody listens there (0A). On one that a connection of another
/// program came from nobody can listen either, until the kernel has forgotten it.
fn port_of(line: &str) -> Option<(u16, bool)> {
    let mut fields = line.split_whitespace();
    let (_, port) = fields.nth(1)?.rsplit_once(':')?;
    Some((u16::from_str_radix(port, 16).ok()?, fields.nth(1)? == "0A"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_read_from_the_kernels_table() {
        let line = "   0: 0100007F:1D99 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1";
        assert_eq!(port_of(line), Some((7577, true)));
        assert_eq!(port_of(&line.replace(" 0A ", " 06 ")), Some((7577, false)), "one that a connection has left");
        assert_eq!(port_of("garbage"), None);
        let held = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = held.local_addr().expect("address").port();
        assert!(in_use(true).contains(&port));
        assert!(!can_listen(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
        drop(held);
        assert!(can_listen(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
}
