use serde_json::json;
use skipper_core::{
    release::{Door, RevisionState, Source},
    rollout::Verb,
    time::Timestamp,
};
use skipper_store::{Error, PastRevision, SlipDeploy, read_postgres, read_slip};
use sqlx::{AssertSqlSafe, ConnectOptions as _, postgres::PgConnectOptions};

use crate::{
    contract, postgres,
    samples::{intent, name, serving, source, spec, tenant},
    world::World,
};

contract! {
    a_release_of_before_is_there_with_its_history_and_nothing_of_it_runs
    a_history_that_cannot_be_is_refused
    a_name_that_is_in_use_is_not_taken_over
}

fn past(number: u64, state: RevisionState) -> PastRevision {
    PastRevision {
        trigger: None,
        kept: None,
        number,
        state,
        source: source("1.0.0"),
        manifest: Some(format!("manifest {number}")),
        spec: Some(spec(&[], &[])),
        description: Some("Upgrade complete".into()),
        created_at: Timestamp::from_micros(1_509_122_343_000_000 + i64::try_from(number).expect("small")),
        rollout: None,
    }
}

async fn a_release_of_before_is_there_with_its_history_and_nothing_of_it_runs(world: &World) {
    let store = &world.store;
    let all = [past(1, RevisionState::Superseded), past(2, RevisionState::Failed), past(5, RevisionState::Superseded)];
    let by = intent("mylog", Verb::Install).provenance;
    let release =
        store.release_take_over(&tenant(), &name("mylog"), Door::Releases, &all, &by).await.expect("taken over");
    assert_eq!((release.last_revision, release.serving, release.deleted), (5, None, true));
    assert_eq!(release.created_at, all[0].created_at);
    let fifth = store.revision_get(release.id, 5).await.expect("no error").expect("there");
    assert_eq!((fifth.manifest.as_deref(), fifth.created_at), (Some("manifest 5"), all[2].created_at));
    let history = store.history(release.id, 10, None).await.expect("history");
    let seen: Vec<_> = history.iter().map(|entry| (entry.to, entry.phase.name(), entry.created_at)).collect();
    assert_eq!(
        seen,
        [
            (Some(5), "succeeded", all[2].created_at),
            (Some(2), "failed", all[1].created_at),
            (Some(1), "succeeded", all[0].created_at)
        ]
    );
    assert!(store.release_list(&tenant(), None, None, 10).await.expect("list").is_empty());
    let again = store.intent_create(intent("mylog", Verb::Install)).await.expect("installed on top");
    assert_eq!(again.rollout.to, Some(6));
    assert!(matches!(again.revision.expect("one").source, Source::Package { .. }));
    let report = store.events_verify().await.expect("verified");
    assert!(report.broken.is_none(), "{report:?}");
}

async fn a_history_that_cannot_be_is_refused(world: &World) {
    let by = intent("x", Verb::Install).provenance;
    for wrong in [
        vec![],
        vec![past(0, RevisionState::Failed)],
        vec![past(2, RevisionState::Failed), past(2, RevisionState::Failed)],
        vec![past(1, RevisionState::Live)],
    ] {
        let refused = world.store.release_take_over(&tenant(), &name("x"), Door::Releases, &wrong, &by).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    }
    assert!(world.store.release_get(&tenant(), &name("x")).await.expect("no error").is_none());
}

async fn a_name_that_is_in_use_is_not_taken_over(world: &World) {
    serving(&world.store, "web", &spec(&[], &[])).await;
    let by = intent("web", Verb::Install).provenance;
    let refused = world
        .store
        .release_take_over(&tenant(), &name("web"), Door::Releases, &[past(1, RevisionState::Failed)], &by)
        .await;
    assert!(matches!(refused, Err(Error::Exists { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_foreign_database_is_read_with_its_large_objects() {
    let Some(url) = postgres::schema(&format!("skipper_foreign_{}", std::process::id())).await else { return };
    let options: PgConnectOptions = url.parse().expect("a URL");
    let mut conn = options.disable_statement_logging().connect().await.expect("PostgreSQL answers");
    for sql in [
        "CREATE TABLE skipper_release (id int8, name varchar(255), manifest text, pkg_json_string text)",
        "CREATE TABLE skipper_package_metadata (id int8, package_file oid, tags varchar(255))",
        "CREATE TABLE skipper_package_file (id int8, package_bytes bytea)",
        "INSERT INTO skipper_release VALUES (1, 'a', lo_from_bytea(0, 'apiVersion: v1')::text, '42')",
        "INSERT INTO skipper_package_metadata VALUES (2, lo_from_bytea(0, '\\x504b'), '7')",
        "INSERT INTO skipper_package_file VALUES (3, '\\x504b03')",
    ] {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut conn).await.expect(sql);
    }
    let wanted = ["skipper_release", "skipper_package_metadata", "skipper_package_file", "repository"];
    let found = read_postgres(&url, &wanted, &["manifest", "pkg_json_string"]).await.expect("it is read");
    assert_eq!(
        found["skipper_release"],
        [json!({"id": 1, "name": "a", "manifest": "apiVersion: v1", "pkg_json_string": "42"})]
    );
    assert_eq!(found["skipper_package_metadata"], [json!({"id": 2, "package_file": "\\x504b", "tags": "7"})]);
    assert_eq!(found["skipper_package_file"], [json!({"id": 3, "package_bytes": "\\x504b03"})]);
    assert!(!found.contains_key("repository"));
    postgres::remove(&url).await;
    let nobody = read_postgres("postgres://127.0.0.1:1/x", &wanted, &[]).await;
    assert!(matches!(nobody, Err(Error::CannotOpen { .. })), "{nobody:?}");
}

#[tokio::test]
async fn deploys_of_slip_are_read_while_it_has_its_database_open() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("slip.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut slip = options.journal_mode(sqlx::sqlite::SqliteJournalMode::Wal).connect().await.expect("made");
    let sql = "CREATE TABLE deploys (id TEXT PRIMARY KEY, app TEXT NOT NULL, image TEXT NOT NULL, tag TEXT NOT NULL, \
               status TEXT NOT NULL, started_at TEXT NOT NULL, finished_at TEXT, error TEXT, triggered_by TEXT NOT NULL) STRICT; \
               INSERT INTO deploys VALUES ('dep_b', 'web', 'a/web', 'v2', 'failed', '2026-01-02T00:00:00Z', NULL, 'no', 'cli'), \
               ('dep_a', 'web', 'a/web', 'v1', 'completed', '2026-01-01T00:00:00Z', NULL, NULL, 'webhook')";
    sqlx::raw_sql(sql).execute(&mut slip).await.expect("written");
    let read = read_slip(&path).await.expect("read");
    let seen: Vec<_> =
        read.iter().map(|SlipDeploy { id, tag, status, .. }| (id.as_str(), tag.as_str(), status.as_str())).collect();
    assert_eq!(seen, [("dep_a", "v1", "completed"), ("dep_b", "v2", "failed")]);
    assert_eq!((read[0].error.as_deref(), read[0].triggered_by.as_deref()), (None, Some("webhook")));
    assert_eq!((read[1].error.as_deref(), read[1].triggered_by.as_deref()), (Some("no"), Some("cli")));
    assert!(matches!(read_slip(&dir.path().join("none.db")).await, Err(Error::CannotOpen { .. })));
    std::fs::write(dir.path().join("text.db"), "no database at all, and long enough to be one").expect("written");
    assert!(read_slip(&dir.path().join("text.db")).await.is_err());
}
