use futures::future::join_all;
use skipper_core::{
    port::RolloutStore as _,
    release::{Door, RevisionState, Source},
    rollout::{Phase, Verb},
    time::Timestamp,
};
use skipper_store::{Error, NewIntent};

use crate::{
    contract,
    samples::{begin, carry_out, cause, get, intent, name, serving, source, spec, tenant},
    world::World,
};

contract! {
    revisions_are_numbered_without_gaps_by_many_callers_at_once
    an_accepted_intent_is_all_there_with_its_event
    a_second_operation_is_refused_with_the_id_of_the_first
    one_waits_behind_the_open_rollout_and_a_newer_one_takes_its_place
    a_name_belongs_to_the_door_that_installed_it
    verbs_are_refused_where_they_make_no_sense
    an_intent_for_a_revision_that_serves_no_more_is_refused
    a_failed_first_install_can_be_repeated
    after_a_delete_numbers_go_on_and_after_a_purge_they_begin_anew
    a_purge_leaves_nothing_but_events
    nothing_is_stored_of_a_refused_intent
    tenants_do_not_see_each_other
    deliveries_keep_their_order_whichever_server_accepts_them
}

async fn revisions_are_numbered_without_gaps_by_many_callers_at_once(world: &World) {
    let first = serving(&world.store, "web", &spec(&[], &[])).await;
    let calls = (0..24).map(|_| {
        let store = world.store.clone();
        async move { store.intent_create(NewIntent { wait_behind: true, ..intent("web", Verb::Upgrade) }).await }
    });
    for accepted in join_all(calls).await {
        accepted.expect("each one is accepted or waits");
    }
    let revisions = world.store.revision_list(first.id, None, 100).await.expect("revisions");
    let numbers: Vec<_> = revisions.iter().rev().map(|r| r.number).collect();
    assert_eq!(numbers, (1..=25).collect::<Vec<_>>());
    let all = world.store.rollout_list(Some(first.id), false, 100, None).await.expect("rollouts");
    let in_phase = |name: &str| all.iter().filter(|(_, r)| r.phase.name() == name).count();
    assert_eq!((in_phase("accepted"), in_phase("waiting"), in_phase("superseded")), (1, 1, 22));
}

async fn an_accepted_intent_is_all_there_with_its_event(world: &World) {
    let wanted = NewIntent {
        rendered: Some(("the manifest".into(), spec(&[], &[]))),
        description: Some("because".into()),
        ..intent("web", Verb::Install)
    };
    let accepted = world.store.intent_create(wanted.clone()).await.expect("accepted");
    let again = world.another().await;
    let release = again.release_get(&tenant(), &name("web")).await.expect("no error").expect("there");
    assert_eq!(release, accepted.release);
    assert_eq!((release.last_revision, release.serving, release.door), (1, None, Door::Releases));
    let revision = again.revision_get(release.id, 1).await.expect("no error");
    assert_eq!(revision, accepted.revision);
    let revision = revision.expect("there");
    assert_eq!(revision.manifest.as_deref(), Some("the manifest"));
    assert_eq!((revision.state, revision.source), (RevisionState::Pending, source("1.0.0")));
    let rollout = again.rollout_get(accepted.rollout.id).await.expect("no error").expect("there");
    assert_eq!(rollout, accepted.rollout);
    assert_eq!(again.due(world.config.clock.now(), 10).await.expect("due"), vec![rollout.id]);
    let events = again.events_list(0, 10, &skipper_store::EventFilter::default()).await.expect("events");
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].kind.as_str(), events[0].rollout), ("rollout.accepted", Some(rollout.id)));
    again.close().await;
}

async fn a_second_operation_is_refused_with_the_id_of_the_first(world: &World) {
    let first = world.store.intent_create(intent("web", Verb::Install)).await.expect("accepted");
    for verb in [Verb::Install, Verb::Upgrade, Verb::Delete] {
        match world.store.intent_create(intent("web", verb)).await {
            Err(Error::Busy { rollout, .. }) => assert_eq!(rollout, first.rollout.id),
            other => panic!("{verb:?}: {other:?}"),
        }
    }
    // The database itself holds it, whatever the code above it does.
    let sql = "SELECT COUNT(*) FROM rollout WHERE slot = 'open'";
    assert_eq!(world.number(sql).await, 1);
}

async fn one_waits_behind_the_open_rollout_and_a_newer_one_takes_its_place(world: &World) {
    let store = &world.store;
    let waiting = |name| NewIntent { wait_behind: true, ..intent(name, Verb::Upgrade) };
    let release = serving(store, "web", &spec(&[], &[])).await;
    let open = store.intent_create(waiting("web")).await.expect("accepted");
    assert_eq!(open.rollout.phase, Phase::Accepted);
    let second = store.intent_create(waiting("web")).await.expect("accepted");
    assert_eq!(second.rollout.phase, Phase::Waiting);
    let third = store.intent_create(waiting("web")).await.expect("accepted");
    let replaced = store.rollout_get(second.rollout.id).await.expect("no error").expect("there");
    assert_eq!(replaced.phase, Phase::Superseded);
    assert!(replaced.finished_at.is_some());
    let dropped = store.revision_get(release.id, 3).await.expect("no error").expect("there");
    assert_eq!(dropped.state, RevisionState::Cancelled);
    assert_eq!(store.rollout_waiting(release.id).await.expect("no error").map(|r| r.id), Some(third.rollout.id));

    carry_out(store, &open, &spec(&[], &[]), &Phase::Succeeded).await;
    let admitted = store.rollout_get(third.rollout.id).await.expect("no error").expect("there");
    assert_eq!((admitted.phase, admitted.from), (Phase::Accepted, Some(2)), "it starts from what serves now");
    carry_out(store, &third, &spec(&[], &[]), &Phase::Succeeded).await;
    assert_eq!(get(store, release.id).await.serving, Some(4));
}

async fn a_name_belongs_to_the_door_that_installed_it(world: &World) {
    serving(&world.store, "web", &spec(&[], &[])).await;
    for verb in [Verb::Install, Verb::Upgrade, Verb::Delete] {
        let foreign = NewIntent { door: Door::Deploys, ..intent("web", verb) };
        let refused = world.store.intent_create(foreign).await;
        assert!(matches!(refused, Err(Error::NameTaken { door: Door::Releases, .. })), "{refused:?}");
    }
    let gone = world.store.intent_create(intent("web", Verb::Delete)).await.expect("accepted");
    carry_out(&world.store, &gone, &spec(&[], &[]), &Phase::Succeeded).await;
    let taken = NewIntent { door: Door::Deploys, ..intent("web", Verb::Install) };
    assert_eq!(world.store.intent_create(taken).await.expect("a deleted name is free").release.door, Door::Deploys);
}

async fn verbs_are_refused_where_they_make_no_sense(world: &World) {
    let store = &world.store;
    for verb in [Verb::Upgrade, Verb::Rollback, Verb::Scale, Verb::Delete] {
        let missing = store.intent_create(intent("nobody", verb)).await;
        assert!(matches!(missing, Err(Error::NotFound { .. })), "{missing:?}");
    }
    serving(store, "web", &spec(&[], &[])).await;
    let twice = store.intent_create(intent("web", Verb::Install)).await;
    assert!(matches!(twice, Err(Error::AlreadyInstalled { revision: 1, .. })), "{twice:?}");
    let nowhere = NewIntent { source: Some(Source::Revision { number: 9 }), ..intent("web", Verb::Rollback) };
    assert!(matches!(store.intent_create(nowhere).await, Err(Error::NotFound { kind: "revision", .. })));
    let sourceless = NewIntent { source: None, ..intent("web", Verb::Upgrade) };
    assert!(matches!(store.intent_create(sourceless).await, Err(Error::Invalid(_))));
    let endless = NewIntent { description: Some("x".repeat(5000)), ..intent("web", Verb::Upgrade) };
    assert!(matches!(store.intent_create(endless).await, Err(Error::Invalid(_))));

    let gone = store.intent_create(intent("web", Verb::Delete)).await.expect("accepted");
    carry_out(store, &gone, &spec(&[], &[]), &Phase::Succeeded).await;
    for verb in [Verb::Upgrade, Verb::Rollback, Verb::Scale, Verb::Delete] {
        let refused = store.intent_create(intent("web", verb)).await;
        assert!(matches!(refused, Err(Error::Deleted { .. })), "{refused:?}");
    }
}

async fn an_intent_for_a_revision_that_serves_no_more_is_refused(world: &World) {
    serving(&world.store, "web", &spec(&[], &[])).await;
    let stale = NewIntent { expect_serving: Some(7), ..intent("web", Verb::Scale) };
    let refused = world.store.intent_create(stale).await;
    assert!(matches!(refused, Err(Error::Changed { serving: Some(1), .. })), "{refused:?}");
    let fresh = NewIntent { expect_serving: Some(1), ..intent("web", Verb::Upgrade) };
    world.store.intent_create(fresh).await.expect("accepted");
}

async fn a_failed_first_install_can_be_repeated(world: &World) {
    let first = world.store.intent_create(intent("web", Verb::Install)).await.expect("accepted");
    carry_out(&world.store, &first, &spec(&[], &[]), &Phase::Failed { cause: cause("unhealthy") }).await;
    let second = world.store.intent_create(intent("web", Verb::Install)).await.expect("accepted again");
    assert_eq!((second.release.id, second.rollout.to), (first.release.id, Some(2)));
}

async fn after_a_delete_numbers_go_on_and_after_a_purge_they_begin_anew(world: &World) {
    let store = &world.store;
    let first = serving(store, "web", &spec(&[], &[])).await;
    let gone = store.intent_create(intent("web", Verb::Delete)).await.expect("accepted");
    carry_out(store, &gone, &spec(&[], &[]), &Phase::Succeeded).await;
    let deleted = get(store, first.id).await;
    assert_eq!((deleted.deleted, deleted.serving), (true, None));
    assert!(store.release_list(&tenant(), None, None, 10).await.expect("list").is_empty());
    for q in [None, Some("we")] {
        let all = store.release_list_all(&tenant(), q, None, 10).await.expect("list");
        assert_eq!(all.iter().map(|l| l.release.name.as_str()).collect::<Vec<_>>(), ["web"], "its history is kept");
    }

    let back = serving(store, "web", &spec(&[], &[])).await;
    assert_eq!((back.id, back.serving, back.deleted), (first.id, Some(2), false));

    let purge = NewIntent { purge: true, ..intent("web", Verb::Delete) };
    let gone = store.intent_create(purge).await.expect("accepted");
    carry_out(store, &gone, &spec(&[], &[]), &Phase::Succeeded).await;
    assert_eq!(store.release_get(&tenant(), &name("web")).await.expect("no error"), None);
    assert!(store.release_list_all(&tenant(), None, None, 10).await.expect("list").is_empty());
    let anew = serving(store, "web", &spec(&[], &[])).await;
    assert_ne!(anew.id, first.id);
    assert_eq!(anew.serving, Some(1));
}

async fn a_purge_leaves_nothing_but_events(world: &World) {
    let store = &world.store;
    let release = serving(store, "web", &spec(&[("http", Some("a.example.org"))], &[])).await;
    let bad = store.intent_create(intent("web", Verb::Upgrade)).await.expect("accepted");
    let lease = begin(store, &bad, &spec(&[], &[])).await;
    let bundle = skipper_core::rollout::FailureBundle {
        at: world.config.clock.now(),
        cause: cause("unhealthy"),
        applications: vec![],
    };
    store.bundle(&lease, &bundle).await.expect("bundle");
    store.phase(&lease, &Phase::Failed { cause: cause("unhealthy") }, vec![]).await.expect("failed");
    assert!(store.bundle_get(bad.rollout.id).await.expect("no error").is_some());
    let events = store.events_head().await.expect("head");

    // First deleted with its history kept, then purged after all.
    let gone = store.intent_create(intent("web", Verb::Delete)).await.expect("accepted");
    carry_out(store, &gone, &spec(&[], &[]), &Phase::Succeeded).await;
    let purge = NewIntent { purge: true, ..intent("web", Verb::Delete) };
    let purged = store.intent_create(purge).await.expect("accepted");
    carry_out(store, &purged, &spec(&[], &[]), &Phase::Succeeded).await;

    for table in ["revision", "bundle", "step", "plan_deployment", "live", "route_claim", "port_claim"] {
        assert_eq!(world.number(&format!("SELECT COUNT(*) FROM {table}")).await, 0, "{table}");
    }
    let left = store.rollout_list(Some(release.id), false, 10, None).await.expect("rollouts");
    assert_eq!(
        left.iter().map(|(_, r)| r.id).collect::<Vec<_>>(),
        vec![purged.rollout.id],
        "its caller may still look"
    );
    assert!(store.events_head().await.expect("head") > events);
}

async fn nothing_is_stored_of_a_refused_intent(world: &World) {
    let store = &world.store;
    serving(store, "web", &spec(&[("http", Some("a.example.org"))], &[])).await;
    let before = store.events_head().await.expect("head");
    let clash = NewIntent {
        rendered: Some((String::new(), spec(&[("http", Some("a.example.org"))], &[]))),
        ..intent("other", Verb::Install)
    };
    let refused = store.intent_create(clash).await;
    assert!(matches!(refused, Err(Error::RouteTaken { .. })), "{refused:?}");
    assert_eq!(store.release_get(&tenant(), &name("other")).await.expect("no error"), None);
    assert_eq!(store.events_head().await.expect("head"), before);
}

async fn tenants_do_not_see_each_other(world: &World) {
    let store = &world.store;
    let other = skipper_core::name::TenantName::new("other").expect("a name");
    let mine = store.intent_create(intent("web", Verb::Install)).await.expect("accepted");
    let theirs = store.intent_create(NewIntent { tenant: other.clone(), ..intent("web", Verb::Install) }).await;
    let theirs = theirs.expect("the same name in another tenant");
    assert_ne!(mine.release.id, theirs.release.id);
    let list = store.release_list(&other, None, None, 10).await.expect("list");
    assert_eq!(list.iter().map(|l| l.release.id).collect::<Vec<_>>(), vec![theirs.release.id]);
    let filter = skipper_store::EventFilter { tenant: Some(other.clone()), release: None };
    let events = store.events_list(0, 10, &filter).await.expect("events");
    assert!(events.iter().all(|e| e.tenant.as_ref() == Some(&other)) && events.len() == 1);
    assert_eq!(store.tenant_list().await.expect("tenants"), vec![tenant(), other]);
}

/// A delivery of an app.
fn delivery(tag: &str, signed_at: Option<i64>) -> NewIntent {
    let source = Source::App {
        image: "acme/web".into(),
        tag: tag.into(),
        images: Default::default(),
        preview: None,
        signed_at: signed_at.map(Timestamp::from_micros),
    };
    NewIntent {
        door: Door::Deploys,
        source: Some(source),
        in_order: true,
        wait_behind: true,
        ..intent("web", Verb::Install)
    }
}

async fn deliveries_keep_their_order_whichever_server_accepts_them(world: &World) {
    let stores = [world.store.clone(), world.another().await];
    let mut times: Vec<i64> = (1..=20).collect();
    times.sort_by_key(|at| (at * 7 + 3) % 20);
    let accepting = times.iter().enumerate().map(|(index, at)| {
        let store = stores[index % 2].clone();
        async move { store.intent_create(delivery(&format!("v{at}"), Some(*at))).await }
    });
    let all = join_all(accepting).await;
    let mut accepted: Vec<(u64, i64)> = Vec::new();
    for (at, result) in times.iter().zip(all) {
        match result {
            Ok(done) => accepted.push((done.revision.expect("it has one").number, *at)),
            Err(Error::Outdated { why, .. }) => assert_eq!(why, "signed"),
            Err(error) => panic!("{error}"),
        }
    }
    accepted.sort_unstable();
    assert!(accepted.is_sorted_by_key(|(_, at)| *at), "{accepted:?}");
    assert_eq!(accepted.last().map(|(_, at)| *at), Some(20), "the newest one is among them");

    // Where no time is signed, tags tell.
    let shop = |tag: &str| NewIntent { name: name("shop"), ..delivery(tag, None) };
    stores[0].intent_create(shop("v1")).await.expect("the first one");
    stores[1].intent_create(shop("v2")).await.expect("nobody has seen it");
    stores[0].intent_create(shop("v2")).await.expect("it is what is there");
    let again = stores[1].intent_create(shop("v1")).await;
    assert!(matches!(&again, Err(Error::Outdated { why: "deployed", tag, .. }) if tag == "v1"), "{again:?}");
    stores[0].intent_create(NewIntent { in_order: false, ..shop("v1") }).await.expect("it was asked for");

    // What is waited for or was replaced before it began was not deployed.
    let later = stores[0].intent_create(shop("v3")).await.expect("it is new").revision.expect("it has one").number;
    stores[0].intent_create(shop("v4")).await.expect("it takes the place of v3");
    let again = stores[1].intent_create(shop("v3")).await;
    assert!(again.is_ok_and(|again| again.revision.is_some_and(|again| again.number > later)), "v3 was never deployed");
    stores[1].close().await;
}
