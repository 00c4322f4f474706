//! Repositories: added, read, served, and as hostile as they come.

use std::{sync::Arc, time::Duration};

use http::Method;
use serde_json::{Value, json};
use skipper_core::{Sha256, name::RepositoryName};
use skipper_server::{
    api::own::wire::{PackageDetail, PackagePage, RefreshReport, RepositoryList, RepositoryView},
    config::RepositoryConfig,
    repository::{Repositories, Settings},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    fixture::{Ask, Machine, Server, package},
    remote::{At, Remote, door, serve},
};

async fn add(server: &Server, name: &str, url: &str, order: i64) {
    let body = json!({"name": name, "url": url, "order": order});
    server.post("/v1/repositories", &body).await.ok::<RepositoryView>();
}

async fn refresh(server: &Server, name: &str) -> RefreshReport {
    server.post(&format!("/v1/repositories/{name}/refresh"), &json!({})).await.ok()
}

async fn shown(server: &Server, name: &str) -> RepositoryView {
    server.get(&format!("/v1/repositories/{name}")).await.ok()
}

async fn found(server: &Server, query: &str) -> Vec<String> {
    let page: PackagePage = server.get(&format!("/v1/packages?{query}")).await.ok();
    page.items.into_iter().map(|item| format!("{}/{}-{}", item.repository, item.name, item.version)).collect()
}

fn document(name: &str, version: &str, more: &str) -> String {
    format!("---\napiVersion: skipper/v2\nkind: Package\nname: {name}\nversion: {version}\n{more}")
}

#[tokio::test]
async fn another_skipper_is_a_repository_and_is_needed_once_for_each_package() {
    let (one, other) = (Server::start().await, Server::start().await);
    one.upload("1.0.0", "").await.ok::<Value>();
    one.upload("1.10.0", "").await.ok::<Value>();
    let url = serve(door(one.service.clone())).await;
    add(&other, "one", &format!("{url}/v1/repositories/local"), 0).await;
    let report = refresh(&other, "one").await;
    assert_eq!((report.packages, report.added, report.broken), (2, 2, 0));
    assert!(refresh(&other, "one").await.unchanged);
    let page: PackagePage = other.get("/v1/packages?q=greeting&repository=one").await.ok();
    let listed: Vec<_> = page.items.iter().map(|item| (item.version.as_str(), item.size)).collect();
    assert_eq!(listed, [("1.0.0", None), ("1.10.0", None)]);
    let digest = Sha256::of(&package("hello", "1.10.0", "")).to_string();
    assert_eq!(page.items[1].sha256.as_deref(), Some(digest.as_str()), "declared by its index");
    assert_eq!(other.install("web", "1.10.0").await.phase, "succeeded");
    let kept: PackageDetail = other.get("/v1/packages/one/hello/1.10.0").await.ok();
    assert_eq!(kept.package.id, page.items[1].id);
    assert_eq!(kept.package.sha256, Some(digest));
    assert!(kept.package.size.is_some());
    // From here on nobody answers there.
    add(&other, "gone", "http://127.0.0.1:1/x", 9).await;
    let body = json!({"name": "one", "url": "http://127.0.0.1:1/y"});
    other.post("/v1/repositories", &body).await.problem("name-in-use");
    assert_eq!(other.install("second", "1.10.0").await.phase, "succeeded");
}

#[tokio::test]
async fn numbers_outlast_what_an_index_says_anew() {
    let server = Server::start().await;
    let remote = Remote::start().await;
    add(&server, "r", &remote.url, 0).await;
    let first = document("a", "1.0.0", "description: old\n") + &document("b", "1.0.0", "tags: x, y\n");
    remote.put("/index.yml", At::Tagged(first, "\"1\""));
    assert_eq!(refresh(&server, "r").await.added, 2);
    let before: PackagePage = server.get("/v1/packages?repository=r").await.ok();
    remote.asked();
    assert!(refresh(&server, "r").await.unchanged);
    assert_eq!(remote.asked(), ["/index.yml \"1\""], "it is asked whether there is another version");
    let second = document("a", "1.0.0", "description: new\n") + &document("c", "1.0.0", "");
    remote.put("/index.yml", At::Tagged(second, "\"2\""));
    let report = refresh(&server, "r").await;
    assert_eq!((report.added, report.updated, report.removed), (1, 1, 1));
    let after: PackagePage = server.get("/v1/packages?repository=r").await.ok();
    assert_eq!(after.items[0].id, before.items[0].id);
    assert_eq!(after.items[0].description.as_deref(), Some("new"));
    assert_eq!(found(&server, "repository=r").await, ["r/a-1.0.0", "r/c-1.0.0"]);
    // What is broken may be what seems to be gone.
    remote.index(&format!("{}---\nname: [\n", document("a", "1.0.0", "")));
    let report = refresh(&server, "r").await;
    assert_eq!((report.removed, report.broken), (0, 1));
    assert_eq!(found(&server, "repository=r").await.len(), 2);
    let problem = shown(&server, "r").await.problem.expect("it is told");
    assert!(problem.contains("document 2"), "{problem}");
}

#[tokio::test]
async fn what_runs_keeps_its_package_and_its_repository() {
    let server = Server::start().await;
    let remote = Remote::start().await;
    remote.zip("hello", "1.0.0", package("hello", "1.0.0", ""));
    remote.index(&document("hello", "1.0.0", ""));
    add(&server, "r", &remote.url, 0).await;
    // Nobody has read its index yet: whoever looks for a package does.
    assert_eq!(server.install("web", "1.0.0").await.phase, "succeeded");
    remote.index("# nothing left\n");
    assert_eq!(refresh(&server, "r").await.removed, 0);
    let delete = || Ask::new(Method::DELETE, "/v1/repositories/r");
    let refused = server.send(delete()).await.problem("conflict");
    assert!(refused.detail.contains("default/web"), "{}", refused.detail);
    let gone: Value = server.send(Ask::new(Method::DELETE, "/v1/releases/web")).await.ok();
    server.ended(gone["rollout"]["id"].as_str().expect("an id")).await;
    assert!(server.send(delete()).await.status.is_success());
    assert!(found(&server, "name=hello").await.iter().all(|package| package.starts_with("experimental/")));
    server.send(delete()).await.problem("repository-not-found");
}

#[tokio::test]
async fn what_left_an_index_goes_when_nothing_is_made_of_it_any_more() {
    let server = Server::start().await;
    let remote = Remote::start().await;
    remote.zip("hello", "1.0.0", package("hello", "1.0.0", ""));
    remote.index(&document("hello", "1.0.0", ""));
    add(&server, "tagged", &remote.url, 0).await;
    assert_eq!(server.install("web", "1.0.0").await.phase, "succeeded");
    // The index stays the same from here on: told by its tag first, then by its bytes.
    remote.put("/index.yml", At::Tagged(document("hello", "2.0.0", ""), "\"2\""));
    assert_eq!(refresh(&server, "tagged").await.removed, 0);
    let report = refresh(&server, "tagged").await;
    assert!(report.unchanged, "{report:?}");
    assert_eq!(found(&server, "repository=tagged").await, ["tagged/hello-1.0.0", "tagged/hello-2.0.0"]);
    let gone: Value = server.send(Ask::new(Method::DELETE, "/v1/releases/web")).await.ok();
    server.ended(gone["rollout"]["id"].as_str().expect("an id")).await;
    let report = refresh(&server, "tagged").await;
    assert_eq!((report.unchanged, report.removed), (false, 1), "{report:?}");
    assert_eq!(found(&server, "repository=tagged").await, ["tagged/hello-2.0.0"]);
    server.get("/v1/packages/tagged/hello/1.0.0/archive").await.problem("package-not-found");
    assert!(refresh(&server, "tagged").await.unchanged);
}

#[tokio::test]
async fn the_highest_version_of_all_repositories_is_meant() {
    let server = Server::start().await;
    server.upload("1.9.0", "").await.ok::<Value>();
    let remote = Remote::start().await;
    let more = document("hello", "1.8.0", "") + &document("hello", "1.9.0", "tags: [Low, b]\n");
    remote.index(&(document("hello", "1.10.0-rc.1", "") + &more));
    remote.zip("hello", "1.10.0-rc.1", package("hello", "1.10.0-rc.1", ""));
    add(&server, "low", &remote.url, -5).await;
    refresh(&server, "low").await;
    let plan = async |package: Value| {
        let body = json!({"verb": "install", "name": "x", "package": package});
        let plan: Value = server.post("/v1/plans", &body).await.ok();
        plan["manifest"].as_str().expect("text").to_owned()
    };
    assert!(plan(json!({"name": "hello"})).await.contains("1.10.0-rc.1"));
    // The same version is in two places: `local` is asked first, and the other has no zip of it.
    assert!(plan(json!({"name": "hello", "version": "1.9.0"})).await.contains("1.9.0"));
    let elsewhere = json!({"name": "hello", "version": "1.9.0", "repository": "low"});
    let body = json!({"verb": "install", "name": "x", "package": elsewhere});
    let without = server.post("/v1/plans", &body).await.problem("repository-failed");
    assert!(without.detail.contains("is in the index of repository `low`, but there is no"), "{}", without.detail);
    let body = json!({
        "packageIdentifier": {"packageName": "hello", "packageVersion": "1.8.0"},
        "installProperties": {"releaseName": "x", "platformName": "default"},
    });
    let refused = server.post("/api/package/install", &body).await;
    let message = "Could not download an deserialize package.  package hello-1.8.0 is in the index";
    assert!(refused.status == 409 && refused.text().contains(message), "{}", refused.text());
    assert_eq!(found(&server, "tag=low").await, ["low/hello-1.9.0"]);
    assert_eq!(found(&server, "q=hello%20tag:B").await, ["low/hello-1.9.0"]);
    assert_eq!(found(&server, "tag=lo").await, Vec::<String>::new());
    server.get("/v1/packages?repository=nowhere").await.problem("repository-not-found");
}

#[tokio::test]
async fn a_hostile_index_is_bounded_and_told() {
    let server = Server::start().await;
    let remote = Remote::start().await;
    add(&server, "r", &remote.url, 0).await;
    let here = remote.url.clone();
    for (at, why) in [
        (At::Endless, "larger than the 64 MiB"),
        (At::Stuck, "was not here after"),
        (At::Redirect("/index.yml".into()), "redirect"),
        (At::Status(500), "500"),
        (At::Status(403), "credentials"),
        (At::Bytes(b"<html><body>Welcome</body></html>".to_vec()), "not the index"),
        (At::Bytes(vec![0xff, 0xfe, b'a']), "not UTF-8"),
        (At::Redirect(format!("{here}/elsewhere")), "there is no"),
    ] {
        remote.put("/index.yml", at);
        let problem = server.post("/v1/repositories/r/refresh", &json!({})).await.problem("repository-failed");
        assert!(problem.detail.contains(why), "{why}: {}", problem.detail);
        assert_eq!(shown(&server, "r").await.problem, Some(problem.detail));
    }
    assert_eq!(shown(&server, "r").await.failures, 8);
    remote.put("/elsewhere", At::Bytes(document("a", "1.0.0", "").into_bytes()));
    remote.put("/index.yml", At::Redirect("/elsewhere".into()));
    assert_eq!(refresh(&server, "r").await.added, 1);
    let view = shown(&server, "r").await;
    assert_eq!((view.failures, view.problem, view.packages), (0, None, 1));
}

#[tokio::test]
async fn a_zip_is_what_its_index_says_or_it_is_refused() {
    let server = Server::start().await;
    let remote = Remote::start().await;
    let good = package("hello", "1.0.0", "");
    let digest = Sha256::of(&good);
    let mut index = String::new();
    for version in ["1.0.0", "2.0.0", "3.0.0", "4.0.0", "5.0.0", "6.0.0"] {
        let declared = if version == "5.0.0" { String::new() } else { format!("sha256: {digest}\n") };
        index.push_str(&document("hello", version, &declared));
    }
    remote.index(&index);
    remote.zip("hello", "1.0.0", good.clone());
    remote.zip("hello", "2.0.0", Vec::new());
    remote.zip("hello", "3.0.0", b"<html>".to_vec());
    remote.zip("hello", "4.0.0", package("hello", "4.0.0", ""));
    // Inside it calls itself 1.0.0; the index is believed.
    remote.zip("hello", "5.0.0", good.clone());
    remote.put("/hello/hello-6.0.0.zip", At::Endless);
    add(&server, "r", &remote.url, 0).await;
    refresh(&server, "r").await;
    let archive = async |version: &str| server.get(&format!("/v1/packages/r/hello/{version}/archive")).await;
    assert_eq!(archive("1.0.0").await.body, good);
    archive("2.0.0").await.problem("package-invalid");
    archive("3.0.0").await.problem("package-invalid");
    let changed = archive("4.0.0").await.problem("repository-failed");
    assert!(changed.detail.contains(&digest.to_string()), "{}", changed.detail);
    assert_eq!(archive("5.0.0").await.body, good);
    let endless = archive("6.0.0").await.problem("repository-failed");
    assert!(endless.detail.contains("larger than"), "{}", endless.detail);
    let detail: PackageDetail = server.get("/v1/packages/r/hello/5.0.0").await.ok();
    assert_eq!(detail.package.sha256, Some(digest.to_string()), "what came first counts from now on");
    // A zip that cannot be used was not kept; it may be mended. One that was kept is not asked for again.
    remote.zip("hello", "2.0.0", good.clone());
    assert_eq!(archive("2.0.0").await.body, good);
    remote.zip("hello", "1.0.0", package("hello", "9.0.0", ""));
    assert_eq!(archive("1.0.0").await.body, good);
    // Nor is what the index says of it now, where that is another zip; it is told, as often as it is read.
    let other = format!("sha256: {}\ndescription: Another\n", Sha256::of(b"another"));
    remote.index(&(document("hello", "1.0.0", &other) + "---\nname: terse\nversion: 1.0.0\n"));
    let report = refresh(&server, "r").await;
    assert_eq!((report.added, report.updated, report.broken), (1, 0, 1), "{report:?}");
    let told = shown(&server, "r").await.problem.expect("it is told");
    assert!(told.starts_with("1 of its packages cannot be used: the `sha256` of hello-1.0.0 is another one"), "{told}");
    assert_eq!(refresh(&server, "r").await.broken, 1);
    assert_eq!(shown(&server, "r").await.problem.as_ref(), Some(&told));
    let detail: PackageDetail = server.get("/v1/packages/r/hello/1.0.0").await.ok();
    assert_eq!((detail.package.sha256, detail.package.description), (Some(digest.to_string()), None));
    assert_eq!(archive("1.0.0").await.body, good);
    // What an index does not say is not made up.
    let terse = "/api/packageMetadata/search/findFirstByNameOrderByVersionDesc?name=terse";
    let metadata: Value = server.get(terse).await.ok();
    assert_eq!((&metadata["apiVersion"], &metadata["kind"]), (&Value::Null, &Value::Null), "{metadata}");
}

#[tokio::test]
async fn what_an_index_has_instead_of_a_digest_makes_a_package_unusable() {
    let server = Server::start().await;
    let remote = Remote::start().await;
    let zip = package("hello", "1.0.0", "");
    let digest = Sha256::of(&zip).to_string();
    let mut index = String::new();
    let bad = ["xyz".to_owned(), digest[1..].to_owned(), format!("[{digest}]"), "x".repeat(64)];
    let good = [format!("'{digest} '"), "''".to_owned(), "~".to_owned()];
    for (n, said) in bad.iter().chain(&good).enumerate() {
        index.push_str(&document("hello", &format!("{n}.0.0"), &format!("sha256: {said}\n")));
        remote.zip("hello", &format!("{n}.0.0"), zip.clone());
    }
    remote.index(&index);
    add(&server, "r", &remote.url, 0).await;
    refresh(&server, "r").await;
    let problem = shown(&server, "r").await.problem.expect("it is told");
    assert!(problem.starts_with("4 of its packages") && problem.contains("hello-0.0.0 is `xyz`"), "{problem}");
    for n in 0..bad.len() {
        let refused = server.get(&format!("/v1/packages/r/hello/{n}.0.0/archive")).await.problem("repository-failed");
        let named = format!("package hello-{n}.0.0 cannot be verified: its entry in the index of repository `r`");
        assert!(refused.detail.contains(&named), "{}", refused.detail);
    }
    for n in bad.len()..bad.len() + good.len() {
        assert_eq!(server.get(&format!("/v1/packages/r/hello/{n}.0.0/archive")).await.body, zip, "{n}");
    }
    // Such an entry does not keep what left the index, and is mended by the next one.
    remote.index(
        &(document("hello", "0.0.0", &format!("sha256: {digest}\n")) + &document("hello", "1.0.0", "sha256: 1\n")),
    );
    let report = refresh(&server, "r").await;
    assert_eq!((report.updated, report.removed, report.broken), (2, 5, 1), "{report:?}");
    assert_eq!(server.get("/v1/packages/r/hello/0.0.0/archive").await.body, zip);
}

#[tokio::test]
async fn a_folder_is_a_repository_too_and_other_addresses_are_refused_in_a_sentence() {
    let server = Server::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir_all(folder.path().join("hello")).expect("made");
    std::fs::write(folder.path().join("index.yml"), document("hello", "1.0.0", "")).expect("written");
    let zip = package("hello", "1.0.0", "");
    std::fs::write(folder.path().join("hello/hello-1.0.0.zip"), &zip).expect("written");
    add(&server, "f", &format!("file:{}", folder.path().display()), 0).await;
    assert_eq!(refresh(&server, "f").await.added, 1);
    assert!(refresh(&server, "f").await.unchanged);
    assert_eq!(server.get("/v1/packages/f/hello/1.0.0/archive").await.body, zip);
    std::fs::remove_file(folder.path().join("index.yml")).expect("removed");
    server.post("/v1/repositories/f/refresh", &json!({})).await.problem("repository-failed");
    assert_eq!(found(&server, "repository=f").await.len(), 1, "what was read stays");
    for (body, why) in [
        (json!({"name": "x", "url": "classpath:/repositories/test"}), "inside a Java program"),
        (json!({"name": "x", "url": "ftp://example.org/"}), "write http://"),
        (json!({"name": "x"}), "needs the address"),
        (json!({"name": "x", "url": "  "}), "needs the address"),
        (json!({"name": "a/b", "url": "http://example.org/"}), "repository name"),
        (json!({"name": "x", "url": "http://example.org/", "description": "x".repeat(2001)}), "at most 2000"),
    ] {
        let problem = server.post("/v1/repositories", &body).await.problem("invalid");
        assert!(problem.detail.contains(why), "{body}: {}", problem.detail);
    }
    add(&server, "secret", "http://me:hidden@127.0.0.1:1/r", 0).await;
    let shown = server.get("/v1/repositories").await.text();
    assert!(shown.contains("http://127.0.0.1:1/r") && !shown.contains("hidden"), "{shown}");
    let failed = server.post("/v1/repositories/secret/refresh", &json!({})).await.problem("repository-failed");
    assert!(!failed.detail.contains("hidden"), "{}", failed.detail);
}

#[tokio::test]
async fn packages_are_uploaded_to_any_local_repository_and_served_from_there() {
    let server = Server::start().await;
    let body = json!({"name": "team", "local": true, "order": 7, "description": "Ours"});
    let answer = server.post("/v1/repositories", &body).await;
    assert_eq!(answer.header("location"), Some("/v1/repositories/team"));
    let zip = package("hello", "1.0.0", "");
    let upload = |repository: &str| {
        let mut ask = Ask::new(Method::POST, &format!("/v1/packages?repository={repository}"));
        ask.body = zip.clone();
        ask.header("content-type", "application/zip")
    };
    server.send(upload("team")).await.ok::<Value>();
    server.send(upload("experimental")).await.problem("repository-read-only");
    server.post("/v1/repositories/team/refresh", &json!({})).await.problem("invalid");
    let index = server.get("/v1/repositories/team/index.yml").await;
    let text = index.text();
    assert!(text.contains("name: hello") && text.contains(&Sha256::of(&zip).to_string()), "{text}");
    let tag = index.header("etag").expect("a tag").to_owned();
    let again = server.send(Ask::get("/v1/repositories/team/index.yml").header("if-none-match", &tag)).await;
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
    assert_eq!(server.get("/v1/repositories/team/hello/hello-1.0.0.zip").await.body, zip);
    server.get("/v1/repositories/team/hello/hello-2.0.0.zip").await.problem("package-not-found");
    server.get("/v1/repositories/team/hello/other.zip").await.problem("not-found");
    let built_in = server.get("/v1/repositories/experimental/index.yml").await.text();
    assert_eq!(built_in.matches("\nname: helloworld\n").count(), 2, "{built_in}");
    assert!(server.get("/v1/repositories/experimental/helloworld/helloworld-1.0.0.zip").await.status.is_success());
    add(&server, "far", "http://127.0.0.1:1/", 0).await;
    server.get("/v1/repositories/far/index.yml").await.problem("not-found");
    server.send(Ask::new(Method::DELETE, "/v1/repositories/local")).await.problem("conflict");
    assert!(server.send(Ask::new(Method::DELETE, "/v1/repositories/team")).await.status.is_success());
    assert!(server.send(Ask::new(Method::DELETE, "/v1/repositories/experimental")).await.status.is_success());
    let server = server.reboot().await;
    let list: RepositoryList = server.get("/v1/repositories").await.ok();
    let names: Vec<_> = list.items.iter().map(|item| item.name.as_str()).collect();
    assert_eq!(names, ["local", "far"], "what was removed does not come back");
}

fn repositories(server: &Server, owner: &str) -> Arc<Repositories> {
    let settings = Settings {
        owner: owner.to_owned(),
        refresh: Duration::from_secs(900),
        package: 1 << 20,
        patience: Duration::from_secs(3),
    };
    let machine = &server.machine;
    Arc::new(Repositories::new(server.app.store.clone(), machine.clock.clone(), machine.ids.clone(), settings))
}

#[tokio::test]
async fn two_servers_that_refresh_at_once_do_it_once() {
    let server = Server::start().await;
    let remote = Remote::start().await;
    let index: String = (0..700).map(|n| document(&format!("p{n}"), "1.0.0", "")).collect();
    remote.index(&index);
    add(&server, "r", &remote.url, 0).await;
    let name = RepositoryName::new("r").expect("a name");
    let (a, b) = (repositories(&server, "a"), repositories(&server, "b"));
    let (first, second) = tokio::join!(a.refresh(&name), b.refresh(&name));
    let added: u64 = [&first, &second].into_iter().flatten().map(|report| report.changed.added).sum();
    assert_eq!(added, 700, "{first:?} {second:?}");
    for error in [first, second].into_iter().filter_map(Result::err) {
        assert_eq!(error.code().as_str(), "conflict");
    }
    assert_eq!(shown(&server, "r").await.packages, 700);
    assert!(a.refresh(&name).await.expect("read").unchanged);
    // Of one server both wait for each other.
    let (first, second) = tokio::join!(a.refresh(&name), a.refresh(&name));
    assert!(first.is_ok() && second.is_ok());
}

#[tokio::test]
async fn what_is_due_is_read_without_anybody_asking() {
    let server = Server::start().await;
    let remote = Remote::start().await;
    remote.put("/index.yml", At::Status(404));
    add(&server, "r", &remote.url, 0).await;
    let mut events = server.app.store.events_subscribe();
    let stop = CancellationToken::new();
    let running = TaskTracker::new().spawn({
        let (resolver, stop) = (server.app.resolver.clone(), stop.clone());
        async move { resolver.repositories().run(stop).await }
    });
    let until = async |events: &mut tokio::sync::watch::Receiver<u64>, wanted: fn(&RepositoryView) -> bool| {
        let waiting = async {
            while !wanted(&shown(&server, "r").await) {
                events.changed().await.expect("the store is open");
            }
        };
        tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("it is read in time");
    };
    until(&mut events, |view| view.failures == 1).await;
    remote.index(&document("a", "1.0.0", ""));
    // The next attempt comes after a pause, by the server's clock; what is added lets it look.
    server.machine.clock.advance(Duration::from_secs(60));
    add(&server, "nudge", "file:/nowhere", 0).await;
    until(&mut events, |view| view.packages == 1).await;
    stop.cancel();
    running.await.expect("it ends");
}

#[tokio::test]
async fn the_configuration_adds_what_is_not_there_and_changes_nothing() {
    let configured = |name: &str, url: Option<&str>, order| RepositoryConfig {
        name: RepositoryName::new(name).expect("a name"),
        url: url.map(str::to_owned),
        source_url: None,
        local: url.is_none(),
        description: None,
        order: Some(order),
    };
    let server = Machine::default().boot().await;
    let all = repositories(&server, "a");
    let remote = Remote::start().await;
    let given = [
        configured("local", None, 99),
        configured("mine", Some(&remote.url), 3),
        configured("java", Some("classpath:/x"), 2),
        configured("experimental", Some(&remote.url), 1),
    ];
    all.prepare(&given, true).await.expect("prepared");
    let again = [configured("mine", Some("http://127.0.0.1:1/"), 8), configured("local", None, 7)];
    all.prepare(&again, true).await.expect("prepared");
    let list: RepositoryList = server.get("/v1/repositories").await.ok();
    let list: Vec<_> = list.items.iter().map(|item| (item.name.as_str(), item.kind.as_str(), item.order)).collect();
    assert_eq!(
        list,
        [("local", "local", 99), ("mine", "remote", 3), ("java", "remote", 2), ("experimental", "remote", 1)],
        "the built-in one gives way to another of its name, and the one for uploads is as it is said first"
    );
    for (num, name) in [(1, "local"), (2, "mine"), (3, "java"), (4, "experimental")] {
        let numbered: Value = server.get(&format!("/api/repositories/{num}")).await.ok();
        assert_eq!(numbered["name"], name, "numbered as they come, from 1");
    }
    let java = server.post("/v1/repositories/java/refresh", &json!({})).await.problem("repository-failed");
    assert!(java.detail.contains("inside a Java program"), "{}", java.detail);
}

#[tokio::test]
async fn repositories_of_the_field_are_read() {
    let Some(vectors) = std::env::var_os("SKIPPER_VECTORS") else {
        println!("skipped: SKIPPER_VECTORS is not set");
        return;
    };
    let vectors = std::path::PathBuf::from(vectors);
    let server = Server::start().await;
    let core = "spring-cloud-skipper-server-core/src/test/resources/repositories/binaries/test";
    let sample = "src/main/resources/static/repository/experimental";
    for (name, path, packages) in [
        ("m1", vectors.join("M1-549e4c71").join(core), 8),
        ("v2", vectors.join("v2.11.5-aded7695").join(core), 11),
        ("s1", vectors.join("sample-repository-46a43a6").join(sample), 4),
        ("s2", vectors.join("sample-repository-d3c81ae").join(sample), 4),
    ] {
        add(&server, name, &format!("file:{}", path.display()), 0).await;
        let report = refresh(&server, name).await;
        assert_eq!((report.packages, report.broken), (packages, 0), "{name}: {:?}", report.faults);
    }
    let detail: PackageDetail = server.get("/v1/packages/s1/helloworld/1.0.1").await.ok();
    assert_eq!(detail.package.version, "1.0.1", "inside it says 1.0.0");
    server.get("/v1/packages/m1/log-docker/1.0.0").await.problem("package-invalid");
    let log: PackageDetail = server.get("/v1/packages/m1/log/2.0.0").await.ok();
    assert!(log.values.contains("version: 1.2.0.RELEASE"), "{}", log.values);
}
