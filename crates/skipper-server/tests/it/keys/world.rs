//! A server on which every call that changes something has something to change, and those calls.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Method;
use serde_json::{Value, json};
use skipper_core::actor::Role;
use skipper_server::api::Route;
use testkit::Behaviour;

use crate::{
    api::JAVA_2,
    apps::on_disk,
    deploys::{GLOBAL, signed},
    fixture::{Ask, Server, package},
    remote::{door, serve},
};

/// A server with something of everything, and somebody who may do everything.
pub(super) struct World {
    pub(super) server: Server,
    admin: String,
    /// A server whose packages may be read.
    other: Server,
}

impl World {
    pub(super) async fn start() -> Self {
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

    pub(super) fn post(&self, uri: &str, body: &Value) -> Ask {
        self.ask(Method::POST, uri).json(body)
    }

    pub(super) async fn ok(&self, ask: Ask) -> Value {
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
    pub(super) async fn previewed(&self, name: &str, id: &str) {
        let repo = format!("[app]\nname = \"{name}\"\n[preview]\nenabled = true\nttl = \"30m\"\n");
        let image = format!("docker:registry.test/{name}:v1");
        self.server.machine.platform.image_file(&image, "/slip/slip.toml", &repo);
        self.deployed(name, &[]).await;
        self.deploy(&json!({"app": name, "tag": "v1", "preview": {"id": id, "sha": "abc"}})).await;
    }

    pub(super) async fn registered(&self, node: &str) -> String {
        let registered = self.ok(self.post("/v1/nodes", &json!({"id": node}))).await;
        registered["token"].as_str().expect("a token").to_owned()
    }

    pub(super) fn tenant(&self, name: &str, greeting: &str) -> Ask {
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
    pub(super) async fn well_formed(&self, route: &Route) -> Ask {
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
