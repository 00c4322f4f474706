use http::Method;
use serde_json::{Value, json};

use super::{JAVA, href, keys, path};
use crate::fixture::{Answer, Ask, Server};

fn ask(method: Method, uri: &str, body: &Value) -> Ask {
    Ask::new(method, uri).header("accept", "application/hal+json").json(body)
}

/// Adds a repository; its address leads nowhere.
async fn add(server: &Server, name: &str) -> Answer {
    let body = json!({
        "name": name, "url": "http://user:secret@127.0.0.1:9/repo", "sourceUrl": null, "local": false,
        "description": "Mine", "repoOrder": 7, "unknown": true,
    });
    server.send(ask(Method::POST, "/api/repositories", &body)).await
}

#[tokio::test]
async fn a_repository_is_added_found_and_removed() {
    let server = Server::start().await;
    let added = add(&server, "mine").await;
    let location = added.header("location").expect("where it is").to_owned();
    assert_eq!((added.status.as_u16(), added.header("etag")), (201, Some("\"0\"")));
    let body: Value = added.ok();
    assert_eq!(keys(&body), "name url sourceUrl local description repoOrder _links");
    assert_eq!(href(&body, "self"), location);
    assert_eq!((&body["repoOrder"], &body["local"], &body["description"]), (&json!(7), &json!(false), &json!("Mine")));
    assert_eq!(body["url"], "http://127.0.0.1:9/repo", "no password is shown");
    let found: Value = server.get("/api/repositories/search/findByName?name=mine").await.ok();
    assert_eq!(found, body);
    let ordered: Value = server.get("/api/repositories/search/findAllByOrderByRepoOrderDesc").await.ok();
    assert_eq!(ordered["_embedded"]["repositories"][0]["name"], "mine");
    let gone = server.send(Ask::new(Method::DELETE, path(&location))).await;
    assert_eq!((gone.status.as_u16(), gone.body.len()), (204, 0));
    assert_eq!(server.get(path(&location)).await.status, 404);
}

#[tokio::test]
async fn a_name_is_given_once_and_what_is_wrong_is_named() {
    let server = Server::start().await;
    assert_eq!(add(&server, "mine").await.status, 201);
    let taken = add(&server, "mine").await;
    assert_eq!(taken.status, 409);
    let body: Value = taken.read();
    assert_eq!(keys(&body), "timestamp status error exception message path");
    assert_eq!(body["exception"], "org.springframework.dao.DataIntegrityViolationException");
    for (body, status) in [
        (json!({"name": "x", "url": "ftp://example.org"}), 400),
        (json!({"url": "http://example.org"}), 400),
        (json!({"name": "x"}), 400),
        (json!(["name"]), 400),
    ] {
        let refused = server.send(ask(Method::POST, "/api/repositories", &body)).await;
        assert_eq!(refused.status, status, "{body}: {}", refused.text());
    }
    let mut broken = ask(Method::POST, "/api/repositories", &json!({}));
    broken.body = b"{bad".to_vec();
    let refused: Value = server.send(broken).await.read();
    assert_eq!(refused["exception"], "org.springframework.http.converter.HttpMessageNotReadableException");
    let form = ask(Method::POST, "/api/repositories", &json!({})).header("content-type", "text/plain");
    assert_eq!(server.send(form).await.status, 415);
}

#[tokio::test]
async fn a_repository_is_replaced_or_changed_in_part() {
    let server = Server::start().await;
    let location = add(&server, "mine").await.header("location").expect("where it is").to_owned();
    let uri = path(&location);
    let patched = server.send(ask(Method::PATCH, uri, &json!({"description": null, "repoOrder": 2}))).await;
    assert_eq!((patched.status.as_u16(), patched.header("etag")), (200, Some("\"1\"")));
    let body: Value = patched.ok();
    assert_eq!((&body["description"], &body["repoOrder"]), (&Value::Null, &json!(2)));
    let stored = server.app.store.repository_list().await.expect("listed");
    let stored = stored.into_iter().find(|one| one.name.as_str() == "mine").expect("there");
    assert_eq!(stored.url.as_deref(), Some("http://user:secret@127.0.0.1:9/repo"), "what was not shown is not lost");
    let whole = json!({"name": "mine", "url": "http://127.0.0.1:9/other"});
    let stale = server.send(ask(Method::PUT, uri, &whole).header("if-match", "\"0\"")).await;
    assert_eq!((stale.status.as_u16(), stale.body.len()), (412, 0));
    let replaced = server.send(ask(Method::PUT, uri, &whole).header("if-match", "\"1\"")).await;
    let body: Value = replaced.ok();
    assert_eq!((&body["url"], &body["sourceUrl"]), (&json!("http://127.0.0.1:9/other"), &Value::Null));
    let silent = Ask::new(Method::PUT, uri).json(&whole);
    let silent = server.send(silent).await;
    assert_eq!((silent.status.as_u16(), silent.body.len()), (204, 0), "who accepts nothing gets nothing");
    for wrong in [json!({"name": "other", "url": "http://127.0.0.1:9"}), json!({"name": "mine", "local": true})] {
        assert_eq!(server.send(ask(Method::PUT, uri, &wrong)).await.status, 409, "{wrong}");
    }
    assert_eq!(server.send(ask(Method::PUT, "/api/repositories/99", &whole)).await.status, 404);
    assert_eq!(server.send(ask(Method::PATCH, uri, &json!({"repoOrder": "high"}))).await.status, 400);
    let patched: Value = server.send(ask(Method::PATCH, uri, &json!({"repoOrder": "11"}))).await.ok();
    assert_eq!(patched["repoOrder"], 11);
    let operations = json!([{"op": "replace", "path": "/repoOrder", "value": 3}]);
    let operations = ask(Method::PATCH, uri, &operations).header("content-type", "application/json-patch+json");
    assert_eq!(server.send(operations).await.status, 415);
}

#[tokio::test]
async fn what_is_needed_or_built_in_stays() {
    let server = Server::serving().await;
    let refused = server.send(Ask::new(Method::DELETE, "/api/repositories/1")).await;
    assert_eq!(refused.status, 409, "uploads go there: {}", refused.text());
    let local: Value = server.get("/api/repositories/1").await.ok();
    assert_eq!(local["url"], "http://localhost:7577/v1/repositories/local", "others read it there");
    let list: Value = server.get("/api/repositories").await.ok();
    let names: Vec<_> =
        list["_embedded"]["repositories"].as_array().expect("a list").iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["local", "experimental"]);
    let newer: Value = server.send(Ask::get("/api/repositories").header("accept", JAVA)).await.ok();
    assert_eq!(newer["page"]["totalElements"], 1, "2.x has none but those that people bring");
    // Who looks for a name finds what is built in, and can install it.
    for path in ["findByNameContainingIgnoreCase?size=2000&name=HELLOW", "findByName?name=helloworld"] {
        let found = Ask::get(&format!("/api/packageMetadata/search/{path}")).header("accept", JAVA);
        let found: Value = server.send(found).await.ok();
        let found = found["_embedded"]["packageMetadata"].as_array().expect("a list").clone();
        assert!(!found.is_empty() && found[0]["name"] == "helloworld", "{path}: {found:?}");
    }
    let body = json!({
        "packageIdentifier": {"packageName": "helloworld", "packageVersion": "1.0.0"},
        "installProperties": {"releaseName": "hello", "platformName": "default"},
    });
    let installed: Value = server.send(Ask::post("/api/package/install", &body).header("accept", JAVA)).await.ok();
    assert_eq!(installed["pkg"]["metadata"]["repositoryName"], "experimental");
}
