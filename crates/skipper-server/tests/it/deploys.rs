//! slip's door: who may deploy, what a repeated delivery does, and what is shown of it.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::Method;
use serde_json::{Value, json};
use skipper_core::{
    name::{ReleaseName, TenantName},
    route::Listener,
};
use skipper_server::{
    apps::{Apps, EdgeTls},
    config::DirectoryTexts,
};

use crate::fixture::{Answer, Ask, Machine, Server};

pub(crate) const GLOBAL: &str = "the key of the whole server";
pub(crate) const OWN: &str = "the key of the shop alone";

pub(crate) fn machine() -> Machine {
    let own = format!("secret = [\"an older key\", \"{OWN}\"]");
    let bad = ("bad.toml".to_owned(), "[app]\nname = 3\n".to_owned());
    let previews = "[preview]\ndomain = \"preview.test\"\nmax_per_app = 2\ndefault_ttl = \"1h\"\n";
    configured(previews, [app("web", "", ""), app("shop", &own, ""), bad])
}

/// The file of an app, with more in its table `[app]`, and at its end.
pub(crate) fn app(name: &str, more: &str, end: &str) -> (String, String) {
    let text = format!(
        "[app]\nname = \"{name}\"\nimage = \"registry.test/{name}\"\n{more}\n[routing]\ndomain = \"{name}.test\"\nport = 8080\n\
         [health]\npath = \"/health\"\ninterval = \"10ms\"\n[deploy]\n[env]\nTOKEN = \"${{TOKEN}}\"\n{end}"
    );
    (format!("{name}.toml"), text)
}

/// A machine with these apps, and more at the end of its `slip.toml`.
pub(crate) fn configured(end: &str, apps: impl IntoIterator<Item = (String, String)>) -> Machine {
    let server = format!(
        "[server]\n[auth]\nsecret = \"{GLOBAL}\"\n[registry]\n[storage]\n[runtime]\nbackend = \"docker\"\n{end}"
    );
    let env = BTreeMap::from([("TOKEN".to_owned(), "s3cret-from-outside".to_owned())]);
    let texts = DirectoryTexts { server, apps: apps.into_iter().collect(), ..DirectoryTexts::default() };
    let apps = Apps::load(texts, &env).unwrap_or_else(|faults| panic!("{faults}"));
    let machine = Machine { apps: apps.into(), also: Some("docker"), ..Machine::default() };
    let mut able = testkit::fixture::capable();
    able.schemes.push("docker".to_owned());
    able.own_network = true;
    Machine { platform: machine.platform.clone().capable_of(able), ..machine }
}

pub(crate) fn signed(key: &str, body: &str) -> Ask {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()).expect("any length");
    mac.update(body.as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut ask = Ask::new(Method::POST, "/v1/deploy").header("x-slip-signature", &format!("sha256={hex}"));
    ask.body = body.as_bytes().to_vec();
    // From anywhere, without a token.
    ask.peer = Some("203.0.113.7:40000".parse().expect("an address"));
    ask
}

pub(crate) fn error(answer: &Answer) -> (u16, String) {
    let body: Value = answer.read();
    (answer.status.as_u16(), body["error"].as_str().unwrap_or_default().to_owned())
}

pub(crate) fn told(status: u16, text: &str) -> (u16, String) {
    (status, text.to_owned())
}

pub(crate) async fn read(server: &Server, uri: &str) -> Value {
    server.send(Ask::get(uri).token(GLOBAL)).await.ok()
}

pub(crate) async fn deploy(server: &Server, key: &str, body: &Value) -> Value {
    let answer = server.send(signed(key, &body.to_string())).await;
    assert_eq!(answer.status.as_u16(), 202, "{}", answer.text());
    answer.read()
}

/// Waits for the end of a deploy.
pub(crate) async fn ended(server: &Server, accepted: &Value) -> Value {
    let uri = format!("/v1/deploys/{}", accepted["deploy_id"].as_str().expect("an id"));
    let mut changes = server.app.store.events_subscribe();
    let waiting = async {
        loop {
            changes.mark_unchanged();
            let view = read(server, &uri).await;
            if !view["finished_at"].is_null() {
                return view;
            }
            changes.changed().await.expect("the store is open");
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), waiting).await.expect("the deploy ends in time")
}

#[tokio::test]
async fn only_who_has_the_key_of_the_app_may_deploy_it() {
    let server = machine().boot().await;
    let web = r#"{"app":"web","tag":"v1"}"#;
    let shop = r#"{"app":"shop","tag":"v1"}"#;
    let unsigned = Ask { headers: Vec::new(), ..signed(GLOBAL, web) };
    assert_eq!(error(&server.send(unsigned).await), told(401, "missing X-Slip-Signature header"));
    let refused = told(401, "invalid signature");
    assert_eq!(error(&server.send(signed("another", web)).await), refused);
    assert_eq!(error(&server.send(signed(GLOBAL, shop)).await), refused, "its own key replaces the server's");
    assert_eq!(error(&server.send(signed(OWN, web)).await), refused);
    assert_eq!(
        error(&server.send(signed("another", r#"{"app":"none","tag":"v1"}"#)).await),
        refused,
        "no app is told of"
    );
    assert_eq!(error(&server.send(signed("another", r#"{"app":"bad","tag":"v1"}"#)).await), refused);
    assert_eq!(error(&server.send(signed("another", web).token(GLOBAL)).await), refused, "a bearer does not sign");
    let mut changed = signed(GLOBAL, web);
    changed.body.push(b' ');
    assert_eq!(error(&server.send(changed).await), refused, "the raw body counts");
    assert_eq!(
        error(&server.send(signed(GLOBAL, r#"{"app":"none","tag":"v1"}"#)).await),
        told(404, "unknown app: none")
    );
    assert_eq!(error(&server.send(signed(GLOBAL, "{")).await).0, 400);
    let (status, text) = error(&server.send(signed(GLOBAL, r#"{"app":"bad","tag":"v1"}"#)).await);
    assert!(status == 409 && text.starts_with("app `bad` is disabled"), "{status} {text}");
    deploy(&server, OWN, &json!({"app": "shop", "tag": "v1"})).await;
    deploy(&server, "an older key", &json!({"app": "shop", "tag": "v2"})).await;
}

#[tokio::test]
async fn what_is_signed_must_still_make_sense() {
    let server = machine().boot().await;
    for (body, text) in [
        (json!({"app": "web", "tag": ""}), "tag must not be empty"),
        (json!({"app": "web", "tag": "a/b"}), "tag contains invalid characters (allowed: alphanumeric, -, _, .)"),
        (json!({"app": "web", "tag": "größe"}), "tag contains invalid characters (allowed: alphanumeric, -, _, .)"),
        (json!({"app": "web", "tag": "-rf"}), "tag must not begin with - or ."),
        (json!({"app": "web", "tag": ".v1"}), "tag must not begin with - or ."),
        (
            json!({"app": "web", "tag": "a".repeat(129)}),
            "tag contains invalid characters (allowed: alphanumeric, -, _, .)",
        ),
        (
            json!({"app": "web", "tag": "sha256:12"}),
            "tag is not a digest: sha256: and 64 digits, a to f in small letters",
        ),
        (
            json!({"app": "web", "tag": "v1", "image": "other"}),
            "image mismatch: expected 'registry.test/web', got 'other'",
        ),
    ] {
        assert_eq!(error(&server.send(signed(GLOBAL, &body.to_string())).await), told(400, text));
    }
    let list = read(&server, "/v1/deploys").await;
    assert_eq!(list["deploys"], json!([]), "nothing was stored");
}

#[tokio::test]
async fn what_the_servers_own_files_tell_is_refused_before_the_image_is_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = folder.path().join("pod.yaml");
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: { name: p }\nspec:\n  containers:\n  - { name: api, image: a }\n  - { name: jobs, image: b }\n";
    std::fs::write(&manifest, pod).expect("written");
    let kind = format!("kind = \"pod\"\nmanifest = \"{}\"", manifest.display());
    let apps = [
        app("web", "kind = \"container\"", ""),
        app("stats", &kind, ""),
        app("open", "", ""),
        app("none", "", "[preview]\nmax = 0\n"),
    ];
    let server = configured("[preview]\ndomain = \"preview.test\"\n", apps).boot().await;
    let preview = json!({"id": "pr-1"});
    for (body, text) in [
        (
            json!({"app": "web", "tag": "v1", "images": {"api": "a:1"}}),
            "`images` names containers of a pod, and the app is a container",
        ),
        (
            json!({"app": "open", "tag": "v1", "images": {"api": "a"}}),
            "images.api: `a` is not a whole reference: IMAGE:TAG or IMAGE@sha256:…",
        ),
        (
            json!({"app": "stats", "tag": "v1", "images": {"job": "a:1"}}),
            "`images` names the container `job`, which is not in the pod; did you mean `jobs`?",
        ),
        (
            json!({"app": "stats", "tag": "v1", "images": {"": "a:1"}}),
            "`images` names the container ``, which is not in the pod; known here: api, jobs",
        ),
        (json!({"app": "none", "tag": "v1", "preview": preview}), "app `none` may have no previews: its `max` is 0"),
    ] {
        assert_eq!(error(&server.send(signed(GLOBAL, &body.to_string())).await), told(400, text));
    }
    let list = read(&server, "/v1/deploys").await;
    assert_eq!(list["deploys"], json!([]), "nothing was stored");
    deploy(&server, GLOBAL, &json!({"app": "stats", "tag": "v1", "images": {"jobs": "a:1"}})).await;
    // The image may make a pod of it.
    deploy(&server, GLOBAL, &json!({"app": "open", "tag": "v1", "images": {"jobs": "a:1"}})).await;
}

#[tokio::test]
async fn the_same_body_is_the_same_delivery_for_five_minutes_and_across_a_restart() {
    let server = machine().boot().await;
    let body = json!({"app": "web", "tag": "v1"});
    let first = deploy(&server, GLOBAL, &body).await;
    assert_eq!(deploy(&server, GLOBAL, &body).await, first);
    assert_eq!(ended(&server, &first).await["status"], "completed");
    let server = server.reboot().await;
    assert_eq!(deploy(&server, GLOBAL, &body).await, first);
    let second = deploy(&server, GLOBAL, &json!({"app": "web", "tag": "v2"})).await;
    assert_ne!(second["deploy_id"], first["deploy_id"]);
    assert_eq!(ended(&server, &second).await["status"], "completed");
    server.machine.clock.advance(std::time::Duration::from_secs(301));
    let (status, text) = error(&server.send(signed(GLOBAL, &body.to_string())).await);
    assert!(status == 409 && text.contains("deployed before"), "an old body does not bring v1 back: {status} {text}");
    let forced = deploy(&server, GLOBAL, &json!({"app": "web", "tag": "v1", "force": true})).await;
    assert_eq!(ended(&server, &forced).await["status"], "completed");
}

#[tokio::test]
async fn of_the_same_body_many_times_at_once_one_is_done_and_all_are_answered_alike() {
    let server = machine().boot().await;
    let bodies = [json!({"app": "web", "tag": "v1"}), json!({"app": "web", "tag": "v2"})];
    let sent = (0..60).map(|n| deploy(&server, GLOBAL, &bodies[n % 2]));
    let all = futures::future::join_all(sent).await;
    for (n, answer) in all.iter().enumerate() {
        assert_eq!(*answer, all[n % 2]);
    }
    assert_ne!(all[0]["deploy_id"], all[1]["deploy_id"]);
    assert_eq!(read(&server, "/v1/deploys").await["deploys"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn an_app_is_a_release_with_status_history_and_a_way_back() {
    let server = machine().boot().await;
    assert_eq!(read(&server, "/v1/status").await["apps"]["web"]["status"], "not_deployed");
    for tag in ["v1", "v2"] {
        let accepted = deploy(&server, GLOBAL, &json!({"app": "web", "tag": tag})).await;
        assert_eq!(
            (&accepted["app"], &accepted["tag"], &accepted["status"]),
            (&json!("web"), &json!(tag), &json!("accepted"))
        );
        assert_eq!(ended(&server, &accepted).await["status"], "completed");
    }
    let app = &read(&server, "/v1/status").await["apps"]["web"];
    assert_eq!((&app["status"], &app["tag"], &app["revision"]), (&json!("running"), &json!("v2"), &json!(2)));
    let list = read(&server, "/v1/deploys?app=web&limit=1").await;
    assert_eq!(list["deploys"].as_array().map(Vec::len), Some(1));
    assert_eq!((&list["deploys"][0]["tag"], &list["deploys"][0]["triggered_by"]), (&json!("v2"), &json!("webhook")));
    let manifest = server.send(Ask::get("/v1/releases/web/revisions/2/manifest").token(GLOBAL)).await.text();
    assert!(manifest.contains("registry.test/web:v2"), "{manifest}");
    assert!(!manifest.contains("s3cret-from-outside"), "a value of the environment is no part of it");
    let back = server.send(Ask::post("/v1/apps/web/rollback", &json!({})).token(GLOBAL)).await;
    assert_eq!(back.status.as_u16(), 202, "{}", back.text());
    assert_eq!(ended(&server, &back.read()).await["tag"], "v1");
    assert_eq!(read(&server, "/v1/status").await["apps"]["web"]["tag"], "v1");
    let forward = server.send(Ask::post("/v1/apps/web/rollback", &json!({"to": "v2"})).token(GLOBAL)).await;
    assert_eq!(ended(&server, &forward.read()).await["tag"], "v2");
    let nothing = server.send(Ask::post("/v1/apps/shop/rollback", &json!({})).token(GLOBAL)).await;
    assert_eq!(error(&nothing), told(409, "no previous tag to roll back to"));
}

#[tokio::test]
async fn a_tag_that_serves_is_started_anew_and_the_way_back_passes_over_its_copies() {
    let server = machine().boot().await;
    let deploy_ended = async |body: &Value| {
        let accepted = deploy(&server, GLOBAL, body).await;
        let view = ended(&server, &accepted).await;
        assert_eq!(view["status"], "completed", "{view}");
        view
    };
    let running = || server.machine.platform.running().into_keys().collect::<Vec<_>>();
    deploy_ended(&json!({"app": "web", "tag": "v1"})).await;
    deploy_ended(&json!({"app": "web", "tag": "v2"})).await;
    let before = running();
    // Other bytes, so that it is no repeated delivery.
    let view = deploy_ended(&json!({"app": "web", "tag": "v2", "force": false})).await;
    assert_eq!(view["serving"], json!({"revision": 3, "tag": "v2"}));
    assert!(running().iter().all(|one| !before.contains(one)), "{before:?} went for {:?}", running());
    let back = server.send(Ask::post("/v1/apps/web/rollback", &json!({})).token(GLOBAL)).await;
    assert_eq!(ended(&server, &back.read()).await["tag"], "v1");
    // v2 was deployed since v1, and v1 is what serves: nothing is brought back.
    let view = deploy_ended(&json!({"app": "web", "tag": "v1", "force": false})).await;
    assert_eq!(view["serving"]["tag"], "v1");
    let shop = read(&server, "/v1/status").await;
    assert!(shop["uptime_seconds"].is_u64() && shop["apps"]["web"]["port"].is_u64(), "{shop}");
}

#[tokio::test]
async fn apps_are_shown_without_keys_and_only_to_those_who_have_a_token() {
    let server = machine().boot().await;
    for uri in ["/v1/status", "/v1/deploys", "/v1/deploys/dep_00000000000000000000000000", "/v1/apps", "/v1/apps/web"] {
        assert_eq!(server.get(uri).await.status.as_u16(), 401, "{uri}");
        assert_eq!(server.send(Ask::get(uri).token("wrong")).await.status.as_u16(), 401, "{uri}");
    }
    let apps = server.send(Ask::get("/v1/apps").token(GLOBAL)).await.text();
    assert!(apps.contains("registry.test/shop") && apps.contains("${TOKEN}"), "{apps}");
    for secret in [OWN, "an older key", GLOBAL, "s3cret-from-outside"] {
        assert!(!apps.contains(secret), "{secret} is shown");
    }
    let unknown = server.send(Ask::get("/v1/deploys/dep_00000000000000000000000000").token(GLOBAL)).await;
    assert_eq!(error(&unknown), told(404, "deploy not found"));
}

impl Server {
    /// Waits until something holds; the store tells when it is worth asking.
    pub(crate) async fn until(&self, holds: impl AsyncFn() -> bool) {
        let mut changes = self.app.store.events_subscribe();
        let waiting = async {
            loop {
                changes.mark_unchanged();
                if holds().await {
                    return;
                }
                changes.changed().await.expect("the store is open");
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), waiting).await.expect("it comes to hold in time");
    }
}

/// The image's own file says that it has previews.
fn with_previews(machine: &Machine, tags: &[&str]) {
    let repo = "[app]\nname = \"web\"\n[preview]\nenabled = true\nttl = \"30m\"\n";
    for tag in tags {
        machine.platform.image_file(&format!("docker:registry.test/web:{tag}"), "/slip/slip.toml", repo);
    }
}

pub(crate) async fn preview(server: &Server, id: &str, tag: &str) -> Value {
    let body = json!({"app": "web", "tag": tag, "preview": {"id": id, "sha": "abc"}});
    let accepted = deploy(server, GLOBAL, &body).await;
    ended(server, &accepted).await
}

async fn previews(server: &Server) -> Vec<(String, String)> {
    let list = read(server, "/v1/previews/web").await;
    let word = |value: &Value| value.as_str().unwrap_or("null").to_owned();
    let all = list["previews"].as_array().expect("a list").iter();
    all.map(|one| (word(&one["preview_id"]), word(&one["tag"]))).collect()
}

#[tokio::test]
async fn what_the_image_says_of_itself_counts() {
    let server = machine().boot().await;
    let repo = "[app]\nname = \"shop\"\n[health]\npath = \"/health\"\n[defaults.resources]\nmemory = \"64m\"\n";
    server.machine.platform.image_file("docker:registry.test/shop:v1", "/slip/slip.toml", repo);
    let other = repo.replace("shop", "another");
    server.machine.platform.image_file("docker:registry.test/shop:v2", "/slip/slip.toml", &other);
    server.machine.platform.image_file("docker:registry.test/shop:v3", "/slip/slip.toml", "[app");
    let deployed = async |tag: &str| {
        let accepted = deploy(&server, OWN, &json!({"app": "shop", "tag": tag})).await;
        ended(&server, &accepted).await
    };
    assert_eq!(deployed("v1").await["status"], "completed");
    let manifest = server.send(Ask::get("/v1/releases/shop/revisions/1/manifest").token(GLOBAL)).await.text();
    assert!(manifest.contains("64"), "{manifest}");
    for (tag, told) in [("v2", "does not match deploy app `shop`"), ("v3", "/slip/slip.toml")] {
        let failed = deployed(tag).await;
        assert_eq!(failed["status"], "failed");
        let error = failed["error"].as_str().unwrap_or_default();
        assert!(error.contains(told), "{error}");
    }
    let app = &read(&server, "/v1/status").await["apps"]["shop"];
    assert_eq!((&app["status"], &app["tag"]), (&json!("running"), &json!("v1")), "what serves goes on");
    assert_eq!(app["last_deploy"]["status"], "failed");
}

#[tokio::test]
async fn a_secret_of_that_name_verifies_webhooks_and_reaches_no_process() {
    let server = machine().boot().await;
    let set = async |name: &str, value: &str| {
        let ask = Ask::new(Method::PUT, &format!("/v1/secrets/{name}")).token(GLOBAL);
        let answer = server.send(Ask { body: value.into(), ..ask }).await;
        assert!(answer.status.is_success(), "{}", answer.text());
    };
    set("web.SLIP_SECRET", "a key of its own").await;
    set("web.DB", "pg://somewhere").await;
    for (uri, body) in [
        ("/v1/secrets/web/SKIPPER_X", "x"),
        ("/v1/secrets/web.SKIPPER_X", "x"),
        ("/v1/apps/web/secrets", r#"{"secrets":{"A":"b","SKIPPER_X":"x"}}"#),
    ] {
        let ask = Ask::new(Method::PUT, uri).token(GLOBAL).header("content-type", "application/json");
        let body = if body == "x" { r#"{"value":"x"}"# } else { body };
        let answer = server.send(Ask { body: body.into(), ..ask }).await;
        assert!(answer.status.as_u16() == 400 && answer.text().contains("SKIPPER_X"), "{uri}: {}", answer.text());
    }
    let keys = read(&server, "/v1/apps/web/secrets").await;
    assert_eq!(keys["secrets"], json!(["DB", "SLIP_SECRET"]), "all of them are looked at before one is set");
    let refused = server.send(signed(GLOBAL, r#"{"app":"web","tag":"v1"}"#)).await;
    assert_eq!(error(&refused), told(401, "invalid signature"), "its own key replaces the server's");
    let accepted = deploy(&server, "a key of its own", &json!({"app": "web", "tag": "v1"})).await;
    assert_eq!(ended(&server, &accepted).await["status"], "completed");
    let manifest = server.send(Ask::get("/v1/releases/web/revisions/1/manifest").token(GLOBAL)).await.text();
    assert!(manifest.contains("web.DB") && manifest.contains("web.config.TOKEN"), "{manifest}");
    assert!(!manifest.contains("SLIP_SECRET"), "{manifest}");
}

#[tokio::test]
async fn previews_come_and_go_by_themselves() {
    let own = app("web", "", "[preview]\nenv = { TOKEN = \"${TOKEN}\" }\n");
    let machine = configured("[preview]\ndomain = \"preview.test\"\nmax_per_app = 2\n", [own]);
    with_previews(&machine, &["v1", "v2", "v3"]);
    let server = machine.boot().await;
    let accepted =
        deploy(&server, GLOBAL, &json!({"app": "web", "tag": "v1", "preview": {"id": "PR_1", "sha": "abc"}})).await;
    assert_eq!(
        (&accepted["app"], &accepted["preview_url"]),
        (&json!("web"), &json!("http://pr-1.preview.test:8080")),
        "where the edge listens, without TLS"
    );
    assert_eq!(ended(&server, &accepted).await["status"], "completed");
    let one = read(&server, "/v1/previews/web/PR_1").await;
    assert_eq!(
        (&one["status"], &one["domain"], &one["sha"], &one["port"]),
        (&json!("running"), &json!("pr-1.preview.test"), &json!("abc"), &json!(8080))
    );
    assert!(!one["expires_at"].is_null(), "{one}");
    assert_eq!(read(&server, "/v1/status").await["apps"]["web"]["status"], "not_deployed", "it is not the app");

    // A new version of it takes the place of the old one, with its time counted anew.
    server.machine.clock.advance(std::time::Duration::from_secs(25 * 60));
    assert_eq!(preview(&server, "PR_1", "v2").await["status"], "completed");
    server.machine.clock.advance(std::time::Duration::from_secs(25 * 60));
    assert_eq!(skipper_server::apps::previews::reap(&server.app, &mut BTreeMap::new()).await.expect("it works"), 0);
    assert_eq!(previews(&server).await, [("PR_1".to_owned(), "v2".to_owned())]);

    // Two at a time: the oldest goes.
    preview(&server, "2", "v1").await;
    preview(&server, "3", "v3").await;
    let ids = async || previews(&server).await.into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    server.until(async || ids().await == ["2", "3"]).await;

    // Somebody closes one; that there is none is fine.
    let close = |id: &str| {
        let mut ask = signed(GLOBAL, &format!("web:{id}"));
        (ask.method, ask.uri) = (Method::DELETE, format!("/v1/previews/web/{id}"));
        ask.body.clear();
        ask
    };
    for id in ["2", "2", "none"] {
        let answer = server.send(close(id)).await;
        assert_eq!(answer.ok::<Value>(), json!({"status": "ok"}));
    }
    let mut foreign = close("3");
    foreign.headers.retain(|(name, _)| *name != "x-slip-signature");
    assert_eq!(server.send(foreign).await.status.as_u16(), 401);
    let mut another = close("2");
    another.uri = "/v1/previews/web/3".to_owned();
    assert_eq!(server.send(another).await.status.as_u16(), 401, "signed is what goes");
    server.until(async || ids().await == ["3"]).await;

    // Its time is over.
    server.machine.clock.advance(std::time::Duration::from_secs(31 * 60));
    assert_eq!(skipper_server::apps::previews::reap(&server.app, &mut BTreeMap::new()).await.expect("it works"), 1);
    server.until(async || ids().await.is_empty()).await;
    assert!(server.machine.platform.running().is_empty(), "nothing is left");
    let sealed = async || {
        let all = server.app.store.secret_list(&TenantName::default_tenant()).await.expect("a list");
        all.into_iter().map(|info| info.name.to_string()).filter(|name| name.contains(".preview.")).collect::<Vec<_>>()
    };
    assert_eq!(sealed().await, ["web.preview.3.config.TOKEN"], "what was sealed for the others went with them");
    assert_eq!(skipper_server::apps::previews::reap(&server.app, &mut BTreeMap::new()).await.expect("it works"), 0);
    assert_eq!(sealed().await, [""; 0]);
}

#[tokio::test]
async fn what_there_is_a_certificate_for_is_served_with_tls() {
    let machine = machine();
    let folder = machine.dir.path().join("tls");
    testkit::fixture::certificate(&folder, "*.preview.test");
    std::fs::write(folder.join("web.test.crt"), "no certificate").expect("written");
    with_previews(&machine, &["v1"]);
    let tls = EdgeTls { orders: false, folder: Some(folder.clone()) };
    let server = Machine { tls, ..machine }.boot().await;
    let routes = async |release: &str, number: u64| {
        let name = ReleaseName::new(release).expect("a name");
        let release = server.app.store.release_get(&TenantName::default_tenant(), &name).await.expect("read");
        let revision = server.app.store.revision_get(release.expect("there").id, number).await.expect("read");
        let spec = revision.and_then(|revision| revision.spec).expect("it was built");
        let routes = spec.applications.iter().flat_map(|app| &app.routes);
        routes.filter(|route| route.listener == Listener::Https).count()
    };
    assert_eq!(preview(&server, "pr-1", "v1").await["status"], "completed");
    assert_eq!(routes("web.preview.pr-1", 1).await, 1);
    let accepted = deploy(&server, GLOBAL, &json!({"app": "web", "tag": "v1"})).await;
    assert_eq!(ended(&server, &accepted).await["status"], "completed");
    assert_eq!(routes("web", 1).await, 0, "what the edge cannot use does not count");
    testkit::fixture::certificate(&folder, "web.test");
    let accepted = deploy(&server, GLOBAL, &json!({"app": "web", "tag": "v2"})).await;
    assert_eq!(ended(&server, &accepted).await["status"], "completed");
    assert_eq!(routes("web", 2).await, 1, "from the next deploy on");
}

#[tokio::test]
async fn previews_are_refused_where_there_are_none() {
    let server = machine().boot().await;
    let ask = |id: &str| signed(GLOBAL, &json!({"app": "web", "tag": "v1", "preview": {"id": id}}).to_string());
    let (status, text) = error(&server.send(ask("../x")).await);
    assert!(status == 400 && text.contains("preview id"), "{status} {text}");
    let ended = preview(&server, "pr-1", "v1").await;
    assert_eq!(ended["status"], "failed", "the image enables none");
    assert!(ended["error"].as_str().unwrap_or_default().contains("not enabled"), "{ended}");
    let list = read(&server, "/v1/previews/web").await;
    assert_eq!((&list["previews"][0]["status"], &list["previews"][1]), (&json!("failed"), &Value::Null), "{list}");
    assert!(server.machine.platform.running().is_empty(), "nothing of it was started");
    let torn_down = Ask::new(Method::DELETE, "/v1/previews/web/pr-1").token(GLOBAL);
    server.send(torn_down).await.done();
    server.until(async || previews(&server).await.is_empty()).await;
}

#[tokio::test]
async fn what_belongs_to_another_is_refused_and_ends() {
    let machine = machine();
    with_previews(&machine, &["v1"]);
    let server = machine.boot().await;
    // `a_b` and `a-b` are one host name.
    assert_eq!(preview(&server, "a_b", "v1").await["status"], "completed");
    let other = json!({"app": "web", "tag": "v1", "preview": {"id": "a-b"}}).to_string();
    let (status, text) = error(&server.send(signed(GLOBAL, &other)).await);
    assert!(status == 409 && text.contains("`a_b`"), "{status} {text}");
    // A host name that the image brings about, and that another release has.
    let repo = "[app]\nname = \"shop\"\n[preview]\nenabled = true\n";
    server.machine.platform.image_file("docker:registry.test/shop:v1", "/slip/slip.toml", repo);
    let accepted = deploy(&server, OWN, &json!({"app": "shop", "tag": "v1", "preview": {"id": "a-b"}})).await;
    let ended = ended(&server, &accepted).await;
    assert_eq!(ended["status"], "failed");
    assert!(ended["error"].as_str().is_some_and(|error| error.contains("belongs to")), "{ended}");
}
