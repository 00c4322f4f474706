//! An edge with its folder and router, upstreams that answer with their own name, and clients that say what they see.

mod client;
pub(crate) mod pebble;
mod upstream;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    path::Path,
    time::Duration,
};

use skipper_core::{
    deployment::DeploymentId,
    generation::Generation,
    id::ReleaseId,
    name::AppName,
    port::Router as _,
    route::{Backend, Host, Listener, Mode, PathPrefix, RouteKey, Service, ServiceId},
};
use skipper_edge::{Edge, EdgeConfig, EdgeRouter, SharedListen};
use tempfile::TempDir;

pub(crate) use self::{
    client::{Client, get, raw, read_answer},
    upstream::{Upstream, scripted},
};

/// An edge in this process.
pub(crate) struct Fixture {
    pub(crate) folder: TempDir,
    pub(crate) edge: Edge,
    pub(crate) router: EdgeRouter,
}

pub(crate) fn config(folder: &Path) -> EdgeConfig {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut config = EdgeConfig::new(folder);
    config.http = SharedListen::at(any);
    config.https = SharedListen::at(any);
    config.bind = IpAddr::V4(Ipv4Addr::LOCALHOST);
    config.threads = NonZeroUsize::new(2).expect("not zero");
    config.lame_duck = Duration::from_secs(20);
    config
}

impl Fixture {
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut EdgeConfig)) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let mut config = config(folder.path());
        change(&mut config);
        let router = EdgeRouter::new(config.control.clone());
        let edge = Edge::start(config).expect("the edge starts");
        Self { folder, edge, router }
    }

    /// Sets a service that must be taken, and returns where its first route listens.
    pub(crate) async fn set(&self, service: &Service) -> SocketAddr {
        self.router.set(service).await.expect("the service is taken");
        let key = service.routes.values().flatten().next().expect("a route");
        self.address(key.listener).await
    }

    pub(crate) async fn address(&self, listener: Listener) -> SocketAddr {
        let info = self.router.info().await.expect("the edge answers");
        let name = listener.to_string();
        info.listeners.iter().find(|open| open.listener == name).expect("the listener is open").address
    }

    /// Ends the edge at once.
    pub(crate) fn end(self) -> TempDir {
        self.edge.stop(Duration::ZERO);
        self.edge.join().expect("the edge ends well");
        self.folder
    }
}

/// A service with one route for any host on the shared listener, to be changed at will.
pub(crate) fn service(number: u8) -> Service {
    let id: ReleaseId = format!("0198c3f0-0000-7000-8000-0000000000{number:02x}").parse().expect("uuid");
    Service {
        id: ServiceId { release: id, app: AppName::new("web").expect("name") },
        label: format!("default/test-{number}/web"),
        generation: Generation { epoch: 1, counter: 1 },
        routes: BTreeMap::from([("http".to_owned(), vec![key(Listener::Http, None, "/")])]),
        backends: Vec::new(),
        mode: Mode::Open,
    }
}

pub(crate) fn key(listener: Listener, host: Option<&str>, path: &str) -> RouteKey {
    RouteKey {
        listener,
        host: host.map(|host| Host::new(host).expect("host")),
        path: PathPrefix::new(path).expect("path"),
    }
}

pub(crate) fn backend(deployment: &str, weight: u8, addresses: &[SocketAddr]) -> Backend {
    Backend {
        deployment: DeploymentId::from_stored(deployment),
        revision: 1,
        weight,
        addresses: BTreeMap::from([("http".to_owned(), addresses.to_vec())]),
    }
}

/// A service that leads to one upstream.
pub(crate) fn to(number: u8, upstream: &Upstream) -> Service {
    Service { backends: vec![backend(upstream.name(), 100, &[upstream.address()])], ..service(number) }
}

/// Waits until something is so.
pub(crate) async fn eventually(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let checking = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), checking).await.unwrap_or_else(|_| panic!("never: {what}"));
}
