use http::Method;
use serde_json::{Value, json};

use super::{href, keys, path};
use crate::fixture::{Answer, Ask, Server, package};

/// `name-version` of the items of a list.
fn packages(list: &Value) -> Vec<String> {
    let items = list["_embedded"]["packageMetadata"].as_array().expect("a list").iter();
    let word = |value: &Value| value.as_str().expect("text").to_owned();
    let own = items.filter(|item| item["repositoryId"] == json!(1));
    own.map(|item| format!("{}-{}", word(&item["name"]), word(&item["version"]))).collect()
}

async fn with_several() -> Server {
    let server = Server::start().await;
    for (name, version) in [("pear", "1.0.0"), ("apple", "2.0.0"), ("fig", "1.5.0"), ("apple", "10.0.0")] {
        server.publish(package(name, version, "")).await;
    }
    server
}

#[tokio::test]
async fn a_list_is_whole_and_says_so() {
    let server = Server::start().await;
    let list: Value = server.get("/api/deployers").await.ok();
    assert_eq!(keys(&list), "_embedded _links page");
    assert_eq!(keys(&list["_links"]), "self profile search");
    assert_eq!(list["page"], json!({"size": 20, "totalElements": 1, "totalPages": 1, "number": 0}));
    assert_eq!(href(&list, "profile"), "http://localhost:7577/api/profile/deployers");
    assert_eq!(href(&list, "search"), "http://localhost:7577/api/deployers/search");
    let list: Value = server.java("/api/deployers?size=2000").await.ok();
    assert_eq!(list["page"]["size"], 1000, "more than that is never given");
    assert_eq!(list["_links"]["self"], json!({"href": "http://localhost:7577/api/deployers?size=2000"}));
    let list: Value = server.get("/api/packageMetadata/search/findByName?name=none").await.ok();
    assert_eq!(list["_embedded"]["packageMetadata"], json!([]), "an empty list is there");
}

#[tokio::test]
async fn a_slash_at_the_end_changes_nothing() {
    let server = with_several().await;
    for path in [
        "/api/about",
        "/api/packageMetadata?size=2",
        "/api/packageMetadata/1?projection=summary",
        "/api/packageMetadata/search/findByName?name=fig",
        "/api/profile/repositories",
        "/api/release/list",
        "/api/list",
        "/api/release/status/none",
    ] {
        let (bare, query) =
            path.split_once('?').map_or((path, String::new()), |(bare, query)| (bare, format!("?{query}")));
        let (with, without) = (server.get(&format!("{bare}/{query}")).await, server.get(path).await);
        assert_eq!(with.status, without.status, "{path}");
        let document = |answer: &Answer| {
            let mut document: Value = answer.read();
            if let Some(failure) = document.as_object_mut() {
                failure.retain(|field, _| !["timestamp", "path"].contains(&field.as_str()));
            }
            document
        };
        assert_eq!(document(&with), document(&without), "{path}");
    }
    let remove = server.send(Ask::new(Method::DELETE, "/api/package/pear/")).await;
    assert_eq!(remove.status, 200, "{}", remove.text());
    let options = server.send(Ask::new(Method::OPTIONS, "/api/repositories/1/")).await;
    assert_eq!(options.header("allow"), Some("GET,HEAD,PUT,PATCH,DELETE,OPTIONS"));
    assert_eq!(server.get("/api/about//").await.status, 404);
    assert_eq!(server.get("/v1/releases/").await.status, 404, "that is Spring's way");
}

#[tokio::test]
async fn pages_lead_to_one_another_and_hold_each_item_once() {
    let server = with_several().await;
    let total =
        server.get("/api/packageMetadata").await.ok::<Value>()["page"]["totalElements"].as_u64().expect("a number");
    let (mut uri, mut seen, mut pages) = ("/api/packageMetadata?size=3".to_owned(), Vec::new(), 0);
    loop {
        let list: Value = server.get(&uri).await.ok();
        assert_eq!(list["page"]["totalPages"], json!(total.div_ceil(3)));
        seen.extend(
            list["_embedded"]["packageMetadata"].as_array().expect("a list").iter().map(|item| href(item, "self")),
        );
        pages += 1;
        if list["_links"]["next"].is_null() {
            assert_eq!(keys(&list["_links"]), "first prev self last profile search");
            break;
        }
        let next = href(&list, "next");
        uri = path(&next).to_owned();
    }
    assert_eq!((pages, seen.len() as u64), (total.div_ceil(3), total));
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len() as u64, total);
    let middle: Value = server.java("/api/packageMetadata?size=1&page=1&projection=summary").await.ok();
    assert_eq!(keys(&middle["_links"]), "first prev self next last profile search");
    let base = "http://localhost:7577/api/packageMetadata";
    assert_eq!(href(&middle, "self"), format!("{base}?size=1&page=1&projection=summary"));
    assert_eq!(href(&middle, "next"), format!("{base}?projection=summary&page=2&size=1"));
    for (query, own) in [
        ("", "{?page,size,sort,projection}"),
        ("?page=0&size=10", "{&sort,projection}"),
        ("?page=1&size=1", "?page=1&size=1{&sort,projection}"),
        ("?size=1&sort=name,asc", "?size=1&sort=name,asc{&page,projection}"),
    ] {
        let list: Value = server.get(&format!("/api/packageMetadata{query}")).await.ok();
        assert_eq!(list["_links"]["self"], json!({"href": format!("{base}{own}"), "templated": true}), "{query}");
    }
    let beyond: Value = server.java("/api/packageMetadata?page=99").await.ok();
    assert_eq!(beyond["_embedded"]["packageMetadata"], json!([]));
    assert_eq!(keys(&beyond["_links"]), "first prev self last profile search");
}

#[tokio::test]
async fn lists_are_sorted_by_any_field_and_unknown_ones_are_passed_over() {
    let server = with_several().await;
    let sorted = async |query: &str| packages(&server.get(&format!("/api/packageMetadata?{query}")).await.ok());
    let added = ["pear-1.0.0", "apple-2.0.0", "fig-1.5.0", "apple-10.0.0"];
    assert_eq!(sorted("").await, added);
    assert_eq!(sorted("sort=nothing,desc").await, added);
    assert_eq!(sorted("sort=name").await, ["apple-2.0.0", "apple-10.0.0", "fig-1.5.0", "pear-1.0.0"]);
    assert_eq!(sorted("sort=name,desc").await, ["pear-1.0.0", "fig-1.5.0", "apple-10.0.0", "apple-2.0.0"]);
    assert_eq!(sorted("sort=name,desc&sort=version,asc").await[2..], ["apple-2.0.0", "apple-10.0.0"]);
    assert_eq!(sorted("sort=version").await, ["pear-1.0.0", "fig-1.5.0", "apple-2.0.0", "apple-10.0.0"]);
    assert_eq!(sorted("sort=version,desc").await[0], "apple-10.0.0");
    assert_eq!(sorted("sort=id,desc").await, ["apple-10.0.0", "fig-1.5.0", "apple-2.0.0", "pear-1.0.0"]);
    assert_eq!(sorted("sort=description,name,asc").await[3], "pear-1.0.0");
    let first: Value = server.get("/api/packageMetadata?sort=name,asc&size=1&page=1").await.ok();
    assert!(href(&first, "next").ends_with("?page=2&size=1&sort=name,asc"), "{}", href(&first, "next"));
}

#[tokio::test]
async fn searches_are_listed_as_templates_with_their_variables() {
    let server = Server::start().await;
    let searches: Value = server.get("/api/packageMetadata/search").await.ok();
    assert_eq!(
        keys(&searches["_links"]),
        "findByName findByNameContainingIgnoreCase findByNameAndVersionOrderByApiVersionDesc \
            findFirstByNameOrderByVersionDesc self"
    );
    let root = "http://localhost:7577/api/packageMetadata/search";
    assert_eq!(href(&searches, "findByName"), format!("{root}/findByName{{?name,projection}}"));
    assert_eq!(searches["_links"]["findByName"]["templated"], json!(true));
    let newer: Value = server.java("/api/packageMetadata/search").await.ok();
    assert_eq!(keys(&newer["_links"]), "findByName findByNameContainingIgnoreCase self");
    let searches: Value = server.get("/api/releases/search").await.ok();
    let between = "findByNameAndVersionBetweenOrderByNameAscVersionDesc";
    assert!(href(&searches, between).ends_with("{?name,from,to}"));
    let searches: Value = server.get("/api/repositories/search").await.ok();
    let all = "http://localhost:7577/api/repositories/search/findAllByOrderByRepoOrderDesc";
    assert_eq!(searches["_links"]["findAllByOrderByRepoOrderDesc"], json!({"href": all}));
}

#[tokio::test]
async fn searches_find_lists_or_one_and_404_where_there_is_none() {
    let server = with_several().await;
    let find = async |query: &str| server.get(&format!("/api/packageMetadata/search/{query}")).await;
    let list: Value = find("findByName?name=apple").await.ok();
    assert_eq!(keys(&list), "_embedded _links");
    assert_eq!(href(&list, "self"), "http://localhost:7577/api/packageMetadata/search/findByName?name=apple");
    assert_eq!(packages(&list), ["apple-2.0.0", "apple-10.0.0"]);
    assert_eq!(packages(&find("findByNameContainingIgnoreCase?name=APP").await.ok()), ["apple-2.0.0", "apple-10.0.0"]);
    assert_eq!(packages(&find("findByNameContainingIgnoreCase?name=&size=1").await.ok()).len(), 4, "no pages");
    assert_eq!(packages(&find("findByNameContainingIgnoreCase?name=%25").await.ok()).len(), 0, "no pattern");
    assert_eq!(find("findByNameContainingIgnoreCase").await.status, 400);
    let version = "findByNameAndVersionOrderByApiVersionDesc?name=apple&version=2.0.0";
    assert_eq!(packages(&find(version).await.ok()), ["apple-2.0.0"]);
    let newest: Value = find("findFirstByNameOrderByVersionDesc?name=apple").await.ok();
    assert_eq!(newest["version"], "10.0.0", "by version, not by letters");
    for none in [
        "packageMetadata/search/findFirstByNameOrderByVersionDesc?name=none",
        "repositories/search/findByName?name=x",
        "deployers/search/findByName?name=x",
        "repositories/99",
        "packageMetadata/x",
        "deployers/1",
    ] {
        let answer = server.get(&format!("/api/{none}")).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (404, 0), "{none}");
    }
    let local: Value = server.get("/api/repositories/search/findByName?name=local").await.ok();
    assert_eq!(href(&local, "self"), "http://localhost:7577/api/repositories/1");
    let name = server.get("/api/deployers").await.ok::<Value>()["_embedded"]["deployers"][0]["name"].clone();
    let name = name.as_str().expect("a name");
    assert_eq!(server.get(&format!("/api/deployers/search/findByName?name={name}")).await.ok::<Value>()["name"], name);
}
