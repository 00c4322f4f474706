use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use axum::{body::Body, extract::ConnectInfo};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use skipper_core::{
    BoxFuture,
    actor::{Actor, Provenance, Role},
    id::{ReleaseId, RequestId},
    name::{PlatformName, TenantName},
    port::{Error as PortError, Ids as _, Platform, Router},
    secret::SecretValue,
    spec::Target,
};
use skipper_engine::{Engine, EngineConfig, Platforms, Routers, Tuning};
use skipper_server::{
    api::own::wire::{Accepted, Problem, RolloutView},
    app::{App, Parts},
    apps::{EdgeTls, LiveApps},
    config::{Limits, Retention, User},
    edge::{EdgeState, EdgeView},
    fleet::Fleet,
    metrics::Metrics,
    repository::{Repositories, Settings},
    resolver::PackageResolver,
    tenant_platforms::TenantPlatforms,
};
use skipper_source::{Archive, archive::File};
use skipper_store::{KeySource, Location, NewToken, Store, StoreConfig};
use testkit::{FakePlatform, FakeRouter, SeededIds, TestClock, fixture};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

pub(crate) const LOCAL: &str = "127.0.0.1:50000";
/// Longest a test waits for anything: far above what it takes, far below a hanging test run.
const PATIENCE: Duration = Duration::from_secs(20);

/// What outlives a server.
pub(crate) struct Machine {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) ids: Arc<SeededIds>,
    pub(crate) platform: FakePlatform,
    pub(crate) edge: FakeRouter,
    pub(crate) admin_token: Option<String>,
    pub(crate) user: Option<User>,
    pub(crate) tenant_platforms: TenantPlatforms,
    pub(crate) limits: Limits,
    pub(crate) apps: LiveApps,
    pub(crate) tls: EdgeTls,
    /// A second name of the platform account.
    pub(crate) also: Option<&'static str>,
}

/// A server that runs.
pub(crate) struct Server {
    pub(crate) machine: Machine,
    pub(crate) app: App,
    pub(crate) service: axum::Router,
    later: CancellationToken,
    working: tokio::task::JoinHandle<()>,
}

impl Default for Machine {
    fn default() -> Self {
        let clock = Arc::new(TestClock::default());
        let platform = FakePlatform::new(Arc::clone(&clock));
        Self {
            dir: tempfile::tempdir().expect("a temporary folder"),
            edge: FakeRouter::new(platform.clone()),
            platform,
            clock,
            ids: Arc::new(SeededIds::default()),
            admin_token: None,
            user: None,
            tenant_platforms: TenantPlatforms::default(),
            apps: LiveApps::default(),
            tls: EdgeTls::default(),
            also: None,
            limits: Limits {
                body: 64 * 1024,
                package: 1 << 20,
                secret: 4096,
                connections: 16.try_into().expect("above 0"),
                header_timeout: Duration::from_secs(5),
                request_timeout: Duration::from_secs(10),
                shutdown: Duration::from_secs(5),
            },
        }
    }
}

#[derive(Debug)]
struct FakeEdge(FakeRouter);

impl EdgeView for FakeEdge {
    fn info(&self) -> BoxFuture<'_, Result<EdgeState, PortError>> {
        let listeners = vec![("http".to_owned(), SocketAddr::from(([0, 0, 0, 0], 8080)))];
        Box::pin(async move { Ok(EdgeState { listeners, document: json!({"pid": 1}), ..EdgeState::default() }) })
    }

    fn metrics(&self) -> BoxFuture<'_, Result<String, PortError>> {
        Box::pin(async { Ok("edge_metric 1\n".to_owned()) })
    }

    fn modes(&self, release: ReleaseId) -> BoxFuture<'_, Result<BTreeMap<String, String>, PortError>> {
        let table = self.0.table();
        let own = table.into_iter().filter(move |(id, _)| id.release == release).map(|(id, service)| {
            let mode = serde_json::to_value(&service.mode).expect("a mode is JSON");
            (id.app.to_string(), mode["mode"].as_str().unwrap_or_default().to_owned())
        });
        let modes = own.collect();
        Box::pin(async move { Ok(modes) })
    }
}

impl Machine {
    pub(crate) async fn boot(self) -> Server {
        let key = KeySource::File(self.dir.path().join("keys/secret.key"));
        let location = Location::Sqlite(self.dir.path().join("skipper.db"));
        let config = StoreConfig::new(location, key, self.clock.clone(), self.ids.clone()).exclusive();
        let store = Store::open(config).await.expect("the store opens");
        let account: Arc<dyn Platform> = Arc::new(self.platform.clone());
        let fleet = Fleet::new(store.clone(), self.clock.clone());
        let mut platforms =
            Platforms::default().and(Arc::new(fleet.clone())).with(fixture::target(), Arc::clone(&account));
        if let Some(name) = self.also {
            let mut able = account.capabilities();
            able.schemes.push("docker".to_owned());
            let other = Arc::new(self.platform.clone().capable_of(able));
            platforms = platforms.with(Target(PlatformName::new(name).expect("a name")), other);
        }
        let router: Arc<dyn Router> = Arc::new(self.edge.clone());
        let settings = Settings {
            owner: format!("test-{}", self.dir.path().display()),
            refresh: Duration::from_secs(900),
            package: self.limits.package,
            patience: Duration::from_secs(3),
        };
        let repositories = Repositories::new(store.clone(), self.clock.clone(), self.ids.clone(), settings);
        repositories.prepare(&[], true).await.expect("prepared");
        let resolver =
            PackageResolver::new(store.clone(), repositories, platforms.clone(), 30_000..=32_767, self.clock.clone());
        let resolver = Arc::new(resolver.with_apps(self.apps.clone(), self.ids.clone(), self.tls.clone()));
        let engine = Engine::new(EngineConfig {
            store: Arc::new(store.clone()),
            platforms: platforms.clone(),
            routers: Routers::new(Arc::clone(&router)),
            resolver: resolver.clone(),
            clock: self.clock.clone(),
            ids: self.ids.clone(),
            owner: "test".into(),
            tuning: Tuning { poll_every: Duration::from_millis(50), ..Tuning::default() },
        });
        let scratch = self.dir.path().join("tmp");
        std::fs::create_dir_all(&scratch).expect("made");
        let app = App::new(Parts {
            tended_by: Default::default(),
            store,
            engine: engine.handle(),
            platforms,
            default_platform: fixture::target().0,
            router,
            edge: Arc::new(FakeEdge(self.edge.clone())),
            caddy: Default::default(),
            resolver,
            clock: self.clock.clone(),
            ids: self.ids.clone(),
            admin_token: self.admin_token.clone().map(SecretValue::new),
            user: self.user.clone(),
            apps: self.apps.clone(),
            slips: Default::default(),
            fleet,
            webhooks: Default::default(),
            about: Default::default(),
            limits: self.limits.clone(),
            retention: Retention { idempotency_keys: Duration::from_secs(3600) },
            tenant_platforms: self.tenant_platforms.clone(),
            scratch,
            kept: Default::default(),
            versions: Default::default(),
            packages: Default::default(),
            metrics: Metrics::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        });
        let later = CancellationToken::new();
        let stop = later.clone();
        let working = TaskTracker::new().spawn(async move { engine.run(stop).await });
        Server { service: app.router(), machine: self, app, later, working }
    }
}

/// A request under construction.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) uri: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) peer: Option<SocketAddr>,
}

impl Ask {
    pub(crate) fn new(method: Method, uri: &str) -> Self {
        let headers = vec![("host", "localhost:7577".to_owned())];
        Self { method, uri: uri.to_owned(), headers, body: Vec::new(), peer: Some(LOCAL.parse().expect("address")) }
    }

    pub(crate) fn get(uri: &str) -> Self {
        Self::new(Method::GET, uri)
    }

    pub(crate) fn post(uri: &str, body: &impl Serialize) -> Self {
        Self::new(Method::POST, uri).json(body)
    }

    pub(crate) fn json(mut self, body: &impl Serialize) -> Self {
        self.body = serde_json::to_vec(body).expect("JSON");
        self.header("content-type", "application/json")
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    pub(crate) fn request(self) -> Request<Body> {
        let mut builder = Request::builder().method(self.method).uri(self.uri);
        for (name, value) in self.headers {
            builder = builder.header(name, value);
        }
        if let Some(peer) = self.peer {
            builder = builder.extension(ConnectInfo(peer));
        }
        builder.body(Body::from(self.body)).expect("a request")
    }
}

/// An answer that was read to its end.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    #[track_caller]
    pub(crate) fn read<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}: {}", self.status, self.text()))
    }

    #[track_caller]
    pub(crate) fn ok<T: DeserializeOwned>(&self) -> T {
        assert!(self.status.is_success(), "{}: {}", self.status, self.text());
        self.read()
    }

    /// It was done, whatever is told of it.
    #[track_caller]
    pub(crate) fn done(&self) {
        assert!(self.status.is_success(), "{}: {}", self.status, self.text());
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn problem(&self, code: &str) -> Problem {
        let problem: Problem = self.read();
        assert_eq!(problem.code, code, "{problem:?}");
        assert_eq!(problem.status, self.status.as_u16());
        assert_eq!(self.headers["content-type"], "application/problem+json");
        problem
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        Machine::default().boot().await
    }

    pub(crate) async fn send(&self, ask: Ask) -> Answer {
        let response = self.service.clone().oneshot(ask.request()).await.expect("a router never fails");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, uri: &str) -> Answer {
        self.send(Ask::get(uri)).await
    }

    pub(crate) async fn post(&self, uri: &str, body: &impl Serialize) -> Answer {
        self.send(Ask::post(uri, body)).await
    }

    pub(crate) async fn upload(&self, version: &str, extra: &str) -> Answer {
        let mut ask = Ask::new(Method::POST, "/v1/packages").header("content-type", "application/zip");
        ask.body = package("hello", version, extra);
        self.send(ask).await
    }

    /// Waits until a rollout has ended.
    #[track_caller]
    pub(crate) fn ended(&self, id: &str) -> impl Future<Output = RolloutView> + '_ {
        let uri = format!("/v1/rollouts/{id}");
        async move {
            let mut changes = self.app.store.events_subscribe();
            let waiting = async {
                loop {
                    changes.mark_unchanged();
                    let view: RolloutView = self.get(&uri).await.ok();
                    if view.finished {
                        return view;
                    }
                    changes.changed().await.expect("the store is open");
                }
            };
            match tokio::time::timeout(PATIENCE, waiting).await {
                Ok(view) => view,
                Err(_) => panic!("the rollout does not end in time: {}", self.get(&uri).await.text()),
            }
        }
    }

    pub(crate) async fn install(&self, name: &str, version: &str) -> RolloutView {
        let body = json!({"name": name, "package": {"name": "hello", "version": version}});
        let accepted: Accepted = self.post("/v1/releases", &body).await.ok();
        self.ended(&accepted.rollout.id).await
    }

    /// A release `web` at version 1.0.0 that serves.
    pub(crate) async fn serving() -> Self {
        let server = Self::start().await;
        server.upload("1.0.0", "").await.ok::<Value>();
        server.upload("2.0.0", "").await.ok::<Value>();
        let view = server.install("web", "1.0.0").await;
        assert_eq!(view.phase, "succeeded", "{view:?}");
        server
    }

    pub(crate) async fn token(&self, role: Role, tenant: Option<&str>) -> String {
        let tenant = tenant.map(|name| TenantName::new(name).expect("a name"));
        let request = RequestId::from_uuid(self.machine.ids.next());
        let provenance =
            Provenance { actor: Actor::System, trigger: "test".into(), request, correlation: "test".into() };
        let new = NewToken { name: format!("{}-test", role.as_str()), role, tenant, expires_at: None };
        let (_, secret) = self.app.store.token_create(new, &provenance).await.expect("made");
        secret.expose().to_owned()
    }

    /// What is accepted from now on is not begun.
    pub(crate) fn freeze(&self) {
        self.later.cancel();
    }

    /// Stops as a killed process would be found: nothing is said to anybody.
    pub(crate) async fn reboot(self) -> Self {
        self.later.cancel();
        self.working.await.expect("the engine ends");
        self.app.store.close().await;
        self.machine.boot().await
    }
}

/// The zip of a package with one application whose `VERSION` is the package's; `extra` goes into its spec.
pub(crate) fn package(name: &str, version: &str, extra: &str) -> Vec<u8> {
    let file = |path: &str, text: String| File { path: path.to_owned(), bytes: text.into_bytes() };
    let files = vec![
        file(
            "package.yml",
            format!(
                "apiVersion: skipper/v2\nkind: Package\nname: {name}\nversion: {version}\ndescription: A greeting\n"
            ),
        ),
        file("values.yml", "greeting: hello\n".to_owned()),
        file(
            "templates/web.yml",
            format!(
                "apiVersion: skipper/v2\nkind: Application\nmetadata:\n  name: web\nspec:\n  resource: builtin:sample\n  \
                 env:\n    VERSION: \"{version}\"\n    GREETING: \"{{{{greeting}}}}\"\n  ports:\n    - name: http\n      env: PORT\n  \
                 health:\n    http: {{ path: /health, port: http }}\n    interval: 10ms\n  routes:\n    - host: \
                 \"{{{{release.name}}}}.example.org\"\n      port: http\n{extra}"
            ),
        ),
    ];
    let archive = Archive::from_files(files).expect("a package");
    skipper_source::build(&archive).unwrap_or_else(|faults| panic!("{faults}")).bytes
}
