use std::time::Duration;

use futures::future::join_all;
use skipper_core::{Sha256, rollout::Verb};
use skipper_store::{Begun, Error, NewIntent, Store, StoredAnswer};

use crate::{
    contract,
    samples::{intent, tenant},
    world::World,
};

contract! {
    the_first_answer_is_the_answer_to_every_repetition
    the_same_key_with_another_request_is_a_conflict
    of_many_at_once_one_does_it
    a_request_whose_server_died_does_not_block_for_ever
    an_intent_is_never_accepted_twice_even_if_its_answer_was_lost
    a_request_that_did_nothing_frees_its_key
    answers_are_forgotten_in_time
    keys_of_different_actors_are_different_keys
}

const DAY: Duration = Duration::from_secs(86_400);

fn answer() -> StoredAnswer {
    StoredAnswer { status: 202, headers: vec![("location".into(), "/x".into())], body: b"{\"a\":1}\0".to_vec() }
}

async fn begin(store: &Store, key: &str, request: &[u8]) -> Result<Begun, Error> {
    store.idempotency_begin(&tenant(), "local", key, Sha256::of(request), DAY).await
}

async fn the_first_answer_is_the_answer_to_every_repetition(world: &World) {
    let Ok(Begun::New(key)) = begin(&world.store, "k", b"one").await else { panic!("new") };
    assert!(matches!(begin(&world.store, "k", b"one").await, Ok(Begun::InProgress)));
    world.store.idempotency_finish(&key, answer()).await.expect("finished");
    let restarted = world.another().await;
    for _ in 0..2 {
        match begin(&restarted, "k", b"one").await {
            Ok(Begun::Done(repeated)) => assert_eq!(repeated, answer()),
            other => panic!("{other:?}"),
        }
    }
    restarted.close().await;
}

async fn the_same_key_with_another_request_is_a_conflict(world: &World) {
    let Ok(Begun::New(key)) = begin(&world.store, "k", b"one").await else { panic!("new") };
    let refused = begin(&world.store, "k", b"two").await;
    assert!(matches!(refused, Err(Error::IdempotencyMismatch { .. })), "{refused:?}");
    world.store.idempotency_finish(&key, answer()).await.expect("finished");
    assert!(matches!(begin(&world.store, "k", b"two").await, Err(Error::IdempotencyMismatch { .. })));
    for bad in ["", &"x".repeat(256), "a\0b"] {
        assert!(matches!(begin(&world.store, bad, b"one").await, Err(Error::Invalid(_))));
    }
}

async fn of_many_at_once_one_does_it(world: &World) {
    let all = join_all((0..12).map(|_| begin(&world.store, "k", b"one"))).await;
    let new = all.iter().filter(|b| matches!(b, Ok(Begun::New(_)))).count();
    let busy = all.iter().filter(|b| matches!(b, Ok(Begun::InProgress))).count();
    assert_eq!((new, busy), (1, 11));
}

async fn a_request_whose_server_died_does_not_block_for_ever(world: &World) {
    let Ok(Begun::New(dead)) = begin(&world.store, "k", b"one").await else { panic!("new") };
    world.pass(Duration::from_secs(59)).await;
    assert!(matches!(begin(&world.store, "k", b"one").await, Ok(Begun::InProgress)));
    world.pass(Duration::from_secs(2)).await;
    let Ok(Begun::New(heir)) = begin(&world.store, "k", b"one").await else { panic!("free again") };
    // The dead one was only slow, and comes back: it changes nothing any more.
    world.store.idempotency_finish(&dead, StoredAnswer { status: 500, ..answer() }).await.expect("ignored");
    let late = NewIntent { idempotency: Some(dead), ..intent("web", Verb::Install) };
    assert!(world.store.intent_create(late).await.is_err());
    world.store.idempotency_finish(&heir, answer()).await.expect("finished");
    assert!(matches!(begin(&world.store, "k", b"one").await, Ok(Begun::Done(done)) if done == answer()));
}

async fn an_intent_is_never_accepted_twice_even_if_its_answer_was_lost(world: &World) {
    let Ok(Begun::New(key)) = begin(&world.store, "k", b"one").await else { panic!("new") };
    let wanted = NewIntent { idempotency: Some(key), ..intent("web", Verb::Install) };
    let accepted = world.store.intent_create(wanted).await.expect("accepted");
    // The server dies here. Long after:
    world.pass(Duration::from_secs(3600)).await;
    let restarted = world.another().await;
    let Ok(Begun::Accepted(key, rollout)) = begin(&restarted, "k", b"one").await else { panic!("remembered") };
    let again = restarted.intent_get(rollout).await.expect("the same");
    assert_eq!((again.rollout.id, again.revision), (accepted.rollout.id, accepted.revision));
    restarted.idempotency_finish(&key, answer()).await.expect("finished");
    assert!(matches!(begin(&restarted, "k", b"one").await, Ok(Begun::Done(_))));
    restarted.close().await;
}

async fn a_request_that_did_nothing_frees_its_key(world: &World) {
    let Ok(Begun::New(key)) = begin(&world.store, "k", b"one").await else { panic!("new") };
    world.store.idempotency_give_up(&key).await.expect("given up");
    let Ok(Begun::New(key)) = begin(&world.store, "k", b"two").await else { panic!("new again") };
    let wanted = NewIntent { idempotency: Some(key.clone()), ..intent("web", Verb::Install) };
    world.store.intent_create(wanted).await.expect("accepted");
    world.store.idempotency_give_up(&key).await.expect("no effect");
    assert!(matches!(begin(&world.store, "k", b"two").await, Ok(Begun::Accepted(..))));
}

async fn answers_are_forgotten_in_time(world: &World) {
    let Ok(Begun::New(key)) = begin(&world.store, "k", b"one").await else { panic!("new") };
    world.store.idempotency_finish(&key, answer()).await.expect("finished");
    world.pass(DAY).await;
    assert!(matches!(begin(&world.store, "k", b"two").await, Ok(Begun::New(_))));
    assert_eq!(world.number("SELECT COUNT(*) FROM idempotency").await, 1);
}

async fn keys_of_different_actors_are_different_keys(world: &World) {
    for actor in ["token:a", "token:b"] {
        let begun = world.store.idempotency_begin(&tenant(), actor, "k", Sha256::of(actor.as_bytes()), DAY).await;
        assert!(matches!(begun, Ok(Begun::New(_))));
    }
}
