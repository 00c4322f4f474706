use std::sync::atomic::{AtomicBool, Ordering};

use skipper_core::{
    port::RolloutStore as _,
    rollout::{Phase, Verb},
    secret::{SecretValue, SecretVersions},
};
use skipper_store::{Error, Location, PackageFilter, Restore, Store, StoreConfig};

use crate::{
    contract,
    samples::{TTL, begin, cause, event, get, intent, note, provenance, secret, serving, spec, tenant},
    world::World,
};

contract! {
    a_backup_made_while_writing_is_whole
    everything_comes_back_and_the_epoch_is_higher
    a_backup_restores_into_the_other_database
    nothing_is_overwritten_unless_told_to
    a_bad_backup_is_refused_and_the_old_database_stays
}

/// Something in every table.
async fn fill(world: &World) -> SecretVersions {
    let store = &world.store;
    store.secret_set(&tenant(), &secret("db"), &SecretValue::new("hunter2".into()), &provenance()).await.expect("set");
    let versions = store.secret_versions(&tenant(), &[secret("db")]).await.expect("versions");
    let web = serving(store, "web", &spec(&[("http", Some("www.example.org"))], &[])).await;
    store.port_claim(web.id, &crate::samples::app(), 20_000..=20_010, &[]).await.expect("a port");
    let bad = store.intent_create(intent("web", Verb::Upgrade)).await.expect("accepted");
    let lease = begin(store, &bad, &spec(&[], &[])).await;
    store.step(&lease, note(0, skipper_core::rollout::StepState::Done)).await.expect("step");
    let evidence = skipper_core::rollout::FailureBundle {
        at: world.config.clock.now(),
        cause: cause("unhealthy"),
        applications: vec![],
    };
    store.bundle(&lease, &evidence).await.expect("bundle");
    store.phase(&lease, &Phase::Failed { cause: cause("unhealthy") }, vec![]).await.expect("failed");
    let open = store.intent_create(intent("open", Verb::Install)).await.expect("accepted");
    store.lease(open.rollout.id, "lost", TTL).await.expect("no error").expect("free");
    let new = skipper_store::NewPackage {
        repository: skipper_core::name::RepositoryName::new("local").expect("a name"),
        name: skipper_core::name::PackageName::new("hello").expect("a name"),
        version: "1".into(),
        version_key: "1".into(),
        metadata: serde_json::json!({}),
        words: skipper_store::Words::default(),
        archive: (0..=255).collect(),
    };
    store.package_upload(new, &provenance()).await.expect("uploaded");
    let token = skipper_store::NewToken {
        name: "t".into(),
        role: skipper_core::actor::Role::Admin,
        tenant: None,
        expires_at: None,
    };
    store.token_create(token, &provenance()).await.expect("made");
    versions
}

async fn a_backup_made_while_writing_is_whole(world: &World) {
    let stop = AtomicBool::new(false);
    world.store.tell(vec![event("before")]).await.expect("told");
    let writing = async {
        let mut n = 0;
        while !stop.load(Ordering::SeqCst) {
            world.store.intent_create(intent(&format!("web-{n}"), Verb::Install)).await.expect("accepted");
            n += 1;
        }
        n
    };
    let backing_up = async {
        let mut files = Vec::new();
        for n in 0..5 {
            let backup = world.store.backup(&world.dir.path().join(format!("backup-{n}"))).await.expect("a backup");
            assert!(backup.bytes > 0);
            files.push(backup.path);
            world.store.tell(vec![event("between")]).await.expect("told");
        }
        stop.store(true, Ordering::SeqCst);
        files
    };
    let (written, files) = tokio::join!(writing, backing_up);
    assert!(written > 0, "nobody wrote meanwhile");
    let mut before = 0;
    for file in files {
        let location = Location::Sqlite(file.clone());
        let copy =
            Store::open(StoreConfig { location, ..world.config.clone() }).await.expect("a database like any other");
        let report = copy.events_verify().await.expect("verified");
        assert_eq!(report.broken, None);
        let (events, counts) = (report.checked, copy.counts().await.expect("counts"));
        assert!(events > before, "a later backup holds more");
        before = events;
        assert_eq!(counts.releases, counts.open_rollouts, "of one moment: no release without its rollout");
        copy.close().await;
    }
    let again = world.store.backup(&world.dir.path().join("backup-0")).await;
    assert!(matches!(again, Err(Error::Exists { .. })), "{again:?}");
    let leftovers = std::fs::read_dir(world.dir.path()).expect("folder").filter_map(Result::ok);
    let leftovers: Vec<_> = leftovers.filter(|f| f.file_name().to_string_lossy().starts_with('.')).collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
}

/// Compares two stores by what can be asked of them.
async fn same(a: &Store, b: &Store, versions: &SecretVersions) {
    let list = a.release_list(&tenant(), None, None, 100).await.expect("list");
    let other = b.release_list(&tenant(), None, None, 100).await.expect("list");
    assert_eq!(list, other);
    for listed in list {
        let id = listed.release.id;
        assert_eq!(get(a, id).await, get(b, id).await);
        assert_eq!(a.history(id, 100, None).await.expect("history"), b.history(id, 100, None).await.expect("history"));
        assert_eq!(a.route_claims_list(id).await.expect("claims"), b.route_claims_list(id).await.expect("claims"));
        for entry in a.history(id, 100, None).await.expect("history") {
            let load = async |store: &Store| {
                let loaded = store.rollout_load(entry.rollout).await.expect("loaded");
                let bundle = store.bundle_get(entry.rollout).await.expect("no error");
                (loaded.rollout, loaded.target, loaded.live, loaded.steps, bundle)
            };
            assert_eq!(load(a).await, load(b).await);
        }
    }
    assert_eq!(a.token_list().await.expect("tokens"), b.token_list().await.expect("tokens"));
    let packages = a.package_list(PackageFilter::default(), None, 10).await.expect("packages");
    assert_eq!(packages, b.package_list(PackageFilter::default(), None, 10).await.expect("packages"));
    for p in packages {
        let archive =
            async |store: &Store| store.package_archive(&p.repository, &p.name, &p.version).await.expect("no error");
        assert_eq!(archive(a).await, archive(b).await);
    }
    let open = async |store: &Store| store.secret_values(&tenant(), versions).await.expect("the key is the same");
    assert_eq!(open(a).await, open(b).await);
    let port = async |store: &Store| {
        let web = store.release_list(&tenant(), Some("web"), None, 1).await.expect("list").remove(0).release.id;
        store.port_claim(web, &crate::samples::app(), 1..=1, &[]).await.expect("the old one")
    };
    assert_eq!(port(a).await, port(b).await);
}

async fn restored_into(world: &World, target: &World) {
    let versions = fill(world).await;
    let file = world.dir.path().join("backup.db");
    world.store.backup(&file).await.expect("a backup");
    let events = world.store.events_head().await.expect("head");
    target.store.close().await;
    let key = world.config.key.clone();
    let config = StoreConfig { key, ids: world.config.ids.clone(), ..target.config.clone() };
    let restored =
        Store::restore(&file, &config, Restore { overwrite: true, ..Restore::default() }).await.expect("restored");
    assert_eq!((restored.chain.checked, restored.chain.broken, restored.releases), (events, None, 2));
    let back = Store::open(config.clone()).await.expect("open");
    assert_eq!(back.meta_get().await.expect("meta").epoch, restored.epoch);
    assert!(restored.epoch > world.store.meta_get().await.expect("meta").epoch);
    same(&world.store, &back, &versions).await;

    // A right that was given out after the backup is lower than any that the restored store gives out.
    let open =
        world.store.release_list(&tenant(), Some("open"), None, 1).await.expect("list").remove(0).open.expect("open");
    world.pass(TTL * 2).await;
    let lost = world.store.lease(open.id, "late", TTL).await.expect("no error").expect("expired");
    assert_eq!(back.due(world.config.clock.now(), 10).await.expect("due"), vec![open.id], "its lease is broken");
    let heir = back.lease(open.id, "heir", TTL).await.expect("no error").expect("free");
    assert!(heir.generation > lost.generation);
    back.release_lease(&heir).await.expect("given back");

    let told = back.events_list(events, 10, &Default::default()).await.expect("events");
    assert_eq!(told.iter().map(|e| e.kind.as_str()).collect::<Vec<_>>(), ["store.restored"]);
    // It goes on where it was: numbers that count by themselves do not begin anew.
    serving(&back, "later", &spec(&[], &[])).await;
    assert_eq!(back.events_verify().await.expect("verified").broken, None);
    back.close().await;

    let again =
        Store::restore(&file, &config, Restore { overwrite: true, ..Restore::default() }).await.expect("once more");
    assert!(again.epoch > restored.epoch);
}

async fn everything_comes_back_and_the_epoch_is_higher(world: &World) {
    let target = world.fresh().await;
    restored_into(world, &target).await;
    target.gone().await;
}

async fn a_backup_restores_into_the_other_database(world: &World) {
    let target = if world.is_sqlite() {
        let Some(target) = World::postgres().await else { return };
        target
    } else {
        World::sqlite().await
    };
    restored_into(world, &target).await;
    target.gone().await;
}

async fn nothing_is_overwritten_unless_told_to(world: &World) {
    fill(world).await;
    let file = world.dir.path().join("backup.db");
    world.store.backup(&file).await.expect("a backup");
    serving(&world.store, "later", &spec(&[], &[])).await;
    world.store.close().await;
    let refused = Store::restore(&file, &world.config, Restore::default()).await;
    assert!(matches!(refused, Err(Error::Exists { .. })), "{refused:?}");
    let there = world.another().await;
    assert_eq!(there.counts().await.expect("counts").releases, 3);
    there.close().await;
    Store::restore(&file, &world.config, Restore { overwrite: true, ..Restore::default() }).await.expect("restored");
    let there = world.another().await;
    assert_eq!(there.counts().await.expect("counts").releases, 2);
    there.close().await;
}

async fn a_bad_backup_is_refused_and_the_old_database_stays(world: &World) {
    fill(world).await;
    let at = |name: &str| world.dir.path().join(name);
    world.store.backup(&at("good")).await.expect("a backup");
    let tampered = |name: &str, sql: &'static str| {
        let path = at(name);
        std::fs::copy(at("good"), &path).expect("copy");
        async move {
            use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
            let mut conn = sqlx::sqlite::SqliteConnectOptions::new().filename(path).connect().await.expect("connect");
            conn.execute(sql).await.expect("tampered");
            conn.close().await.expect("closed");
        }
    };
    tampered("chain", "UPDATE event SET kind = 'x' WHERE seq = 2").await;
    tampered("newer", "PRAGMA user_version = 99").await;
    tampered("foreign", "PRAGMA application_id = 7").await;
    std::fs::write(at("text"), "no backup").expect("write");
    let mut bytes = std::fs::read(at("good")).expect("bytes");
    let half = bytes.len() / 2;
    bytes[half..].fill(0x5A);
    std::fs::write(at("damaged"), bytes).expect("write");
    let releases = world.store.counts().await.expect("counts").releases;
    world.store.close().await;
    let overwrite = Restore { overwrite: true, ..Restore::default() };
    for (name, code) in [
        ("chain", "store-corrupt"),
        ("newer", "newer-schema"),
        ("foreign", "not-ours"),
        ("text", "not-a-database"),
        ("damaged", "store-corrupt"),
        ("missing", "not-found"),
    ] {
        let refused = Store::restore(&at(name), &world.config, overwrite).await.expect_err(name);
        assert_eq!(refused.code(), code, "{name}: {refused:?}");
        let there = world.another().await;
        assert_eq!(there.counts().await.expect("counts").releases, releases, "{name}");
        there.close().await;
    }
    let accept = Restore { overwrite: true, accept_broken_chain: true };
    let restored = Store::restore(&at("chain"), &world.config, accept).await.expect("as it is");
    assert_eq!(restored.chain.broken.map(|b| b.seq), Some(2));
    // The next check would say so again; this world ends here.
    world.raw("DELETE FROM event").await;
    world
        .raw("UPDATE chain SET seq = 0, hash = '0000000000000000000000000000000000000000000000000000000000000000'")
        .await;
}
