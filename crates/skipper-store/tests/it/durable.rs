//! What was accepted survives, however this process or its callers end.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

use skipper_core::{port::RolloutStore as _, rollout::Verb};

use crate::{
    contract,
    samples::{event, intent},
    world::World,
};

contract! {
    a_caller_that_hangs_up_leaves_all_or_nothing
}

/// Calls are dropped after ever longer times: before, within and after every statement of the transaction.
async fn a_caller_that_hangs_up_leaves_all_or_nothing(world: &World) {
    let store = &world.store;
    let (mut dropped, mut finished) = (0, 0);
    for n in 0..120_u64 {
        let call = store.intent_create(intent(&format!("web-{n}"), Verb::Install));
        match tokio::time::timeout(Duration::from_micros(n * 60), call).await {
            Ok(done) => {
                done.expect("accepted");
                finished += 1;
            }
            Err(_) => dropped += 1,
        }
    }
    assert!(dropped > 0, "{finished} calls finished");
    store.tell(vec![event("after")]).await.expect("the next writer is not held up");
    let stored = world.number("SELECT COUNT(*) FROM rollout").await;
    assert!(stored >= finished);
    for table in ["release", "revision", "event WHERE kind = 'rollout.accepted'"] {
        assert_eq!(world.number(&format!("SELECT COUNT(*) FROM {table}")).await, stored, "{table}");
    }
    assert_eq!(
        i64::try_from(store.due(world.config.clock.now(), 1000).await.expect("due").len()).expect("few"),
        stored
    );
}

const CHILD: &str = "SKIPPER_TEST_STORE_OF_THE_CHILD";

/// Not a test by itself: the process that the next one kills.
#[tokio::test]
#[ignore = "started and killed by `what_was_accepted_survives_sigkill`"]
async fn child_that_accepts_until_it_is_killed() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let world = World::sqlite().await;
    let location = skipper_store::Location::Sqlite(path.into());
    let store = skipper_store::Store::open(skipper_store::StoreConfig { location, ..world.config.clone() })
        .await
        .expect("open");
    for n in 0.. {
        let accepted = store.intent_create(intent(&format!("web-{n}"), Verb::Install)).await.expect("accepted");
        println!("accepted {}", accepted.rollout.id);
    }
}

#[tokio::test]
async fn what_was_accepted_survives_sigkill() {
    let world = World::sqlite().await;
    let path = world.file().with_extension("child");
    let config =
        skipper_store::StoreConfig { location: skipper_store::Location::Sqlite(path.clone()), ..world.config.clone() };
    let mut child = Command::new(std::env::current_exe().expect("ourselves"))
        .args([
            "--exact",
            "durable::child_that_accepts_until_it_is_killed",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(CHILD, &path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a child");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let mut told: Vec<skipper_core::id::RolloutId> = Vec::new();
    while told.len() < 25 {
        let line = lines.next().expect("it goes on").expect("text");
        // The test harness may write its own words on the first line.
        told.extend(
            line.split("accepted ").nth(1).and_then(|id| id.trim().parse::<skipper_core::id::RolloutId>().ok()),
        );
    }
    child.kill().expect("SIGKILL");
    // What it wrote before it died was told as well.
    told.extend(
        lines
            .map_while(Result::ok)
            .filter_map(|line| line.split("accepted ").nth(1)?.trim().parse::<skipper_core::id::RolloutId>().ok()),
    );
    child.wait().expect("it is dead");
    let store = skipper_store::Store::open(config).await.expect("open what it left");
    for id in told {
        assert!(store.rollout_get(id).await.expect("no error").is_some(), "{id} was accepted");
    }
    assert_eq!(store.events_verify().await.expect("verified").broken, None);
    store.close().await;
    world.done().await;
}
