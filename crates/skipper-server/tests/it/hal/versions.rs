use http::Method;
use serde_json::{Value, json};

use super::{href, keys};
use crate::fixture::{Ask, Server};

/// `web` at its second version and `other` at its first, all of which serve or served.
async fn with_releases() -> Server {
    let server = Server::serving().await;
    let upgrade = json!({"package": {"name": "hello", "version": "2.0.0"}});
    let accepted: Value = server.post("/v1/releases/web/upgrade", &upgrade).await.ok();
    server.ended(accepted["rollout"]["id"].as_str().expect("an id")).await;
    server.install("other", "1.0.0").await;
    server
}

/// `name-version` of the items of a list.
fn versions(list: &Value) -> Vec<String> {
    let items = list["_embedded"]["releases"].as_array().expect("a list").iter();
    items.map(|item| format!("{}-{}", item["name"].as_str().expect("a name"), item["version"])).collect()
}

#[tokio::test]
async fn every_version_of_every_release_is_a_resource() {
    let server = with_releases().await;
    let list: Value = server.get("/api/releases").await.ok();
    assert_eq!(versions(&list), ["web-1", "web-2", "other-1"]);
    assert_eq!(list["page"]["totalElements"], 3);
    let item = &list["_embedded"]["releases"][1];
    assert_eq!(keys(item), "name version info pkg configValues manifest platformName _links");
    assert_eq!(keys(&item["_links"]), "self release");
    assert!(item["manifest"].is_string() && item["info"]["firstDeployed"].is_i64());
    let own = href(item, "self");
    let alone: Value = server.get(super::path(&own)).await.ok();
    assert_eq!(&alone, item);
    let newer: Value = server.java(super::path(&own)).await.ok();
    assert_eq!(keys(&newer), keys(item));
    assert!(newer["manifest"]["data"].is_string() && newer["info"]["firstDeployed"].is_string());
    assert_eq!(keys(&newer["_links"]), "self release");
    for none in ["/api/releases/99", "/api/releases/x", "/api/appDeployerDatas/99"] {
        assert_eq!(server.get(none).await.status, 404, "{none}");
    }
}

#[tokio::test]
async fn versions_are_paged_and_sorted() {
    let server = with_releases().await;
    let sorted = async |query: &str| versions(&server.get(&format!("/api/releases?{query}")).await.ok());
    assert_eq!(sorted("size=2&page=1").await, ["other-1"]);
    assert_eq!(sorted("sort=name,asc").await, ["other-1", "web-1", "web-2"]);
    assert_eq!(sorted("sort=version,desc").await[0], "web-2");
    assert_eq!(sorted("sort=name,desc&sort=version,asc").await, ["web-1", "web-2", "other-1"]);
    assert_eq!(sorted("sort=pkg.metadata.version,desc&sort=nothing").await[0], "web-2");
    assert_eq!(sorted("sort=info.status.statusCode,name,asc").await[..2], ["web-1", "other-1"], "DELETED first");
}

#[tokio::test]
async fn versions_are_found_by_name_and_number() {
    let server = with_releases().await;
    let find = async |query: &str| server.get(&format!("/api/releases/search/{query}")).await;
    let found = async |query: &str| versions(&find(query).await.ok());
    let ordered = "findByNameIgnoreCaseContainingOrderByNameAscVersionDesc";
    assert_eq!(found(&format!("{ordered}?name=E")).await, ["other-1", "web-2", "web-1"]);
    assert_eq!(found(&format!("{ordered}?name=nothing")).await, [""; 0]);
    assert_eq!(found("findByNameIgnoreCaseContaining?name=e").await, ["web-1", "web-2", "other-1"]);
    assert_eq!(found("findByNameOrderByVersionDesc?name=web").await, ["web-2", "web-1"]);
    assert_eq!(found("findByNameOrderByVersionDesc?name=No%20name!").await, [""; 0]);
    let between = "findByNameAndVersionBetweenOrderByNameAscVersionDesc?name=web";
    assert_eq!(found(&format!("{between}&from=2&to=9")).await, ["web-2"]);
    let wrong = find(&format!("{between}&from=x&to=9")).await;
    assert_eq!(wrong.status, 400);
    let body: Value = wrong.read();
    assert_eq!(body["exception"], "java.lang.IllegalArgumentException");
    let newest: Value = find("findTopByNameOrderByVersionDesc?name=web").await.ok();
    assert_eq!(newest["version"], 2);
    assert_eq!(find("findTopByNameOrderByVersionDesc?name=none").await.status, 404);
}

#[tokio::test]
async fn deployments_of_a_version_are_told() {
    let server = with_releases().await;
    let list: Value = server.get("/api/appDeployerDatas").await.ok();
    let items = list["_embedded"]["appDeployerDatas"].as_array().expect("a list");
    assert_eq!(items.len(), 3);
    assert_eq!(keys(&items[0]), "releaseName releaseVersion deploymentData _links");
    assert_eq!(keys(&items[0]["_links"]), "self appDeployerData");
    let search = "/api/appDeployerDatas/search/findByReleaseNameAndReleaseVersion?releaseName=web&releaseVersion=2";
    let found: Value = server.get(search).await.ok();
    assert_eq!(found["releaseVersion"], 2);
    let data: Value = serde_json::from_str(found["deploymentData"].as_str().expect("text")).expect("JSON in text");
    assert_eq!(data, json!({"web": "web.web-v2"}));
    assert_eq!(server.get(&search.replace("=2", "=7")).await.status, 404);
}

#[tokio::test]
async fn the_etag_of_a_version_changes_with_what_its_platform_says() {
    let server = with_releases().await;
    let uri = "/api/releases/2";
    let answer = server.get(uri).await;
    let tag = answer.header("etag").expect("a tag").to_owned();
    assert_eq!(server.send(Ask::get(uri).header("if-none-match", &tag)).await.status, 304);
    let accepted: Value = server.send(Ask::new(Method::DELETE, "/v1/releases/web")).await.ok();
    server.ended(accepted["rollout"]["id"].as_str().expect("an id")).await;
    let changed = server.send(Ask::get(uri).header("if-none-match", &tag)).await;
    assert_eq!(changed.ok::<Value>()["info"]["status"], json!({"statusCode": "DELETED", "platformStatus": null}));
}
