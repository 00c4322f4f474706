use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use skipper_core::{Sha256, rollout::Verb};
use skipper_store::{Alias, Begun, Claim, Error, IntentAccepted, NewIntent, Once, Store, StoredAnswer};

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
    a_claim_is_taken_and_answered_with_its_intent_or_not_at_all
    of_many_that_claim_at_once_one_is_accepted
    a_claim_takes_over_what_is_over_and_nothing_else
    a_claim_is_known_by_both_of_its_names
    a_sealed_answer_is_repeated_and_does_not_lie_open
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
    let late = NewIntent { idempotency: Some(dead.into()), ..intent("web", Verb::Install) };
    assert!(world.store.intent_create(late).await.is_err());
    world.store.idempotency_finish(&heir, answer()).await.expect("finished");
    assert!(matches!(begin(&world.store, "k", b"one").await, Ok(Begun::Done(done)) if done == answer()));
}

async fn an_intent_is_never_accepted_twice_even_if_its_answer_was_lost(world: &World) {
    let Ok(Begun::New(key)) = begin(&world.store, "k", b"one").await else { panic!("new") };
    let wanted = NewIntent { idempotency: Some(key.into()), ..intent("web", Verb::Install) };
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
    let wanted = NewIntent { idempotency: Some(key.clone().into()), ..intent("web", Verb::Install) };
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

/// What a claimed intent is answered.
fn answered(accepted: &IntentAccepted) -> StoredAnswer {
    StoredAnswer { status: 202, headers: vec![], body: accepted.rollout.id.to_string().into_bytes() }
}

fn claim(key: &str, request: &[u8]) -> Option<Once> {
    Some(Once::Claim(Claim {
        actor: "local".to_owned(),
        key: key.to_owned(),
        fingerprint: Sha256::of(request),
        keep: DAY,
        alias: None,
        answer: Arc::new(answered),
    }))
}

async fn find(store: &Store, key: &str, request: &[u8]) -> Result<Option<Begun>, Error> {
    store.idempotency_find(&tenant(), "local", key, Sha256::of(request)).await
}

async fn a_claim_is_taken_and_answered_with_its_intent_or_not_at_all(world: &World) {
    let store = &world.store;
    assert!(matches!(find(store, "k", b"one").await, Ok(None)));
    let wanted = NewIntent { idempotency: claim("k", b"one"), ..intent("web", Verb::Upgrade) };
    assert!(matches!(store.intent_create(wanted).await, Err(Error::NotFound { .. })));
    assert!(matches!(find(store, "k", b"one").await, Ok(None)), "what was refused leaves the key free");
    let wanted = || NewIntent { idempotency: claim("k", b"one"), ..intent("web", Verb::Install) };
    let accepted = store.intent_create(wanted()).await.expect("accepted");
    let restarted = world.another().await;
    assert!(matches!(find(&restarted, "k", b"one").await, Ok(Some(Begun::Done(done))) if done == answered(&accepted)));
    assert!(matches!(begin(&restarted, "k", b"one").await, Ok(Begun::Done(done)) if done == answered(&accepted)));
    assert!(matches!(find(&restarted, "k", b"two").await, Err(Error::IdempotencyMismatch { .. })));
    restarted.close().await;
    let behind = NewIntent { wait_behind: true, ..wanted() };
    assert!(matches!(store.intent_create(behind).await, Err(Error::Repeated { .. })));
    for table in ["rollout", "revision", "event"] {
        assert_eq!(world.number(&format!("SELECT COUNT(*) FROM {table}")).await, 1, "{table}");
    }
    for bad in ["", &"x".repeat(256), "a\0b"] {
        let wanted = NewIntent { idempotency: claim(bad, b"one"), ..intent("other", Verb::Install) };
        assert!(matches!(store.intent_create(wanted).await, Err(Error::Invalid(_))));
        assert!(matches!(find(store, bad, b"one").await, Err(Error::Invalid(_))));
    }
}

async fn of_many_that_claim_at_once_one_is_accepted(world: &World) {
    let store = &world.store;
    let calls = (0..12).map(|_| async move {
        let new = NewIntent { wait_behind: true, idempotency: claim("k", b"one"), ..intent("web", Verb::Install) };
        match store.intent_create(new).await {
            Ok(accepted) => (true, answered(&accepted)),
            // The one that was accepted is on disk by now, and its answer is there.
            Err(Error::Repeated { .. }) => {
                store.settled().await;
                match find(store, "k", b"one").await {
                    Ok(Some(Begun::Done(answer))) => (false, answer),
                    other => panic!("{other:?}"),
                }
            }
            Err(error) => panic!("{error:?}"),
        }
    });
    let all = join_all(calls).await;
    assert_eq!(all.iter().filter(|(accepted, _)| *accepted).count(), 1);
    assert!(all.iter().all(|(_, answer)| *answer == all[0].1), "all are answered the same");
    assert_eq!(world.number("SELECT COUNT(*) FROM rollout").await, 1);
}

async fn a_claim_takes_over_what_is_over_and_nothing_else(world: &World) {
    let store = &world.store;
    let wanted = |request: &'static [u8]| NewIntent {
        wait_behind: true,
        idempotency: claim("k", request),
        ..intent("web", Verb::Install)
    };
    let Ok(Begun::New(slow)) = begin(store, "k", b"one").await else { panic!("new") };
    assert!(matches!(find(store, "k", b"one").await, Ok(Some(Begun::InProgress))));
    assert!(matches!(store.intent_create(wanted(b"one")).await, Err(Error::Repeated { .. })));
    world.pass(Duration::from_secs(61)).await;
    assert!(matches!(find(store, "k", b"one").await, Ok(None)), "its server is dead");
    assert!(
        matches!(store.intent_create(wanted(b"two")).await, Err(Error::Repeated { .. })),
        "that is another request"
    );
    let first = store.intent_create(wanted(b"one")).await.expect("accepted");
    store.idempotency_finish(&slow, answer()).await.expect("ignored");
    assert!(matches!(find(store, "k", b"one").await, Ok(Some(Begun::Done(done))) if done == answered(&first)));
    world.pass(DAY).await;
    assert!(matches!(find(store, "k", b"one").await, Ok(None)), "it is forgotten");
    let second = store.intent_create(wanted(b"two")).await.expect("accepted");
    assert!(matches!(find(store, "k", b"two").await, Ok(Some(Begun::Done(done))) if done == answered(&second)));
    assert_eq!(world.number("SELECT COUNT(*) FROM idempotency").await, 1);
}

async fn a_claim_is_known_by_both_of_its_names(world: &World) {
    let store = &world.store;
    let named = |key: &str, name: &str, request: &[u8]| {
        let Some(Once::Claim(mut claim)) = claim(key, request) else { panic!("a claim") };
        claim.alias = Some(Alias { actor: "caller".to_owned(), key: name.to_owned(), keep: DAY * 2 });
        Some(Once::Claim(claim))
    };
    let wanted = NewIntent { idempotency: named("k", "own", b"one"), ..intent("web", Verb::Install) };
    let accepted = store.intent_create(wanted).await.expect("accepted");
    let called = async |request: &[u8]| store.idempotency_find(&tenant(), "caller", "own", Sha256::of(request)).await;
    for found in [find(store, "k", b"one").await, called(b"one").await] {
        assert!(matches!(found, Ok(Some(Begun::Done(done))) if done == answered(&accepted)));
    }
    assert!(matches!(called(b"two").await, Err(Error::IdempotencyMismatch { .. })));
    let other = NewIntent { idempotency: named("l", "own", b"one"), ..intent("other", Verb::Install) };
    assert!(matches!(store.intent_create(other).await, Err(Error::Repeated { .. })));
    assert!(matches!(find(store, "l", b"one").await, Ok(None)), "neither name is taken without the other");
    world.pass(DAY).await;
    assert!(matches!(find(store, "k", b"one").await, Ok(None)), "each is known for its own time");
    assert!(matches!(called(b"one").await, Ok(Some(Begun::Done(_)))));
}

async fn a_sealed_answer_is_repeated_and_does_not_lie_open(world: &World) {
    let token = |text: &str| StoredAnswer { body: text.as_bytes().to_vec(), ..answer() };
    for key in ["k", "l"] {
        let Ok(Begun::New(begun)) = begin(&world.store, key, b"one").await else { panic!("new") };
        world.store.idempotency_finish_sealed(&begun, token(&format!("skn_of_{key}"))).await.expect("finished");
    }
    let restarted = world.another().await;
    match begin(&restarted, "k", b"one").await {
        Ok(Begun::Done(repeated)) => assert_eq!(repeated, token("skn_of_k")),
        other => panic!("{other:?}"),
    }
    restarted.close().await;
    let holds = if world.is_sqlite() {
        "instr(body, CAST('skn_of' AS BLOB))"
    } else {
        "position(convert_to('skn_of', 'UTF8') IN body)"
    };
    let open = format!("SELECT COUNT(*) FROM idempotency WHERE length(body) < 30 OR {holds} > 0");
    assert_eq!(world.number(&open).await, 0);
    // Put in another's place it does not open.
    world.raw("UPDATE idempotency SET body = (SELECT body FROM idempotency WHERE idempotency_key = 'l')").await;
    assert!(begin(&world.store, "k", b"one").await.is_err());
}
