//! Apps that are added, changed and removed through slip's door, and their secrets.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use http::Method;
use serde_json::{Value, json};
use skipper_core::{
    actor::Role,
    name::{ReleaseName, TenantName},
};
use skipper_server::apps::LiveApps;
use testkit::Behaviour;

use crate::{
    deploys::{GLOBAL, app, configured, ended, error, read, signed, told},
    fixture::{Answer, Ask, Machine, Server},
};

const SERVER: &str = "[server]\n[auth]\nsecret = \"the key of the whole server\"\n[registry]\n[storage]\n[runtime]\n\
                      backend = \"docker\"\n[preview]\ndomain = \"preview.test\"\n";

/// A machine whose apps are in a directory: `web` and `shop`.
pub(crate) fn on_disk() -> Machine {
    let machine = configured("", []);
    let dir = machine.dir.path().join("etc");
    fs::create_dir_all(dir.join("apps")).expect("made");
    fs::write(dir.join("slip.toml"), SERVER).expect("written");
    for (file, text) in [app("web", "# the shop window", ""), app("shop", "", "")] {
        fs::write(dir.join("apps").join(file), text).expect("written");
    }
    let env = BTreeMap::from([("TOKEN".to_owned(), "s3cret-from-outside".to_owned())]);
    let apps = LiveApps::open(dir, env).expect("it is good");
    Machine { apps, ..machine }
}

fn file(server: &Server, name: &str) -> PathBuf {
    server.machine.dir.path().join("etc/apps").join(format!("{name}.toml"))
}

fn text(server: &Server, name: &str) -> String {
    fs::read_to_string(file(server, name)).expect("it is there")
}

async fn send(server: &Server, method: Method, uri: &str, body: &Value) -> Answer {
    server.send(Ask::new(method, uri).json(body).token(GLOBAL)).await
}

async fn remove(server: &Server, uri: &str) -> Answer {
    server.send(Ask::new(Method::DELETE, uri).token(GLOBAL)).await
}

async fn deployed(server: &Server, name: &str, tag: &str) -> Value {
    let answer = server.send(signed(GLOBAL, &json!({"app": name, "tag": tag}).to_string())).await;
    assert_eq!(answer.status.as_u16(), 202, "{}", answer.text());
    ended(server, &answer.read()).await
}

#[tokio::test]
async fn an_app_is_added_to_the_directory_and_can_be_deployed_at_once() {
    let server = on_disk().boot().await;
    let body = json!({
        "name": "api", "image": "registry.test/api", "domain": "api.test", "env": {"MODE": "x", "TOKEN": "${TOKEN}"},
        "health": {"path": "/health", "interval": "10ms"}, "resources": {"memory": "64m"}, "colour": "red",
    });
    let made = send(&server, Method::POST, "/v1/apps", &body).await;
    assert_eq!((made.status.as_u16(), made.header("location")), (201, Some("/v1/apps/api")), "{}", made.text());
    let shown: Value = made.read();
    assert_eq!(
        (&shown["name"], &shown["port"], &shown["env"]["TOKEN"]),
        (&json!("api"), &json!(8080), &json!("${TOKEN}"))
    );
    assert!(shown["warnings"][0].as_str().unwrap_or_default().contains("colour"), "{shown}");
    assert!(text(&server, "api").contains("TOKEN = \"${TOKEN}\""), "as it was written");
    let mode = fs::metadata(file(&server, "api")).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it may hold keys");
    assert_eq!(deployed(&server, "api", "v1").await["status"], "completed");
    assert_eq!(read(&server, "/v1/apps/api/status").await["tag"], "v1");
    assert_eq!(error(&send(&server, Method::POST, "/v1/apps", &body).await), told(409, "app 'api' already exists"));
    let left = fs::read_dir(server.machine.dir.path().join("etc/apps")).expect("a folder").count();
    assert_eq!(left, 3, "nothing else is left there");
}

#[tokio::test]
async fn who_serves_a_host_name_keeps_it_whatever_others_are_called() {
    let server = on_disk().boot().await;
    assert_eq!(deployed(&server, "web", "v1").await["status"], "completed");
    let claim = |name: &str| app(name, "", "").1.replace(&format!("domain = \"{name}.test\""), "domain = \"web.test\"");
    // It is written by hand, and comes first by name.
    fs::write(file(&server, "also"), claim("also")).expect("written");
    let refused = server.send(signed(GLOBAL, r#"{"app":"also","tag":"v1"}"#)).await;
    let (status, text) = error(&refused);
    assert!(status == 409 && text.contains("`web.test` is wanted by the apps `web` and `also`"), "{status} {text}");
    assert_eq!(deployed(&server, "web", "v2").await["status"], "completed", "it is well");
    let apps = &read(&server, "/v1/status").await["apps"];
    assert_eq!((&apps["web"]["faults"], &apps["web"]["tag"]), (&json!(null), &json!("v2")));
    assert!(apps["also"]["faults"][0].as_str().unwrap_or_default().contains("keeps it"), "{apps}");
    let (status, text) = error(
        &send(&server, Method::POST, "/v1/apps", &json!({"name": "api", "image": "a/b", "domain": "web.test"})).await,
    );
    assert!(status == 422 && text.contains("`web` serves there"), "{status} {text}");
    // Once it is gone the other one has it.
    remove(&server, "/v1/apps/web").await.done();
    let (tenant, web) = (TenantName::default_tenant(), ReleaseName::new("web").expect("a name"));
    let release =
        async || server.app.store.release_get(&tenant, &web).await.expect("the store answers").expect("it was there");
    server.until(async || release().await.deleted).await;
    assert_eq!(deployed(&server, "also", "v1").await["status"], "completed");
}

#[tokio::test]
async fn what_would_not_load_is_not_written() {
    let server = on_disk().boot().await;
    let before = text(&server, "web");
    for (status, body, what) in [
        (400, json!({"name": "../x", "image": "a/b"}), "invalid app name"),
        (400, json!({"name": "Api", "image": "a/b"}), "invalid app name"),
        (400, json!({"image": "a/b"}), "invalid app name"),
        (422, json!({"name": "api", "domain": "api.test"}), "image"),
        (422, json!({"name": "api", "image": "a/b", "resources": {"memory": "lots"}}), "lots"),
        (422, json!({"name": "api", "image": "a/b", "deploy": {"drain_timeout": "-1s"}}), "drain_timeout"),
        (422, json!({"name": "api", "image": "a/b", "env": {"A": "${NOT_SET}"}}), "NOT_SET"),
        (422, json!({"name": "api", "image": "a/b", "domain": "web.test"}), "wanted by the apps `api` and `web`"),
        (422, json!({"name": "zoo", "image": "a/b", "domain": "web.test"}), "wanted by the apps `web` and `zoo`"),
        (422, json!([1]), "object"),
    ] {
        let answer = send(&server, Method::POST, "/v1/apps", &body).await;
        let (got, text) = error(&answer);
        assert!(got == status && text.contains(what), "{body}: {got} {text}");
    }
    let wrong = send(&server, Method::PATCH, "/v1/apps/web", &json!({"port": 0})).await;
    assert_eq!(wrong.status.as_u16(), 422, "{}", wrong.text());
    assert_eq!(wrong.read::<Value>()["faults"].as_array().map(Vec::len), Some(1));
    assert_eq!(text(&server, "web"), before);
    assert_eq!(read(&server, "/v1/apps").await["apps"].as_array().map(Vec::len), Some(2));
    fs::write(server.machine.dir.path().join("etc/slip.toml"), "[server\n").expect("written");
    let (status, told) = error(&send(&server, Method::POST, "/v1/apps", &json!({"name": "api", "image": "a/b"})).await);
    assert!(status == 422 && told.contains("slip.toml"), "{status} {told}");
    assert!(!file(&server, "api").exists());
}

#[tokio::test]
async fn a_change_replaces_tables_and_a_merge_patch_goes_into_them() {
    let server = on_disk().boot().await;
    let changed =
        send(&server, Method::PATCH, "/v1/apps/web", &json!({"port": 9090, "resources": {"memory": "1g"}})).await;
    assert_eq!(changed.ok::<Value>()["port"], 9090);
    let now = text(&server, "web");
    assert!(
        now.contains("# the shop window") && now.contains("TOKEN = \"${TOKEN}\"") && now.contains("port = 9090"),
        "{now}"
    );
    let merge = |body: &Value| {
        let ask = Ask::new(Method::PATCH, "/v1/apps/web").json(body).token(GLOBAL);
        ask.header("content-type", "application/merge-patch+json")
    };
    let both: Value = server.send(merge(&json!({"resources": {"cpus": "0.5"}, "env": {"MODE": "x"}}))).await.ok();
    assert_eq!(both["resources"], json!({"memory": "1g", "cpus": "0.5"}));
    assert_eq!(both["env"], json!({"TOKEN": "${TOKEN}", "MODE": "x"}));
    let replaced: Value = send(&server, Method::PATCH, "/v1/apps/web", &json!({"env": {"ONLY": "1"}})).await.ok();
    assert_eq!(replaced["env"], json!({"ONLY": "1"}));
    let gone: Value = server.send(merge(&json!({"env": {"ONLY": null}, "resources": null}))).await.ok();
    assert_eq!((&gone["env"], &gone["resources"]), (&json!({}), &json!({})));
    for name in ["none", "..%2Fslip", "%2E%2E"] {
        let unknown = send(&server, Method::PATCH, &format!("/v1/apps/{name}"), &json!({"port": 1})).await;
        assert_eq!(unknown.status.as_u16(), 404, "{name}: {}", unknown.text());
    }
}

#[tokio::test]
async fn two_who_change_at_once_lose_nothing() {
    let server = on_disk().boot().await;
    let change = |at: usize| {
        let body = json!({"env": {format!("V{at}"): "x"}});
        let ask = Ask::new(Method::PATCH, "/v1/apps/web").json(&body).token(GLOBAL);
        server.send(ask.header("content-type", "application/merge-patch+json"))
    };
    for answer in futures::future::join_all((0..20).map(change)).await {
        answer.done();
    }
    let env = read(&server, "/v1/apps/web").await["env"].clone();
    assert_eq!(env.as_object().map(serde_json::Map::len), Some(21), "{env}");
    let add = |at: usize| {
        let body = json!({"name": "new", "image": format!("registry.test/{at}")});
        server.send(Ask::post("/v1/apps", &body).token(GLOBAL))
    };
    let made = futures::future::join_all((0..10).map(add)).await;
    assert_eq!(made.iter().filter(|answer| answer.status.as_u16() == 201).count(), 1, "one of them");
}

#[tokio::test]
async fn an_app_goes_with_all_that_is_of_it() {
    let machine = on_disk();
    let repo = "[app]\nname = \"web\"\n[preview]\nenabled = true\nttl = \"30m\"\n";
    machine.platform.image_file("docker:registry.test/web:v1", "/slip/slip.toml", repo);
    let server = machine.boot().await;
    for (name, key) in [("web", "DB"), ("shop", "DB")] {
        send(&server, Method::PUT, &format!("/v1/apps/{name}/secrets"), &json!({"secrets": {key: "s3cret"}}))
            .await
            .done();
        assert_eq!(deployed(&server, name, "v1").await["status"], "completed");
    }
    let preview = json!({"app": "web", "tag": "v1", "preview": {"id": "pr-1"}}).to_string();
    let accepted = server.send(signed(GLOBAL, &preview)).await;
    assert_eq!(ended(&server, &accepted.read()).await["status"], "completed");
    assert_eq!(server.machine.platform.running().len(), 3);

    assert_eq!(remove(&server, "/v1/apps/web").await.ok::<Value>(), json!({"status": "ok"}));
    assert!(!file(&server, "web").exists());
    assert_eq!(error(&server.send(Ask::get("/v1/apps/web").token(GLOBAL)).await), told(404, "unknown app: web"));
    let secrets = server.send(Ask::get("/v1/secrets").token(GLOBAL)).await.text();
    assert!(!secrets.contains("web.") && secrets.contains("shop.DB"), "{secrets}");
    server.until(async || server.machine.platform.running().len() == 1).await;
    assert_eq!(read(&server, "/v1/apps/shop/status").await["status"], "running");
    assert_eq!(remove(&server, "/v1/apps/web").await.status.as_u16(), 404);
    for name in ["..%2F..%2Fskipper", "%2E%2E"] {
        assert_eq!(remove(&server, &format!("/v1/apps/{name}")).await.status.as_u16(), 404, "{name}");
    }

    // Its name can be had again.
    let again = json!({"name": "web", "image": "registry.test/web", "domain": "web.test", "health": {"path": "/health", "interval": "10ms"}});
    assert_eq!(send(&server, Method::POST, "/v1/apps", &again).await.status.as_u16(), 201);
    assert_eq!(deployed(&server, "web", "v2").await["status"], "completed");
}

#[tokio::test]
async fn an_app_whose_file_is_broken_can_be_removed() {
    let server = on_disk().boot().await;
    fs::write(file(&server, "bad"), "[app\n").expect("written");
    assert_eq!(remove(&server, "/v1/apps/bad").await.ok::<Value>(), json!({"status": "ok"}));
    assert!(!file(&server, "bad").exists());
}

#[tokio::test]
async fn without_a_directory_the_answer_says_how_to_have_one() {
    let server = configured("", [app("web", "", "")]).boot().await;
    for answer in [
        send(&server, Method::POST, "/v1/apps", &json!({"name": "api", "image": "a/b"})).await,
        send(&server, Method::PATCH, "/v1/apps/web", &json!({"port": 1})).await,
        remove(&server, "/v1/apps/web").await,
    ] {
        assert!(answer.problem("conflict").hint.unwrap_or_default().contains("--config DIR"));
    }
}

#[tokio::test]
async fn only_who_administers_the_server_changes_its_apps() {
    let server = on_disk().boot().await;
    for (role, tenant) in [(Role::Operator, None), (Role::Admin, Some("default"))] {
        let token = server.token(role, tenant).await;
        let ask = Ask::post("/v1/apps", &json!({"name": "api", "image": "a/b"})).token(&token);
        server.send(ask).await.problem("forbidden");
        server.send(Ask::new(Method::DELETE, "/v1/apps/web").token(&token)).await.problem("forbidden");
    }
    assert!(file(&server, "web").exists());
}

#[tokio::test]
async fn secrets_of_an_app_go_in_under_both_families_of_paths_and_never_come_out() {
    let server = on_disk().boot().await;
    let all = "/v1/apps/web/secrets";
    let set = send(&server, Method::PUT, all, &json!({"secrets": {"B": "s3cret-b", "_a": "s3cret-a"}})).await;
    assert_eq!(set.ok::<Value>(), json!({"set": ["B", "_a"]}));
    for wrong in [
        json!({"secrets": {"GOOD": "s3cret", "1BAD": "s3cret"}}),
        json!({"secrets": {"GOOD": "s3cret", "A.B": "x"}}),
        json!({"secrets": {"GOOD": "s3cret", "EMPTY": ""}}),
        json!({"secrets": {"GOOD": 3}}),
        json!({"secrets": "s3cret"}),
        json!({}),
    ] {
        let answer = send(&server, Method::PUT, all, &wrong).await;
        assert!(answer.status.as_u16() == 400 && !answer.text().contains("s3cret"), "{wrong}: {}", answer.text());
    }
    assert_eq!(read(&server, all).await, json!({"secrets": ["B", "_a"]}), "all or none");

    let put = async |kind: &str, body: &str| {
        let mut ask = Ask::new(Method::PUT, "/v1/secrets/web/DB").token(GLOBAL);
        ask.body = body.into();
        let ask = if kind.is_empty() { ask } else { ask.header("content-type", kind) };
        server.send(ask).await
    };
    let set: Value = put("text/plain", "s3cret-raw").await.ok();
    assert_eq!((&set["app"], &set["name"], &set["version"]), (&json!("web"), &json!("DB"), &json!(1)));
    for (kind, body) in [
        ("application/json", r#"{"value":"s3cret-json"}"#),
        ("", r#"{"value":"s3cret-json"}"#),
        ("application/x-www-form-urlencoded", "s3cret=as&it=is"),
    ] {
        put(kind, body).await.done();
    }
    let name = skipper_core::name::SecretName::new("web.DB").expect("a name");
    let tenant = skipper_core::name::TenantName::default_tenant();
    let stored = server.app.store.secret_value(&tenant, &name).await.expect("it opens").expect("it is set");
    assert_eq!(stored.expose(), "s3cret=as&it=is");
    put("application/json", "{\"value\": 3}").await.problem("bad-request");
    let shown = server.send(Ask::get("/v1/secrets/web/DB").token(GLOBAL)).await;
    assert!(!shown.text().contains("s3cret"), "{}", shown.text());
    let shown: Value = shown.ok();
    assert!(shown["version"] == 4 && shown["updated_at"].is_string(), "{shown}");

    for uri in ["/v1/apps/web/secrets/B", "/v1/secrets/web/_a"] {
        assert_eq!(remove(&server, uri).await.ok::<Value>(), json!({"status": "ok"}));
        assert_eq!(remove(&server, uri).await.status.as_u16(), 404);
    }
    assert_eq!(read(&server, all).await, json!({"secrets": ["DB"]}));
    for uri in ["/v1/apps/none/secrets/A", "/v1/secrets/none/A"] {
        assert_eq!(error(&remove(&server, uri).await), told(404, "unknown app: none"));
    }
    for key in ["..%2F..%2Fvictim", "a%00b", "A.B", "%20"] {
        assert_eq!(remove(&server, &format!("/v1/apps/web/secrets/{key}")).await.status.as_u16(), 400, "{key}");
    }
    assert!(!read(&server, "/v1/events").await.to_string().contains("s3cret"));
    let mut large = Ask::new(Method::PUT, "/v1/secrets/web/DB").token(GLOBAL);
    large.body = vec![b'x'; 4097];
    server.send(large).await.problem("body-too-large");
    let viewer = server.token(Role::Viewer, None).await;
    server.send(Ask::get(all).token(&viewer)).await.problem("forbidden");
}

#[tokio::test]
async fn an_app_that_was_never_deployed_has_a_status_and_no_output() {
    let server = on_disk().boot().await;
    assert_eq!(read(&server, "/v1/apps/web/status").await["status"], "not_deployed");
    server.send(Ask::get("/v1/apps/web/logs").token(GLOBAL)).await.problem("not-serving");
    deployed(&server, "web", "v1").await;
    server.send(Ask::get("/v1/apps/web/logs").token(GLOBAL)).await.done();
    let unknown = server.send(Ask::get("/v1/apps/none/logs").token(GLOBAL)).await;
    assert_eq!(error(&unknown), told(404, "unknown app: none"));
}

/// A storage folder as slip leaves it.
fn storage(machine: &Machine) -> PathBuf {
    let storage = machine.dir.path().join("slip");
    let secret = |path: &str, value: &[u8]| {
        let path = storage.join("secrets").join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, value).expect("written");
    };
    secret("web/DATABASE_URL", b"pg://s3cret\n");
    secret("web/SLIP_SECRET", b"a key of its own");
    secret("shop/TOKEN_2", b"s3cret-2");
    secret("web/.TORN.tmp", b"half");
    secret("web/1BAD", b"x");
    secret("web/BYTES", b"\xff\xfe");
    secret("web/EMPTY", b"");
    fs::create_dir_all(storage.join("state/previews")).expect("made");
    let state = json!({"current_tag": "v7", "previous_tag": "v6", "deployed_at": "2026-01-02T03:04:05.123456789Z"});
    fs::write(storage.join("state/web.json"), state.to_string()).expect("written");
    fs::write(storage.join("state/shop.json"), "{torn").expect("written");
    std::os::unix::fs::symlink("/etc/passwd", storage.join("secrets/web/LINK")).expect("linked");
    storage
}

#[tokio::test]
async fn secrets_of_a_slip_that_ran_here_are_taken_over_once() {
    let machine = on_disk();
    let place = storage(&machine);
    let dir = machine.dir.path().join("etc");
    let server = SERVER.replace("[storage]\n", &format!("[storage]\npath = {:?}\n", place.display().to_string()));
    fs::write(dir.join("slip.toml"), server).expect("written");
    let env = BTreeMap::from([("TOKEN".to_owned(), "x".to_owned())]);
    let machine = Machine { apps: LiveApps::open(dir, env).expect("it is good"), ..machine };
    let server = machine.boot().await;
    let set = Ask::new(Method::PUT, "/v1/secrets/shop/TOKEN_2").token(GLOBAL);
    server.send(Ask { body: b"newer".to_vec(), ..set }).await.done();
    let data = server.machine.dir.path().to_owned();
    skipper_server::apps::takeover::storage_of_slip(&server.app, &data).await;
    assert_eq!(read(&server, "/v1/apps/web/secrets").await, json!({"secrets": ["DATABASE_URL", "SLIP_SECRET"]}));
    let value = async |name: &str| {
        let name = skipper_core::name::SecretName::new(name).expect("a name");
        let tenant = skipper_core::name::TenantName::default_tenant();
        server.app.store.secret_value(&tenant, &name).await.expect("it opens").map(|value| value.expose().to_owned())
    };
    assert_eq!(value("web.DATABASE_URL").await.as_deref(), Some("pg://s3cret\n"), "byte by byte");
    assert_eq!(value("shop.TOKEN_2").await.as_deref(), Some("newer"), "what was set since counts");
    assert!(place.join("secrets/web/DATABASE_URL").exists(), "its files stay");
    let past = read(&server, "/v1/deploys?app=web").await;
    let tags: Vec<_> =
        past["deploys"].as_array().expect("a list").iter().map(|one| (&one["tag"], &one["status"])).collect();
    assert_eq!(tags, [(&json!("v7"), &json!("completed")), (&json!("v6"), &json!("completed"))]);
    assert!(past["deploys"][0]["started_at"].as_str().unwrap_or_default().starts_with("2026-01-02T03:04:05"), "{past}");
    assert_eq!(read(&server, "/v1/apps/web/status").await["status"], "not_deployed");
    let old = server.send(signed("a key of its own", r#"{"app":"web","tag":"v6"}"#)).await;
    assert_eq!(old.status.as_u16(), 409, "what was deployed before another one needs force: {}", old.text());
    let own = server.send(signed("a key of its own", r#"{"app":"web","tag":"v7"}"#)).await;
    assert_eq!(own.status.as_u16(), 202, "{}", own.text());
    assert_eq!(ended(&server, &own.read()).await["revision"], 3);
    for body in [json!({}), json!({"to": "v6"})] {
        let back = send(&server, Method::POST, "/v1/apps/web/rollback", &body).await;
        assert_eq!(error(&back).0, 409, "of what slip deployed nothing is known but its tag: {}", back.text());
    }

    // Once: what is removed afterwards does not come back with the next start.
    remove(&server, "/v1/secrets/web/DATABASE_URL").await.done();
    skipper_server::apps::takeover::storage_of_slip(&server.app, &data).await;
    assert_eq!(value("web.DATABASE_URL").await, None);
    assert!(!read(&server, "/v1/events").await.to_string().contains("s3cret"));
}

#[tokio::test]
async fn containers_of_slip_serve_until_a_deploy_has_taken_their_place() {
    let server = on_disk().boot().await;
    let platform = &server.machine.platform;
    let managed = ("slip.managed", "true");
    for (id, labels) in [
        ("slip-web", vec![managed, ("slip.app", "web"), ("slip.tag", "v0")]),
        ("slip-web-orphan", vec![managed, ("slip.app", "web")]),
        ("slip-shop", vec![managed, ("slip.app", "shop")]),
        ("slip-other", vec![managed, ("slip.app", "other")]),
        ("slip-preview", vec![managed, ("slip.app", "web-preview-pr-1")]),
        ("foreign", vec![("slip.app", "web")]),
    ] {
        platform.add_foreign(id, &labels);
    }
    // The machine has the platform under two names.
    let sweep = async || skipper_server::apps::takeover::sweep(&server.app).await.expect("it works");
    sweep().await;
    assert_eq!(platform.foreign_ids().len(), 6, "nothing is deployed yet");
    let web = read(&server, "/v1/status").await["apps"]["web"].clone();
    assert_eq!((&web["status"], &web["tag"], &web["revision"]), (&json!("running"), &json!("v0"), &Value::Null));
    assert!(web["detail"].as_str().unwrap_or_default().contains("slip's container"), "{web}");
    assert_eq!(deployed(&server, "web", "v1").await["status"], "completed");
    sweep().await;
    assert_eq!(platform.foreign_ids().len(), 6, "requests have time to finish");
    server.machine.clock.advance(std::time::Duration::from_secs(31));
    assert!(sweep().await > 0);
    let web = read(&server, "/v1/status").await["apps"]["web"].clone();
    assert_eq!((&web["tag"], &web["detail"]), (&json!("v1"), &Value::Null));
    assert_eq!(platform.foreign_ids(), ["slip-shop", "slip-other", "slip-preview", "foreign"]);
    server.machine.platform.image_file("docker:registry.test/shop:bad", "/slip/slip.toml", "[app");
    assert_eq!(deployed(&server, "shop", "bad").await["status"], "failed");
    server.machine.clock.advance(std::time::Duration::from_secs(31));
    sweep().await;
    assert_eq!(platform.foreign_ids().len(), 4, "a deploy that failed takes nobody's place");
}

#[tokio::test]
async fn what_must_not_run_twice_stops_at_slips_first_and_runs_again_if_the_deploy_fails() {
    let server = on_disk().boot().await;
    let platform = &server.machine.platform;
    let one = app("pipe", "", "").1.replace("[deploy]", "[deploy]\nstrategy = \"recreate\"");
    fs::write(file(&server, "pipe"), one).expect("written");
    platform.add_foreign("slip-pipe", &[("slip.managed", "true"), ("slip.app", "pipe"), ("slip.tag", "v0")]);
    platform.add_foreign("slip-web", &[("slip.managed", "true"), ("slip.app", "web")]);
    let sweep = async || skipper_server::apps::takeover::sweep(&server.app).await.expect("it works");
    platform.behave("", Behaviour { healthy_after: None, exits_after: Some((std::time::Duration::ZERO, 3)) });
    assert_eq!(deployed(&server, "pipe", "v1").await["status"], "failed");
    assert_eq!(platform.foreign_running(), ["slip-web"], "it was stopped before ours began");
    sweep().await;
    assert_eq!(platform.foreign_running(), ["slip-pipe", "slip-web"]);
    platform.behave("", Behaviour::default());
    assert_eq!(deployed(&server, "pipe", "v2").await["status"], "completed");
    assert_eq!(deployed(&server, "web", "v1").await["status"], "completed");
    assert_eq!(platform.foreign_running(), ["slip-web"], "who may run twice goes on until requests have finished");
    server.machine.clock.advance(std::time::Duration::from_secs(31));
    sweep().await;
    assert_eq!(platform.foreign_ids(), [""; 0]);
}

#[tokio::test]
async fn pods_of_slip_go_when_their_place_is_taken() {
    let server = on_disk().boot().await;
    let dir = server.machine.dir.path();
    let storage = dir.join("slip");
    fs::create_dir_all(storage.join("state")).expect("made");
    fs::write(storage.join("state/web.json"), r#"{"current_tag":"v0","current_pod_name":"web-01abcdef"}"#)
        .expect("written");
    fs::write(
        dir.join("etc/slip.toml"),
        SERVER.replace("[storage]", &format!("[storage]\npath = \"{}\"", storage.display())),
    )
    .expect("written");
    let platform = &server.machine.platform;
    let sweep = async || skipper_server::apps::takeover::sweep(&server.app).await.expect("it works");
    server.machine.apps.reload().expect("it is good");
    assert_eq!((sweep().await, platform.foreign_pods_removed()), (1, vec![]));
    assert_eq!(deployed(&server, "web", "v1").await["status"], "completed");
    server.machine.clock.advance(std::time::Duration::from_secs(31));
    assert_eq!(sweep().await, 0);
    // The machine has the platform under two names.
    assert_eq!(platform.foreign_pods_removed(), ["web-01abcdef", "web-01abcdef"]);
    assert_eq!((sweep().await, platform.foreign_pods_removed().len()), (0, 2), "once");
}

#[tokio::test]
async fn pods_and_previews_of_slip_are_shown_closed_and_ended_by_their_time() {
    let server = on_disk().boot().await;
    let dir = server.machine.dir.path();
    let storage = dir.join("slip");
    fs::create_dir_all(storage.join("state/previews/shop")).expect("made");
    let write = |name: &str, text: Value| {
        fs::write(storage.join("state").join(name), text.to_string()).expect("written");
    };
    write("web.json", json!({"current_tag": "v0", "current_pod_name": "web-01abcdef"}));
    for id in ["pr-1", "pr-2", "pr-3"] {
        let expires = if id == "pr-2" { "2020-01-01T00:00:00Z" } else { "2100-01-01T00:00:00Z" };
        let domain = format!("{id}.preview.test");
        write(&format!("previews/shop/{id}.json"), json!({"tag": "v1", "domain": domain, "expires_at": expires}));
    }
    fs::write(
        dir.join("etc/slip.toml"),
        SERVER.replace("[storage]", &format!("[storage]\npath = \"{}\"", storage.display())),
    )
    .expect("written");
    server.machine.apps.reload().expect("it is good");
    let platform = &server.machine.platform;
    platform.add_foreign("web-01abcdef-api", &[]);
    for id in ["pr-1", "pr-2", "pr-3"] {
        let label = format!("shop-preview-{id}");
        platform
            .add_foreign(&format!("slip-{id}"), &[("slip.managed", "true"), ("slip.app", &label), ("slip.tag", "v1")]);
    }
    skipper_server::apps::takeover::sweep(&server.app).await.expect("it works");
    assert_eq!(platform.foreign_ids(), ["web-01abcdef-api", "slip-pr-1", "slip-pr-3"], "its time is over");
    let web = read(&server, "/v1/status").await["apps"]["web"].clone();
    assert_eq!((&web["status"], &web["tag"]), (&json!("running"), &json!("v0")), "{web}");
    let listed = read(&server, "/v1/previews/shop").await;
    let seen: Vec<_> = listed["previews"].as_array().expect("a list").iter().map(|one| &one["preview_id"]).collect();
    assert_eq!(seen, ["pr-1", "pr-3"], "{listed}");
    assert_eq!((&listed["previews"][0]["status"], &listed["previews"][0]["tag"]), (&json!("running"), &json!("v1")));
    // One that is closed before it was ever deployed here is gone, and nobody is told so who asks for another one.
    assert_eq!(remove(&server, "/v1/previews/shop/pr-9").await.ok::<Value>(), json!({"status": "ok"}));
    assert_eq!(platform.foreign_ids().len(), 3);
    assert_eq!(remove(&server, "/v1/previews/shop/pr-1").await.ok::<Value>(), json!({"status": "ok"}));
    assert_eq!(platform.foreign_ids(), ["web-01abcdef-api", "slip-pr-3"]);
    assert_eq!(remove(&server, "/v1/previews/shop").await.ok::<Value>(), json!({"torn_down": ["pr-3"]}));
    assert_eq!(platform.foreign_ids(), ["web-01abcdef-api"]);
    assert_eq!(read(&server, "/v1/previews/shop").await, json!({"previews": []}));
}

#[tokio::test]
async fn what_a_health_check_prints_of_a_secret_is_blackened() {
    let server = on_disk().boot().await;
    // What the platform of these tests says of one that is not healthy.
    let secret = "connection refused";
    let set = Ask::new(Method::PUT, "/v1/secrets/web/DB").token(GLOBAL);
    server.send(Ask { body: secret.as_bytes().to_vec(), ..set }).await.done();
    server.machine.platform.behave("", Behaviour { healthy_after: None, exits_after: None });
    let failed = deployed(&server, "web", "v1").await;
    assert_eq!(failed["status"], "failed", "{failed}");
    assert!(failed["error"].as_str().is_some_and(|error| error.contains("[secret]")), "{failed}");
    assert!(!failed.to_string().contains(secret), "{failed}");
    assert!(!read(&server, "/v1/events").await.to_string().contains(secret));
}

#[tokio::test]
async fn an_app_runs_on_the_account_that_it_names() {
    let server = on_disk().boot().await;
    let one = app("other", "account = \"elsewhere\"", "").1;
    fs::write(file(&server, "other"), one).expect("written");
    let failed = deployed(&server, "other", "v1").await;
    assert!(failed["error"].as_str().is_some_and(|error| error.contains("`elsewhere`")), "{failed}");
    assert_eq!(deployed(&server, "web", "v1").await["status"], "completed");
}
