//! Specs, applications and names with everything filled in, to be changed where a test cares.

use std::{collections::BTreeMap, fs, path::Path};

use skipper_core::{
    actor::{Actor, Provenance},
    id::RequestId,
    name::{AppName, PlatformName, PortName, ReleaseName, TenantName},
    port::Capabilities,
    route::{Host, Listener, PathPrefix},
    spec::{
        Application, Bounds, Check, Health, Hook, Hooks, Limits, Port, Resource, Route, Spec, StopPolicy, Strategy,
        Target, Volume,
    },
    time::Millis,
};
use uuid::Uuid;

const VALID: &str = "the fixture's name is valid";

/// The platform account that fixtures run on.
#[must_use]
pub fn target() -> Target {
    Target(PlatformName::new("local").expect(VALID))
}

/// A release name.
#[must_use]
pub fn release(name: &str) -> ReleaseName {
    ReleaseName::new(name).expect(VALID)
}

/// An application name.
#[must_use]
pub fn app_name(name: &str) -> AppName {
    AppName::new(name).expect(VALID)
}

/// The tenant of everything.
#[must_use]
pub fn tenant() -> TenantName {
    TenantName::default_tenant()
}

/// A platform that can do everything and does not converge.
#[must_use]
pub fn capable() -> Capabilities {
    Capabilities {
        schemes: vec!["file".into(), "builtin".into(), "http".into(), "https".into(), "maven".into()],
        replicas: true,
        volumes: true,
        memory_limits: true,
        cpu_limits: true,
        hooks: true,
        ..Capabilities::default()
    }
}

/// A routed application with one instance, blue-green without bake, whose `version` tells its revisions apart.
#[must_use]
pub fn app(name: &str, version: &str) -> Application {
    let port = PortName::new("http").expect(VALID);
    let route = Route {
        listener: Listener::Http,
        host: Some(Host::new(&format!("{name}.example.org")).expect(VALID)),
        path: PathPrefix::default(),
        port: port.clone(),
    };
    let check = Check::Http { port: port.clone(), path: "/health".into(), status: vec![(200, 200)] };
    Application {
        name: app_name(name),
        target: target(),
        resource: Resource { uri: "builtin:sample".into(), sha256: None },
        command: Vec::new(),
        args: Vec::new(),
        env: BTreeMap::from([("VERSION".into(), version.into())]),
        secrets: Vec::new(),
        ports: vec![Port { name: port, env: Some("PORT".into()), fixed: None, direct: false, container: None }],
        health: Health { start_period: Millis::secs(30), ..Health::with_defaults(check) },
        routes: vec![route],
        strategy: Strategy::BlueGreen { bake: Millis(0) },
        replicas: 1,
        limits: Limits::default(),
        volumes: Vec::new(),
        hooks: Hooks::default(),
        depends_on: Vec::new(),
        stop: StopPolicy::default(),
        bounds: Bounds::default(),
        working_dir: None,
        platform_options: BTreeMap::new(),
        images: BTreeMap::new(),
        deployer: None,
        relaunched: None,
    }
}

/// The same without a way in.
#[must_use]
pub fn worker(name: &str, version: &str) -> Application {
    Application { routes: Vec::new(), ..app(name, version) }
}

/// A read-write volume.
#[must_use]
pub fn volume(name: &str) -> Volume {
    Volume { name: name.into(), path: "/data".into(), env: None, source: None, read_only: false }
}

/// A hook at each point.
#[must_use]
pub fn hooks() -> Hooks {
    let hook = |word: &str| Some(Hook { command: vec![word.to_owned()], timeout: Millis::secs(10) });
    Hooks { before_launch: hook("migrate"), before_shift: hook("warm-up"), after_shift: hook("announce") }
}

/// A spec of these applications.
#[must_use]
pub fn spec(applications: impl IntoIterator<Item = Application>) -> Spec {
    Spec::new(applications.into_iter().collect())
}

/// Somebody at this machine.
#[must_use]
pub fn provenance() -> Provenance {
    let request = RequestId::from_uuid(Uuid::from_u64_pair(0x7000, (0b10 << 62) | 1));
    Provenance { actor: Actor::Local, trigger: "test".into(), request, correlation: request.to_string() }
}

/// Puts a certificate for a host, signed by nobody else, where an edge reads it from: `HOST.crt` and `HOST.key`.
///
/// # Panics
///
/// Where the folder cannot be written.
pub fn certificate(folder: &Path, host: &str) {
    let pair = rcgen::generate_simple_self_signed([host.to_owned()]).expect("a pair");
    fs::create_dir_all(folder).expect("made");
    let stem = host.replacen("*.", "_.", 1);
    fs::write(folder.join(format!("{stem}.crt")), pair.cert.pem()).expect("written");
    fs::write(folder.join(format!("{stem}.key")), pair.signing_key.serialize_pem()).expect("written");
}
