use serde_json::{Value, json};

use super::keys;
use crate::fixture::{Ask, Server};

#[tokio::test]
async fn every_resource_has_a_profile() {
    let server = Server::start().await;
    let profiles: Value = server.get("/api/profile").await.ok();
    assert_eq!(keys(&profiles["_links"]), "self releases deployers appDeployerDatas packageMetadata repositories");
    let newer: Value = server.java("/api/profile").await.ok();
    assert_eq!(keys(&newer["_links"]), "self releases deployers packageMetadata repositories");
    for (_, link) in profiles["_links"].as_object().expect("links").iter().skip(1) {
        let answer = server.get(super::path(link["href"].as_str().expect("a link"))).await;
        assert_eq!(answer.header("content-type"), Some("application/alps+json;charset=UTF-8"));
        assert_eq!(answer.ok::<Value>()["alps"]["version"], "1.0");
    }
    assert_eq!(server.get("/api/profile/none").await.status, 404);
}

#[tokio::test]
async fn alps_tells_fields_calls_and_searches() {
    let server = Server::start().await;
    let alps: Value = server.get("/api/profile/repositories").await.ok();
    let all = alps["alps"]["descriptor"].as_array().expect("descriptors");
    assert_eq!(all[0]["id"], "repository-representation");
    let fields: Vec<_> = all[0]["descriptor"].as_array().expect("fields").iter().map(|field| &field["name"]).collect();
    assert_eq!(fields, ["name", "url", "sourceUrl", "local", "description", "repoOrder"]);
    let names: Vec<_> =
        all[1..].iter().map(|call| call["id"].as_str().or(call["name"].as_str()).expect("a name")).collect();
    assert_eq!(
        names,
        [
            "create-repositories",
            "get-repositories",
            "update-repository",
            "patch-repository",
            "delete-repository",
            "get-repository",
            "findByName",
            "findAllByOrderByRepoOrderDesc"
        ]
    );
}

#[tokio::test]
async fn a_schema_is_given_to_whom_it_asks_for() {
    let server = Server::start().await;
    let ask = Ask::get("/api/profile/repositories").header("accept", "application/schema+json");
    let answer = server.send(ask).await;
    assert_eq!(answer.header("content-type"), Some("application/schema+json;charset=UTF-8"));
    let schema: Value = answer.ok();
    assert_eq!((&schema["title"], &schema["type"]), (&json!("Repository"), &json!("object")));
    assert_eq!(keys(&schema["properties"]), "name url sourceUrl local description repoOrder");
    assert_eq!(schema["properties"]["sourceUrl"], json!({"title": "Source url", "readOnly": false, "type": "string"}));
}
