use serde_json::json;
use skipper_core::{
    Sha256,
    name::{PackageName, RepositoryName},
    release::Source,
    rollout::{Phase, Verb},
};
use skipper_store::{
    Error, IndexRow, NewIntent, NewPackage, NewRepository, Package, PackageFilter, RepositoryKind, Store, Words,
};

use crate::{
    contract,
    samples::{carry_out, intent, provenance, serving, source, spec},
    world::World,
};

contract! {
    a_package_comes_back_and_is_published_once
    packages_are_found_by_words_and_by_page
    a_package_in_use_stays
    repositories_are_listed_in_their_order
    repositories_of_the_configuration_are_numbered_as_they_come
    a_repository_goes_with_its_packages_unless_something_runs
    what_is_built_in_can_be_removed_for_good_and_its_name_used_again
    the_newest_version_is_found_wherever_it_is
    rows_of_an_older_server_get_an_order
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
        version_key: version.into(),
        metadata: json!({"description": "Says HELLO 100%"}),
        words: Words { text: "Says HELLO 100%".into(), tags: vec!["Sink".into(), "sinking".into()] },
        archive: vec![0, 1, 2, 255],
    };
    store.package_upload(new, &provenance()).await
}

async fn a_package_comes_back_and_is_published_once(world: &World) {
    let store = &world.store;
    let made = upload(store, "hello", "1.0.0").await.expect("uploaded");
    assert_eq!((made.sha256, made.size), (Some(Sha256::of(&[0, 1, 2, 255])), Some(4)));
    let read = store.package_get(&local(), &package("hello"), "1.0.0").await.expect("no error");
    assert_eq!(read.as_ref(), Some(&made));
    let bytes = store.package_archive(&local(), &package("hello"), "1.0.0").await.expect("no error");
    assert_eq!(bytes, Some(vec![0, 1, 2, 255]));
    assert!(matches!(upload(store, "hello", "1.0.0").await, Err(Error::PackageExists { .. })));
    let second = upload(store, "hello", "1.1.0").await.expect("uploaded");
    assert!(second.numeric.num > made.numeric.num);
    let versions = store.package_versions(Some(&local()), &package("hello"), 10).await.expect("versions");
    assert_eq!(versions.iter().map(|p| p.version.as_str()).collect::<Vec<_>>(), ["1.1.0", "1.0.0"]);
    assert_eq!(store.package_get(&local(), &package("hello"), "2\0").await.expect("no error"), None);
    let nowhere = NewPackage {
        repository: RepositoryName::new("nowhere").expect("a name"),
        name: package("x"),
        version: "1".into(),
        version_key: "1".into(),
        metadata: json!({}),
        words: Words::default(),
        archive: vec![],
    };
    let refused = store.package_upload(nowhere.clone(), &provenance()).await;
    assert!(matches!(refused, Err(Error::NotFound { kind: "repository", .. })));
    let huge = NewPackage { repository: local(), archive: vec![0; (64 << 20) + 1], ..nowhere.clone() };
    assert!(matches!(store.package_upload(huge, &provenance()).await, Err(Error::Invalid(_))));
    let orderless = NewPackage { repository: local(), version_key: String::new(), ..nowhere.clone() };
    assert!(matches!(store.package_upload(orderless, &provenance()).await, Err(Error::Invalid(_))));
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
        let page = store.package_list(PackageFilter::default(), after.as_ref(), 2).await.expect("page");
        let Some(last) = page.last() else { break };
        after = Some(last.cursor());
        seen.extend(page.iter().map(|p| format!("{} {}", p.name, p.version)));
    }
    assert_eq!(seen, ["alpha 1", "alpha 2", "beta 1", "gamma 1"]);
    let count = async |filter| store.package_list(filter, None, 10).await.expect("found").len();
    for (q, found) in
        [("hello", 4), ("LPH", 2), ("100%", 4), ("1__", 0), ("%%", 0), ("nothing", 0), ("  ", 4), ("sinkin", 4)]
    {
        assert_eq!(count(PackageFilter { q: Some(q), ..PackageFilter::default() }).await, found, "{q}");
    }
    for (tag, found) in [("sink", 4), ("SINKING", 4), ("sinkin", 0), ("says", 0), ("hello\u{1f}", 0), ("", 4)] {
        assert_eq!(count(PackageFilter { tag: Some(tag), ..PackageFilter::default() }).await, found, "{tag}");
    }
    for (name, found) in [("LPH", 2), ("hello", 0), ("a", 4), ("_", 0)] {
        assert_eq!(count(PackageFilter { name: Some(name), ..PackageFilter::default() }).await, found, "{name}");
    }
    let elsewhere = RepositoryName::new("elsewhere").expect("a name");
    let here = local();
    for (repository, found) in [(&here, 2), (&elsewhere, 0)] {
        let filter =
            PackageFilter { repository: Some(repository), name: Some("alpha"), tag: Some("sink"), q: Some("hell") };
        assert_eq!(count(filter).await, found, "{repository}");
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

fn repository(name: &str, order: i64) -> NewRepository {
    NewRepository {
        name: RepositoryName::new(name).expect("a name"),
        kind: RepositoryKind::Remote,
        url: Some("https://example.org/".into()),
        source_url: None,
        description: None,
        order: Some(order),
    }
}

async fn repositories_are_listed_in_their_order(world: &World) {
    let store = &world.store;
    store.repository_add(repository("later", -4), &provenance()).await.expect("added");
    let first = store.repository_add(repository("first", 2), &provenance()).await.expect("added");
    assert!(matches!(store.repository_add(repository("first", 0), &provenance()).await, Err(Error::Exists { .. })));
    let listed = store.repository_list().await.expect("list");
    let listed: Vec<_> = listed.iter().map(|r| (r.name.as_str(), r.order)).collect();
    assert_eq!(listed, [("first", Some(2)), ("local", Some(1)), ("later", Some(-4))]);
    assert_eq!(store.repository_get(&first.name).await.expect("no error"), Some(first.clone()));
    let changed = NewRepository { url: None, ..repository("first", -9) };
    let changed = store.repository_update(changed, &provenance()).await.expect("changed");
    assert_eq!((changed.order, changed.url, changed.numeric.row_version), (Some(-9), None, 2));
    let silent = NewRepository { order: None, ..repository("first", 0) };
    let silent = store.repository_update(silent, &provenance()).await.expect("changed");
    assert_eq!(silent.order, None, "that nobody gave one is remembered");
    assert_eq!(changed.numeric.num, first.numeric.num);
    let nobody = store.repository_update(repository("nobody", 0), &provenance()).await;
    assert!(matches!(nobody, Err(Error::NotFound { .. })));
}

async fn repositories_of_the_configuration_are_numbered_as_they_come(world: &World) {
    let store = &world.store;
    let local = NewRepository { kind: RepositoryKind::Local, order: None, ..repository("local", 0) };
    let seed = || vec![repository("test", 0), local.clone()];
    store.repository_seed(seed(), &provenance()).await.expect("added");
    let numbers = async || {
        let listed = store.repository_list().await.expect("list");
        let mut all: Vec<_> =
            listed.into_iter().map(|one| (one.numeric.num, one.name.to_string(), one.order)).collect();
        all.sort();
        all
    };
    let both = [(1, "test".to_owned(), Some(0)), (2, "local".to_owned(), None)];
    assert_eq!(numbers().await, both, "nobody had used `local`");
    upload(store, "hello", "1.0.0").await.expect("uploaded");
    let other = NewRepository { order: Some(9), ..local.clone() };
    store.repository_seed(vec![repository("later", 3), other], &provenance()).await.expect("added");
    assert_eq!(numbers().await, [&both[..], &[(3, "later".to_owned(), Some(3))]].concat(), "what is there stays");
}

async fn a_repository_goes_with_its_packages_unless_something_runs(world: &World) {
    let store = &world.store;
    let refused = store.repository_remove(&local(), &provenance()).await;
    assert!(matches!(refused, Err(Error::StillNeeded { .. })));
    let other = store.repository_add(repository("other", 0), &provenance()).await.expect("added");
    let mine = NewRepository { kind: RepositoryKind::Local, ..repository("mine", 0) };
    let mine = store.repository_add(mine, &provenance()).await.expect("added");
    let new = |place: &RepositoryName| NewPackage {
        repository: place.clone(),
        name: package("hello"),
        version: "1.0.0".into(),
        version_key: "1".into(),
        metadata: json!({}),
        words: Words::default(),
        archive: vec![1],
    };
    store.package_upload(new(&mine.name), &provenance()).await.expect("uploaded");
    store.package_upload(new(&local()), &provenance()).await.expect("uploaded");
    assert_eq!(store.repository_sizes().await.expect("sizes"), [(local(), 1), (mine.name.clone(), 1)]);
    let mut from_mine = intent("web", Verb::Install);
    let Some(Source::Package { repository, .. }) = &mut from_mine.source else { panic!("a package") };
    *repository = "mine".into();
    let accepted = store.intent_create(from_mine).await.expect("accepted");
    let refused = store.repository_remove(&mine.name, &provenance()).await.expect_err("it is being installed");
    assert!(refused.to_string().contains("default/web"), "{refused}");
    carry_out(store, &accepted, &spec(&[], &[]), &Phase::Failed { cause: crate::samples::cause("x") }).await;
    store.repository_remove(&mine.name, &provenance()).await.expect("removed");
    assert_eq!(store.package_get(&mine.name, &package("hello"), "1.0.0").await.expect("no error"), None);
    assert_eq!(world.number("SELECT COUNT(*) FROM package_archive").await, 1, "only that of `local` is left");
    store.repository_remove(&other.name, &provenance()).await.expect("removed");
    assert!(matches!(store.repository_remove(&other.name, &provenance()).await, Err(Error::NotFound { .. })));
}

async fn what_is_built_in_can_be_removed_for_good_and_its_name_used_again(world: &World) {
    let store = &world.store;
    let row = |version: &str, num| IndexRow {
        num: Some(num),
        name: package("hello"),
        version: version.into(),
        version_key: version.into(),
        sha256: None,
        metadata: json!({}),
        words: Words::default(),
        stamp: "1".into(),
    };
    let place = repository("built-in", 0).name;
    let build_in = async |digest: &str, rows| {
        let new = NewRepository { kind: RepositoryKind::BuiltIn, ..repository("built-in", 0) };
        store.repository_build_in(new, digest, rows, &provenance()).await.expect("built in");
        store.repository_get(&place).await.expect("no error")
    };
    let versions = async || {
        let found = store.package_list_of(&place, None, 10).await.expect("listed");
        found.into_iter().map(|p| (p.version, p.numeric.num)).collect::<Vec<_>>()
    };
    let added = build_in("1", vec![row("1", -10), row("2", -9)]).await.expect("there");
    assert_eq!((added.numeric.num, added.kind), (-1, RepositoryKind::BuiltIn));
    assert_eq!(versions().await, [("1".into(), -10), ("2".into(), -9)]);
    let next = build_in("2", vec![row("2", -9), row("3", -8)]).await.expect("there");
    assert_eq!(next.refresh.digest.as_deref(), Some("2"));
    assert_eq!(versions().await, [("2".into(), -9), ("3".into(), -8)]);
    assert_eq!(*store.events_subscribe().borrow(), 0, "nobody did anything");
    store.repository_remove(&place, &provenance()).await.expect("removed");
    assert_eq!(store.repository_list().await.expect("list").len(), 1);
    assert_eq!(build_in("3", vec![row("3", -8)]).await, None, "it does not come back");
    let own = store.repository_add(repository("built-in", 3), &provenance()).await.expect("the name is free");
    assert_eq!((own.kind, own.numeric.num > 0), (RepositoryKind::Remote, true));
    assert_eq!(build_in("4", vec![row("3", -8)]).await, Some(own), "and another one of its name stays what it is");
    assert_eq!(versions().await, []);
}

async fn the_newest_version_is_found_wherever_it_is(world: &World) {
    let store = &world.store;
    let other = NewRepository { kind: RepositoryKind::Local, ..repository("other", 5) };
    let other = store.repository_add(other, &provenance()).await.expect("added").name;
    for (place, version, key) in [
        (&local(), "1.0", "1"),
        (&local(), "2.0", "2"),
        (&other, "2.0", "2"),
        (&other, "1.5", "15"),
        (&local(), "0.1", "0"),
    ] {
        let new = NewPackage {
            repository: place.clone(),
            name: package("hello"),
            version: version.into(),
            version_key: key.into(),
            metadata: json!({}),
            words: Words::default(),
            archive: vec![1],
        };
        store.package_upload(new, &provenance()).await.expect("uploaded");
    }
    let shown = |package: Option<Package>| package.map(|p| format!("{}/{}", p.repository, p.version));
    let latest = async |place| shown(store.package_latest(place, &package("hello")).await.expect("no error"));
    assert_eq!(latest(None).await.as_deref(), Some("other/2.0"), "of two equal ones that which is asked first");
    assert_eq!(latest(Some(&local())).await.as_deref(), Some("local/2.0"));
    assert_eq!(shown(store.package_latest(None, &package("nobody")).await.expect("no error")), None);
    let named = async |version| shown(store.package_named(&package("hello"), version).await.expect("no error"));
    assert_eq!(named("2.0").await.as_deref(), Some("other/2.0"));
    assert_eq!(named("1.0").await.as_deref(), Some("local/1.0"));
    assert_eq!(named("9").await, None);
    let versions = store.package_versions(None, &package("hello"), 10).await.expect("versions");
    let versions: Vec<_> = versions.into_iter().filter_map(|p| shown(Some(p))).collect();
    assert_eq!(versions, ["other/2.0", "local/2.0", "other/1.5", "local/1.0", "local/0.1"]);
}

async fn rows_of_an_older_server_get_an_order(world: &World) {
    let store = &world.store;
    upload(store, "hello", "1.0.0").await.expect("uploaded");
    world.raw("UPDATE package SET version_key = '', search = 'old'").await;
    let key = |package: &Package| (format!("key of {}", package.version), Words { text: "New".into(), tags: vec![] });
    store.packages_rekey(key).await.expect("done");
    let found = store.package_list(PackageFilter { q: Some("hello new"), ..PackageFilter::default() }, None, 10).await;
    assert_eq!(found.expect("found").len(), 1);
    assert_eq!(world.number("SELECT COUNT(*) FROM package WHERE version_key = 'key of 1.0.0'").await, 1);
}

#[tokio::test]
async fn a_search_reads_an_index_and_nothing_else_of_what_does_not_fit() {
    let world = World::sqlite().await;
    let (_, sql) = skipper_store::statements()
        .into_iter()
        .find(|(_, sql)| sql.contains("found.hit"))
        .expect("the statement is there");
    let mut conn = sqlx::ConnectOptions::connect(&sqlx::sqlite::SqliteConnectOptions::new().filename(world.file()))
        .await
        .expect("connect");
    let plan = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"))).fetch_all(&mut conn).await;
    let plan: Vec<String> =
        plan.expect("a plan").iter().map(|row| sqlx::Row::get::<String, _>(row, "detail")).collect();
    let plan = plan.join("\n");
    assert!(plan.contains("USING COVERING INDEX package_searched"), "{plan}");
    world.done().await;
}
