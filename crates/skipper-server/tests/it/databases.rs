//! Previews with a branch of a database. Whoever makes it is the fake of testkit: no Neon is here.

use std::{collections::BTreeMap, time::Duration};

use http::Method;
use serde_json::{Value, json};
use skipper_core::name::{ReleaseName, SecretName, TenantName};
use skipper_server::{apps::previews, databases};
use testkit::neon::{KEY, Neon, PROJECT, Trouble};

use crate::{
    deploys::{GLOBAL, app, configured, deploy, ended, preview, read, signed},
    fixture::{Ask, Machine, Server},
};

const BRANCH: &str =
    "strategy = \"branch\"\nprovider = \"neon\"\nproject_id = \"quiet-mountain-1\"\nbranch_from = \"main\"\n";

/// A machine whose app asks for branches in every image, with more under `[databases.neon]`.
fn machine(neon: &Neon, more: &str) -> Machine {
    let end = format!("[preview]\ndomain = \"preview.test\"\n[databases.neon]\nurl = \"{}\"\n{more}", neon.url());
    let machine = configured(&end, [app("web", "", "")]);
    image(&machine, "v1", BRANCH);
    machine
}

fn image(machine: &Machine, tag: &str, database: &str) {
    let repo = format!(
        "[app]\nname = \"web\"\n[preview]\nenabled = true\nhooks = {{ migrate = \"bin/migrate\" }}\n[preview.database]\n{database}"
    );
    machine.platform.image_file(&format!("docker:registry.test/web:{tag}"), "/slip/slip.toml", &repo);
}

fn keyed(neon: &Neon) -> Machine {
    machine(neon, &format!("api_key = \"{KEY}\"\n"))
}

/// Closes a preview and waits until it is gone.
async fn close(server: &Server, id: &str) {
    let mut ask = signed(GLOBAL, &format!("web:{id}"));
    (ask.method, ask.uri) = (Method::DELETE, format!("/v1/previews/web/{id}"));
    ask.body.clear();
    server.send(ask).await.done();
    gone(server).await;
}

async fn gone(server: &Server) {
    server.until(async || read(server, "/v1/previews/web").await["previews"] == json!([])).await;
}

async fn sweep(server: &Server) -> usize {
    databases::sweep(&server.app).await.expect("the store answers")
}

/// Where the preview connects.
async fn address(server: &Server, id: &str) -> Option<String> {
    let secret = SecretName::new(format!("web.preview.{id}.config.DATABASE_URL")).expect("a name");
    let value = server.app.store.secret_value(&TenantName::default_tenant(), &secret).await.expect("the store answers");
    value.map(|value| value.expose().to_owned())
}

#[tokio::test]
async fn a_preview_has_a_branch_as_long_as_it_is_there() {
    let neon = Neon::start().await;
    let server = keyed(&neon).boot().await;
    neon.made_by_another("preview/pr-1");
    assert_eq!(preview(&server, "pr-1", "v1").await["status"], "completed");
    let branches = neon.branches();
    assert_eq!((branches.len(), branches[1].parent.as_deref()), (2, Some("br-main")));
    assert!(branches[1].name.starts_with("skipper-web-preview-pr-1-"), "{}", branches[1].name);
    assert_eq!(address(&server, "pr-1").await, Some(Neon::uri("br-2")));
    assert_eq!(server.machine.platform.hooks_started(), 1);
    let uri = "/v1/releases/web.preview.pr-1/revisions/1/manifest";
    let manifest = server.send(Ask::get(uri).token(GLOBAL)).await.text();
    assert!(manifest.contains("web.preview.pr-1.config.DATABASE_URL") && !manifest.contains("p4ss"), "{manifest}");
    // The next version has the same data; the app itself has nothing to do with it.
    image(&server.machine, "v2", BRANCH);
    assert_eq!(preview(&server, "pr-1", "v2").await["status"], "completed");
    let accepted = deploy(&server, GLOBAL, &json!({"app": "web", "tag": "v2"})).await;
    assert_eq!(ended(&server, &accepted).await["status"], "completed");
    assert_eq!((sweep(&server).await, neon.branches().len()), (0, 2));

    close(&server, "pr-1").await;
    assert_eq!(sweep(&server).await, 1);
    let left: Vec<_> = neon.branches().into_iter().map(|branch| branch.name).collect();
    assert_eq!(left, ["preview/pr-1"], "what somebody else made stays");
    previews::reap(&server.app, &mut BTreeMap::new()).await.expect("it works");
    assert_eq!(address(&server, "pr-1").await, None);
    // Opened again it begins anew.
    image(&server.machine, "v3", BRANCH);
    assert_eq!(preview(&server, "pr-1", "v3").await["status"], "completed");
    assert_eq!(address(&server, "pr-1").await, Some(Neon::uri("br-3")));
}

#[tokio::test]
async fn a_branch_goes_with_the_time_of_its_preview_and_with_its_app() {
    let neon = Neon::start().await;
    let server = keyed(&neon).boot().await;
    assert_eq!(preview(&server, "pr-1", "v1").await["status"], "completed");
    let name = ReleaseName::new("web.preview.pr-1").expect("a name");
    let release =
        server.app.store.release_get(&TenantName::default_tenant(), &name).await.expect("read").expect("there");
    // Purged, so that nothing tells of the release any more.
    let purge = Ask::new(Method::DELETE, "/v1/releases/web.preview.pr-1?purge=true").token(GLOBAL);
    server.send(purge).await.done();
    gone(&server).await;
    assert!(
        server.app.store.release_get(&TenantName::default_tenant(), &name).await.expect("read").is_none(),
        "{release:?}"
    );
    assert_eq!((sweep(&server).await, neon.branches()), (1, vec![]));
}

#[tokio::test]
async fn whatever_the_provider_does_there_is_one_branch_and_then_none() {
    let neon = Neon::start().await;
    let server = keyed(&neon).boot().await;
    neon.takes_its_time(2);
    neon.troubles("POST", "branches", &[Trouble::Refuses(423), Trouble::DoesAndFails(504)]);
    neon.troubles("GET", "connection_uri", &[Trouble::Refuses(503)]);
    neon.troubles("GET", "branches", &[Trouble::Refuses(429)]);
    assert_eq!(preview(&server, "pr-1", "v1").await["status"], "completed");
    assert_eq!((neon.branches().len(), address(&server, "pr-1").await), (1, Some(Neon::uri("br-1"))));

    let id = "br-1";
    neon.troubles("DELETE", id, &[Trouble::Refuses(500), Trouble::Refuses(423), Trouble::DoesAndFails(502)]);
    close(&server, "pr-1").await;
    for (passes, left) in [(0, 1), (5, 1), (15, 0), (60, 0)] {
        server.machine.clock.advance(Duration::from_secs(passes));
        sweep(&server).await;
        assert_eq!(neon.branches().len(), left, "{passes} s later");
    }
    let calls = neon.calls().len();
    server.machine.clock.advance(Duration::from_secs(3600));
    assert_eq!((sweep(&server).await, neon.calls().len()), (0, calls), "nobody is asked any more");
}

#[tokio::test]
async fn what_a_crash_cuts_off_is_taken_up_or_taken_away() {
    let neon = Neon::start().await;
    let server = keyed(&neon).boot().await;
    neon.takes_its_time(1_000_000);
    let accepted = deploy(&server, GLOBAL, &json!({"app": "web", "tag": "v1", "preview": {"id": "pr-1"}})).await;
    neon.called("POST", "branches", 1).await;
    let server = server.reboot().await;
    neon.hurries();
    assert_eq!(ended(&server, &accepted).await["status"], "completed");
    assert_eq!((neon.branches().len(), address(&server, "pr-1").await), (1, Some(Neon::uri("br-1"))));
    close(&server, "pr-1").await;
    assert_eq!((sweep(&server).await, neon.branches()), (1, vec![]));

    // Asked for, and not there yet when its preview goes: it is looked for until it cannot come any more.
    neon.troubles("POST", "branches", &[Trouble::Refuses(400)]);
    let failed = preview(&server, "pr-2", "v1").await;
    assert_eq!(failed["status"], "failed", "{failed}");
    close(&server, "pr-2").await;
    assert_eq!(sweep(&server).await, 0);
    let name = neon.calls().len();
    let late = server.app.store.branches_due(10).await.expect("read");
    assert!(late.is_empty(), "it is looked for later: {late:?} {name}");
    server.machine.clock.advance(Duration::from_secs(10 * 60));
    let late = server.app.store.branches_due(10).await.expect("read");
    neon.made_by_another(&late[0].name);
    assert_eq!((sweep(&server).await, neon.branches()), (1, vec![]));
    assert_eq!(server.app.store.branches_due(10).await.expect("read"), []);
}

#[tokio::test]
async fn what_cannot_be_made_is_told_and_nothing_is_left() {
    let neon = Neon::start().await;
    // The server's project counts, whatever the image says.
    let server = machine(&neon, &format!("project_id = \"{PROJECT}\"\n")).boot().await;
    image(&server.machine, "v7", BRANCH);
    let told = async |tag: &str| {
        let ended = preview(&server, "pr-1", tag).await;
        assert_eq!(ended["status"], "failed", "{ended}");
        ended["error"].as_str().unwrap_or_default().to_owned()
    };
    let refused = told("v1").await;
    assert!(refused.contains("no key is known"), "{refused}");
    let set = async |value: &str| {
        let ask = Ask::new(Method::PUT, "/v1/secrets/databases.neon.api-key").token(GLOBAL);
        server.send(Ask { body: value.into(), ..ask }).await.done();
    };
    set("a wrong key").await;
    let refused = told("v7").await;
    assert!(refused.contains("401") && !refused.contains("a wrong key"), "{refused}");
    set(KEY).await;
    for (tag, database, word) in [
        ("v2", "strategy = \"branch\"\nprovider = \"another\"\nproject_id = \"p\"\n", "`another` is no provider"),
        ("v3", "strategy = \"branch\"\nprovider = \"neon\"\nbranch_from = \"nope\"\n", "has no branch `nope`"),
        ("v4", "strategy = \"branch\"\n", "needs a provider"),
        ("v5", "strategy = \"ephemeral\"\n", "the app is no pod"),
    ] {
        image(&server.machine, tag, database);
        let refused = told(tag).await;
        assert!(refused.contains(word), "{refused}");
    }
    assert_eq!((neon.branches(), server.machine.platform.hooks_started()), (vec![], 0));
    image(&server.machine, "v6", "strategy = \"branch\"\nprovider = \"neon\"\nproject_id = \"../somebody-elses\"\n");
    let done = preview(&server, "pr-1", "v6").await;
    assert_eq!(done["status"], "completed", "{done}");
    let events: Value = read(&server, "/v1/events").await;
    assert!(!events.to_string().contains("p4ss") && !events.to_string().contains(KEY));
}
