use std::time::Duration;

use futures::future::join_all;
use skipper_core::{event::Event, port::RolloutStore as _, rollout::Verb};
use skipper_store::EventFilter;

use crate::{
    contract,
    samples::{event, intent, name, tenant},
    world::World,
};

contract! {
    the_chain_has_no_gap_under_eight_writers
    every_kind_of_tampering_is_found
    an_event_reads_back_as_it_was_told
    a_page_goes_on_where_the_last_one_ended
    those_who_wait_are_woken_after_the_commit
    a_server_hears_of_what_another_one_wrote
}

async fn the_chain_has_no_gap_under_eight_writers(world: &World) {
    let another = world.another().await;
    let writers = (0..8).map(|n| {
        let store = if n % 2 == 0 { &world.store } else { &another }.clone();
        async move {
            for _ in 0..15 {
                store.tell(vec![event("one"), event("two")]).await.expect("told");
            }
        }
    });
    join_all(writers).await;
    let events = all(world).await;
    assert_eq!(events.iter().map(|e| e.seq).collect::<Vec<_>>(), (1..=240).collect::<Vec<_>>());
    let mut before = None;
    for event in &events {
        assert!(event.follows(before), "event {} by the rule of the core", event.seq);
        before = Some(event);
    }
    let report = world.store.events_verify().await.expect("verified");
    assert_eq!((report.checked, report.broken), (240, None));
    another.close().await;
}

async fn all(world: &World) -> Vec<Event> {
    world.store.events_list(0, 1000, &EventFilter::default()).await.expect("events")
}

async fn every_kind_of_tampering_is_found(world: &World) {
    for (what, sql, at) in [
        ("a changed fact", "UPDATE event SET data = '{}' WHERE seq = 3", 3),
        ("a changed kind", "UPDATE event SET kind = 'x' WHERE seq = 2", 2),
        ("a changed time", "UPDATE event SET at = at + 1 WHERE seq = 4", 4),
        ("another tenant", "UPDATE event SET tenant = 'x' WHERE seq = 4", 4),
        ("somebody else", "UPDATE event SET provenance = '{\"actor\":{\"kind\":\"system\"}}' WHERE seq = 5", 5),
        ("no JSON", "UPDATE event SET data = 'x' WHERE seq = 1", 1),
        ("no JSON inside", "UPDATE event SET data = '{broken' WHERE seq = 3", 3),
        ("no JSON of who it was", "UPDATE event SET provenance = provenance || 'x' WHERE seq = 6", 6),
        ("no id", "UPDATE event SET rollout_id = 'x' WHERE seq = 2", 2),
        ("no hash", "UPDATE event SET hash = hash || 'x' WHERE seq = 6", 6),
        ("no hash of the one before", "UPDATE event SET previous = previous || 'x' WHERE seq = 4", 4),
        ("one is missing", "DELETE FROM event WHERE seq = 3", 3),
        ("the first is missing", "DELETE FROM event WHERE seq = 1", 1),
        ("the end is missing", "DELETE FROM event WHERE seq > 4", 5),
        ("the end and its head", "UPDATE chain SET seq = 4, hash = (SELECT hash FROM event WHERE seq = 3)", 4),
        ("a hash", "UPDATE event SET hash = (SELECT hash FROM event WHERE seq = 2) WHERE seq = 3", 3),
    ] {
        let tampered = world.fresh().await;
        for _ in 0..6 {
            tampered.store.tell(vec![event("something.happened")]).await.expect("told");
        }
        assert_eq!(tampered.store.events_verify().await.expect("verified").broken, None);
        assert!(tampered.raw(sql).await > 0, "{what}");
        let broken = tampered.store.events_verify().await.expect("verified").broken;
        assert_eq!(broken.as_ref().map(|b| b.seq), Some(at), "{what}: {broken:?}");
        // What was told around it can still be read.
        assert!(all(&tampered).await.len() >= 4, "{what}");
        tampered.gone().await;
    }
}

async fn an_event_reads_back_as_it_was_told(world: &World) {
    let told = event("something.happened");
    world.store.tell(vec![told.clone()]).await.expect("told");
    let read = all(world).await.remove(0);
    assert_eq!(
        (read.kind, read.tenant, read.provenance, read.data),
        (told.kind, told.tenant, told.provenance, told.data)
    );
}

async fn a_page_goes_on_where_the_last_one_ended(world: &World) {
    for release in ["a", "b", "c"] {
        world.store.intent_create(intent(release, Verb::Install)).await.expect("accepted");
    }
    world.store.tell(vec![event("else"); 4]).await.expect("told");
    let filter = EventFilter { tenant: None, release: Some(name("b")) };
    let of_b = world.store.events_list(0, 10, &filter).await.expect("events");
    assert_eq!(of_b.iter().map(|e| e.seq).collect::<Vec<_>>(), vec![2]);
    let filter = EventFilter { tenant: Some(tenant()), release: None };
    let (mut after, mut seen) = (0, Vec::new());
    loop {
        let page = world.store.events_list(after, 3, &filter).await.expect("events");
        let Some(last) = page.last() else { break };
        after = last.seq;
        seen.extend(page.iter().map(|e| e.seq));
    }
    assert_eq!(seen, (1..=7).collect::<Vec<_>>());
}

async fn those_who_wait_are_woken_after_the_commit(world: &World) {
    let (mut events, mut work) = (world.store.events_subscribe(), world.store.work_subscribe());
    let accepted = world.store.intent_create(intent("web", Verb::Install)).await.expect("accepted");
    tokio::time::timeout(Duration::from_secs(10), events.changed()).await.expect("woken").expect("open");
    assert_eq!(*events.borrow_and_update(), 1);
    tokio::time::timeout(Duration::from_secs(10), work.changed()).await.expect("woken").expect("open");
    assert_eq!(world.store.due(world.config.clock.now(), 10).await.expect("due"), vec![accepted.rollout.id]);
}

/// Two servers share a PostgreSQL; on SQLite there is only one.
async fn a_server_hears_of_what_another_one_wrote(world: &World) {
    if world.is_sqlite() {
        return;
    }
    let another = world.another().await;
    let (mut events, mut work) = (another.events_subscribe(), another.work_subscribe());
    let heard = async {
        loop {
            world.store.intent_create(intent(&format!("web-{}", *events.borrow()), Verb::Install)).await.ok();
            // The listener may not listen yet: then the first ones are found when it begins to.
            if tokio::time::timeout(Duration::from_millis(200), events.changed()).await.is_ok() {
                break;
            }
        }
        work.changed().await.expect("open");
    };
    tokio::time::timeout(Duration::from_secs(20), heard).await.expect("heard");
    another.close().await;
}
