use std::time::Duration;

use skipper_core::actor::{Actor, Role};
use skipper_store::{Error, NewToken, Store};

use crate::{
    contract,
    samples::{provenance, tenant},
    world::World,
};

contract! {
    a_token_lets_its_bearer_in_until_it_expires_or_is_revoked
    a_token_is_stored_as_its_hash_only
    when_a_token_was_used_is_known_to_the_minute
    a_token_that_another_process_made_is_soon_known
}

fn new(expires_in: Option<Duration>, world: &World) -> NewToken {
    NewToken {
        name: "ci".into(),
        role: Role::Operator,
        tenant: Some(tenant()),
        expires_at: expires_in.map(|span| world.config.clock.now() + span),
    }
}

async fn a_token_lets_its_bearer_in_until_it_expires_or_is_revoked(world: &World) {
    let store = &world.store;
    assert!(!store.token_any().await.expect("no error"));
    let (short, short_text) =
        store.token_create(new(Some(Duration::from_secs(60)), world), &provenance()).await.expect("made");
    let (long, long_text) = store.token_create(new(None, world), &provenance()).await.expect("made");
    assert_ne!(short_text.expose(), long_text.expose());
    let bearer = store.token_authenticate(short_text.expose()).await.expect("no error").expect("let in");
    assert_eq!(
        bearer.actor(),
        Actor::Token { id: short.id, name: "ci".into(), role: Role::Operator, tenant: Some(tenant()) }
    );
    for wrong in ["", "skp_", "x", &long_text.expose()[1..], &format!("{} ", long_text.expose())] {
        assert_eq!(store.token_authenticate(wrong).await.expect("no error"), None);
    }
    world.pass(Duration::from_secs(60)).await;
    assert_eq!(store.token_authenticate(short_text.expose()).await.expect("no error"), None);
    assert!(store.token_authenticate(long_text.expose()).await.expect("no error").is_some());
    for _ in 0..2 {
        assert!(store.token_revoke(long.id, &provenance()).await.expect("revoked").revoked_at.is_some());
    }
    assert_eq!(store.token_authenticate(long_text.expose()).await.expect("no error"), None);
    assert!(store.token_any().await.expect("no error"), "an expired one still keeps strangers out");
    store.token_revoke(short.id, &provenance()).await.expect("revoked");
    assert!(!store.token_any().await.expect("no error"));
    assert_eq!(store.token_list().await.expect("list").len(), 2);
    let nobody = skipper_core::id::TokenId::from_uuid(uuid::Uuid::max());
    assert!(matches!(store.token_revoke(nobody, &provenance()).await, Err(Error::NotFound { .. })));
    let nameless = NewToken { name: " ".into(), ..new(None, world) };
    assert!(matches!(store.token_create(nameless, &provenance()).await, Err(Error::Invalid(_))));
}

/// As the command line does it on the machine of a server that runs.
async fn a_token_that_another_process_made_is_soon_known(world: &World) {
    let (store, config) = (&world.store, world.config.clone());
    let before = store.commits();
    assert_eq!(before.is_none(), store.is_shared());
    assert!(!store.token_any().await.expect("no error"));
    let other = Store::open(config).await.expect("a second process");
    other.token_create(new(None, world), &provenance()).await.expect("made");
    assert_eq!(store.commits(), before, "its own commits are counted");
    let found = async {
        while !store.token_any().await.expect("no error") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), found).await.expect("it is seen");
    other.close().await;
    store.token_create(new(None, world), &provenance()).await.expect("made");
    assert_eq!(store.commits() == before, store.is_shared(), "a commit is counted before its caller is answered");
}

async fn a_token_is_stored_as_its_hash_only(world: &World) {
    let (_, text) = world.store.token_create(new(None, world), &provenance()).await.expect("made");
    assert!(text.expose().len() > 40 && text.expose().starts_with("skp_"));
    assert!(!format!("{text:?}").contains(text.expose()));
    let backup = world.dir.path().join("backup.db");
    world.store.backup(&backup).await.expect("a backup");
    let bytes = std::fs::read(&backup).expect("bytes");
    assert!(!bytes.windows(20).any(|window| window == &text.expose().as_bytes()[..20]));
}

async fn when_a_token_was_used_is_known_to_the_minute(world: &World) {
    let store = &world.store;
    let (_, text) = store.token_create(new(None, world), &provenance()).await.expect("made");
    let used = async || {
        store.token_authenticate(text.expose()).await.expect("no error");
        store.token_list().await.expect("list")[0].last_used_at.expect("used")
    };
    let first = used().await;
    assert_eq!(used().await, first, "not written for every request");
    world.pass(Duration::from_secs(61)).await;
    assert!(used().await > first);
}
