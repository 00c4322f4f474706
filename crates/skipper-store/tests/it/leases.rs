use std::time::Duration;

use futures::future::join_all;
use skipper_core::{
    deployment::Live,
    generation::Generation,
    name::AppName,
    port::{ErrorKind, Lease, RolloutStore as _},
    rollout::{FailureBundle, Phase, StepState, Verb},
    route::{Mode, ServiceId},
    secret::SecretVersions,
    time::Millis,
};

use skipper_store::Home;

use crate::{
    contract,
    samples::{TTL, begin, carry_out, cause, empty_plan, event, intent, note, plan_for, resolution, serving, spec},
    world::World,
};

contract! {
    a_second_lease_is_refused_until_the_first_expires
    of_many_who_want_a_lease_one_gets_it
    a_lease_lasts_as_long_as_it_is_renewed
    a_lease_that_was_given_back_is_free_at_once
    an_owner_that_starts_again_takes_back_what_it_held
    a_stale_lease_can_write_nothing
    generations_only_rise
    supervision_yields_to_a_rollout_and_its_old_right_is_void
    an_unknown_rollout_is_not_found
    one_of_the_servers_that_share_a_database_tends
    what_is_asked_of_the_edge_stays_until_it_is_taken_back_or_the_release_is_gone
}

async fn a_second_lease_is_refused_until_the_first_expires(world: &World) {
    let accepted = world.store.intent_create(intent("web", Verb::Install)).await.expect("accepted");
    let id = accepted.rollout.id;
    let first = world.store.lease(id, "a", TTL).await.expect("no error").expect("free");
    assert_eq!(world.store.lease(id, "b", TTL).await.expect("no error"), None);
    assert!(world.store.due(world.config.clock.now(), 10).await.expect("due").is_empty());
    world.pass(TTL - Duration::from_secs(5)).await;
    assert_eq!(world.store.lease(id, "b", TTL).await.expect("no error"), None);
    world.pass(Duration::from_secs(6)).await;
    assert_eq!(world.store.due(world.config.clock.now(), 10).await.expect("due"), vec![id]);
    let second = world.store.lease(id, "b", TTL).await.expect("no error").expect("expired");
    assert!(second.generation > first.generation);
}

async fn of_many_who_want_a_lease_one_gets_it(world: &World) {
    let accepted = world.store.intent_create(intent("web", Verb::Install)).await.expect("accepted");
    let another = world.another().await;
    let wanting = (0..16).map(|n| {
        let (store, id) = (if n % 2 == 0 { &world.store } else { &another }.clone(), accepted.rollout.id);
        async move { store.lease(id, &format!("owner-{n}"), TTL).await.expect("no error") }
    });
    assert_eq!(join_all(wanting).await.into_iter().flatten().count(), 1);
    another.close().await;
}

async fn a_lease_lasts_as_long_as_it_is_renewed(world: &World) {
    let accepted = world.store.intent_create(intent("web", Verb::Install)).await.expect("accepted");
    let mut lease = world.store.lease(accepted.rollout.id, "a", TTL).await.expect("no error").expect("free");
    for _ in 0..4 {
        world.pass(TTL / 2).await;
        let renewed = world.store.renew(&lease, TTL).await.expect("renewed");
        assert!(renewed.expires_at > lease.expires_at && renewed.generation == lease.generation);
        lease = renewed;
        assert_eq!(world.store.lease(lease.rollout, "b", TTL).await.expect("no error"), None);
    }
}

async fn a_lease_that_was_given_back_is_free_at_once(world: &World) {
    let accepted = world.store.intent_create(intent("web", Verb::Install)).await.expect("accepted");
    let lease = world.store.lease(accepted.rollout.id, "a", TTL).await.expect("no error").expect("free");
    world.store.release_lease(&lease).await.expect("given back");
    let late = world.store.phase(&lease, &Phase::Advancing, vec![]).await.expect_err("nobody holds it");
    assert_eq!(late.kind(), ErrorKind::Fenced);
    world.store.lease(lease.rollout, "b", TTL).await.expect("no error").expect("free");
    world.store.release_lease(&lease).await.expect("twice is fine, and takes nothing from the new owner");
    assert_eq!(world.store.lease(lease.rollout, "c", TTL).await.expect("no error"), None);
}

async fn an_owner_that_starts_again_takes_back_what_it_held(world: &World) {
    let mine = world.store.intent_create(intent("mine", Verb::Install)).await.expect("accepted").rollout.id;
    let theirs = world.store.intent_create(intent("theirs", Verb::Install)).await.expect("accepted").rollout.id;
    world.store.lease(mine, "a", TTL).await.expect("no error").expect("free");
    world.store.lease(theirs, "b", TTL).await.expect("no error").expect("free");
    world.store.reclaim("a").await.expect("reclaimed");
    assert_eq!(world.store.due(world.config.clock.now(), 10).await.expect("due"), vec![mine]);
}

/// Every method that takes a lease, tried with one that is not the newest.
async fn a_stale_lease_can_write_nothing(world: &World) {
    let store = &world.store;
    let spec = spec(&[], &[]);
    let accepted = store.intent_create(intent("web", Verb::Install)).await.expect("accepted");
    let stale = begin(store, &accepted, &spec).await;
    world.pass(TTL * 2).await;
    let newest = store.lease(stale.rollout, "b", TTL).await.expect("no error").expect("expired");
    let before = store.rollout_load(stale.rollout).await.expect("loaded");
    let head = store.events_head().await.expect("head");

    let tell = || vec![event("never")];
    let plan = plan_for(&accepted.release, 1, &spec, &SecretVersions::default());
    let versions = SecretVersions::default();
    let bundle = FailureBundle { at: world.config.clock.now(), cause: cause("x"), applications: vec![] };
    for forged in
        [stale.clone(), Lease { generation: Generation { epoch: 1, counter: u64::MAX >> 2 }, ..newest.clone() }]
    {
        let failures = [
            ("renew", store.renew(&forged, TTL).await.err()),
            (
                "resolved",
                store
                    .resolved(
                        &forged,
                        resolution(Some((String::new(), spec.clone())), &plan, &versions, &Phase::Advancing, tell()),
                    )
                    .await
                    .err(),
            ),
            ("step", store.step(&forged, note(0, StepState::Started)).await.err()),
            ("phase", store.phase(&forged, &Phase::Finishing, tell()).await.err()),
            ("final phase", store.phase(&forged, &Phase::Succeeded, tell()).await.err()),
            ("abandon", store.abandon(&forged, "why").await.err()),
            ("bundle", store.bundle(&forged, &bundle).await.err()),
        ];
        for (method, failure) in failures {
            assert_eq!(failure.expect(method).kind(), ErrorKind::Fenced, "{method}");
        }
        store.release_lease(&forged).await.expect("harmless");
    }
    let after = store.rollout_load(stale.rollout).await.expect("loaded");
    assert_eq!((after.rollout, after.steps, after.live), (before.rollout, before.steps, before.live));
    assert_eq!(store.events_head().await.expect("head"), head);
    assert!(store.bundle_get(stale.rollout).await.expect("no error").is_none());
    store.step(&newest, note(0, StepState::Started)).await.expect("the newest one may");
}

async fn generations_only_rise(world: &World) {
    let (a, b) = (serving(&world.store, "a", &spec(&[], &[])).await, serving(&world.store, "b", &spec(&[], &[])).await);
    let another = world.another().await;
    let mut last = Generation::default();
    for n in 0..10 {
        let (store, release) = (if n % 2 == 0 { &world.store } else { &another }, if n % 3 == 0 { a.id } else { b.id });
        let next = store.supervise(release).await.expect("no error").expect("no rollout is open");
        assert!(next > last);
        last = next;
    }
    another.close().await;
}

async fn supervision_yields_to_a_rollout_and_its_old_right_is_void(world: &World) {
    let store = &world.store;
    let spec = spec(&[], &[]);
    // A deployment that runs, as a rollout leaves it.
    let accepted = store.intent_create(intent("web", Verb::Install)).await.expect("accepted");
    let lease = begin(store, &accepted, &spec).await;
    let plan = plan_for(&accepted.release, 1, &spec, &SecretVersions::default());
    let live = Live {
        deployment: plan.deployments[0].clone(),
        weight: 100,
        instances: vec![0],
        addresses: Default::default(),
        generation: lease.generation,
    };
    let mut launched = note(1, StepState::Done);
    launched.live = vec![live.clone()];
    store.step(&lease, launched).await.expect("step");
    assert!(store.supervise(accepted.release.id).await.expect("no error").is_none(), "a rollout is open");
    store.phase(&lease, &Phase::Finishing, vec![]).await.expect("phase");
    store.phase(&lease, &Phase::Succeeded, vec![]).await.expect("phase");

    let right = store.supervise(accepted.release.id).await.expect("no error").expect("none is open");
    let moved = Live { instances: vec![0, 1], ..live.clone() };
    store.live_update(&moved, right, vec![event("instance.restarted")]).await.expect("updated");
    let stored = store.live_get(&live.deployment.id).await.expect("no error").expect("there");
    assert_eq!((stored.instances, stored.generation), (vec![0, 1], right));

    let upgrade = store.intent_create(intent("web", Verb::Upgrade)).await.expect("accepted");
    assert!(store.has_open_rollout(accepted.release.id).await.expect("no error"));
    store.lease(upgrade.rollout.id, "engine", TTL).await.expect("no error").expect("free");
    let head = store.events_head().await.expect("head");
    let id = &live.deployment.id;
    let late = store.live_update(&live, right, vec![event("never")]).await.expect_err("stale");
    assert_eq!(late.kind(), ErrorKind::Fenced);
    assert_eq!(store.live_remove(id, right, vec![event("never")]).await.expect_err("stale").kind(), ErrorKind::Fenced);
    assert_eq!(store.events_head().await.expect("head"), head);
    assert_eq!(store.live_for_release(accepted.release.id).await.expect("live").len(), 1);

    carry_out(store, &upgrade, &spec, &Phase::Failed { cause: cause("x") }).await;
    let right = store.supervise(accepted.release.id).await.expect("no error").expect("none is open");
    store.live_remove(id, right, vec![]).await.expect("removed");
    store.live_remove(id, right, vec![]).await.expect("twice is fine");
    assert!(!store.knows(id).await.expect("no error"));
    let gone = store.live_update(&live, right, vec![]).await.expect_err("it is gone");
    assert_eq!(gone.kind(), ErrorKind::NotFound);
}

async fn what_is_asked_of_the_edge_stays_until_it_is_taken_back_or_the_release_is_gone(world: &World) {
    let store = &world.store;
    let spec = spec(&[], &[]);
    let release = serving(store, "web", &spec).await;
    let id = |name: &str| ServiceId { release: release.id, app: AppName::new(name).expect("a name") };
    let page = Mode::Maintenance { message: "soon".into() };
    let held = Mode::Held { bound: Millis(5) };
    store.mode_set(&id("web"), Some(&held)).await.expect("stored");
    store.mode_set(&id("web"), Some(&page)).await.expect("the last word counts");
    store.mode_set(&id("db"), Some(&held)).await.expect("stored");
    store.mode_set(&id("db"), None).await.expect("taken back");
    store.mode_set(&id("db"), None).await.expect("twice is fine");
    let another = world.another().await;
    assert_eq!(another.modes().await.expect("read"), [(id("web"), page)]);
    another.close().await;
    let delete = store.intent_create(intent("web", Verb::Delete)).await.expect("accepted");
    carry_out(store, &delete, &spec, &Phase::Succeeded).await;
    assert!(store.modes().await.expect("read").is_empty());
}

async fn one_of_the_servers_that_share_a_database_tends(world: &World) {
    let store = &world.store;
    let place = |name: &str| format!("{name}:/data");
    let ask = async |name: &str| store.home_take(name, &place(name), TTL).await.expect("no error");
    assert_eq!(ask("a").await, Home::Own);
    assert_eq!(ask("b").await, Home::Other(place("a")));
    assert_eq!(ask("a").await, Home::Own, "it may renew");
    store.home_leave("b").await.expect("harmless");
    assert_eq!(ask("b").await, Home::Other(place("a")));
    store.home_leave("a").await.expect("given back");
    assert_eq!(ask("b").await, Home::Own, "at once");
    let short = Duration::from_millis(1);
    store.home_take("b", &place("b"), short).await.expect("no error");
    world.pass(TTL).await;
    tokio::time::sleep(short * 5).await;
    assert_eq!(ask("a").await, Home::Own, "it has expired");
    assert_eq!(ask("b").await, Home::Other(place("a")));
}

async fn an_unknown_rollout_is_not_found(world: &World) {
    let id = skipper_core::id::RolloutId::from_uuid(uuid::Uuid::max());
    let lease = Lease { rollout: id, generation: Generation::default(), expires_at: world.config.clock.now() };
    let store = &world.store;
    let none = SecretVersions::default();
    for failure in [
        store.load(id).await.err(),
        store.lease(id, "a", TTL).await.err(),
        store.renew(&lease, TTL).await.err(),
        store.phase(&lease, &Phase::Succeeded, vec![]).await.err(),
        store.phase(&lease, &Phase::Advancing, vec![]).await.err(),
        store.step(&lease, note(0, StepState::Started)).await.err(),
        store.resolved(&lease, resolution(None, &empty_plan(), &none, &Phase::Advancing, vec![])).await.err(),
        store.abandon(&lease, "why").await.err(),
        store.cancel_requested(id).await.err(),
    ] {
        assert_eq!(failure.expect("an error").kind(), ErrorKind::NotFound);
    }
}
