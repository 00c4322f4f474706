use serde_json::json;
use skipper_core::{
    Sha256,
    name::{PackageName, RepositoryName},
    release::Source,
    rollout::{Phase, Verb},
};
use skipper_store::{Error, NewIntent, NewPackage, NewRepository, Package, Store};

use crate::{
    contract,
    samples::{carry_out, intent, provenance, serving, source, spec},
    world::World,
};

contract! {
    a_package_comes_back_and_is_published_once
    packages_are_found_by_words_and_by_page
    a_package_in_use_stays
    repositories_are_listed_in_their_order_and_not_removed_while_full
}

fn local() -> RepositoryName {
    RepositoryName::new("local").expect("a name")
}

fn package(name: &str) -> PackageName {
    PackageName::new(name).expect("a name")
}

async fn upload(store: &Store, name: &str, version: &str) -> Result<Package, Error> {
    let new = NewPackage {
        repository: local(),
        name: package(name),
        version: version.into(),
        metadata: json!({"description": "Says HELLO 100%"}),
        search: "Says HELLO 100%".into(),
        archive: vec![0, 1, 2, 255],
    };
    store.package_upload(new, &provenance()).await
}

async fn a_package_comes_back_and_is_published_once(world: &World) {
    let store = &world.store;
    let made = upload(store, "hello", "1.0.0").await.expect("uploaded");
    assert_eq!((made.sha256, made.size), (Sha256::of(&[0, 1, 2, 255]), 4));
    let read = store.package_get(&local(), &package("hello"), "1.0.0").await.expect("no error");
    assert_eq!(read.as_ref(), Some(&made));
    let bytes = store.package_archive(&local(), &package("hello"), "1.0.0").await.expect("no error");
    assert_eq!(bytes, Some(vec![0, 1, 2, 255]));
    assert!(matches!(upload(store, "hello", "1.0.0").await, Err(Error::PackageExists { .. })));
    let second = upload(store, "hello", "1.1.0").await.expect("uploaded");
    assert!(second.numeric.num > made.numeric.num);
    let versions = store.package_versions(&local(), &package("hello")).await.expect("versions");
    assert_eq!(versions.iter().map(|p| p.version.as_str()).collect::<Vec<_>>(), ["1.1.0", "1.0.0"]);
    assert_eq!(store.package_get(&local(), &package("hello"), "2\0").await.expect("no error"), None);
    let nowhere = NewPackage {
        repository: RepositoryName::new("nowhere").expect("a name"),
        name: package("x"),
        version: "1".into(),
        metadata: json!({}),
        search: String::new(),
        archive: vec![],
    };
    let refused = store.package_upload(nowhere.clone(), &provenance()).await;
    assert!(matches!(refused, Err(Error::NotFound { kind: "repository", .. })));
    let huge = NewPackage { repository: local(), archive: vec![0; (64 << 20) + 1], ..nowhere.clone() };
    assert!(matches!(store.package_upload(huge, &provenance()).await, Err(Error::Invalid(_))));
    let empty = NewPackage { repository: local(), version: String::new(), ..nowhere };
    assert!(matches!(store.package_upload(empty, &provenance()).await, Err(Error::Invalid(_))));
}

async fn packages_are_found_by_words_and_by_page(world: &World) {
    let store = &world.store;
    for (name, version) in [("beta", "1"), ("alpha", "1"), ("alpha", "2"), ("gamma", "1")] {
        upload(store, name, version).await.expect("uploaded");
    }
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = store.package_list(None, after.as_ref(), 2).await.expect("page");
        let Some(last) = page.last() else { break };
        after = Some(last.cursor());
        seen.extend(page.iter().map(|p| format!("{} {}", p.name, p.version)));
    }
    assert_eq!(seen, ["alpha 1", "alpha 2", "beta 1", "gamma 1"]);
    for (q, count) in [("hello", 4), ("LPH", 2), ("100%", 4), ("1__", 0), ("%%", 0), ("nothing", 0), ("  ", 4)] {
        assert_eq!(store.package_list(Some(q), None, 10).await.expect("found").len(), count, "{q}");
    }
}

async fn a_package_in_use_stays(world: &World) {
    let store = &world.store;
    upload(store, "hello", "1.0.0").await.expect("uploaded");
    let remove = async || store.package_remove(&local(), &package("hello"), "1.0.0", &provenance()).await;
    let used = async || matches!(remove().await, Err(Error::PackageInUse { .. }));
    let next = |number| NewIntent { source: Some(source("2.0.0")), ..rollback(number, Verb::Upgrade) };
    fn rollback(number: u64, verb: Verb) -> NewIntent {
        NewIntent { source: Some(Source::Revision { number }), ..intent("web", verb) }
    }

    let accepted = store.intent_create(intent("web", Verb::Install)).await.expect("accepted");
    assert!(used().await, "it is being installed");
    carry_out(store, &accepted, &spec(&[], &[]), &Phase::Succeeded).await;
    assert!(used().await, "it serves");
    let upgrade = store.intent_create(next(1)).await.expect("accepted");
    carry_out(store, &upgrade, &spec(&[], &[]), &Phase::Succeeded).await;
    let back = store.intent_create(rollback(1, Verb::Rollback)).await.expect("accepted");
    assert!(used().await, "by way of an earlier revision");
    carry_out(store, &back, &spec(&[], &[]), &Phase::Succeeded).await;
    assert!(used().await);
    let upgrade = store.intent_create(next(3)).await.expect("accepted");
    carry_out(store, &upgrade, &spec(&[], &[]), &Phase::Succeeded).await;
    remove().await.expect("superseded revisions have their own manifest");
    assert!(matches!(remove().await, Err(Error::NotFound { .. })));
    let again = upload(store, "hello", "1.0.0").await.expect("and may come back");
    assert_eq!(world.number("SELECT COUNT(*) FROM package_archive").await, 1);
    assert!(again.numeric.num > 1, "a number is never used again");
    serving(store, "other", &spec(&[], &[])).await;
    assert!(used().await);
}

async fn repositories_are_listed_in_their_order_and_not_removed_while_full(world: &World) {
    let store = &world.store;
    let new = |name: &str, priority| NewRepository {
        name: RepositoryName::new(name).expect("a name"),
        tenant: None,
        kind: "http".into(),
        url: Some("https://example.org/".into()),
        description: None,
        priority,
    };
    store.repository_add(new("later", 5), &provenance()).await.expect("added");
    let first = store.repository_add(new("first", -1), &provenance()).await.expect("added");
    assert!(matches!(store.repository_add(new("first", 0), &provenance()).await, Err(Error::Exists { .. })));
    let names: Vec<_> = store.repository_list().await.expect("list").into_iter().map(|r| r.name.to_string()).collect();
    assert_eq!(names, ["first", "local", "later"]);
    assert_eq!(store.repository_get(&first.name).await.expect("no error"), Some(first.clone()));
    let refused = store.repository_remove(&local(), &provenance()).await;
    assert!(matches!(refused, Err(Error::StillNeeded { .. })));
    store.repository_remove(&first.name, &provenance()).await.expect("removed");
    assert!(matches!(store.repository_remove(&first.name, &provenance()).await, Err(Error::NotFound { .. })));
}
