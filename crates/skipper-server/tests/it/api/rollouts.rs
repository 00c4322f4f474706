//! What goes on while a release changes: busy, failing, cancelled, forced.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use skipper_core::{name::PlatformName, spec::Target};
use skipper_server::{
    api::own::wire::{PlanView, ReleaseStatus},
    verb::wait,
};
use testkit::Behaviour;

use super::{errors::check, install, json_of, stocked, upgrade};
use crate::fixture::{Ask, Machine, Server};

const SKIPPER: &str = "org.springframework.cloud.skipper.SkipperException";

async fn installed() -> Server {
    let server = stocked().await;
    server.post("/api/package/install", &install("1.0.0", "web")).await.ok::<Value>();
    server.told("web", "DEPLOYED", "Install").await;
    server
}

fn platform_status(info: &Value) -> Value {
    serde_json::from_str(info["status"]["platformStatus"].as_str().expect("text")).expect("JSON in text")
}

#[tokio::test]
async fn while_an_upgrade_waits_for_health_other_verbs_are_refused_and_it_can_be_cancelled() {
    let server = installed().await;
    server.machine.platform.behave("2.0.0", Behaviour { healthy_after: None, exits_after: None });
    let begun: Value = server.post("/api/release/upgrade", &upgrade("2.0.0", "web")).await.ok();
    assert_eq!(begun["info"]["status"], json!({"statusCode": "UNKNOWN", "platformStatus": null}));
    for (ask, verb) in [
        (Ask::post("/api/release/upgrade", &upgrade("1.0.0", "web")), "UPGRADE"),
        (Ask::post("/api/release/rollback", &json!({"releaseName": "web", "version": 1})), "ROLLBACK"),
        (Ask::new(Method::DELETE, "/api/release/web"), "DELETE"),
        (Ask::post("/api/release/scale/web", &json!({"scale": [{"name": "web", "count": 2}]})), "SCALE"),
        (Ask::new(Method::POST, "/api/delete/web"), "DELETE"),
    ] {
        let text = format!("Statemachine is not in state ready to do {verb}");
        check(&server.send(ask).await, 409, SKIPPER, &text);
    }
    let again = server.post("/api/package/install", &install("1.0.0", "web")).await;
    check(&again, 409, SKIPPER, "Release with the name [web] already exists and it is not deleted.");
    let info: Value = server.get("/api/release/status/web").await.ok();
    assert_eq!(info["status"]["statusCode"], "UNKNOWN");
    assert_eq!(platform_status(&info)[0]["deploymentId"], "web.web-v2");
    let cancelled = server.post("/api/release/cancel", &json!({"releaseName": "web"})).await;
    assert_eq!(cancelled.ok::<Value>(), json!({"accepted": true}));
    // Whoever looks now sees it already.
    let info: Value = server.get("/api/release/status/web").await.ok();
    assert_eq!(info["status"]["statusCode"], "FAILED");
    let text = info["description"].as_str().expect("text");
    let after = text.strip_prefix("Cancelled after ").and_then(|rest| rest.strip_suffix(" ms."));
    assert!(after.is_some_and(|after| after.parse::<u64>().is_ok()), "{text}");
    server.told("web", "FAILED", "Cancelled after").await;
    // The version before goes on, and both are listed.
    let list: Value = server.get("/api/release/list").await.ok();
    let versions = list["_embedded"]["releases"].as_array().expect("a list");
    let told: Vec<_> = versions.iter().map(|one| (&one["version"], &one["info"]["status"]["statusCode"])).collect();
    assert_eq!(told, [(&json!(1), &json!("DEPLOYED")), (&json!(2), &json!("FAILED"))]);
}

#[tokio::test]
async fn an_upgrade_that_does_not_get_healthy_within_its_timeout_fails_and_a_delete_takes_the_one_before() {
    let server = installed().await;
    server.machine.platform.behave("2.0.0", Behaviour { healthy_after: None, exits_after: None });
    let mut body = upgrade("2.0.0", "web");
    body["timeout"] = json!(300);
    server.post("/api/release/upgrade", &body).await.ok::<Value>();
    let info = server.told("web", "FAILED", "Did not detect apps in replacing release as healthy after ").await;
    assert_eq!(platform_status(&info), json!([{"deploymentId": "web.web-v2", "instances": {}, "state": "unknown"}]));
    // The bound was for that rollout alone: what serves is the same as before.
    check(
        &server.post("/api/upgrade", &upgrade("1.0.0", "web")).await,
        409,
        SKIPPER,
        "Package to upgrade has no difference",
    );
    let gone = json_of(&server.spring(Ask::new(Method::DELETE, "/api/release/web")).await, 200, "application/json");
    assert_eq!((&gone["version"], &gone["info"]["status"]["statusCode"]), (&json!(1), &json!("DELETED")));
    let second = server.send(Ask::new(Method::DELETE, "/api/release/web")).await;
    check(&second, 404, "org.springframework.cloud.skipper.ReleaseNotFoundException", "[web]");
    let info: Value = server.get("/api/release/status/web").await.ok();
    assert_eq!(info["status"]["statusCode"], "FAILED", "the newest one has failed");
}

#[tokio::test]
async fn what_cannot_be_had_is_told_by_the_answer_and_leaves_what_serves_alone() {
    let server = installed().await;
    server.machine.platform.lack("builtin:sample");
    let why = "Error Message = [builtin:sample was answered with 404 Not Found]";
    for (path, version) in [("/api/release/upgrade", 2), ("/api/upgrade", 3)] {
        let text = format!("Could not find Resource in replacing release name [web], version [{version}].  {why}");
        check(&server.post(path, &upgrade("2.0.0", "web")).await, 409, SKIPPER, &text);
        server.told("web", "FAILED", "Could not deploy app.").await;
    }
    let text = format!("Could not install AppDeployRequest [web]  to platform [default].  {why}");
    check(&server.post("/api/package/install", &install("2.0.0", "other")).await, 409, SKIPPER, &text);
    let running: Vec<String> = server.machine.platform.running().keys().map(ToString::to_string).collect();
    assert_eq!(running.len(), 1, "{running:?}");
    let info: Value = server.get("/api/release/status/web/1").await.ok();
    assert_eq!(info["status"]["statusCode"], "DEPLOYED");
}

#[tokio::test]
async fn values_are_put_over_those_of_the_newest_version_also_of_one_that_failed() {
    let server = installed().await;
    let with = |version: &str, raw: &str| {
        let mut body = upgrade(version, "web");
        body["upgradeProperties"]["configValues"] = json!({"raw": raw});
        body["timeout"] = json!(300);
        body
    };
    server.machine.platform.behave("2.0.0", Behaviour { healthy_after: None, exits_after: None });
    server.post("/api/release/upgrade", &with("2.0.0", "bad: true\n")).await.ok::<Value>();
    server.told("web", "FAILED", "Did not detect apps in replacing release as healthy after ").await;
    let next: Value = server.post("/api/release/upgrade", &with("1.0.0", "greeting: servus\n")).await.ok();
    assert_eq!(next["configValues"]["raw"], "bad: true\ngreeting: servus\n", "as the original's clients are used to");
}

#[tokio::test]
async fn an_install_whose_health_fails_later_is_failed_then_and_its_name_is_free() {
    let server = stocked().await;
    server.machine.platform.behave("1.0.0", Behaviour { healthy_after: None, exits_after: Some((Duration::ZERO, 1)) });
    let answer = server.post("/api/package/install", &install("1.0.0", "web")).await;
    assert_eq!(answer.ok::<Value>()["info"]["status"]["statusCode"], "DEPLOYED", "the platform was told");
    server.told("web", "FAILED", "Install failed").await;
    // However late the answer comes to be made: what was started is known after it has been taken back.
    let newest = server.app.store.rollout_list(None, false, 1, None).await.expect("the store answers");
    let id = newest.first().expect("a rollout").1.id;
    let ended = wait::until(&server.app, id, Duration::from_secs(10), |_| false).await;
    let mut ended = ended.expect("the store answers");
    assert!(ended.rollout.phase.is_final(), "{:?}", ended.rollout.phase);
    assert!(wait::launched(&ended) && wait::was_launched(&ended) && wait::all_were_launched(&ended));
    for record in &mut ended.steps {
        record.outcome.data = json!({"code": "failed", "message": "it could not be started"});
    }
    assert!(!wait::was_launched(&ended) && !wait::all_were_launched(&ended));
    let again: Value = server.post("/api/package/install", &install("2.0.0", "web")).await.ok();
    assert_eq!(again["version"], 2);
}

#[tokio::test]
async fn an_install_that_failed_is_deleted_with_its_package() {
    let server = stocked().await;
    server.machine.platform.behave("1.0.0", Behaviour { healthy_after: None, exits_after: Some((Duration::ZERO, 1)) });
    server.post("/api/package/install", &install("1.0.0", "web")).await.ok::<Value>();
    server.told("web", "FAILED", "Install failed").await;
    let delete = || Ask::new(Method::DELETE, "/api/release/web/package");
    let gone = json_of(&server.spring(delete()).await, 200, "application/json");
    assert_eq!((&gone["version"], &gone["info"]["status"]["statusCode"]), (&json!(1), &json!("DELETED")));
    let list: Value = server.spring(Ask::get("/api/release/list")).await.ok();
    assert_eq!(list.pointer("/_embedded/releases"), None, "nothing of it is left: {list}");
    let found: Value = server.get("/api/packageMetadata/search/findByName?name=hello").await.ok();
    assert_eq!(found.pointer("/_embedded/packageMetadata/0"), None, "{found}");
    check(&server.spring(delete()).await, 404, "org.springframework.cloud.skipper.ReleaseNotFoundException", "[web]");
}

#[tokio::test]
async fn force_launches_anew_what_did_not_change() {
    let server = installed().await;
    let mut body = upgrade("1.0.0", "web");
    body["force"] = json!(true);
    server.post("/api/release/upgrade", &body).await.ok::<Value>();
    server.told("web", "DEPLOYED", "Upgrade complete").await;
    let states: Value = server.get("/api/release/states?names=web").await.ok();
    assert_eq!(states["web"].as_object().expect("states").keys().collect::<Vec<_>>(), ["web.web-v2"]);
    // What was launched anew is no difference afterwards.
    let same = server.post("/api/release/upgrade", &upgrade("1.0.0", "web")).await;
    check(&same, 409, "org.springframework.cloud.skipper.ReleaseUpgradeException", "no difference");
    body["appNames"] = json!(["nope"]);
    let nobody = server.post("/api/release/upgrade", &body).await;
    check(&nobody, 500, "java.lang.IllegalArgumentException", "there is no application `nope` to launch");
}

#[tokio::test]
async fn an_instance_whose_health_probe_fails_later_is_failed() {
    let server = Server::start().await;
    for (version, path) in [("1.0.0", ""), ("2.0.0", "spring.cloud.deployer.local.healthProbe.path: /well")] {
        let options = if path.is_empty() { String::new() } else { format!("  deploymentProperties:\n    {path}\n") };
        let mut upload = Ask::new(Method::POST, "/v1/packages").header("content-type", "application/zip");
        upload.body = crate::hal::classic_with("hello", version, &options);
        server.send(upload).await.ok::<Value>();
        let release = format!("v{}", &version[..1]);
        server.post("/api/package/install", &install(version, &release)).await.ok::<Value>();
        let status: Value = server.get(&format!("/v1/releases/{release}")).await.ok();
        if let Some(rollout) = status["rollout"]["id"].as_str() {
            server.ended(rollout).await;
        }
    }
    let state = async |release: &str| {
        let info: Value = server.get(&format!("/api/release/status/{release}")).await.ok();
        assert_eq!(info["status"]["statusCode"], "DEPLOYED");
        platform_status(&info)[0]["state"].as_str().expect("text").to_owned()
    };
    assert_eq!((state("v1").await, state("v2").await), ("deployed".to_owned(), "deployed".to_owned()));
    server.machine.platform.sicken();
    assert_eq!(state("v2").await, "failed");
    assert_eq!(state("v1").await, "deployed", "which names no path");
}

#[tokio::test]
async fn an_image_runs_where_there_is_an_engine_whatever_account_is_named() {
    let machine = Machine { also: Some("boxes"), ..Machine::default() };
    let boxes = Target(PlatformName::new("boxes").expect("a name"));
    machine.platform.give_images_to(boxes.clone());
    let server = machine.boot().await;
    let mut upload = Ask::new(Method::POST, "/v1/packages").header("content-type", "application/zip");
    upload.body = crate::hal::classic_of("hello", "1.0.0", "docker:springcloud/hello", "");
    server.send(upload).await.ok::<Value>();
    let plan = json!({"verb": "install", "name": "web", "package": {"name": "hello"}});
    let plan: PlanView = server.post("/v1/plans", &plan).await.ok();
    assert!(plan.steps.iter().all(|step| step.platform == "boxes"), "{:?}", plan.steps);
    let installed: Value = server.post("/api/package/install", &install("1.0.0", "web")).await.ok();
    assert_eq!(installed["platformName"], "default", "as it was asked for");
    let status: ReleaseStatus = server.get("/v1/releases/web").await.ok();
    server.ended(&status.rollout.expect("it goes on").id).await;
    let status: ReleaseStatus = server.get("/v1/releases/web").await.ok();
    assert_eq!((status.apps[0].platform.as_str(), status.apps[0].running), ("boxes", 1));
    // The same again is no difference, and another server finds it where it is.
    server.post("/v1/releases/web/upgrade", &json!({})).await.problem("no-difference");
    let server = server.reboot().await;
    assert_eq!(server.told("web", "DEPLOYED", "Install").await["status"]["statusCode"], "DEPLOYED");
}

#[tokio::test]
async fn a_deleted_release_that_is_upgraded_is_installed() {
    let server = installed().await;
    server.send(Ask::new(Method::DELETE, "/api/release/web")).await.ok::<Value>();
    let answer = server.post("/api/release/upgrade", &upgrade("2.0.0", "web")).await;
    assert_eq!(answer.ok::<Value>()["version"], 2);
    server.told("web", "DEPLOYED", "Install complete").await;
}

#[tokio::test]
async fn the_management_of_an_instance_is_called_in_place_of_the_client() {
    let server = installed().await;
    let path = "/api/release/actuator/web/nope/web.web-v1-0?endpoint=/info";
    check(&server.get(path).await, 500, "java.lang.IllegalArgumentException", "app nope is not found in release web");
    let missing = server.get("/api/release/actuator/web/web.web-v1/web.web-v1-0").await;
    assert_eq!(missing.status, 400, "{}", missing.text());
    let out = server.get("/api/release/actuator/web/web.web-v1/web.web-v1-0?endpoint=../admin").await;
    check(&out, 500, "java.lang.IllegalArgumentException", "leads out");
}

#[tokio::test]
async fn what_serves_is_found_after_an_upgrade_that_failed() {
    let server = installed().await;
    server.machine.platform.behave("2.0.0", Behaviour { healthy_after: None, exits_after: None });
    let mut body = upgrade("2.0.0", "web");
    body["timeout"] = json!(300);
    server.post("/api/release/upgrade", &body).await.ok::<Value>();
    server.told("web", "FAILED", "Did not detect apps in replacing release as healthy after ").await;
    for path in ["/api/release/logs/web", "/api/release/logs/web/web.web-v1", "/api/release/logs/web/web"] {
        let told: Value = server.get(path).await.ok();
        assert!(told["logs"]["web.web-v1"].is_string(), "{path}: {told}");
    }
    let at = "/api/release/actuator/web/web.web-v1";
    let called = server.get(&format!("{at}/web.web-v1-0?endpoint=/info")).await.text();
    assert!(!called.contains("is not found"), "{called}");
    let nobody = server.get(&format!("{at}/nobody?endpoint=/info")).await;
    let text = "instance nobody is not found in app web.web-v1; there is web.web-v1-0";
    check(&nobody, 500, "java.lang.IllegalArgumentException", text);
}
