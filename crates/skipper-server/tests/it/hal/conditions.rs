use http::Method;
use serde_json::Value;

use crate::fixture::{Ask, Server};

#[tokio::test]
async fn an_item_has_an_etag_and_is_not_sent_twice() {
    let server = Server::with_hello(&["1.0.0"]).await;
    for uri in ["/api/packageMetadata/1", "/api/repositories/1", "/api/repositories/search/findByName?name=local"] {
        let answer = server.get(uri).await;
        let tag = answer.header("etag").expect("a tag").to_owned();
        assert_eq!(tag, "\"0\"", "{uri}");
        for known in [tag.as_str(), "\"9\", W/\"0\"", "*"] {
            let again = server.send(Ask::get(uri).header("if-none-match", known)).await;
            assert_eq!((again.status.as_u16(), again.body.len()), (304, 0), "{uri} {known}");
            assert_eq!(again.header("etag"), Some(tag.as_str()));
        }
        assert_eq!(server.send(Ask::get(uri).header("if-none-match", "\"1\"")).await.status, 200, "{uri}");
    }
    assert_eq!(server.get("/api/packageMetadata").await.header("etag"), None, "lists have none");
}

#[tokio::test]
async fn a_package_is_removed_only_as_the_one_that_is_meant() {
    let server = Server::with_hello(&["1.0.0", "2.0.0"]).await;
    server.install("web", "1.0.0").await;
    let remove = |id: u32| Ask::new(Method::DELETE, &format!("/api/packageMetadata/{id}"));
    let refused = server.send(remove(2).header("if-match", "\"7\"")).await;
    assert_eq!((refused.status.as_u16(), refused.body.len()), (412, 0));
    assert_eq!(server.send(remove(1)).await.status, 409, "a release is made of it");
    let gone = server.send(remove(2).header("if-match", "\"0\"")).await;
    assert_eq!((gone.status.as_u16(), gone.body.len()), (204, 0));
    assert_eq!(server.send(remove(2)).await.status, 404);
}

#[tokio::test]
async fn heads_and_options_say_what_there_is() {
    let server = Server::with_hello(&["1.0.0"]).await;
    let head = server.send(Ask::new(Method::HEAD, "/api/packageMetadata/1")).await;
    assert_eq!((head.status.as_u16(), head.body.len(), head.header("etag")), (204, 0, Some("\"0\"")));
    let links = head.header("link").expect("links").to_owned();
    assert!(links.contains("<http://localhost:7577/api/packageMetadata/1>;rel=\"self\""), "{links}");
    for (uri, expected) in [
        ("/api/releases", "GET,HEAD,OPTIONS"),
        ("/api/packageMetadata", "GET,HEAD,OPTIONS"),
        ("/api/packageMetadata/1", "GET,HEAD,DELETE,OPTIONS"),
        ("/api/repositories", "GET,HEAD,POST,OPTIONS"),
        ("/api/repositories/1", "GET,HEAD,PUT,PATCH,DELETE,OPTIONS"),
        ("/api/deployers", "GET,HEAD,OPTIONS"),
        ("/api/list", "GET,HEAD"),
        ("/api/release/rollback", "POST,DELETE"),
    ] {
        let answer = server.send(Ask::new(Method::OPTIONS, uri)).await;
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (200, Some(expected)), "{uri}");
    }
    let item = server.send(Ask::new(Method::OPTIONS, "/api/repositories/1")).await;
    assert!(item.header("accept-patch").is_some_and(|kinds| kinds.contains("application/merge-patch+json")));
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_without_a_body() {
    let server = Server::with_hello(&["1.0.0"]).await;
    for (method, uri) in [
        (Method::POST, "/api/packageMetadata"),
        (Method::PUT, "/api/packageMetadata/1"),
        (Method::PATCH, "/api/packageMetadata/1"),
        (Method::POST, "/api/deployers"),
        (Method::DELETE, "/api/deployers/1"),
        (Method::DELETE, "/api/releases/1"),
        (Method::POST, "/api/appDeployerDatas"),
        (Method::DELETE, "/api"),
        (Method::PUT, "/api/profile"),
    ] {
        let answer = server.send(Ask::new(method.clone(), uri)).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (405, 0), "{method} {uri}");
        let allowed = answer.header("allow").expect("what is allowed").to_owned();
        assert!(allowed.contains("GET") && !allowed.contains(method.as_str()), "{method} {uri}: {allowed}");
    }
    let still: Value = server.get("/api/packageMetadata/1").await.ok();
    assert_eq!(still["name"], "hello");
}
