//! The parts of a server, made from its configuration. Nothing is started here.

use std::{ffi::OsString, fs, sync::Arc};

use skipper_core::port::Router;
use skipper_edge::{EdgeProcess, EdgeRouter, EdgeSupervisor, Redirect, control_path};
use skipper_engine::{Engine, EngineConfig, Platforms, Routers, Tuning};
use skipper_store::{KeySource, Location, Store, StoreConfig};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Error, World, platforms, tend::Tender};
use crate::{
    app::{App, Parts},
    apps::EdgeTls,
    config::{Config, Database, EdgeConfig, EdgePort, LogFormat},
    edge::EdgeView,
    fleet::Fleet,
    metrics::Metrics,
    repository::{self, Repositories, Settings},
    resolver::PackageResolver,
};

/// A server that does not run yet.
pub(super) struct Assembled {
    pub(super) app: App,
    pub(super) tender: Tender,
    pub(super) platforms: Vec<platforms::Opened>,
    /// What is said of Caddy; whoever tends follows it.
    pub(super) caddy: watch::Sender<Option<crate::caddy::Settings>>,
}

/// Where the store is, and what seals its secrets.
pub(super) fn store_config(config: &Config, world: &World) -> StoreConfig {
    let location = match &config.database {
        Database::Sqlite(path) => Location::Sqlite(path.clone()),
        Database::Postgres(url) => Location::Postgres(url.expose().to_owned()),
    };
    let key = match &config.secret_key {
        Some(key) => KeySource::text(key.expose()),
        None => KeySource::File(config.data_dir.join("keys/secret.key")),
    };
    // The lock of the data directory is held.
    StoreConfig::new(location, key, Arc::clone(&world.clock), Arc::clone(&world.ids)).exclusive()
}

pub(super) fn assemble(
    config: &Config,
    world: &World,
    store: Store,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<Assembled, Error> {
    let owner = owner(config, world)?;
    let opened = platforms::open(config, world, &owner, tasks)?;
    let fleet = Fleet::new(store.clone(), Arc::clone(&world.clock));
    let platforms: Platforms = opened.iter().map(|(target, opened)| (target.clone(), opened.as_platform())).collect();
    let platforms = platforms.and(Arc::new(fleet.clone()));
    let process = edge_process(config, world);
    let router = Arc::new(EdgeRouter::new(process.control.clone()));
    let supervisor = Arc::new(EdgeSupervisor::new(process));
    let repositories = Repositories::new(
        store.clone(),
        Arc::clone(&world.clock),
        Arc::clone(&world.ids),
        Settings {
            owner: owner.clone(),
            refresh: config.repositories.refresh,
            package: config.limits.package,
            patience: repository::INDEX_TIME,
        },
    );
    let resolver = PackageResolver::new(
        store.clone(),
        repositories,
        platforms.clone(),
        config.edge.ports.clone(),
        Arc::clone(&world.clock),
    );
    // Behind Caddy TLS is Caddy's; elsewhere a route with TLS is refused that nobody has a certificate for, or could order one.
    let behind = config.apps.get().is_some_and(|apps| apps.server().caddy.is_some());
    let tls = if config.edge.https == EdgePort::Off || behind {
        EdgeTls::default()
    } else {
        EdgeTls { orders: config.edge.acme.is_some(), folder: Some(config.edge.tls_dir.clone()) }
    };
    let resolver = resolver.with_edge_address(config.edge.address);
    let resolver = resolver.with_apps(config.apps.clone(), Arc::clone(&world.ids), tls);
    let resolver = Arc::new(resolver.with_boot_health(config.boot_health));
    let engine = Engine::new(EngineConfig {
        store: Arc::new(store.clone()),
        platforms: platforms.clone(),
        routers: Routers::new(Arc::clone(&router) as Arc<dyn Router>).and(Arc::new(fleet.clone())),
        resolver: Arc::clone(&resolver) as _,
        clock: Arc::clone(&world.clock),
        ids: Arc::clone(&world.ids),
        owner: owner.clone(),
        tuning: Tuning { garbage: config.garbage, ..Tuning::default() },
    });
    let app = App::new(Parts {
        store,
        engine: engine.handle(),
        platforms,
        default_platform: config.default_platform.clone(),
        router: Arc::clone(&router) as Arc<dyn Router>,
        edge: router as Arc<dyn EdgeView>,
        caddy: Default::default(),
        resolver,
        clock: Arc::clone(&world.clock),
        ids: Arc::clone(&world.ids),
        admin_token: config.admin_token.clone(),
        user: config.user.clone(),
        apps: config.apps.clone(),
        slips: Default::default(),
        fleet,
        webhooks: Default::default(),
        about: config.about.clone(),
        limits: config.limits.clone(),
        retention: config.retention.clone(),
        tenant_platforms: config.tenant_platforms.clone(),
        scratch: scratch(config)?,
        kept: Default::default(),
        versions: Default::default(),
        packages: Default::default(),
        metrics: Metrics::default(),
        tasks: tasks.clone(),
        tended_by: watch::Sender::new(None),
        stop: stop.clone(),
    });
    let place = format!("{}:{}", host(), config.data_dir.display());
    let caddy = watch::Sender::new(config.caddy.clone());
    let tender = Tender { app: app.clone(), engine, supervisor, owner, place, caddy: caddy.subscribe() };
    Ok(Assembled { app, tender, platforms: opened.into_iter().map(|(_, opened)| opened).collect(), caddy })
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Names this server in leases: the same after a restart, another one for another data directory.
fn owner(config: &Config, world: &World) -> Result<String, Error> {
    let place = match &config.database {
        Database::Sqlite(_) => skipper_core::Sha256::of(config.data_dir.as_os_str().as_encoded_bytes()).short(),
        // Hosts and folders of servers that share a database may well have the same names.
        Database::Postgres(_) => super::lock::identity(&config.data_dir, &*world.ids)?,
    };
    Ok(format!("{}-{place}", host()))
}

/// An empty folder for files that are made while they are sent; what a killed server left in it goes.
fn scratch(config: &Config) -> Result<std::path::PathBuf, Error> {
    let path = config.data_dir.join("tmp");
    let made = fs::create_dir_all(&path).and_then(|()| fs::read_dir(&path)).map(|entries| {
        for entry in entries.flatten() {
            let _ = fs::remove_file(entry.path());
        }
    });
    made.map_err(|cause| super::lock::Error::Folder { path: path.clone(), cause })?;
    Ok(path)
}

/// Nothing where nothing is said, so that an edge that runs is not taken for another one.
fn tls_args(edge: &EdgeConfig) -> Vec<OsString> {
    let mut args: Vec<OsString> = Vec::new();
    let mut pair = |flag: &str, value: OsString| args.extend([flag.into(), value]);
    match edge.redirect_https {
        None => {}
        Some(Redirect::Listener) => pair("--redirect-https", "on".into()),
        Some(Redirect::Port(port)) => pair("--redirect-https", port.to_string().into()),
    }
    let Some(acme) = &edge.acme else { return args };
    pair("--acme-directory", acme.directory.clone().into());
    acme.contact.iter().for_each(|address| pair("--acme-email", address.into()));
    acme.challenges.iter().for_each(|kind| pair("--acme-challenge", kind.to_string().into()));
    if let Some(file) = &acme.ca_file {
        pair("--acme-ca-file", file.into());
    }
    if let Some(external) = &acme.external_account {
        pair("--acme-eab-key-id", external.key_id.clone().into());
        pair("--acme-eab-key-file", external.key_file.clone().into());
    }
    // The configuration has been asked.
    args.push("--acme-terms-agreed".into());
    args
}

/// How the edge is started where none answers; the arguments are those of `skipper edge`.
fn edge_process(config: &Config, world: &World) -> EdgeProcess {
    let state = config.data_dir.join("edge");
    let control = config.edge.socket.clone().unwrap_or_else(|| control_path(&state, world.runtime_dir.as_deref()));
    let log = state.join("edge.log");
    let port = |port: EdgePort| match port {
        EdgePort::Auto => "auto".to_owned(),
        EdgePort::Off => "off".to_owned(),
        EdgePort::At(address) => address.to_string(),
    };
    let format = match config.log.format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    let pairs: [(&str, OsString); 9] = [
        ("--data-dir", config.data_dir.clone().into_os_string()),
        ("--socket", control.clone().into_os_string()),
        ("--http", port(config.edge.http).into()),
        ("--https", port(config.edge.https).into()),
        ("--bind", config.edge.address.to_string().into()),
        ("--tls-dir", config.edge.tls_dir.clone().into_os_string()),
        ("--log-file", log.clone().into_os_string()),
        ("--log-format", format.into()),
        ("--log-level", config.log.level.clone().into()),
    ];
    let mut args: Vec<OsString> = vec!["edge".into()];
    args.extend(pairs.into_iter().flat_map(|(flag, value)| [flag.into(), value]));
    args.extend(tls_args(&config.edge));
    for network in &config.edge.trusted_proxies {
        args.extend(["--trust-proxy".into(), network.to_string().into()]);
    }
    args.push("--detach".into());
    // Another release, other settings: another edge. Only one that a server started carries it.
    let text = args.iter().map(|arg| arg.to_string_lossy()).collect::<Vec<_>>().join("\0");
    let origin = skipper_core::Sha256::of(format!("{}\0{text}", env!("CARGO_PKG_VERSION")).as_bytes()).short();
    args.extend(["--origin".into(), origin.clone().into()]);
    EdgeProcess { exe: world.program.clone(), args, control, log, origin: Some(origin) }
}
