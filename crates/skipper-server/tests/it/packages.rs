use http::Method;
use serde_json::{Value, json};
use skipper_server::api::own::wire::{PackageDetail, PackagePage, PackageView, PlanView, RepositoryList};
use skipper_source::{Archive, archive::File};

use crate::fixture::{Ask, Server, package};

#[tokio::test]
async fn a_package_is_uploaded_found_read_and_removed_again() {
    let server = Server::start().await;
    let answer = server.upload("1.0.0", "").await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (201, Some("/v1/packages/local/hello/1.0.0")));
    let view: PackageView = answer.ok();
    assert_eq!(view.sha256, Some(skipper_core::Sha256::of(&package("hello", "1.0.0", "")).to_string()));
    let found: PackagePage = server.get("/v1/packages?q=GREETING").await.ok();
    assert!(found.items.iter().any(|item| item.name == "hello"), "found by its description: {found:?}");
    let detail: PackageDetail = server.get("/v1/packages/local/hello/1.0.0").await.ok();
    assert_eq!((detail.values.as_str(), detail.templates.len()), ("greeting: hello\n", 1));
    let zip = server.get("/v1/packages/local/hello/1.0.0/archive").await;
    assert_eq!(zip.body, package("hello", "1.0.0", ""));
    let gone = Ask::new(Method::DELETE, "/v1/packages/local/hello/1.0.0");
    assert_eq!(server.send(gone.clone()).await.status, 204);
    server.send(gone).await.problem("package-not-found");
}

#[tokio::test]
async fn a_version_never_changes_and_one_in_use_is_never_removed() {
    let server = Server::serving().await;
    assert_eq!(server.upload("1.0.0", "").await.status, 201, "the same contents again are fine");
    server.upload("1.0.0", "  replicas: 2\n").await.problem("package-exists");
    server.send(Ask::new(Method::DELETE, "/v1/packages/local/hello/1.0.0")).await.problem("package-in-use");
    let detail: PackageDetail = server.get("/v1/packages/local/hello/1.0.0").await.ok();
    assert_eq!(detail.used_by, ["web"]);
    assert_eq!(server.send(Ask::new(Method::DELETE, "/v1/packages/local/hello/2.0.0")).await.status, 204);
}

#[tokio::test]
async fn what_is_no_package_is_refused_with_every_fault() {
    let server = Server::start().await;
    let send = async |bytes: &[u8], kind: &str| {
        let mut ask = Ask::new(Method::POST, "/v1/packages").header("content-type", kind);
        ask.body = bytes.to_vec();
        server.send(ask).await
    };
    send(b"", "application/zip").await.problem("package-invalid");
    send(b"not a zip", "application/zip").await.problem("package-invalid");
    send(b"{}", "application/json").await.problem("unsupported-media-type");
    send(&vec![0; (1 << 20) + 1], "application/zip").await.problem("body-too-large");
    let mut ask =
        Ask::new(Method::POST, "/v1/packages?repository=experimental").header("content-type", "application/zip");
    ask.body = package("hello", "1.0.0", "");
    server.send(ask).await.problem("repository-read-only");
}

#[tokio::test]
async fn built_in_packages_are_there_from_the_first_moment() {
    let server = Server::start().await;
    let repositories: RepositoryList = server.get("/v1/repositories").await.ok();
    let names: Vec<_> = repositories.items.iter().map(|r| (r.name.as_str(), r.order, r.writable)).collect();
    assert_eq!(names, [("local", 1, true), ("experimental", 0, false)]);
    let found: PackagePage = server.get("/v1/packages?q=helloworld").await.ok();
    assert_eq!(found.items.len(), 4, "helloworld and helloworld-docker");
    let install = json!({"name": "first", "package": {"name": "helloworld"}});
    let accepted: Value = server.post("/v1/releases", &install).await.ok();
    assert_eq!(accepted["revision"], 1);
    server
        .send(Ask::new(Method::DELETE, "/v1/packages/experimental/helloworld/1.0.0"))
        .await
        .problem("repository-read-only");
}

#[tokio::test]
async fn pages_of_packages_hold_each_one_once() {
    let server = Server::start().await;
    for version in ["1.0.0", "1.1.0", "2.0.0"] {
        server.upload(version, "").await.ok::<Value>();
    }
    let mut seen = Vec::new();
    let mut uri = "/v1/packages?limit=2".to_owned();
    loop {
        let page: PackagePage = server.get(&uri).await.ok();
        seen.extend(page.items.into_iter().map(|item| format!("{}-{}", item.name, item.version)));
        let Some(next) = page.next else { break };
        uri = format!("/v1/packages?limit=2&after={next}");
    }
    assert_eq!(
        seen,
        [
            "hello-1.0.0",
            "hello-1.1.0",
            "hello-2.0.0",
            "helloworld-1.0.0",
            "helloworld-1.0.1",
            "helloworld-docker-1.0.0",
            "helloworld-docker-1.0.1"
        ]
    );
    let newest: Value =
        server.post("/v1/plans", &json!({"verb": "install", "name": "x", "package": {"name": "hello"}})).await.ok();
    assert!(newest["manifest"].as_str().expect("text").contains("2.0.0"), "the highest version is meant");
}

#[tokio::test]
async fn a_package_of_the_field_is_uploaded_and_planned_with_the_text_of_its_templates() {
    let server = Server::start().await;
    let file = |path: &str, text: &str| File { path: path.to_owned(), bytes: text.as_bytes().to_vec() };
    let files = vec![
        file("package.yml", "apiVersion: v1\nkind: skipper\nname: log\nversion: 1.0.0\ntags: sink, logging\n"),
        file("values.yml", "version: 1.10\n"),
        file(
            "templates/log.yml",
            "kind: SpringBootApp\nmetadata: {name: log}\nspec:\n  resource: maven://org.example:log:{{version}}\n",
        ),
    ];
    let mut ask = Ask::new(Method::POST, "/v1/packages").header("content-type", "application/zip");
    ask.body = Archive::from_files(files).expect("files of a package").to_zip("log-1.0.0");
    let view: PackageView = server.send(ask).await.ok();
    assert_eq!((view.name.as_str(), view.version.as_str()), ("log", "1.0.0"));
    let detail: PackageDetail = server.get("/v1/packages/local/log/1.0.0").await.ok();
    assert_eq!(detail.metadata["api_version"], "v1");
    assert_eq!(detail.metadata["tags_text"], "sink, logging");
    assert_eq!(
        (detail.values.as_str(), detail.templates.as_slice()),
        ("version: 1.10\n", &["templates/log.yml".to_owned()][..])
    );
    let request = json!({"verb": "install", "name": "mylog", "package": {"name": "log"}, "values": {"unused": true}});
    let plan: PlanView = server.post("/v1/plans", &request).await.ok();
    let manifest = plan.manifest.expect("an install has a manifest");
    assert!(manifest.starts_with("\n---\n# Source: log.yml\nkind: SpringBootApp\n"), "{manifest}");
    assert!(manifest.ends_with("resource: maven://org.example:log:1.1\n"), "YAML 1.1 drops the zero: {manifest}");
}
