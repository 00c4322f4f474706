//! Writers that come at the same time share a flush, and nothing else.

use std::time::Duration;

use futures::future::join_all;
use skipper_core::{Sha256, port::RolloutStore as _, rollout::Verb};
use skipper_store::{Begun, Error, Location, NewIntent, Store, StoreConfig, StoredAnswer};

use crate::{
    contract,
    openings::Mounted,
    samples::{self, event, intent, tenant},
    world::World,
};

contract! {
    of_many_at_once_those_that_fail_take_nobody_with_them
    callers_that_hang_up_take_nobody_with_them
    nobody_hears_of_a_neighbour_before_it_is_on_disk
    a_store_that_is_closed_finishes_what_it_began
}

/// Every third one is refused: its name is taken by its neighbour, after it had been looked at.
async fn of_many_at_once_those_that_fail_take_nobody_with_them(world: &World) {
    let store = &world.store;
    let before = store.commits();
    let calls = (0..90).map(|n| {
        let name = format!("web-{}", if n % 3 == 2 { n - 1 } else { n });
        async move { store.intent_create(intent(&name, Verb::Install)).await }
    });
    let outcomes = join_all(calls).await;
    let (good, bad): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!((good.len(), bad.len()), (60, 30));
    assert!(bad.iter().all(|refused| matches!(refused, Err(Error::Busy { .. }))), "{bad:?}");
    for accepted in good.iter().flatten() {
        assert!(store.rollout_get(accepted.rollout.id).await.expect("no error").is_some());
    }
    for table in ["release", "revision", "rollout", "event"] {
        assert_eq!(world.number(&format!("SELECT COUNT(*) FROM {table}")).await, 60, "{table}");
    }
    let chain = store.events_verify().await.expect("verified");
    assert_eq!((chain.checked, chain.broken), (60, None));
    assert_eq!(*store.events_subscribe().borrow(), 60, "who waits for events was told of the last one");
    if let (Some(before), Some(after)) = (before, store.commits()) {
        assert!(after - before < 30, "60 transactions took {} flushes", after - before);
    }
}

/// Calls are dropped at any moment, among others that are not.
async fn callers_that_hang_up_take_nobody_with_them(world: &World) {
    let store = &world.store;
    let calls = (0..200_u64).map(|n| async move {
        let call = store.intent_create(intent(&format!("web-{n}"), Verb::Install));
        if n % 2 == 0 {
            return Some(call.await.expect("accepted").rollout.id);
        }
        // Up to the time in which all of them are done.
        let done = tokio::time::timeout(Duration::from_micros(n * n * 5), call).await;
        done.ok().map(|done| done.expect("accepted").rollout.id)
    });
    let accepted: Vec<_> = join_all(calls).await.into_iter().flatten().collect();
    assert!((100..200).contains(&accepted.len()), "{} were accepted", accepted.len());
    store.tell(vec![event("after")]).await.expect("the next writer is not held up");
    for id in &accepted {
        assert!(store.rollout_get(*id).await.expect("no error").is_some(), "{id} was accepted");
    }
    let stored = world.number("SELECT COUNT(*) FROM rollout").await;
    for table in ["release", "revision", "event WHERE kind = 'rollout.accepted'"] {
        assert_eq!(world.number(&format!("SELECT COUNT(*) FROM {table}")).await, stored, "{table}");
    }
    assert_eq!(store.events_verify().await.expect("verified").broken, None);
}

/// Whoever is told that something is done finds it through another connection, which sees what is committed and no more.
async fn nobody_hears_of_a_neighbour_before_it_is_on_disk(world: &World) {
    let store = &world.store;
    for round in 0..10 {
        let (actor, request) = ("local", Sha256::of(b"one"));
        let key = format!("k-{round}");
        let begin = async || store.idempotency_begin(&tenant(), actor, &key, request, Duration::from_secs(60)).await;
        let Ok(Begun::New(begun)) = begin().await else { panic!("new") };
        let answer = StoredAnswer { status: 202, headers: vec![], body: vec![] };
        let finish = async { store.idempotency_finish(&begun, answer.clone()).await.expect("finished") };
        let repeat = async {
            loop {
                match begin().await.expect("begun") {
                    Begun::InProgress => {}
                    Begun::Done(_) => {
                        let sql = format!(
                            "SELECT COUNT(*) FROM idempotency WHERE idempotency_key = '{key}' AND state = 'done'"
                        );
                        return assert_eq!(world.number(&sql).await, 1);
                    }
                    other => panic!("{other:?}"),
                }
            }
        };
        let refused = async {
            let name = format!("web-{round}");
            let install = async || {
                let installed = store.intent_create(intent(&name, Verb::Install)).await;
                let found = store.release_get(&tenant(), &samples::name(&name)).await.expect("no error");
                assert!(found.is_some(), "whoever is refused because of a neighbour finds what it did: {installed:?}");
                installed.is_ok()
            };
            let (first, second) = tokio::join!(install(), install());
            assert!(first != second, "one is accepted");
        };
        tokio::join!(finish, repeat, refused);
    }
}

async fn a_store_that_is_closed_finishes_what_it_began(world: &World) {
    let store = &world.another().await;
    let calls = (0..20).map(|n| async move { store.intent_create(intent(&format!("web-{n}"), Verb::Install)).await });
    let close = async {
        tokio::task::yield_now().await;
        store.close().await;
    };
    let (calls, ()) = tokio::join!(join_all(calls), close);
    let mut accepted = 0;
    for call in calls {
        match call {
            Ok(done) => {
                accepted += 1;
                assert!(world.store.rollout_get(done.rollout.id).await.expect("no error").is_some());
            }
            Err(error) => assert!(matches!(error, Error::Unavailable { .. }), "{error:?}"),
        }
    }
    assert_eq!(world.number("SELECT COUNT(*) FROM rollout").await, accepted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_gets_full_in_a_batch_loses_nothing_that_was_accepted() {
    let Some(disk) = Mounted::tmpfs("2m") else { return };
    let world = World::sqlite().await;
    let config = StoreConfig { location: Location::Sqlite(disk.path().join("skipper.db")), ..world.config.clone() };
    let store = Store::open(config.clone()).await.expect("open");
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![0; 800 << 10]).expect("ballast");
    let (mut accepted, mut refused) = (Vec::new(), 0);
    for round in 0.. {
        assert!(round < 1000, "the disk never gets full");
        let store = &store;
        let large = |n| (n == 7).then(|| "x".repeat(4000));
        let calls = (0..16).map(|n| async move {
            let new = NewIntent { description: large(n), ..intent(&format!("web-{round}-{n}"), Verb::Install) };
            store.intent_create(new).await
        });
        for outcome in join_all(calls).await {
            match outcome {
                Ok(done) => accepted.push(done.rollout.id),
                Err(error) => {
                    refused += 1;
                    assert_eq!(error.code(), "disk-full", "{error:?}");
                }
            }
        }
        if refused > 0 {
            break;
        }
    }
    std::fs::remove_file(&ballast).expect("room");
    store.intent_create(intent("late", Verb::Install)).await.expect("there is room again");
    store.close().await;
    let store = Store::open(config).await.expect("open again");
    for id in &accepted {
        assert!(store.rollout_get(*id).await.expect("no error").is_some(), "{id} was accepted");
    }
    let report = store.events_verify().await.expect("verified");
    assert_eq!((report.checked, report.broken), (accepted.len() as u64 + 1, None));
    store.close().await;
    world.done().await;
}
