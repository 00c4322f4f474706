//! Others are told what became of deploys. Whoever is told is a server of the test's.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Bytes,
    extract::Request,
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use skipper_server::apps::LiveApps;
use testkit::Behaviour;
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    deploys::{GLOBAL, app, configured, deploy, ended},
    fixture::{Ask, Machine, Server},
};

/// A request that somebody got.
#[derive(Debug)]
struct Got {
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_else(|| panic!("no {name}"))
    }

    /// `(type, state, tag)` of a webhook, once its signature was verified.
    fn told(&self, key: &str) -> (String, String) {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()).expect("any length");
        mac.update(format!("{}.{}.", self.header("webhook-id"), self.header("webhook-timestamp")).as_bytes());
        mac.update(&self.body);
        let good = format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()));
        assert!(self.header("webhook-signature").split(' ').any(|one| one == good), "{self:?}");
        let body = self.json();
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        (text(&body["type"]), text(&body["data"]["tag"]))
    }
}

/// Whoever is told; answers with a status that can be set, and numbers what it makes.
struct Receiver {
    address: SocketAddr,
    got: mpsc::UnboundedReceiver<Got>,
    status: Arc<Mutex<StatusCode>>,
}

impl Receiver {
    async fn start() -> Self {
        let (send, got) = mpsc::unbounded_channel();
        let status = Arc::new(Mutex::new(StatusCode::CREATED));
        let (answer, made) = (Arc::clone(&status), Arc::new(AtomicU64::new(100)));
        let receive = move |request: Request| {
            let (send, answer, made) = (send.clone(), Arc::clone(&answer), Arc::clone(&made));
            async move {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
                let path = parts.uri.path().to_owned();
                let status = *answer.lock().expect("nothing panics in here");
                let _ = send.send(Got { path, headers: parts.headers, body });
                let answer = json!({"id": made.fetch_add(1, Ordering::SeqCst)});
                (status, axum::Json(answer)).into_response() as Response
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = axum::Router::new().fallback(receive);
        TaskTracker::new().spawn(async move { axum::serve(listener, router).await });
        Self { address, got, status }
    }

    fn answers(&self, status: StatusCode) {
        *self.status.lock().expect("nothing panics in here") = status;
    }

    async fn next(&mut self) -> Got {
        tokio::time::timeout(Duration::from_secs(20), self.got.recv()).await.expect("in time").expect("it is there")
    }

    fn machine(&self, kind: &str) -> Machine {
        let told = match kind {
            "github" => format!("github = {{ url = \"http://{}/api/v3\", token = \"gh-t0ken\" }}", self.address),
            _ => format!("webhook = {{ url = \"http://{}/hook/s3cret\", secret = [\"old\", \"new\"] }}", self.address),
        };
        let of_app = "[callbacks]\ngithub = { repository = \"acme/web\" }\n";
        configured(&format!("[callbacks]\n{told}\n"), [app("web", "", of_app), app("shop", "", "")])
    }
}

/// The task that tells, until it is dropped as in a crash.
struct Teller(CancellationToken, tokio::task::JoinHandle<()>);

impl Teller {
    async fn start(server: &Server) -> Self {
        let stop = CancellationToken::new();
        let running = TaskTracker::new().spawn(skipper_server::callbacks::run(server.app.clone(), stop.clone()));
        // From here on events count.
        let begun = async {
            while server.app.store.callbacks_cursor().await.expect("read").is_none() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), begun).await.expect("in time");
        Self(stop, running)
    }

    async fn stop(self) {
        self.0.cancel();
        self.1.await.expect("it ends");
    }
}

async fn deployed(server: &Server, app: &str, tag: &str) -> Value {
    let accepted = deploy(server, GLOBAL, &json!({"app": app, "tag": tag})).await;
    ended(server, &accepted).await
}

#[track_caller]
fn is(got: &Got, kind: &str, tag: &str) {
    assert_eq!(got.told("new"), (format!("deploy.{kind}"), tag.to_owned()));
    assert_eq!(got.told("old").1, tag, "it is signed with each key");
    assert_eq!(got.path, "/hook/s3cret");
}

#[tokio::test]
async fn a_webhook_hears_of_each_deploy_in_order_and_of_what_it_replaces() {
    let mut receiver = Receiver::start().await;
    let server = receiver.machine("webhook").boot().await;
    deployed(&server, "web", "v0").await;
    let teller = Teller::start(&server).await;
    let first = deployed(&server, "web", "v1").await;
    let begun = receiver.next().await;
    is(&begun, "in_progress", "v1");
    assert_eq!(begun.json()["data"]["deploy_id"], first["deploy_id"], "and nothing of what was before");
    is(&receiver.next().await, "success", "v1");
    let exits = Behaviour { healthy_after: None, exits_after: Some((Duration::ZERO, 3)) };
    server.machine.platform.behave("", exits);
    assert_eq!(deployed(&server, "web", "v2").await["status"], "failed");
    is(&receiver.next().await, "in_progress", "v2");
    let failure = receiver.next().await;
    is(&failure, "failure", "v2");
    assert!(failure.json()["data"]["error"].is_string());
    server.machine.platform.behave("", Behaviour::default());
    deployed(&server, "web", "v3").await;
    is(&receiver.next().await, "in_progress", "v3");
    let mut last = [receiver.next().await.told("new"), receiver.next().await.told("new")];
    last.sort();
    let expected =
        [("deploy.inactive", "v1"), ("deploy.success", "v3")].map(|(kind, tag)| (kind.to_owned(), tag.to_owned()));
    assert_eq!(last, expected);
    teller.stop().await;
    assert!(receiver.got.try_recv().is_err(), "and no more");
}

#[tokio::test]
async fn what_fails_is_told_again_under_the_same_id_and_a_crash_loses_nothing() {
    let mut receiver = Receiver::start().await;
    let server = receiver.machine("webhook").boot().await;
    Teller::start(&server).await.stop().await;
    // Nobody tells while this happens, as if the server had died right after it.
    deployed(&server, "shop", "v1").await;
    let server = server.reboot().await;
    receiver.answers(StatusCode::INTERNAL_SERVER_ERROR);
    let teller = Teller::start(&server).await;
    let first = receiver.next().await;
    is(&first, "in_progress", "v1");
    teller.stop().await;
    assert!(receiver.got.try_recv().is_err(), "it waits before it tries again");
    let server = server.reboot().await;
    server.machine.clock.advance(Duration::from_secs(61));
    receiver.answers(StatusCode::NO_CONTENT);
    let teller = Teller::start(&server).await;
    let again = receiver.next().await;
    is(&again, "in_progress", "v1");
    assert_eq!(again.header("webhook-id"), first.header("webhook-id"));
    assert_ne!(again.header("webhook-timestamp"), first.header("webhook-timestamp"), "each attempt is signed anew");
    is(&receiver.next().await, "success", "v1");
    receiver.answers(StatusCode::GONE);
    deployed(&server, "shop", "v2").await;
    receiver.next().await;
    server.machine.clock.advance(Duration::from_secs(100_000));
    teller.stop().await;
}

#[tokio::test]
async fn github_gets_a_deployment_and_its_states() {
    let mut receiver = Receiver::start().await;
    let server = receiver.machine("github").boot().await;
    let teller = Teller::start(&server).await;
    // Of which repository nobody says.
    deployed(&server, "shop", "v1").await;
    let first = deployed(&server, "web", "v1").await;
    let made = receiver.next().await;
    assert_eq!(made.path, "/api/v3/repos/acme/web/deployments");
    assert_eq!(made.header("authorization"), "Bearer gh-t0ken");
    let body = made.json();
    let said = (&body["ref"], &body["environment"], &body["auto_merge"], &body["required_contexts"]);
    assert_eq!(said, (&json!("v1"), &json!("production"), &json!(false), &json!([])));
    assert_eq!(body["payload"]["deploy_id"], first["deploy_id"]);
    let state = |got: &Got, path: &str| {
        assert_eq!(got.path, format!("/api/v3/repos/acme/web/deployments/{path}/statuses"));
        got.json()["state"].as_str().expect("a state").to_owned()
    };
    assert_eq!(state(&receiver.next().await, "100"), "in_progress");
    assert_eq!(state(&receiver.next().await, "100"), "success");
    deployed(&server, "web", "v2").await;
    // 101 and 102 were the numbers of the states above.
    assert_eq!(receiver.next().await.json()["ref"], "v2");
    assert_eq!(state(&receiver.next().await, "103"), "in_progress");
    let (mut states, mut paths) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let got = receiver.next().await;
        states.push(got.json()["state"].as_str().expect("a state").to_owned());
        paths.push(got.path);
    }
    states.sort();
    assert_eq!(states, ["inactive", "success"]);
    assert!(
        paths.iter().any(|path| path.contains("/100/")) && paths.iter().any(|path| path.contains("/103/")),
        "{paths:?}"
    );
    teller.stop().await;
}

#[tokio::test]
async fn that_an_app_is_removed_is_told_to_whoever_its_file_named() {
    let mut receiver = Receiver::start().await;
    let machine = receiver.machine("none");
    let dir = machine.dir.path().join("etc");
    fs::create_dir_all(dir.join("apps")).expect("made");
    fs::write(
        dir.join("slip.toml"),
        format!("[server]\n[auth]\nsecret = \"{GLOBAL}\"\n[registry]\n[storage]\n[runtime]\nbackend = \"docker\"\n"),
    )
    .expect("written");
    let hook = format!(
        "[callbacks]\nwebhook = {{ url = \"http://{}/hook/s3cret\", secret = [\"old\", \"new\"] }}\n",
        receiver.address
    );
    let (file, text) = app("web", "", &hook);
    fs::write(dir.join("apps").join(file), text).expect("written");
    let env = BTreeMap::from([("TOKEN".to_owned(), "x".to_owned())]);
    let apps = LiveApps::open(dir, env).expect("it is good");
    let server = Machine { apps, ..machine }.boot().await;
    let teller = Teller::start(&server).await;
    deployed(&server, "web", "v1").await;
    is(&receiver.next().await, "in_progress", "v1");
    is(&receiver.next().await, "success", "v1");
    server.send(Ask::new(Method::DELETE, "/v1/apps/web").token(GLOBAL)).await.done();
    is(&receiver.next().await, "inactive", "v1");
    teller.stop().await;
}
