use skipper_core::{
    deployment::Live,
    port::{ErrorKind, RolloutStore as _},
    rollout::{Phase, StepState, Verb},
    secret::{SecretValue, SecretVersions},
};
use skipper_store::{Error, KeySource, Store};

use crate::{
    contract,
    samples::{TTL, carry_out, intent, name, note, plan_for, provenance, resolution, secret, serving, spec, tenant},
    world::World,
};

contract! {
    a_secret_comes_back_in_every_version
    the_clear_value_is_nowhere_in_the_database
    a_secret_that_is_not_there_is_named
    a_sealed_value_opens_only_where_it_belongs
    another_key_opens_nothing_and_says_so
    a_lost_key_is_not_silently_replaced
    a_secret_in_use_is_not_removed_unless_forced
    a_version_number_never_means_two_values
    what_was_sealed_for_a_release_goes_only_once_that_is_gone
}

const CLEAR: &str = "correct horse battery staple";

fn value(text: &str) -> SecretValue {
    SecretValue::new(text.to_owned())
}

async fn set(store: &Store, name: &str, text: &str) -> u64 {
    store.secret_set(&tenant(), &secret(name), &value(text), &provenance()).await.expect("set")
}

fn at(name: &str, version: u64) -> SecretVersions {
    SecretVersions([(secret(name), version)].into())
}

async fn open(store: &Store, name: &str, version: u64) -> Result<String, skipper_core::port::Error> {
    let values = store.secret_values(&tenant(), &at(name, version)).await?;
    Ok(values[&secret(name)].expose().to_owned())
}

async fn a_secret_comes_back_in_every_version(world: &World) {
    let store = &world.store;
    assert_eq!((set(store, "db", "one").await, set(store, "db", "two").await, set(store, "db", "").await), (1, 2, 3));
    assert_eq!(store.secret_versions(&tenant(), &[secret("db")]).await.expect("versions"), at("db", 3));
    for (version, text) in [(1, "one"), (2, "two"), (3, "")] {
        assert_eq!(open(store, "db", version).await.expect("opened"), text);
    }
    let list = store.secret_list(&tenant()).await.expect("list");
    assert_eq!(list.iter().map(|s| (s.name.as_str(), s.version, s.used)).collect::<Vec<_>>(), [("db", 3, false)]);
    let large = store.secret_set(&tenant(), &secret("l"), &value(&"x".repeat((1 << 20) + 1)), &provenance()).await;
    assert!(matches!(large, Err(Error::Invalid(_))));
}

async fn the_clear_value_is_nowhere_in_the_database(world: &World) {
    set(&world.store, "db", CLEAR).await;
    set(&world.store, "db", &format!("{CLEAR} again")).await;
    let backup = world.dir.path().join("backup.db");
    world.store.backup(&backup).await.expect("a backup");
    let mut files = vec![backup];
    if world.is_sqlite() {
        files.extend([world.file(), world.file().with_extension("db-wal")]);
    }
    let mut told = 0;
    for file in files {
        let bytes = std::fs::read(&file).expect("the database's bytes");
        assert!(!bytes.is_empty(), "{}", file.display());
        let found = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        assert!(!found(CLEAR.as_bytes()), "{}", file.display());
        told += usize::from(found(b"secret.set"));
    }
    assert!(told > 0, "the search finds what is there");
    let key = std::fs::metadata(world.dir.path().join("keys/secret.key")).expect("the key file");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&key.permissions()) & 0o777, 0o600);
    assert!(!format!("{:?}", world.config).contains(CLEAR));
}

async fn a_secret_that_is_not_there_is_named(world: &World) {
    let missing = world.store.secret_versions(&tenant(), &[secret("db")]).await.expect_err("missing");
    assert_eq!((missing.kind(), missing.code()), (ErrorKind::Permanent, "secret-missing"));
    assert!(missing.to_string().contains("`db`") && missing.advice().is_some());
    assert_eq!(open(&world.store, "db", 1).await.expect_err("missing").kind(), ErrorKind::NotFound);
}

async fn a_sealed_value_opens_only_where_it_belongs(world: &World) {
    let store = &world.store;
    set(store, "mine", "my value").await;
    set(store, "theirs", "their value").await;
    let stolen = "UPDATE secret_version SET sealed = (SELECT sealed FROM secret_version WHERE name = 'theirs'), \
                  nonce = (SELECT nonce FROM secret_version WHERE name = 'theirs') WHERE name = 'mine'";
    assert_eq!(world.raw(stolen).await, 1);
    let refused = open(store, "mine", 1).await.expect_err("bound to its name");
    assert_eq!(refused.code(), "store-corrupt");
    assert_eq!(open(store, "theirs", 1).await.expect("untouched"), "their value");
}

async fn another_key_opens_nothing_and_says_so(world: &World) {
    set(&world.store, "db", CLEAR).await;
    let other = skipper_store::StoreConfig { key: KeySource::text("ab".repeat(32)), ..world.config.clone() };
    let other = Store::open(other).await.expect("open");
    let refused = open(&other, "db", 1).await.expect_err("another key");
    assert_eq!(refused.code(), "secret-key");
    assert!(refused.to_string().contains("sealed with key") && refused.advice().is_some(), "{refused}");
    assert_eq!(set(&other, "db", "new").await, 2);
    assert_eq!(open(&other, "db", 2).await.expect("its own"), "new");
    other.close().await;
    for bad in ["", "short", "zz", &"0".repeat(63)] {
        let config = skipper_store::StoreConfig { key: KeySource::text(bad), ..world.config.clone() };
        let store = Store::open(config).await.expect("a bad key is no reason not to start");
        let refused = store.secret_set(&tenant(), &secret("x"), &value("x"), &provenance()).await;
        assert!(matches!(refused, Err(Error::Key { .. })), "{refused:?}");
        store.close().await;
    }
}

async fn a_lost_key_is_not_silently_replaced(world: &World) {
    let file = world.dir.path().join("keys/secret.key");
    set(&world.store, "db", CLEAR).await;
    let key = std::fs::read(&file).expect("the key");
    std::fs::remove_file(&file).expect("lost");
    let restarted = world.another().await;
    for refused in [
        restarted.secret_set(&tenant(), &secret("db"), &value("new"), &provenance()).await.map(drop),
        restarted.secret_set(&tenant(), &secret("other"), &value("new"), &provenance()).await.map(drop),
    ] {
        assert!(matches!(refused, Err(Error::Key { .. })), "{refused:?}");
    }
    assert!(!file.exists());
    std::fs::write(&file, key).expect("found again");
    let open_to_all = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&file, open_to_all).expect("chmod");
    let refused = open(&restarted, "db", 1).await.expect_err("others may read it");
    assert!(refused.to_string().contains("others may read"), "{refused}");
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("chmod");
    assert_eq!(open(&restarted, "db", 1).await.expect("opened"), CLEAR);
    restarted.close().await;
}

async fn a_secret_in_use_is_not_removed_unless_forced(world: &World) {
    let store = &world.store;
    set(store, "db", "one").await;
    let spec = spec(&[], &["db"]);
    let accepted = store.intent_create(intent("web", Verb::Install)).await.expect("accepted");
    let lease = store.lease(accepted.rollout.id, "engine", TTL).await.expect("no error").expect("free");
    let versions = at("db", 1);
    let plan = plan_for(&accepted.release, 1, &spec, &versions);
    store
        .resolved(&lease, resolution(Some((String::new(), spec)), &plan, &versions, &Phase::Advancing, vec![]))
        .await
        .expect("stored");
    let remove = async |force| store.secret_remove(&tenant(), &secret("db"), force, &provenance()).await;
    let refused = remove(false).await;
    assert!(
        matches!(&refused, Err(Error::SecretInUse { release, .. }) if release == "web"),
        "being rolled out: {refused:?}"
    );

    let live = Live {
        deployment: plan.deployments[0].clone(),
        weight: 100,
        instances: vec![0],
        addresses: Default::default(),
        generation: lease.generation,
    };
    assert_eq!(live.deployment.secrets, versions);
    let mut launched = note(1, StepState::Done);
    launched.live = vec![live.clone()];
    store.step(&lease, launched).await.expect("written");
    store.phase(&lease, &Phase::Finishing, vec![]).await.expect("phase");
    store.phase(&lease, &Phase::Succeeded, vec![]).await.expect("phase");
    let loaded = store.rollout_get(lease.rollout).await.expect("no error").expect("there");
    assert_eq!(loaded.secrets, versions, "the rollout records which it took");
    assert!(matches!(remove(false).await, Err(Error::SecretInUse { .. })), "it runs");
    assert!(store.secret_list(&tenant()).await.expect("list")[0].used);
    remove(true).await.expect("forced");
    assert!(matches!(remove(true).await, Err(Error::NotFound { .. })));
    assert!(store.secret_list(&tenant()).await.expect("list").is_empty());
}

async fn a_version_number_never_means_two_values(world: &World) {
    let store = &world.store;
    assert_eq!(set(store, "db", "one").await, 1);
    store.secret_remove(&tenant(), &secret("db"), false, &provenance()).await.expect("removed");
    assert_eq!(set(store, "db", "two").await, 2);
    assert!(open(store, "db", 1).await.is_err());
}

async fn what_was_sealed_for_a_release_goes_only_once_that_is_gone(world: &World) {
    let store = &world.store;
    serving(store, "web.preview.1", &spec(&[], &[])).await;
    for name in ["web.preview.1.config.A", "web.preview.1.config.B", "web.A"] {
        set(store, name, "one").await;
    }
    let left = store.secret_names(&tenant(), ".preview.").await.expect("list");
    assert_eq!(left, ["web.preview.1.config.A", "web.preview.1.config.B"].map(secret));
    let remove = async || {
        let removed = store.secret_remove_left(&tenant(), &name("web.preview.1"), &left, &provenance()).await;
        removed.expect("no error")
    };
    assert_eq!(remove().await, 0, "it is there");
    let delete = store.intent_create(intent("web.preview.1", Verb::Delete)).await.expect("accepted");
    assert_eq!(remove().await, 0, "it is still there");
    carry_out(store, &delete, &spec(&[], &[]), &Phase::Succeeded).await;
    assert_eq!(remove().await, 2);
    assert_eq!(remove().await, 0);
    assert_eq!(store.secret_list(&tenant()).await.expect("list").len(), 1, "what is another's stays");
}
