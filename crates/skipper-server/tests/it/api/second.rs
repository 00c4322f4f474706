//! 2.x.

use http::Method;
use serde_json::{Value, json};

use super::{install, json_of, shape, stocked, upgrade};
use crate::fixture::Ask;

const JSON: &str = "application/json";
const HAL: &str = "application/hal+json";
const METADATA: &str = "apiVersion:text origin:null repositoryId:number repositoryName:text kind:text name:text \
    displayName:null version:text packageSourceUrl:null packageHomeUrl:null tags:null maintainer:null \
    description:text sha256:null iconUrl:null";
const LINK: &str = "{href:text templated:bool}";

fn info(platform_status: &str) -> String {
    format!(
        "status:{{statusCode:text platformStatus:{platform_status}}} firstDeployed:text lastDeployed:text \
         deleted:null description:text"
    )
}

fn release(platform_status: &str) -> String {
    format!(
        "{{name:text version:number info:{{{}}} pkg:{{metadata:{{{METADATA}}} templates:[{{name:text data:text}}] \
         dependencies:[] configValues:{{raw:text}} fileHolders:[]}} configValues:{{raw:null}} \
         manifest:{{data:text}} platformName:text _links:{{status:{LINK}}}}}",
        info(platform_status)
    )
}

#[tokio::test]
async fn a_release_is_told_in_the_shape_of_2_x() {
    let server = stocked().await;
    let answer = server.spring(Ask::post("/api/package/install", &install("1.0.0", "web"))).await;
    let body = json_of(&answer, 201, JSON);
    assert_eq!(shape(&body), release("text"));
    assert_eq!(body["_links"]["status"]["href"], "http://localhost:7577/api/release/status/{name}");
    let at = body["info"]["firstDeployed"].as_str().expect("text");
    assert_eq!((at.len(), &at[10..11], &at[23..]), (29, "T", "+00:00"), "{at}");
    let status: Value =
        serde_json::from_str(body["info"]["status"]["platformStatus"].as_str().expect("text")).expect("JSON in text");
    let instance = &status[0]["instances"]["web.web-v1-0"];
    let fields: Vec<&String> = instance.as_object().expect("an instance").keys().collect();
    assert_eq!(fields, ["id", "state", "attributes"]);
    let attributes = &instance["attributes"];
    assert_eq!(attributes["skipper.application.name"], "web");
    assert_eq!(attributes["skipper.release.name"], "web");
    assert_eq!(attributes["skipper.release.version"], "1");
    for path in ["/api/release/status/web", "/api/release/status/web/1"] {
        let expected = format!("{{{} _links:{{manifest:{LINK}}}}}", info("text"));
        assert_eq!(shape(&json_of(&server.spring(Ask::get(path)).await, 200, JSON)), expected);
        json_of(&server.get(path).await, 200, HAL);
    }
    let manifest = json_of(&server.spring(Ask::get("/api/release/manifest/web")).await, 200, JSON);
    assert_eq!(shape(&manifest), format!("{{data:text _links:{{status:{LINK}}}}}"));
    let list = json_of(&server.spring(Ask::get("/api/release/list")).await, 200, JSON);
    assert_eq!(shape(&list), format!("{{_embedded:{{releases:[{}]}}}}", release("text")));
    let none = server.spring(Ask::get("/api/release/list/zzz")).await;
    assert_eq!(json_of(&none, 200, JSON), json!({}));
}

#[tokio::test]
async fn several_releases_are_asked_about_at_once_and_unknown_ones_left_out() {
    let server = stocked().await;
    server.post("/api/package/install", &install("1.0.0", "web")).await.ok::<Value>();
    server.post("/api/package/install", &install("1.0.0", "two")).await.ok::<Value>();
    server.told("web", "DEPLOYED", "Install").await;
    let statuses = json_of(&server.get("/api/release/statuses?names=two,nope,web").await, 200, JSON);
    assert_eq!(shape(&statuses), format!("{{two:{{{0}}} web:{{{0}}}}}", info("text")));
    let states = json_of(&server.get("/api/release/states?names=web,nope").await, 200, JSON);
    assert_eq!(shape(&states), "{web:{web.web-v1:text}}");
}

#[tokio::test]
async fn logs_are_given_by_deployment_id_and_by_application() {
    let server = stocked().await;
    server.post("/api/package/install", &install("1.0.0", "web")).await.ok::<Value>();
    for path in ["/api/release/logs/web", "/api/release/logs/web/WEB.web-v1", "/api/release/logs/web/web"] {
        let logs = json_of(&server.spring(Ask::get(path)).await, 200, JSON);
        assert_eq!(shape(&logs), "{logs:{web.web-v1:text}}", "{path}");
    }
    let none = json_of(&server.spring(Ask::get("/api/release/logs/web/nope")).await, 200, JSON);
    assert_eq!(none, json!({"logs": {}}));
}

#[tokio::test]
async fn values_are_put_over_those_of_before_and_shown_as_what_came_of_it() {
    let server = stocked().await;
    let with = |mut body: Value, part: &str, raw: &str| {
        body[part]["configValues"] = json!({"raw": raw});
        body
    };
    let body = with(install("1.0.0", "web"), "installProperties", "greeting: moin\nother: 1\n");
    let installed: Value = server.post("/api/package/install", &body).await.ok();
    assert_eq!(installed["configValues"]["raw"], "greeting: moin\nother: 1\n");
    let body = with(upgrade("2.0.0", "web"), "upgradeProperties", "greeting: servus\n");
    let upgraded: Value = server.post("/api/release/upgrade", &body).await.ok();
    assert_eq!(upgraded["configValues"]["raw"], "greeting: servus\nother: 1\n");
    server.told("web", "DEPLOYED", "Upgrade complete").await;
    // Without any those of before are forgotten.
    let bare: Value = server.post("/api/release/upgrade", &upgrade("1.0.0", "web")).await.ok();
    assert_eq!(bare["configValues"]["raw"], Value::Null);
    server.told("web", "DEPLOYED", "Upgrade complete").await;
    // Of 1.0 nothing is put over anything.
    let body = with(upgrade("2.0.0", "web"), "upgradeProperties", "greeting: griaß\n");
    let first: Value = server.post("/api/upgrade", &body).await.ok();
    assert_eq!(first["configValues"]["raw"], "greeting: griaß\n");
}

#[tokio::test]
async fn a_scaling_is_no_version_of_its_own() {
    let server = stocked().await;
    server.post("/api/package/install", &install("1.0.0", "web")).await.ok::<Value>();
    let scale = json!({"scale": [{"name": "web", "count": 2, "properties": {}}]});
    let scaled = json_of(&server.spring(Ask::post("/api/release/scale/web", &scale)).await, 201, JSON);
    assert_eq!(shape(&scaled), release("text"));
    assert_eq!((&scaled["version"], &scaled["info"]["description"]), (&1.into(), &"Install complete".into()));
    let release: Value = server.get("/v1/releases/web").await.ok();
    if let Some(rollout) = release["rollout"]["id"].as_str() {
        server.ended(rollout).await;
    }
    let info: Value = server.get("/api/release/status/web").await.ok();
    let status: Value =
        serde_json::from_str(info["status"]["platformStatus"].as_str().expect("text")).expect("JSON in text");
    assert_eq!(status[0]["deploymentId"], "web.web-v1");
    assert_eq!(status[0]["instances"].as_object().expect("instances").len(), 2);
    let list: Value = server.get("/api/release/list").await.ok();
    assert_eq!(list["_embedded"]["releases"].as_array().expect("a list").len(), 1);
    // The next one is the second, whatever revision that is.
    let upgraded: Value = server.post("/api/release/upgrade", &upgrade("2.0.0", "web")).await.ok();
    assert_eq!(upgraded["version"], 2);
    server.told("web", "DEPLOYED", "Upgrade complete").await;
    let status: Value = server.get("/api/release/states?names=web").await.ok();
    assert_eq!(shape(&status), "{web:{web.web-v2:text}}");
}

#[tokio::test]
async fn a_release_goes_back_to_the_version_before_and_comes_back_from_a_delete() {
    let server = stocked().await;
    server.post("/api/package/install", &install("1.0.0", "web")).await.ok::<Value>();
    server.post("/api/release/upgrade", &upgrade("2.0.0", "web")).await.ok::<Value>();
    server.told("web", "DEPLOYED", "Upgrade complete").await;
    let back = json!({"releaseName": "web", "version": 0, "timeout": null});
    let third = json_of(&server.spring(Ask::post("/api/release/rollback", &back)).await, 201, JSON);
    assert_eq!(third["info"]["description"], "Rollback install underway");
    assert_eq!(third["pkg"]["metadata"]["version"], "1.0.0");
    server.told("web", "DEPLOYED", "Rollback complete").await;
    let gone = json_of(&server.spring(Ask::new(Method::DELETE, "/api/release/web")).await, 200, JSON);
    assert_eq!((&gone["version"], &gone["info"]["status"]["statusCode"]), (&3.into(), &"DELETED".into()));
    let to_second = json!({"releaseName": "web", "version": 2});
    let fourth = json_of(&server.spring(Ask::post("/api/release/rollback", &to_second)).await, 201, JSON);
    assert_eq!(fourth["version"], 4);
    assert_eq!(fourth["info"]["description"], "Install complete");
    assert_eq!(fourth["pkg"]["metadata"]["version"], "2.0.0");
}

#[tokio::test]
async fn the_link_indexes_name_every_path() {
    let server = stocked().await;
    let release = json_of(&server.get("/api/release").await, 200, HAL);
    let relations: Vec<&String> = release["_links"].as_object().expect("links").keys().collect();
    let expected = [
        "actuator/name/app/id",
        "logs/name",
        "status/name",
        "status/name/version",
        "manifest",
        "manifest/name/version",
        "upgrade",
        "rollback",
        "list",
        "list/name",
    ];
    assert_eq!(relations, expected);
    assert_eq!(release["_links"]["actuator/name/app/id"].as_array().map(Vec::len), Some(2));
    let package = json_of(&server.get("/api/package").await, 200, HAL);
    assert_eq!(package["_links"]["install/id"]["href"], "http://localhost:7577/api/package/install/{id}");
}
