use serde_json::{Value, json};

use super::{JAVA, href, keys};
use crate::fixture::{Ask, Machine, Server};

#[tokio::test]
async fn the_index_leads_to_everything_of_both_generations() {
    let server = Server::start().await;
    let answer = server.get("/api").await;
    assert_eq!(answer.header("content-type"), Some("application/hal+json;charset=UTF-8"));
    let index: Value = answer.ok();
    assert_eq!(
        keys(&index["_links"]),
        "releases deployers appDeployerDatas packageMetadata repositories about upload install install/id status/name \
            status/name/version manifest manifest/name/version upgrade rollback delete history list list/name release \
            package profile"
    );
    let link = |rel: &str| index["_links"][rel].clone();
    let template = |path: &str| json!({"href": format!("http://localhost:7577/api/{path}"), "templated": true});
    assert_eq!(link("packageMetadata"), template("packageMetadata{?page,size,sort,projection}"));
    assert_eq!(link("deployers"), template("deployers{?page,size,sort}"));
    assert_eq!(link("status/name/version"), template("status/{name}/123"));
    assert_eq!(link("about"), json!({"href": "http://localhost:7577/api/about"}));
    assert!(answer.text().starts_with("{\n  \"_links\" : {\n    \"releases\" : {\n      \"href\" : \"http:"));
    assert_eq!(server.java("/api").await.ok::<Value>(), index, "2.x reads the same one");
}

#[tokio::test]
async fn a_package_has_the_fields_of_the_generation_that_asks() {
    let server = Server::with_hello(&["1.0.0"]).await;
    let first: Value = server.get("/api/packageMetadata/1").await.ok();
    assert_eq!(
        keys(&first),
        "apiVersion origin repositoryId kind name version packageSourceUrl packageHomeUrl tags maintainer description \
            sha256 iconUrl _links"
    );
    assert_eq!(keys(&first["_links"]), "self packageMetadata install");
    assert_eq!(
        (&first["name"], &first["version"], &first["repositoryId"]),
        (&json!("hello"), &json!("1.0.0"), &json!(1))
    );
    assert_eq!((&first["description"], &first["sha256"]), (&json!("A greeting"), &Value::Null));
    assert_eq!(href(&first, "install"), "http://localhost:7577/api/install/1");
    let template = "http://localhost:7577/api/packageMetadata/1{?projection}";
    assert_eq!(first["_links"]["packageMetadata"], json!({"href": template, "templated": true}));
    let answer = server.java("/api/packageMetadata/1").await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let second: Value = answer.ok();
    assert_eq!(
        keys(&second),
        "apiVersion origin repositoryId repositoryName kind name displayName version packageSourceUrl packageHomeUrl tags \
            maintainer description sha256 iconUrl _links"
    );
    assert_eq!(second["repositoryName"], "local");
    assert_eq!(href(&second, "install"), "http://localhost:7577/api/package/install/1");
}

#[tokio::test]
async fn the_summary_is_short_and_its_id_is_text() {
    let server = Server::with_hello(&["1.0.0"]).await;
    for (uri, pick) in [
        ("/api/packageMetadata/1?projection=summary", ""),
        ("/api/packageMetadata?projection=summary", "/_embedded/packageMetadata/0"),
        ("/api/packageMetadata/search/findByName?name=hello&projection=summary", "/_embedded/packageMetadata/0"),
        ("/api/packageMetadata/search/findFirstByNameOrderByVersionDesc?name=hello&projection=summary", ""),
    ] {
        let first: Value = server.get(uri).await.ok();
        let first = first.pointer(pick).expect("an item");
        assert_eq!(keys(first), "id name version iconUrl description _links", "{uri}");
        assert_eq!((&first["id"], &first["iconUrl"]), (&json!("1"), &Value::Null));
        assert_eq!(keys(&first["_links"]), "self packageMetadata install");
        let second: Value = server.java(uri).await.ok();
        let second = second.pointer(pick).expect("an item");
        assert_eq!(keys(second), "name id version description iconUrl repositoryName _links", "{uri}");
    }
}

#[tokio::test]
async fn repositories_and_deployers_have_their_fields() {
    let server = Server::start().await;
    let list: Value = server.get("/api/repositories").await.ok();
    let local = &list["_embedded"]["repositories"][0];
    assert_eq!(keys(local), "name url sourceUrl local description repoOrder _links");
    assert_eq!((&local["name"], &local["local"]), (&json!("local"), &json!(true)));
    assert_eq!(keys(&local["_links"]), "self repository");
    assert_eq!(href(local, "self"), "http://localhost:7577/api/repositories/1");
    let list: Value = server.get("/api/deployers").await.ok();
    let deployer = &list["_embedded"]["deployers"][0];
    assert_eq!(keys(deployer), "name type description _links");
    assert_eq!(keys(&deployer["_links"]), "self deployer");
    let list: Value = server.java("/api/deployers?size=2000").await.ok();
    let deployer = &list["_embedded"]["deployers"][0];
    assert_eq!(keys(deployer), "name type description options _links");
    assert_eq!(deployer["options"], json!([]));
    let own = href(deployer, "self");
    let rebooted = server.reboot().await;
    let again: Value = rebooted.java(super::path(&own)).await.ok();
    assert_eq!(&again, deployer, "its id outlives a restart");
}

#[tokio::test]
async fn links_lead_over_the_host_that_was_asked() {
    let machine = Machine { admin_token: Some("skp_admin".to_owned()), ..Machine::default() };
    let server = machine.boot().await;
    let ask = Ask::get("/api/repositories/1").token("skp_admin").header("host", "skipper.example.org");
    let found: Value = server.send(ask.clone()).await.ok();
    assert_eq!(href(&found, "self"), "http://skipper.example.org/api/repositories/1");
    let forwarded = ask.header("x-forwarded-host", "evil.example.org").header("x-forwarded-proto", "https");
    let found: Value = server.send(forwarded).await.ok();
    assert_eq!(href(&found, "self"), "http://skipper.example.org/api/repositories/1", "nobody is believed here");
}

#[tokio::test]
async fn the_content_type_is_what_was_asked_for() {
    let server = Server::start().await;
    for (accept, expected) in [
        ("*/*", "application/hal+json;charset=UTF-8"),
        ("application/hal+json", "application/hal+json;charset=UTF-8"),
        ("application/json", "application/json;charset=UTF-8"),
        (JAVA, "application/json"),
    ] {
        let answer = server.send(Ask::get("/api/repositories").header("accept", accept)).await;
        assert_eq!(answer.header("content-type"), Some(expected), "{accept}");
    }
    for accept in ["text/html", "application/schema+json"] {
        let answer = server.send(Ask::get("/api/repositories").header("accept", accept)).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (406, 0), "{accept}");
    }
}
