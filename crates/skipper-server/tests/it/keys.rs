//! Idempotency keys on every route of every door that changes something: the same key gives the first answer, also after a restart,
//! with another body it is refused, and it belongs to whoever sent it.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Method;
use serde_json::{Value, json};
use skipper_core::actor::Role;
use skipper_server::api::{Access, Route, WITHOUT_KEY, document, routes};
use testkit::Behaviour;

use crate::{
    api::{JAVA_2, install, shape, stocked},
    apps::on_disk,
    deploys::{GLOBAL, signed},
    fixture::{Answer, Ask, Server, package},
    remote::{door, serve},
};

/// A server with something of everything, and somebody who may do everything.
struct World {
    server: Server,
    admin: String,
    /// A server whose packages may be read.
    other: Server,
}

impl World {
    async fn start() -> Self {
        let server = on_disk().boot().await;
        let admin = server.token(Role::Admin, None).await;
        let world = Self { server, admin, other: Server::start().await };
        for version in ["1.0.0", "2.0.0", "3.0.0"] {
            world.published("hello", version).await;
        }
        world.server.machine.platform.behave("3.0.0", Behaviour { healthy_after: None, exits_after: None });
        world
    }

    fn ask(&self, method: Method, uri: &str) -> Ask {
        let ask = Ask::new(method, uri).token(&self.admin);
        if uri.starts_with("/api/") { ask.header("accept", JAVA_2) } else { ask }
    }

    fn post(&self, uri: &str, body: &Value) -> Ask {
        self.ask(Method::POST, uri).json(body)
    }

    async fn ok(&self, ask: Ask) -> Value {
        let (method, uri) = (ask.method.clone(), ask.uri.clone());
        let answer = self.server.send(ask).await;
        assert!(answer.status.is_success(), "{method} {uri}: {}: {}", answer.status, answer.text());
        if answer.body.is_empty() { Value::Null } else { answer.read() }
    }

    async fn published(&self, name: &str, version: &str) {
        self.ok(self.zip(name, version)).await;
    }

    fn zip(&self, name: &str, version: &str) -> Ask {
        let mut ask = self.ask(Method::POST, "/v1/packages").header("content-type", "application/zip");
        ask.body = package(name, version, "");
        ask
    }

    /// A release of the package that serves.
    async fn serves(&self, name: &str, package: &str) {
        let body = json!({"name": name, "package": {"name": package, "version": "1.0.0"}});
        let accepted = self.ok(self.post("/v1/releases", &body)).await;
        self.ended(accepted["rollout"]["id"].as_str().expect("an id")).await;
    }

    /// The same with a second version that serves.
    async fn serves_again(&self, name: &str) {
        self.serves(name, "hello").await;
        let upgrade = json!({"package": {"name": "hello", "version": "2.0.0"}});
        let accepted = self.ok(self.post(&format!("/v1/releases/{name}/upgrade"), &upgrade)).await;
        self.ended(accepted["rollout"]["id"].as_str().expect("an id")).await;
    }

    async fn ended(&self, rollout: &str) {
        let uri = format!("/v1/rollouts/{rollout}");
        self.server
            .until(async || {
                let seen = self.ok(self.ask(Method::GET, &uri)).await;
                assert!(seen["finished"] != true || seen["phase"] == "succeeded", "{seen}");
                seen["finished"] == true
            })
            .await;
    }

    /// An app that was deployed with these tags, one after the other.
    async fn deployed(&self, name: &str, tags: &[&str]) {
        let app = json!({"name": name, "image": format!("registry.test/{name}"), "domain": format!("{name}.test"),
            "health": {"path": "/health", "interval": "10ms"}, "preview": {"enabled": true}});
        self.ok(self.post("/v1/apps", &app)).await;
        for tag in tags {
            self.deploy(&json!({"app": name, "tag": tag})).await;
        }
    }

    async fn deploy(&self, body: &Value) {
        let accepted = self.ok(signed(GLOBAL, &body.to_string())).await;
        let uri = format!("/v1/deploys/{}", accepted["deploy_id"].as_str().expect("an id"));
        self.server.until(async || !self.ok(self.ask(Method::GET, &uri)).await["finished_at"].is_null()).await;
    }

    /// An app with a preview of this id.
    async fn previewed(&self, name: &str, id: &str) {
        let repo = format!("[app]\nname = \"{name}\"\n[preview]\nenabled = true\nttl = \"30m\"\n");
        let image = format!("docker:registry.test/{name}:v1");
        self.server.machine.platform.image_file(&image, "/slip/slip.toml", &repo);
        self.deployed(name, &[]).await;
        self.deploy(&json!({"app": name, "tag": "v1", "preview": {"id": id, "sha": "abc"}})).await;
    }

    async fn registered(&self, node: &str) -> String {
        let registered = self.ok(self.post("/v1/nodes", &json!({"id": node}))).await;
        registered["token"].as_str().expect("a token").to_owned()
    }

    fn tenant(&self, name: &str, greeting: &str) -> Ask {
        let web = json!({"image": "localhost/hello:1", "env": {"GREETING": greeting}});
        let spec = json!({"node": format!("of-{name}"), "services": {"web": web}});
        let document = json!({"kind": "tenant", "id": name, "spec": spec});
        self.ask(Method::PUT, &format!("/v1/resources/tenants/{name}")).json(&document)
    }

    /// A tenant with a node, applied with these greetings one after the other.
    async fn applied(&self, tenant: &str, greetings: &[&str]) {
        let token = self.registered(&format!("of-{tenant}")).await;
        for greeting in greetings {
            self.ok(self.tenant(tenant, greeting)).await;
            let applied = self.ok(self.post(&format!("/v1/deployments/{tenant}/apply"), &json!({}))).await;
            let next = format!("/v1/nodes/of-{tenant}/work-orders/next?wait=10");
            let order = self.ok(Ask::get(&next).token(&token)).await;
            let done =
                json!({"generation": order["generation"], "status": "succeeded", "result": {"status": "succeeded"}});
            let result = format!("/v1/work-orders/{}/result", order["id"].as_str().expect("an id"));
            self.ok(Ask::post(&result, &done).token(&token)).await;
            self.ended(applied["rollout"].as_str().expect("an id")).await;
        }
    }

    /// A repository of Spring's door, by the path at which it is.
    async fn repository(&self, name: &str) -> String {
        let body = json!({"name": name, "url": "http://127.0.0.1:9/repo"});
        let added = self.server.send(self.post("/api/repositories", &body)).await;
        let place = added.header("location").expect("where it is");
        place[place.find("/api/").expect("a path")..].to_owned()
    }

    /// The number of a package.
    async fn number(&self, package: &str) -> String {
        let uri = format!("/api/packageMetadata/search/findByName?name={package}");
        let found = self.ok(self.ask(Method::GET, &uri)).await;
        let place = found["_embedded"]["packageMetadata"][0]["_links"]["self"]["href"].as_str().expect("an address");
        place.rsplit('/').next().expect("a number").to_owned()
    }

    /// Answers a request to the management of the first instance of that release.
    async fn managed(&self, release: &str) -> String {
        let status = self.ok(self.ask(Method::GET, &format!("/api/release/status/{release}"))).await;
        let apps = status["status"]["platformStatus"].as_str().expect("a text").to_owned();
        let apps: Value = serde_json::from_str(&apps).expect("JSON");
        let (app, instance) = (&apps[0]["deploymentId"], apps[0]["instances"].as_object().expect("instances"));
        let (name, instance) = instance.iter().next().expect("one");
        let url = instance["attributes"]["url"].as_str().expect("an address");
        let address: std::net::SocketAddr =
            url.trim_start_matches("http://").trim_end_matches('/').parse().expect("it");
        let listener = tokio::net::TcpListener::bind(address).await.expect("the port is free");
        let says = axum::Router::new().fallback(async || "\"done\"");
        let _serving = tokio_util::task::TaskTracker::new().spawn(async move { axum::serve(listener, says).await });
        format!("/api/release/actuator/{release}/{}/{name}", app.as_str().expect("an id"))
    }

    /// What makes a route do something. Each is asked for names of its own.
    async fn well_formed(&self, route: &Route) -> Ask {
        let (post, put, patch, delete) = (Method::POST, Method::PUT, Method::PATCH, Method::DELETE);
        let (method, path) = (route.method.clone(), route.path);
        let hello = |version: &str| json!({"packageName": "hello", "packageVersion": version});
        let spring_install = |name: &str| json!({"packageIdentifier": hello("1.0.0"), "installProperties": {"releaseName": name, "platformName": "default"}});
        let spring_upgrade =
            |name: &str| json!({"packageIdentifier": hello("2.0.0"), "upgradeProperties": {"releaseName": name}});
        let upload = |name: &str| {
            let bytes = STANDARD.encode(package(name, "1.0.0", ""));
            json!({"repoName": "local", "name": name, "version": "1.0.0", "extension": "zip", "packageFileAsBytes": bytes})
        };
        match (&method, path) {
            (&Method::POST, "/v1/releases") => {
                self.post(path, &json!({"name": "r-new", "package": {"name": "hello", "version": "1.0.0"}}))
            }
            (&Method::DELETE, "/v1/releases/{name}") => {
                self.serves("r-gone", "hello").await;
                self.ask(delete, "/v1/releases/r-gone")
            }
            (&Method::POST, "/v1/releases/{name}/upgrade") => {
                self.serves("r-up", "hello").await;
                self.post("/v1/releases/r-up/upgrade", &json!({"package": {"name": "hello", "version": "2.0.0"}}))
            }
            (&Method::POST, "/v1/releases/{name}/rollback") => {
                self.serves_again("r-back").await;
                self.post("/v1/releases/r-back/rollback", &json!({}))
            }
            (&Method::POST, "/v1/releases/{name}/scale") => {
                self.serves("r-more", "hello").await;
                self.post("/v1/releases/r-more/scale", &json!({"replicas": {"web": 2}}))
            }
            (&Method::POST, "/v1/releases/{name}/cancel") => {
                let body = json!({"name": "r-stop", "package": {"name": "hello", "version": "3.0.0"}});
                self.ok(self.post("/v1/releases", &body)).await;
                self.ask(post, "/v1/releases/r-stop/cancel")
            }
            (&Method::POST, "/v1/releases/{name}/hold") => {
                self.serves("r-run", "hello").await;
                self.post("/v1/releases/r-run/hold", &json!({"bound": "10s"}))
            }
            (&Method::POST, "/v1/releases/{name}/resume") => self.ask(post, "/v1/releases/r-run/resume"),
            (&Method::POST, "/v1/releases/{name}/maintenance") => {
                self.post("/v1/releases/r-run/maintenance", &json!({"message": "soon"}))
            }
            (&Method::POST, "/v1/releases/{name}/exec") => {
                self.post("/v1/releases/r-run/exec", &json!({"command": ["true"]}))
            }
            (&Method::POST, "/v1/releases/{name}/history") => {
                let one = json!({"number": 1, "state": "deleted", "package": {"name": "hello", "version": "1.0.0"},
                    "created_at": "2017-10-27T16:39:03Z"});
                self.post("/v1/releases/r-past/history", &json!({"revisions": [one]}))
            }
            (&Method::POST, "/v1/packages") => self.zip("p-new", "1.0.0"),
            (&Method::DELETE, "/v1/packages/{repository}/{name}/{version}") => {
                self.published("p-gone", "1.0.0").await;
                self.ask(delete, "/v1/packages/local/p-gone/1.0.0")
            }
            (&Method::POST, "/v1/repositories") => {
                self.post(path, &json!({"name": "q-new", "url": "http://127.0.0.1:9/repo"}))
            }
            (&Method::DELETE, "/v1/repositories/{name}") => {
                let body = json!({"name": "q-gone", "url": "http://127.0.0.1:9/repo"});
                self.ok(self.post("/v1/repositories", &body)).await;
                self.ask(delete, "/v1/repositories/q-gone")
            }
            (&Method::POST, "/v1/repositories/{name}/refresh") => {
                let url = serve(door(self.other.service.clone())).await;
                let body = json!({"name": "q-old", "url": format!("{url}/v1/repositories/local")});
                self.ok(self.post("/v1/repositories", &body)).await;
                self.ask(post, "/v1/repositories/q-old/refresh")
            }
            (&Method::PUT, "/v1/secrets/{name}") => {
                self.ask(put, "/v1/secrets/S_NEW").json(&json!({"value": "s3cret"}))
            }
            (&Method::DELETE, "/v1/secrets/{name}") => {
                self.ok(self.ask(put, "/v1/secrets/S_GONE").json(&json!({"value": "s3cret"}))).await;
                self.ask(delete, "/v1/secrets/S_GONE")
            }
            (&Method::POST, "/v1/tokens") => self.post(path, &json!({"name": "ci", "role": "viewer"})),
            (&Method::DELETE, "/v1/tokens/{id}") => {
                let made = self.ok(self.post("/v1/tokens", &json!({"name": "old", "role": "viewer"}))).await;
                self.ask(delete, &format!("/v1/tokens/{}", made["id"].as_str().expect("an id")))
            }

            (&Method::POST, "/v1/deploy") => signed(GLOBAL, r#"{"app":"web","tag":"v1"}"#),
            (&Method::DELETE, "/v1/previews/{app}") => {
                self.previewed("a-one", "pr-1").await;
                self.ask(delete, "/v1/previews/a-one")
            }
            (&Method::DELETE, "/v1/previews/{app}/{id}") => {
                self.previewed("a-two", "pr-2").await;
                self.ask(delete, "/v1/previews/a-two/pr-2")
            }
            (&Method::POST, "/v1/apps") => {
                self.post(path, &json!({"name": "a-new", "image": "a/b", "domain": "a-new.test"}))
            }
            (&Method::PATCH, "/v1/apps/{name}") => {
                self.ask(patch, "/v1/apps/shop").json(&json!({"env": {"MODE": "x"}}))
            }
            (&Method::DELETE, "/v1/apps/{name}") => {
                self.deployed("a-gone", &["v1"]).await;
                self.ask(delete, "/v1/apps/a-gone")
            }
            (&Method::POST, "/v1/apps/{name}/rollback") => {
                self.deployed("a-back", &["v1", "v2"]).await;
                self.post("/v1/apps/a-back/rollback", &json!({}))
            }
            (&Method::PUT, "/v1/apps/{name}/secrets") => {
                self.ask(put, "/v1/apps/shop/secrets").json(&json!({"secrets": {"ONE": "s3cret"}}))
            }
            (&Method::DELETE, "/v1/apps/{name}/secrets/{key}") => {
                self.ok(self.ask(put, "/v1/secrets/shop/TWO").json(&json!({"value": "s3cret"}))).await;
                self.ask(delete, "/v1/apps/shop/secrets/TWO")
            }
            (&Method::PUT, "/v1/secrets/{app}/{key}") => {
                self.ask(put, "/v1/secrets/shop/THREE").json(&json!({"value": "s3cret"}))
            }
            (&Method::DELETE, "/v1/secrets/{app}/{key}") => {
                self.ok(self.ask(put, "/v1/secrets/shop/FOUR").json(&json!({"value": "s3cret"}))).await;
                self.ask(delete, "/v1/secrets/shop/FOUR")
            }

            (&Method::POST, "/v1/deployments/{tenant}/apply") => {
                self.registered("of-t-new").await;
                self.ok(self.tenant("t-new", "hi")).await;
                self.post("/v1/deployments/t-new/apply", &json!({}))
            }
            (&Method::POST, "/v1/deployments/{tenant}/converge") => {
                self.applied("t-well", &["hi"]).await;
                self.post("/v1/deployments/t-well/converge", &json!({}))
            }
            (&Method::POST, "/v1/deployments/{tenant}/roll-back") => {
                self.applied("t-back", &["hi", "ho"]).await;
                self.post("/v1/deployments/t-back/roll-back", &json!({}))
            }
            (&Method::POST, "/v1/nodes") => self.post(path, &json!({"id": "n-new"})),
            (&Method::DELETE, "/v1/nodes/{node}") => {
                self.registered("n-gone").await;
                self.ask(delete, "/v1/nodes/n-gone")
            }
            (&Method::POST, "/v1/nodes/{node}/rotate-token") => {
                self.registered("n-one").await;
                self.post("/v1/nodes/n-one/rotate-token", &json!({}))
            }
            (&Method::POST, "/v1/nodes/{node}/cordon") => {
                self.registered("n-two").await;
                self.post("/v1/nodes/n-two/cordon", &json!({}))
            }
            (&Method::POST, "/v1/nodes/{node}/drain") => {
                self.registered("n-three").await;
                self.post("/v1/nodes/n-three/drain", &json!({}))
            }
            (&Method::POST, "/v1/nodes/{node}/enrolments") => {
                self.registered("n-four").await;
                self.post("/v1/nodes/n-four/enrolments", &json!({}))
            }
            (&Method::POST, "/v1/nodes/{node}/enrol") => {
                self.registered("n-five").await;
                let made = self.ok(self.post("/v1/nodes/n-five/enrolments", &json!({}))).await;
                let enrolment = made["token"].as_str().expect("a token");
                Ask::post("/v1/nodes/n-five/enrol", &json!({})).token(enrolment)
            }
            (&Method::PUT, "/v1/resources/{kind}/{id}") => self.tenant("t-doc", "hi"),
            (&Method::DELETE, "/v1/resources/{kind}/{id}") => {
                self.ok(self.tenant("t-gone", "hi")).await;
                self.ask(delete, "/v1/resources/tenant/t-gone")
            }

            (&Method::POST, "/api/upload") => self.post(path, &upload("p-first")),
            (&Method::POST, "/api/package/upload") => self.post(path, &upload("p-second")),
            (&Method::POST, "/api/install") => self.post(path, &spring_install("s-first")),
            (&Method::POST, "/api/package/install") => self.post(path, &spring_install("s-second")),
            (&Method::POST, "/api/install/{id}" | "/api/package/install/{id}") => {
                let name = if path.starts_with("/api/package") { "s-fourth" } else { "s-third" };
                let number = self.number("hello").await;
                let body = json!({"releaseName": name, "platformName": "default"});
                self.post(&path.replace("{id}", &number), &body)
            }
            (&Method::POST, "/api/upgrade" | "/api/release/upgrade") => {
                let name = if path.starts_with("/api/release") { "s-sixth" } else { "s-fifth" };
                self.serves(name, "hello").await;
                self.post(path, &spring_upgrade(name))
            }
            (&Method::POST, "/api/rollback/{name}/{version}" | "/api/release/rollback/{name}/{version}") => {
                let name = if path.starts_with("/api/release") { "s-eighth" } else { "s-seventh" };
                self.serves_again(name).await;
                self.ask(post, &path.replace("{name}", name).replace("{version}", "1"))
            }
            (&Method::POST, "/api/release/rollback") => {
                self.serves_again("s-ninth").await;
                self.post(path, &json!({"releaseName": "s-ninth", "version": 1}))
            }
            (&Method::POST, "/api/release/cancel") => {
                let body = json!({"name": "s-stop", "package": {"name": "hello", "version": "3.0.0"}});
                self.ok(self.post("/v1/releases", &body)).await;
                self.post(path, &json!({"releaseName": "s-stop"}))
            }
            (&Method::POST, "/api/release/scale/{name}") => {
                self.serves("s-more", "hello").await;
                self.post("/api/release/scale/s-more", &json!({"scale": [{"name": "web", "count": 2}]}))
            }
            (&Method::POST, "/api/release/actuator/{name}/{app}/{instance}") => {
                self.serves("s-asked", "hello").await;
                let at = self.managed("s-asked").await;
                self.post(&at, &json!({"endpoint": "/loggers", "body": {}}))
            }
            (&Method::POST, "/api/delete/{name}") => {
                self.serves("s-gone", "hello").await;
                self.ask(post, "/api/delete/s-gone")
            }
            (&Method::DELETE, "/api/release/{name}") => {
                self.serves("s-away", "hello").await;
                self.ask(delete, "/api/release/s-away")
            }
            (&Method::DELETE, "/api/release/{name}/package") => {
                self.published("p-with", "1.0.0").await;
                self.serves("s-with", "p-with").await;
                self.ask(delete, "/api/release/s-with/package")
            }
            // Releases and packages that are called as paths are.
            (&Method::DELETE, path) if path.starts_with("/api/release/") => {
                let name = path.rsplit('/').next().expect("a name");
                self.serves(name, "hello").await;
                self.ask(delete, path)
            }
            (&Method::DELETE, path) if path.starts_with("/api/package/") => {
                let path = path.replace("{name}", "p-other");
                self.published(path.rsplit('/').next().expect("a name"), "1.0.0").await;
                self.ask(delete, &path)
            }
            (&Method::DELETE, "/api/packageMetadata/{id}") => {
                self.published("p-meta", "1.0.0").await;
                let number = self.number("p-meta").await;
                self.ask(delete, &format!("/api/packageMetadata/{number}"))
            }
            (&Method::POST, "/api/repositories") => {
                self.post(path, &json!({"name": "h-new", "url": "http://127.0.0.1:9/repo"}))
            }
            (&Method::PUT | &Method::PATCH, "/api/repositories/{id}") => {
                let name = if method == Method::PUT { "h-put" } else { "h-patch" };
                let at = self.repository(name).await;
                let body =
                    json!({"name": name, "url": "http://127.0.0.1:9/repo", "local": false, "description": "Mine"});
                self.ask(method, &at).json(&body)
            }
            (&Method::DELETE, "/api/repositories/{id}") => {
                let at = self.repository("h-gone").await;
                self.ask(delete, &at)
            }
            _ => panic!("{method} {path}: say here how it is asked, or in `WITHOUT_KEY` why it takes no key"),
        }
    }
}

/// The same request with another body, signed anew where that counts.
fn changed(ask: &Ask) -> Ask {
    if ask.uri == "/v1/deploy" {
        return signed(GLOBAL, r#"{"app":"web","tag":"v2"}"#);
    }
    let mut other = ask.clone();
    other.body.push(b' ');
    other
}

#[track_caller]
fn same(first: &Answer, again: &Answer, what: &str) {
    assert_eq!(again.status, first.status, "{what}: {}", again.text());
    assert_eq!(again.header("idempotency-replayed"), Some("true"), "{what}");
    for name in ["content-type", "location", "etag", "content-disposition"] {
        assert_eq!(again.header(name), first.header(name), "{what}: {name}");
    }
    let told = |answer: &Answer| {
        let mut body = serde_json::from_slice::<Value>(&answer.body).unwrap_or_else(|_| json!(answer.text()));
        // The secret of a token is told once.
        if what.starts_with("POST /v1/tokens") {
            body.as_object_mut().expect("a token").remove("secret");
        }
        body
    };
    assert_eq!(told(again), told(first), "{what}");
}

#[tokio::test]
async fn every_call_that_changes_something_has_one_effect_and_one_answer_under_its_key() {
    let world = Box::pin(World::start()).await;
    let somebody = world.server.token(Role::Admin, None).await;
    let mut asked = Vec::new();
    for route in routes() {
        let changes = !matches!(route.method, Method::GET | Method::HEAD | Method::OPTIONS);
        if !changes || WITHOUT_KEY.iter().any(|(path, _)| *path == route.path) {
            continue;
        }
        let what = format!("{} {}", route.method, route.path);
        let key = format!("key-{}", asked.len());
        let ask = Box::pin(world.well_formed(&route)).await.key(&key);
        let first = world.server.send(ask.clone()).await;
        assert!(first.status.is_success(), "{what}: {}: {}", first.status, first.text());
        assert_eq!(first.header("idempotency-replayed"), None, "{what}");
        same(&first, &world.server.send(ask.clone()).await, &what);
        let other = world.server.send(changed(&ask).key(&key)).await;
        assert_eq!(other.status, 422, "{what}: {}", other.text());
        if !matches!(route.access, Access::Signed) {
            let theirs = world.server.send(ask.clone().token(&somebody)).await;
            assert_eq!(theirs.header("idempotency-replayed"), None, "{what}: the key of somebody else");
            let nobodys = Ask {
                headers: ask.headers.iter().filter(|(name, _)| *name != "authorization").cloned().collect(),
                ..ask.clone()
            };
            assert_eq!(world.server.send(nobodys).await.status, 401, "{what}");
        }
        asked.push((what, ask, first));
    }
    assert!(asked.len() > 60, "{} routes", asked.len());
    let server = world.server.reboot().await;
    for (what, ask, first) in asked {
        same(&first, &server.send(ask).await, &format!("{what}: after a restart"));
    }
}

/// All of them at once: one effect, one answer, and all but the first are marked.
async fn at_once(server: &Server, ask: &Ask) -> Value {
    let answers = futures::future::join_all((0..8).map(|_| server.send(ask.clone()))).await;
    let again = answers.iter().filter(|answer| answer.header("idempotency-replayed") == Some("true"));
    assert_eq!(again.count(), answers.len() - 1, "{}", answers[0].text());
    for answer in &answers {
        assert_eq!((answer.status, answer.text()), (answers[0].status, answers[0].text()));
    }
    answers[0].ok()
}

#[tokio::test]
async fn repetitions_that_waited_for_the_first_call_are_marked_and_say_all_that_it_said() {
    let world = Box::pin(World::start()).await;
    let install = json!({"name": "web-two", "package": {"name": "hello", "version": "1.0.0"}});
    at_once(&world.server, &world.post("/v1/releases", &install).key("k-1")).await;
    world.registered("of-acme").await;
    world.ok(world.tenant("acme", "hi")).await;
    let applied = at_once(&world.server, &world.post("/v1/deployments/acme/apply", &json!({})).key("k-2")).await;
    assert_eq!(applied["orders"].as_array().map(Vec::len), Some(1), "{applied}");
    at_once(
        &world.server,
        &world.post("/api/repositories", &json!({"name": "r", "url": "http://127.0.0.1:9/"})).key("k-3"),
    )
    .await;
}

#[tokio::test]
async fn an_answer_that_was_lost_locks_no_node_out() {
    let world = Box::pin(World::start()).await;
    let first = world.registered("host-1").await;
    let works = async |token: &str| {
        let next = Ask::get("/v1/nodes/host-1/work-orders/next").token(token);
        world.server.send(next).await.status == 204
    };
    let rotate = world.post("/v1/nodes/host-1/rotate-token", &json!({})).key("k-1");
    let rotated = world.ok(rotate.clone()).await["token"].as_str().expect("a token").to_owned();
    assert_eq!(world.ok(rotate).await["token"], rotated.as_str(), "not one more token");
    assert!(works(&rotated).await && !works(&first).await);
    let made = world.ok(world.post("/v1/nodes/host-1/enrolments", &json!({}))).await;
    let enrolment = made["token"].as_str().expect("a token");
    let enrol = |bearer: &str| Ask::post("/v1/nodes/host-1/enrol", &json!({})).token(bearer);
    let own = world.ok(enrol(enrolment).key("k-2")).await["token"].as_str().expect("a token").to_owned();
    assert_eq!(world.ok(enrol(enrolment).key("k-2")).await["token"], own.as_str());
    assert!(works(&own).await);
    for other in
        [enrol(enrolment), enrol(enrolment).key("k-3"), enrol("ske_another").key("k-2"), enrol(&own).key("k-2")]
    {
        assert_eq!(world.server.send(other).await.status, 401, "it is good once, for whoever asks again");
    }
}

#[tokio::test]
async fn a_delivery_under_a_key_is_one_deploy_as_long_as_keys_are_known() {
    let server = on_disk().boot().await;
    let body = r#"{"app":"web","tag":"v1"}"#;
    let first = server.send(signed(GLOBAL, body).key("run-1")).await;
    assert_eq!(first.status, 202, "{}", first.text());
    let unsigned = server.send(signed("another", body).key("run-1")).await;
    assert_eq!(unsigned.status, 401, "the key is no proof");
    let other = server.send(signed(GLOBAL, r#"{"app":"web","tag":"v2"}"#).key("run-1")).await;
    assert_eq!(other.status, 422, "{}", other.text());
    // Of another app, whoever has its key may call it the same.
    let shop = server.send(signed(GLOBAL, r#"{"app":"shop","tag":"v1"}"#).key("run-1")).await;
    assert_eq!(shop.status, 202, "{}", shop.text());
    server.machine.clock.advance(Duration::from_secs(6 * 60));
    let again = server.send(signed(GLOBAL, body).key("run-1")).await;
    assert_eq!((again.header("idempotency-replayed"), again.text()), (Some("true"), first.text()));
    let without = server.send(signed(GLOBAL, body)).await;
    assert_eq!((without.status.as_u16(), without.header("idempotency-replayed")), (202, None), "{}", without.text());
}

#[tokio::test]
async fn previews_that_a_signature_removes_are_told_again_to_whoever_signed() {
    let world = Box::pin(World::start()).await;
    world.previewed("a-one", "pr-1").await;
    let ask = |key: &str| {
        let signature = signed(key, "a-one:*").headers;
        Ask {
            method: Method::DELETE,
            uri: "/v1/previews/a-one".to_owned(),
            headers: signature,
            body: Vec::new(),
            peer: None,
        }
    };
    let first = world.server.send(ask(GLOBAL).key("k-1")).await;
    assert_eq!(first.ok::<Value>(), json!({"torn_down": ["pr-1"]}));
    same(&first, &world.server.send(ask(GLOBAL).key("k-1")).await, "a removal");
    assert_eq!(world.server.send(ask("another").key("k-1")).await.status, 401);
    let other = world.server.send(ask(GLOBAL).key("k-2")).await;
    assert_eq!(other.ok::<Value>(), json!({"torn_down": []}), "another key is another call");
}

#[tokio::test]
async fn what_spring_was_never_told_of_an_install_is_told_in_its_own_words_after_a_crash() {
    use tower::ServiceExt as _;
    let server = stocked().await;
    let ask = |name: &str| Ask::post("/api/package/install", &install("1.0.0", name)).header("accept", JAVA_2);
    let usual = shape(&server.send(ask("usual")).await.ok::<Value>());
    server.freeze();
    let lost = ask("web").key("k-1");
    let mut events = server.app.store.events_subscribe();
    let mut running = Box::pin(server.service.clone().oneshot(lost.clone().request()));
    let (tenant, name) = ("default".parse().expect("a name"), "web".parse().expect("a name"));
    while server.app.store.release_get(&tenant, &name).await.expect("read").is_none() {
        futures::future::poll_immediate(&mut running).await;
        let _ = tokio::time::timeout(Duration::from_millis(20), events.changed()).await;
    }
    drop(running);
    let server = server.reboot().await;
    let told = server.send(lost.clone()).await;
    assert_eq!((told.status.as_u16(), told.header("idempotency-replayed")), (201, Some("true")), "{}", told.text());
    let version: Value = told.read();
    assert_eq!((&version["name"], &version["version"], shape(&version)), (&json!("web"), &json!(1), usual));
    same(&told, &server.send(lost).await, "the same again");
}

#[tokio::test]
async fn what_an_apply_does_not_know_is_refused_in_words_of_its_body() {
    let world = Box::pin(World::start()).await;
    let refused = async |body: Value| {
        world.server.send(world.post("/v1/deployments/acme/apply", &body)).await.problem("invalid").detail
    };
    for (body, told) in [
        (json!({"rolout": {"waves": [1]}}), "unknown field `rolout`, expected `rollout`"),
        (json!({"force": true}), "unknown field `force`"),
        (json!({"rollout": null}), "null, expected an object with `waves`, `max_unavailable` or `on_failure`"),
        (json!({"rollout": {"waves": 3}}), "expected a list"),
        (Value::Null, "null, expected an object, as {\"rollout\": …}"),
    ] {
        let said = refused(body.clone()).await;
        assert!(said.contains(told) && !said.contains("struct"), "{body}: {said}");
    }
    let document = serde_json::to_value(document()).expect("JSON");
    for path in ["apply", "plan", "converge", "roll-back"] {
        let body = &document["paths"][format!("/v1/deployments/{{tenant}}/{path}")]["post"]["requestBody"];
        assert_ne!(body["required"], true, "{path}");
        let schema = body["content"]["application/json"]["schema"]["$ref"].as_str().expect("a reference");
        let schema = &document["components"]["schemas"][schema.rsplit('/').next().expect("a name")];
        assert_eq!(
            (&schema["additionalProperties"], schema["properties"]["rollout"].is_object()),
            (&json!(false), true),
            "{schema}"
        );
    }
    let install = &document["paths"]["/v1/releases"]["post"]["requestBody"];
    assert_eq!(install["required"], true, "{install}");
}

#[test]
fn what_passes_keys_over_is_a_route_and_is_told_in_the_documentation() {
    let page = include_str!("../../../../docs/api.md");
    for (path, why) in WITHOUT_KEY {
        let known = routes().into_iter().any(|route| route.path == path && route.method == Method::POST);
        assert!(known, "{path} is no route");
        assert!(page.contains(&format!("`POST {path}`")) && page.contains(why), "{path}: {why}");
    }
}
