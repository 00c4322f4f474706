use http::Method;
use serde_json::{Value, json};
use skipper_server::api::own::wire::{
    Accepted, DiffView, HistoryPage, PlanView, ReleasePage, ReleaseState, ReleaseStatus, RevisionDetail, StatsView,
    WhyView,
};
use testkit::Behaviour;

use crate::fixture::{Ask, Server};

#[tokio::test]
async fn a_package_becomes_a_release_that_serves_and_is_remembered() {
    let server = Server::serving().await;
    let status: ReleaseStatus = server.get("/v1/releases/web").await.ok();
    assert_eq!(
        (status.state, status.revision, status.package.as_deref()),
        (ReleaseState::Live, Some(1), Some("hello-1.0.0"))
    );
    let app = &status.apps[0];
    assert_eq!((app.name.as_str(), app.weight, app.replicas, app.running), ("web", 100, 1, 1));
    assert_eq!(app.urls, ["http://web.example.org:8080/"]);
    assert_eq!((app.instances[0].state.as_str(), app.mode.as_str()), ("running", "open"));
    assert!(status.drift.is_empty() && status.last_error.is_none());
    let list: ReleasePage = server.get("/v1/releases").await.ok();
    assert_eq!(list.items.len(), 1);
    assert_eq!((list.items[0].state, list.items[0].package.as_deref()), (ReleaseState::Live, Some("hello-1.0.0")));
}

#[tokio::test]
async fn upgrade_rollback_scale_and_delete_follow_one_another_in_the_history() {
    let server = Server::serving().await;
    let up = json!({"package": {"name": "hello", "version": "2.0.0"}, "description": "the second one"});
    let up: Accepted = server.post("/v1/releases/web/upgrade", &up).await.ok();
    assert_eq!(up.revision, Some(2));
    assert_eq!(server.ended(&up.rollout.id).await.phase, "succeeded");
    let back = server.send(Ask::new(Method::POST, "/v1/releases/web/rollback")).await;
    let location = back.header("location").expect("where to follow it").to_owned();
    let back: Accepted = back.ok();
    assert_eq!(location, format!("/v1/rollouts/{}", back.rollout.id));
    assert_eq!(server.ended(&back.rollout.id).await.phase, "succeeded");
    let scale: Accepted = server.post("/v1/releases/web/scale", &json!({"replicas": {"web": 3}})).await.ok();
    assert_eq!(server.ended(&scale.rollout.id).await.phase, "succeeded");
    let status: ReleaseStatus = server.get("/v1/releases/web").await.ok();
    assert_eq!((status.revision, status.apps[0].running, status.package.as_deref()), (Some(4), 3, Some("hello-1.0.0")));
    let gone: Accepted = server.send(Ask::new(Method::DELETE, "/v1/releases/web")).await.ok();
    assert_eq!(server.ended(&gone.rollout.id).await.phase, "succeeded");
    let page: HistoryPage = server.get("/v1/releases/web/history?limit=3").await.ok();
    let rest: HistoryPage =
        server.get(&format!("/v1/releases/web/history?after={}", page.next.expect("more"))).await.ok();
    let lines: Vec<String> = page
        .items
        .iter()
        .chain(&rest.items)
        .map(|l| format!("{} {} {}", l.revision, l.state, l.source.text()))
        .collect();
    assert_eq!(
        lines,
        [
            "4 deleted delete",
            "4 deleted revision 3, web x 3",
            "3 superseded revision 1",
            "2 superseded hello-2.0.0",
            "1 superseded hello-1.0.0"
        ]
    );
    assert_eq!(rest.items[0].description.as_deref(), Some("the second one"));
    let status: ReleaseStatus = server.get("/v1/releases/web").await.ok();
    assert_eq!(status.state, ReleaseState::Deleted);
    server.send(Ask::new(Method::DELETE, "/v1/releases/web")).await.problem("release-not-found");
    assert!(server.machine.platform.running().values().all(Vec::is_empty));
}

#[tokio::test]
async fn a_deleted_release_is_installed_by_an_upgrade_and_by_a_rollback_without_a_number() {
    let server = Server::serving().await;
    let delete = async || {
        let gone: Accepted = server.send(Ask::new(Method::DELETE, "/v1/releases/web")).await.ok();
        assert_eq!(server.ended(&gone.rollout.id).await.phase, "succeeded");
    };
    let installed = async |verb: &str, body: &Value| {
        let back: Accepted = server.post(&format!("/v1/releases/web/{verb}"), body).await.ok();
        assert_eq!(
            (back.rollout.verb.as_str(), server.ended(&back.rollout.id).await.phase.as_str()),
            ("install", "succeeded")
        );
        let status: ReleaseStatus = server.get("/v1/releases/web").await.ok();
        (status.revision.expect("one serves"), status.package.expect("of a package"))
    };
    delete().await;
    let refused = server.post("/v1/releases/web/rollback", &json!({})).await.problem("revision-not-found");
    assert!(
        refused.hint.is_some_and(|hint| hint.contains("rollback web REVISION")),
        "nothing served before revision 1"
    );
    // Of the package that it had, where none is named.
    assert_eq!(installed("upgrade", &json!({"values": {"greeting": "moin"}})).await, (2, "hello-1.0.0".to_owned()));
    let two = json!({"package": {"name": "hello", "version": "2.0.0"}});
    let up: Accepted = server.post("/v1/releases/web/upgrade", &two).await.ok();
    assert_eq!((up.rollout.verb.as_str(), server.ended(&up.rollout.id).await.phase.as_str()), ("upgrade", "succeeded"));
    delete().await;
    let planned: PlanView = server.post("/v1/plans", &json!({"verb": "rollback", "name": "web"})).await.ok();
    assert_eq!(planned.verb, "install");
    assert_eq!(
        installed("rollback", &json!({})).await,
        (4, "hello-1.0.0".to_owned()),
        "before the one that served last"
    );
    let manifest = server.get("/v1/releases/web/revisions/4/manifest").await;
    assert!(manifest.text().contains("moin"), "{}", manifest.text());
}

#[tokio::test]
async fn an_upgrade_that_would_change_nothing_is_refused_unless_forced() {
    let server = Server::serving().await;
    server.post("/v1/releases/web/upgrade", &json!({})).await.problem("no-difference");
    server
        .post("/v1/releases/web/upgrade", &json!({"package": {"name": "hello", "version": "1.0.0"}}))
        .await
        .problem("no-difference");
    server.post("/v1/releases/web/rollback", &json!({"to": 1})).await.problem("no-difference");
    server.post("/v1/releases/web/scale", &json!({"replicas": {"web": 1}})).await.problem("no-difference");
    let forced: Accepted = server.post("/v1/releases/web/upgrade", &json!({"force": true})).await.ok();
    assert_eq!(server.ended(&forced.rollout.id).await.phase, "succeeded");
}

#[tokio::test]
async fn values_are_kept_without_new_ones_and_replaced_by_new_ones() {
    let server = Server::serving().await;
    let greeting = |text: &str| json!({"values": {"greeting": text}});
    let first: Accepted = server.post("/v1/releases/web/upgrade", &greeting("moin")).await.ok();
    server.ended(&first.rollout.id).await;
    // Without values those of before stay, so nothing differs.
    server.post("/v1/releases/web/upgrade", &json!({})).await.problem("no-difference");
    let reset: Accepted = server.post("/v1/releases/web/upgrade", &json!({"reset_values": true})).await.ok();
    server.ended(&reset.rollout.id).await;
    let manifest = server.get("/v1/releases/web/revisions/3/manifest").await;
    assert!(manifest.text().contains("hello") && !manifest.text().contains("moin"), "{}", manifest.text());
    assert_eq!(manifest.header("content-type"), Some("application/yaml; charset=utf-8"));
    server
        .post("/v1/releases/web/upgrade", &json!({"reset_values": true, "reuse_values": true}))
        .await
        .problem("invalid");
    server.post("/v1/releases/web/upgrade", &json!({"values": [1]})).await.problem("invalid");
}

#[tokio::test]
async fn names_that_are_taken_and_releases_that_do_not_serve_are_told_apart() {
    let server = Server::serving().await;
    let install = json!({"name": "web", "package": {"name": "hello"}});
    server.post("/v1/releases", &install).await.problem("release-exists");
    server.post("/v1/releases/web/rollback", &json!({})).await.problem("revision-not-found");
    server.post("/v1/releases/web/rollback", &json!({"to": 9})).await.problem("revision-not-found");
    server.post("/v1/releases/web/scale", &json!({"replicas": {"db": 1}})).await.problem("application-not-found");
    server.post("/v1/releases/web/scale", &json!({"replicas": {"web": 1001}})).await.problem("invalid");
    server.post("/v1/releases/web/cancel", &json!({})).await.problem("not-cancellable");
    // The route of the other release is the one its host name demands.
    let mut upload = Ask::new(Method::POST, "/v1/packages").header("content-type", "application/zip");
    upload.body = crate::fixture::package("thief", "1.0.0", "    - host: web.example.org\n      port: http\n");
    server.send(upload).await.ok::<Value>();
    let steal = json!({"name": "other", "package": {"name": "thief"}});
    server.post("/v1/releases", &steal).await.problem("route-taken");
}

#[tokio::test]
async fn a_busy_release_names_the_rollout_that_is_open_and_can_be_cancelled() {
    let server = Server::serving().await;
    server.machine.platform.behave("2.0.0", Behaviour { healthy_after: None, exits_after: None });
    let up = json!({"package": {"name": "hello", "version": "2.0.0"}});
    let up: Accepted = server.post("/v1/releases/web/upgrade", &up).await.ok();
    let busy = server.post("/v1/releases/web/scale", &json!({"replicas": {"web": 2}})).await.problem("release-busy");
    assert_eq!(busy.rollout.as_deref(), Some(up.rollout.id.as_str()));
    server.post("/v1/releases/web/hold", &json!({"bound": "5s"})).await.problem("release-busy");
    let status: ReleaseStatus = server.get("/v1/releases/web").await.ok();
    assert_eq!(status.state, ReleaseState::Deploying);
    let why: WhyView = server.get("/v1/releases/web/why").await.ok();
    assert!(why.answer.starts_with("the upgrade "), "{}", why.answer);
    assert_eq!(server.post("/v1/releases/web/cancel", &json!({})).await.status, 202);
    assert_eq!(server.ended(&up.rollout.id).await.phase, "cancelled");
    let status: ReleaseStatus = server.get("/v1/releases/web").await.ok();
    assert_eq!((status.state, status.revision), (ReleaseState::Live, Some(1)));
    let why: WhyView = server.get("/v1/releases/web/why").await.ok();
    assert!(why.answer.starts_with("the last upgrade was cancelled"), "{}", why.answer);
}

#[tokio::test]
async fn a_failed_upgrade_tells_why_and_leaves_the_old_revision_serving() {
    let server = Server::serving().await;
    let dies = Behaviour { healthy_after: None, exits_after: Some((std::time::Duration::from_millis(5), 3)) };
    server.machine.platform.behave("2.0.0", dies);
    let up = json!({"package": {"name": "hello", "version": "2.0.0"}});
    let up: Accepted = server.post("/v1/releases/web/upgrade", &up).await.ok();
    let view = server.ended(&up.rollout.id).await;
    assert_eq!(view.phase, "failed");
    let bundle = view.bundle.expect("the bundle is kept");
    assert_eq!(bundle.applications[0].exits[0].code, Some(3));
    let broke = view.cause.and_then(|cause| cause.step).expect("it names the step");
    let message = view.steps[broke as usize].message.clone().expect("the step says what broke");
    assert!(message.contains("status 3"), "{message}");
    let status: ReleaseStatus = server.get("/v1/releases/web").await.ok();
    assert_eq!((status.state, status.revision), (ReleaseState::Live, Some(1)));
    assert!(status.last_error.is_some());
    let why: WhyView = server.get("/v1/releases/web/why").await.ok();
    assert!(why.answer.contains("revision 1 went on serving"), "{}", why.answer);
    assert!(!why.events.is_empty() && why.bundle.is_some());
}

#[tokio::test]
async fn a_plan_stores_nothing_and_its_hash_can_be_required() {
    let server = Server::serving().await;
    let head = server.app.store.events_head().await.expect("head");
    let wanted = json!({"verb": "upgrade", "name": "web", "package": {"name": "hello", "version": "2.0.0"}});
    let plan: PlanView = server.post("/v1/plans", &wanted).await.ok();
    assert_eq!((plan.from, plan.to), (Some(1), Some(2)));
    assert!(plan.steps.iter().any(|step| step.action == "shift"), "{:?}", plan.steps);
    assert!(plan.diff.expect("versions differ").contains("+    VERSION: \"2.0.0\""));
    for verb in ["scale", "delete"] {
        let wanted = json!({"verb": verb, "name": "web", "replicas": {"web": 2}});
        server.post("/v1/plans", &wanted).await.ok::<PlanView>();
    }
    assert_eq!(server.app.store.events_head().await.expect("head"), head, "nothing happened");
    let wrong = "0".repeat(64);
    let up = |hash: &str| json!({"package": {"name": "hello", "version": "2.0.0"}, "require_plan": hash});
    server.post("/v1/releases/web/upgrade", &up(&wrong)).await.problem("plan-changed");
    server.post("/v1/releases/web/upgrade", &up("x")).await.problem("invalid");
    let accepted: Accepted = server.post("/v1/releases/web/upgrade", &up(&plan.hash)).await.ok();
    assert_eq!(server.ended(&accepted.rollout.id).await.phase, "succeeded");
}

#[tokio::test]
async fn the_plan_of_an_install_can_be_required_also_where_a_port_is_still_to_be_chosen() {
    let server = Server::start().await;
    let mut upload = Ask::new(Method::POST, "/v1/packages").header("content-type", "application/zip");
    upload.body = crate::fixture::package("auto", "1.0.0", "    - { port: http, path: /auto }\n");
    server.send(upload).await.ok::<Value>();
    let wanted = json!({"verb": "install", "name": "web", "package": {"name": "auto"}});
    let plan: PlanView = server.post("/v1/plans", &wanted).await.ok();
    let install = json!({"name": "web", "package": {"name": "auto"}, "require_plan": plan.hash});
    let accepted: Accepted = server.post("/v1/releases", &install).await.ok();
    let view = server.ended(&accepted.rollout.id).await;
    assert_eq!(view.phase, "succeeded", "{:?}", view.cause);
}

#[tokio::test]
async fn what_cannot_be_rolled_out_is_refused_before_anything_is_stored() {
    let server = Server::start().await;
    let cases = [
        ("  platform: moon\n", "plan-refused"),
        ("  secrets:\n    - { name: db-password, env: DB_PASSWORD }\n", "secret-missing"),
    ];
    for (n, (extra, code)) in cases.into_iter().enumerate() {
        let version = format!("1.0.{n}");
        server.upload(&version, extra).await.ok::<Value>();
        let install = json!({"name": "web", "package": {"name": "hello", "version": version}});
        let problem = server.post("/v1/releases", &install).await.problem(code);
        assert!(!problem.detail.is_empty());
    }
    server.get("/v1/releases/web").await.problem("release-not-found");
    server.upload("1.0.9", "").await.ok::<Value>();
    let values = json!({"name": "web", "package": {"name": "hello", "version": "1.0.9"}, "values": {"greeting": null}});
    let problem = server.post("/v1/releases", &values).await.problem("render-failed");
    assert!(problem.faults.iter().any(|fault| fault.contains("greeting")), "{problem:?}");
}

#[tokio::test]
async fn revisions_can_be_read_compared_and_cached() {
    let server = Server::serving().await;
    let up = json!({"package": {"name": "hello", "version": "2.0.0"}});
    let up: Accepted = server.post("/v1/releases/web/upgrade", &up).await.ok();
    server.ended(&up.rollout.id).await;
    let diff: DiffView = server.get("/v1/releases/web/diff").await.ok();
    assert_eq!((diff.from, diff.to, diff.equal), (1, 2, false));
    assert!(
        diff.diff.contains("-    VERSION: \"1.0.0\"") && diff.diff.contains("+    VERSION: \"2.0.0\""),
        "{}",
        diff.diff
    );
    let same: DiffView = server.get("/v1/releases/web/diff?from=2&to=2").await.ok();
    assert!(same.equal);
    server.get("/v1/releases/web/diff?from=7").await.problem("revision-not-found");
    let detail: RevisionDetail = server.get("/v1/releases/web/revisions/1").await.ok();
    assert!(detail.resolved && detail.revision.state == "superseded");
    for path in ["/v1/releases/web", "/v1/releases/web/revisions/1", "/v1/packages/local/hello/1.0.0"] {
        let answer = server.get(path).await;
        let tag = answer.header("etag").expect("an ETag").to_owned();
        let again = server.send(Ask::get(path).header("if-none-match", &tag)).await;
        assert_eq!((again.status.as_u16(), again.body.len()), (304, 0), "{path}");
    }
}

#[tokio::test]
async fn requests_can_be_held_answered_with_a_page_and_forwarded_again() {
    let server = Server::serving().await;
    let mode = async || server.get("/v1/releases/web").await.ok::<ReleaseStatus>().apps[0].mode.clone();
    assert_eq!(server.post("/v1/releases/web/hold", &json!({"bound": "5s"})).await.status, 204);
    assert_eq!(mode().await, "held");
    assert_eq!(server.post("/v1/releases/web/maintenance", &json!({"message": "soon"})).await.status, 204);
    assert_eq!(mode().await, "maintenance");
    assert_eq!(server.send(Ask::new(Method::POST, "/v1/releases/web/resume")).await.status, 204);
    assert_eq!(mode().await, "open");
    server.post("/v1/releases/web/hold", &json!({"bound": "0s"})).await.problem("invalid");
    server.post("/v1/releases/web/hold", &json!({"bound": "soon"})).await.problem("invalid");
    let stats: StatsView = server.get("/v1/releases/web/stats").await.ok();
    assert_eq!(stats.release, "web");
}

#[tokio::test]
async fn an_instance_that_died_makes_the_release_degraded() {
    let server = Server::serving().await;
    let running = server.machine.platform.running();
    let (deployment, _) = running.iter().next().expect("one runs");
    server.machine.platform.kill(deployment, 0);
    let status: ReleaseStatus = server.get("/v1/releases/web").await.ok();
    assert_eq!(status.state, ReleaseState::Degraded);
    assert_eq!((status.apps[0].running, status.apps[0].instances[0].state.as_str()), (0, "exited"));
    assert!(status.drift[0].message.contains("killed by signal 9"), "{:?}", status.drift);
}

#[tokio::test]
async fn pages_of_releases_go_on_where_the_one_before_ended() {
    let server = Server::start().await;
    server.upload("1.0.0", "").await.ok::<Value>();
    for name in ["a", "b", "c", "Bee"] {
        server.install(name, "1.0.0").await;
    }
    let mut names = Vec::new();
    let mut uri = "/v1/releases?limit=3".to_owned();
    loop {
        let page: ReleasePage = server.get(&uri).await.ok();
        names.extend(page.items.into_iter().map(|item| item.name));
        let Some(next) = page.next else { break };
        uri = format!("/v1/releases?limit=3&after={next}");
    }
    assert_eq!(names, ["Bee", "a", "b", "c"]);
    let found: ReleasePage = server.get("/v1/releases?q=be").await.ok();
    assert_eq!(found.items.len(), 1);
}
