use std::{process::Command, time::Duration};

use skipper_core::{port::RolloutStore as _, rollout::Verb};
use skipper_store::{Error, Location, SCHEMA_VERSION, Store, StoreConfig};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, sqlite::SqliteConnectOptions};

use crate::{
    contract,
    samples::{TTL, event, intent},
    world::World,
};

contract! {
    a_new_database_knows_itself
    what_was_stored_is_there_after_opening_again
    a_newer_schema_is_refused_in_a_sentence
    many_servers_may_start_at_once
}

async fn a_new_database_knows_itself(world: &World) {
    let meta = world.store.meta_get().await.expect("meta");
    assert_eq!((meta.epoch, meta.schema_version), (1, SCHEMA_VERSION));
    assert!(meta.created_by.starts_with("skipper "));
    let again = world.another().await;
    assert_eq!(again.meta_get().await.expect("meta"), meta);
    again.close().await;
}

async fn what_was_stored_is_there_after_opening_again(world: &World) {
    let accepted = world.store.intent_create(intent("web", Verb::Install)).await.expect("accepted");
    world.store.close().await;
    let again = world.another().await;
    assert_eq!(again.rollout_get(accepted.rollout.id).await.expect("no error"), Some(accepted.rollout));
    assert_eq!(*again.events_subscribe().borrow(), 1, "readers begin at the newest event");
    again.close().await;
}

async fn a_newer_schema_is_refused_in_a_sentence(world: &World) {
    world.store.close().await;
    if world.is_sqlite() {
        world.raw("PRAGMA user_version = 99").await;
    } else {
        world.raw("UPDATE store_meta SET schema_version = 99").await;
    }
    let refused = Store::open(world.config.clone()).await.expect_err("newer");
    assert!(matches!(refused, Error::NewerSchema { found: 99, .. }), "{refused:?}");
    let sentence = refused.to_string();
    let expected = format!("has schema 99, and this Skipper knows schemas up to {SCHEMA_VERSION}");
    assert!(sentence.contains(&expected), "{sentence}");
    assert!(!sentence.contains("://postgres:") && refused.hint().is_some());
}

async fn many_servers_may_start_at_once(world: &World) {
    let fresh = world.fresh().await;
    fresh.store.close().await;
    let config = match &fresh.config.location {
        Location::Sqlite(path) => {
            StoreConfig { location: Location::Sqlite(path.with_extension("new")), ..fresh.config.clone() }
        }
        Location::Postgres(url) => {
            let schema = url.rsplit('=').next().expect("its schema");
            fresh.raw(&format!("DROP SCHEMA {schema} CASCADE")).await;
            fresh.raw(&format!("CREATE SCHEMA {schema}")).await;
            fresh.config.clone()
        }
    };
    for opened in futures::future::join_all((0..4).map(|_| Store::open(config.clone()))).await {
        opened.expect("one makes the schema, the others find it").close().await;
    }
    fresh.gone().await;
}

async fn refusal(config: StoreConfig) -> Error {
    let error = Store::open(config).await.expect_err("it must be refused");
    assert!(error.hint().is_some(), "{error}");
    error
}

#[tokio::test]
async fn what_is_not_ours_is_refused_and_left_as_it_is() {
    let world = World::sqlite().await;
    let at = |name: &str| world.dir.path().join(name);
    std::fs::write(at("text"), "x".repeat(10_000)).expect("write");
    let mut conn =
        SqliteConnectOptions::new().filename(at("foreign")).create_if_missing(true).connect().await.expect("made");
    conn.execute("CREATE TABLE theirs (id INTEGER)").await.expect("made");
    conn.close().await.expect("closed");
    for (name, code) in [("text", "not-a-database"), ("foreign", "not-ours")] {
        let before = std::fs::read(at(name)).expect("bytes");
        let error = refusal(StoreConfig { location: Location::Sqlite(at(name)), ..world.config.clone() }).await;
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(name), "it says which file: {error}");
        assert_eq!(std::fs::read(at(name)).expect("bytes"), before, "{name}");
    }
    let folder =
        refusal(StoreConfig { location: Location::Sqlite(world.dir.path().into()), ..world.config.clone() }).await;
    assert_eq!(folder.code(), "store-unreachable", "{folder}");
    let below = Location::Sqlite(at("text").join("skipper.db"));
    let below = refusal(StoreConfig { location: below, ..world.config.clone() }).await;
    assert_eq!(below.code(), "store-unreachable", "{below}");
    world.done().await;
}

#[tokio::test]
async fn a_damaged_file_is_called_damaged() {
    let world = World::sqlite().await;
    for n in 0..40 {
        world.store.intent_create(intent(&format!("web-{n}"), Verb::Install)).await.expect("accepted");
    }
    world.store.close().await;
    let whole = std::fs::read(world.file()).expect("bytes");
    // Every page but the first, which holds the header, is overwritten; then half of the file is cut off.
    let mut scribbled = whole.clone();
    scribbled[4096..].fill(0xA5);
    for damaged in [scribbled, whole[..whole.len() / 2].to_vec()] {
        std::fs::write(world.file(), damaged).expect("write");
        let error = match Store::open(world.config.clone()).await {
            Err(error) => error,
            Ok(store) => {
                let error = store.events_verify().await.map(drop).expect_err("it cannot be read");
                store.close().await;
                error
            }
        };
        assert_eq!(error.code(), "store-corrupt", "{error:?}");
        assert!(error.hint().is_some_and(|hint| hint.contains("restore")));
    }
}

#[tokio::test]
async fn a_file_that_another_process_holds_is_locked() {
    let world = World::sqlite().await;
    let mut other = SqliteConnectOptions::new().filename(world.file()).connect().await.expect("connect");
    other.execute("BEGIN IMMEDIATE").await.expect("held");
    let impatient = StoreConfig { patience: Duration::from_millis(50), ..world.config.clone() };
    let store = Store::open(impatient).await.expect("opening and reading go on beside a writer");
    let refused = store.intent_create(intent("web", Verb::Install)).await.expect_err("held");
    assert_eq!(refused.code(), "store-locked", "{refused:?}");
    assert_eq!(skipper_core::port::Error::from(refused).kind(), skipper_core::port::ErrorKind::Transient);
    other.execute("ROLLBACK").await.expect("let go");
    store.intent_create(intent("web", Verb::Install)).await.expect("now it works");
    store.close().await;
    world.done().await;
}

#[tokio::test]
async fn an_unreachable_server_is_named_without_its_password() {
    let world = World::sqlite().await;
    let url = "postgres://me:hunter2@127.0.0.1:1/db";
    let error = refusal(StoreConfig { location: Location::Postgres(url.into()), ..world.config.clone() }).await;
    assert_eq!(error.code(), "store-unreachable");
    assert!(error.to_string().contains("me@127.0.0.1:1/db"), "{error}");
    assert!(!format!("{error:?} {error}").contains("hunter2"));
    world.done().await;
}

#[tokio::test]
async fn who_holds_the_data_folder_need_not_wait_for_the_dead() {
    let world = World::sqlite().await;
    let accepted = world.store.intent_create(intent("web", Verb::Install)).await.expect("accepted");
    let dead = world.store.lease(accepted.rollout.id, "dead", TTL).await.expect("no error").expect("free");
    let key = skipper_core::Sha256::of(b"x");
    let begin = async |store: &Store| {
        store.idempotency_begin(&crate::samples::tenant(), "a", "k", key, TTL).await.expect("no error")
    };
    begin(&world.store).await;
    world.store.close().await;

    let beside = world.another().await;
    assert!(beside.due(world.config.clock.now(), 10).await.expect("due").is_empty(), "the lease may be somebody's");
    beside.close().await;
    let alone = Store::open(world.config.clone().exclusive()).await.expect("open");
    assert_eq!(alone.due(world.config.clock.now(), 10).await.expect("due"), vec![accepted.rollout.id]);
    assert!(matches!(begin(&alone).await, skipper_store::Begun::New(_)));
    let heir = alone.lease(accepted.rollout.id, "heir", TTL).await.expect("no error").expect("free");
    assert!(heir.generation > dead.generation);
    alone.close().await;
}

#[tokio::test]
async fn an_up_to_date_database_is_not_written_by_opening_it() {
    let world = World::sqlite().await;
    world.store.tell(vec![event("x")]).await.expect("told");
    world.store.close().await;
    let before = std::fs::read(world.file()).expect("bytes");
    let store = Store::open(world.config.clone().exclusive()).await.expect("open");
    let wal = std::fs::metadata(world.file().with_extension("db-wal")).map_or(0, |wal| wal.len());
    assert_eq!(wal, 0, "nothing is on its way into the file");
    store.close().await;
    assert_eq!(std::fs::read(world.file()).expect("bytes"), before);
    let mode = std::fs::metadata(world.file()).expect("the file").permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600, "it holds environments and arguments");
    let files: Vec<_> = std::fs::read_dir(world.dir.path()).expect("folder").filter_map(Result::ok).collect();
    assert_eq!(files.len(), 1, "nothing is left of making it: {files:?}");
}

/// A folder on a file system of its own; `None` where none may be mounted.
pub(crate) struct Mounted(tempfile::TempDir);

impl Mounted {
    pub(crate) fn tmpfs(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a folder");
        let options = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir.path()).output();
        if mounted.is_ok_and(|out| out.status.success()) {
            return Some(Self(dir));
        }
        eprintln!("skipped: no file system may be mounted here, so no disk can be filled or made read-only");
        None
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        self.0.path()
    }

    fn remount(&self, how: &str) {
        let done = Command::new("mount").args(["-o", how]).arg(self.0.path()).status().expect("mount");
        assert!(done.success());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_the_store_goes_on_when_there_is_room() {
    let Some(disk) = Mounted::tmpfs("2m") else { return };
    let world = World::sqlite().await;
    let config = StoreConfig { location: Location::Sqlite(disk.0.path().join("skipper.db")), ..world.config.clone() };
    let store = Store::open(config).await.expect("open");
    let ballast = disk.0.path().join("ballast");
    std::fs::write(&ballast, vec![0; 800 << 10]).expect("ballast");
    let mut accepted = Vec::new();
    let full = loop {
        let n = accepted.len();
        assert!(n < 10_000, "the disk never gets full");
        match store.intent_create(intent(&format!("web-{n}"), Verb::Install)).await {
            Ok(done) => accepted.push(done.rollout.id),
            Err(error) => break error,
        }
    };
    assert_eq!(full.code(), "disk-full", "{full:?}");
    for _ in 0..5 {
        let again = store.intent_create(intent("late", Verb::Install)).await.expect_err("still full");
        assert_eq!(again.code(), "disk-full", "{again:?}");
    }
    for id in &accepted {
        assert!(store.rollout_get(*id).await.expect("reading goes on").is_some());
    }
    let backup = store.backup(&disk.0.path().join("backup.db")).await.expect_err("no room");
    assert_eq!(backup.code(), "disk-full", "{backup:?}");
    std::fs::remove_file(&ballast).expect("room");
    store.intent_create(intent("late", Verb::Install)).await.expect("there is room again");
    let report = store.events_verify().await.expect("verified");
    assert_eq!((report.checked, report.broken), (accepted.len() as u64 + 1, None));
    store.close().await;
    world.done().await;
}

#[tokio::test]
async fn a_read_only_database_is_called_read_only() {
    let Some(disk) = Mounted::tmpfs("4m") else { return };
    let world = World::sqlite().await;
    let config = StoreConfig { location: Location::Sqlite(disk.0.path().join("skipper.db")), ..world.config.clone() };
    let store = Store::open(config.clone()).await.expect("open");
    store.tell(vec![event("x")]).await.expect("told");
    store.close().await;
    disk.remount("remount,ro");
    let error = match Store::open(config).await {
        Err(error) => error,
        Ok(store) => {
            store.tell(vec![event("x")]).await.map_err(|e| panic!("{e}")).map(|()| unreachable!()).expect_err("x")
        }
    };
    assert!(matches!(error.code(), "store-read-only" | "store-unreachable"), "{error:?}");
    world.done().await;
}
