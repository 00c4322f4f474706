//! Taking over what an index says.

use std::time::Duration;

use serde_json::json;
use skipper_core::{
    Sha256,
    name::{PackageName, RepositoryName},
    rollout::{Phase, Verb},
    time::Timestamp,
};
use skipper_store::{
    Change, Changed, Error, IndexRow, Known, NewRepository, RefreshOutcome, RepositoryKind, Store, Turn, Words,
};

use crate::{
    contract,
    samples::{carry_out, intent, provenance, source, spec},
    world::World,
};

contract! {
    one_server_refreshes_at_a_time
    numbers_and_row_versions_outlast_a_refresh
    an_archive_is_kept_once_and_never_changes
    what_a_release_is_made_of_stays
    what_came_of_it_is_remembered
    a_repository_that_is_gone_is_not_written
}

const TTL: Duration = Duration::from_secs(60);

fn remote() -> RepositoryName {
    RepositoryName::new("remote").expect("a name")
}

async fn begun(store: &Store) {
    let new = NewRepository {
        name: remote(),
        kind: RepositoryKind::Remote,
        url: Some("https://example.org/".into()),
        source_url: None,
        description: None,
        order: Some(0),
    };
    store.repository_add(new, &provenance()).await.expect("added");
    let turn = store.refresh_begin(&remote(), "a", TTL).await.expect("no error");
    assert!(matches!(turn, Turn::Own(repository) if repository.name == remote()));
}

fn row(name: &str, version: &str, stamp: &str) -> IndexRow {
    IndexRow {
        num: None,
        name: PackageName::new(name).expect("a name"),
        version: version.into(),
        version_key: version.into(),
        sha256: None,
        metadata: json!({"description": stamp}),
        words: Words { text: stamp.into(), tags: vec![] },
        stamp: stamp.into(),
    }
}

async fn apply(store: &Store, changes: Vec<Change>) -> Changed {
    store.refresh_apply(&remote(), "a", TTL, changes, &provenance()).await.expect("applied")
}

async fn known(store: &Store) -> Vec<Known> {
    let first = store.refresh_known(&remote(), None, 2).await.expect("known");
    let rest = store.refresh_known(&remote(), first.last(), 1000).await.expect("known");
    [first, rest].concat()
}

async fn one_server_refreshes_at_a_time(world: &World) {
    let store = &world.store;
    begun(store).await;
    let turn = async |owner| store.refresh_begin(&remote(), owner, TTL).await.expect("no error");
    assert_eq!(turn("b").await, Turn::Busy);
    assert!(matches!(turn("a").await, Turn::Own(_)), "its own right is renewed");
    let write = async |owner| {
        let change = vec![Change::Add(row("x", owner, "1"))];
        store.refresh_apply(&remote(), owner, TTL, change, &provenance()).await
    };
    assert!(matches!(write("b").await, Err(Error::NotFound { .. })));
    assert!(known(store).await.is_empty());
    write("a").await.expect("it has the right");
    if world.is_sqlite() {
        world.pass(TTL + Duration::from_secs(1)).await;
    } else {
        world.raw("UPDATE repository SET refresh_until = 1 WHERE name = 'remote'").await;
    }
    assert!(matches!(turn("b").await, Turn::Own(_)), "a right that expired is nobody's");
    assert!(matches!(write("a").await, Err(Error::NotFound { .. })), "and its holder is stopped");
    store
        .refresh_end(&remote(), "a", RefreshOutcome::Failed("late".into()), Timestamp::default(), &provenance())
        .await
        .expect("no error");
    assert_eq!(turn("a").await, Turn::Busy, "what it says then counts for nothing");
}

async fn numbers_and_row_versions_outlast_a_refresh(world: &World) {
    let store = &world.store;
    begun(store).await;
    let numbered = IndexRow { num: Some(-7), ..row("a", "1", "1") };
    let changes = vec![Change::Add(numbered), Change::Add(row("b", "1", "1")), Change::Add(row("b", "2", "1"))];
    assert_eq!(apply(store, changes.clone()).await, Changed { added: 3, ..Changed::default() });
    assert_eq!(apply(store, changes).await, Changed::default(), "again it is nothing");
    let before = known(store).await;
    assert_eq!(
        before.iter().map(|k| (k.name.as_str(), k.version.as_str())).collect::<Vec<_>>(),
        [("a", "1"), ("b", "1"), ("b", "2")]
    );
    assert_eq!(before[0].num, -7);
    let changes = vec![Change::Update(before[1].num, row("b", "1", "2")), Change::Remove(before[2].num)];
    assert_eq!(apply(store, changes).await, Changed { added: 0, updated: 1, removed: 1 });
    let after = known(store).await;
    assert_eq!((after.len(), after[0] == before[0], after[1].num), (2, true, before[1].num));
    let b = store
        .package_get(&remote(), &PackageName::new("b").expect("a name"), "1")
        .await
        .expect("no error")
        .expect("there");
    assert_eq!((b.numeric.row_version, b.sha256, b.size), (2, None, None));
    assert_eq!(b.metadata["description"], "2");
}

async fn an_archive_is_kept_once_and_never_changes(world: &World) {
    let store = &world.store;
    begun(store).await;
    let declared = IndexRow { sha256: Some(Sha256::of(b"good")), ..row("a", "1", "1") };
    apply(store, vec![Change::Add(declared.clone()), Change::Add(row("b", "1", "1"))]).await;
    let [a, b] = [known(store).await[0].num, known(store).await[1].num];
    let changed = store.package_keep(a, b"bad".to_vec()).await.expect_err("the index says something else");
    assert!(matches!(changed, Error::PackageChanged { .. }) && changed.hint().is_some(), "{changed}");
    let kept = store.package_keep(a, b"good".to_vec()).await.expect("kept");
    assert_eq!((kept.sha256, kept.size), (Some(Sha256::of(b"good")), Some(4)));
    assert_eq!(store.package_keep(a, b"good".to_vec()).await.expect("again"), kept);
    let bytes = store.package_archive(&remote(), &kept.name, "1").await.expect("no error");
    assert_eq!(bytes.as_deref(), Some(&b"good"[..]));
    store.package_keep(b, b"first".to_vec()).await.expect("what comes first counts");
    assert!(matches!(store.package_keep(b, b"second".to_vec()).await, Err(Error::PackageChanged { .. })));
    assert!(matches!(store.package_keep(99, vec![]).await, Err(Error::NotFound { .. })));
    let lies = IndexRow { sha256: Some(Sha256::of(b"bad")), ..row("a", "1", "2") };
    apply(store, vec![Change::Update(a, lies)]).await;
    let there = store.package_get(&remote(), &kept.name, "1").await.expect("no error").expect("there");
    assert_eq!(there.sha256, Some(Sha256::of(b"good")), "what is here keeps its digest");
}

async fn what_a_release_is_made_of_stays(world: &World) {
    let store = &world.store;
    begun(store).await;
    apply(store, vec![Change::Add(row("hello", "1.0.0", "1")), Change::Add(row("hello", "2.0.0", "1"))]).await;
    let mut from = source("1.0.0");
    let skipper_core::release::Source::Package { repository, .. } = &mut from else { panic!("a package") };
    *repository = "remote".into();
    let install = skipper_store::NewIntent { source: Some(from), ..intent("web", Verb::Install) };
    let accepted = store.intent_create(install).await.expect("accepted");
    let all: Vec<_> = known(store).await.iter().map(|k| Change::Remove(k.num)).collect();
    assert_eq!(apply(store, all.clone()).await.removed, 1);
    assert_eq!(known(store).await[0].version, "1.0.0");
    let sweep = async || store.refresh_sweep(&remote()).await.expect("swept");
    assert_eq!(sweep().await, 0, "it is in use");
    carry_out(store, &accepted, &spec(&[], &[]), &Phase::Failed { cause: crate::samples::cause("x") }).await;
    // What came back meanwhile stays.
    let back = known(store).await[0].num;
    apply(store, vec![Change::Update(back, row("hello", "1.0.0", "1"))]).await;
    assert_eq!((sweep().await, known(store).await.len()), (0, 1));
    assert_eq!(apply(store, all).await.removed, 1);
    assert!(known(store).await.is_empty());
}

async fn what_came_of_it_is_remembered(world: &World) {
    let store = &world.store;
    begun(store).await;
    let events = *store.events_subscribe().borrow();
    let due = Timestamp::from_micros(7);
    let end = async |outcome| {
        store.refresh_begin(&remote(), "a", TTL).await.expect("no error");
        store.refresh_end(&remote(), "a", outcome, due, &provenance()).await.expect("noted");
        store.repository_get(&remote()).await.expect("no error").expect("there").refresh
    };
    let failed = || RefreshOutcome::Failed("no answer".into());
    end(failed()).await;
    let state = end(failed()).await;
    assert_eq!((state.failures, state.problem.as_deref(), state.refreshed_at), (2, Some("no answer"), None));
    assert_eq!(*store.events_subscribe().borrow(), events + 1, "that it fails is told once");
    let done = RefreshOutcome::Done {
        etag: Some("\"x\"".into()),
        digest: Some("d".into()),
        problem: None,
        changed: Changed { added: 1, ..Changed::default() },
    };
    let state = end(done).await;
    assert_eq!((state.failures, state.problem, state.etag.as_deref()), (0, None, Some("\"x\"")));
    assert_eq!((state.digest.as_deref(), state.due_at), (Some("d"), due));
    assert!(state.refreshed_at.is_some());
    assert_eq!(*store.events_subscribe().borrow(), events + 2);
}

async fn a_repository_that_is_gone_is_not_written(world: &World) {
    let store = &world.store;
    begun(store).await;
    store.repository_remove(&remote(), &provenance()).await.expect("removed");
    let change = vec![Change::Add(row("x", "1", "1"))];
    let refused = store.refresh_apply(&remote(), "a", TTL, change, &provenance()).await;
    assert!(matches!(refused, Err(Error::NotFound { .. })));
    assert!(matches!(store.refresh_begin(&remote(), "a", TTL).await, Err(Error::NotFound { .. })));
    store
        .refresh_end(&remote(), "a", RefreshOutcome::Failed("x".into()), Timestamp::default(), &provenance())
        .await
        .expect("no error");
}
