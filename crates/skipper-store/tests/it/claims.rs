use futures::future::join_all;
use skipper_core::{
    name::AppName,
    port::RolloutStore as _,
    rollout::{Phase, Verb},
    secret::SecretVersions,
};
use skipper_store::{Error, NewIntent};

use crate::{
    contract,
    samples::{TTL, app, carry_out, cause, intent, plan_for, resolution, serving, spec},
    world::World,
};

contract! {
    a_route_has_one_owner_and_the_refusal_names_it
    claims_follow_what_serves
    a_route_found_by_resolve_is_refused_there
    a_port_is_kept_for_its_application_until_the_release_goes
    ports_are_unique_whoever_asks_at_once
    a_port_that_somebody_routes_is_not_given_out
    a_port_is_given_up_unless_its_release_is_routed_by_it
    when_the_range_is_used_up_that_is_said
}

fn rendered(release: &str, verb: Verb, routes: &[(&str, Option<&str>)]) -> NewIntent {
    NewIntent { rendered: Some((String::new(), spec(routes, &[]))), ..intent(release, verb) }
}

async fn a_route_has_one_owner_and_the_refusal_names_it(world: &World) {
    let store = &world.store;
    let routes: &[_] = &[("http", Some("www.example.org")), ("9000", None)];
    let mine = serving(store, "mine", &spec(routes, &[])).await;
    for taken in [("http", Some("www.example.org")), ("9000", None)] {
        match store.intent_create(rendered("theirs", Verb::Install, &[taken])).await {
            Err(Error::RouteTaken { owner, .. }) => assert_eq!(owner, "default/mine"),
            other => panic!("{other:?}"),
        }
        let checked = store.route_claims_check(None, &spec(&[taken], &[])).await;
        assert!(matches!(checked, Err(Error::RouteTaken { .. })));
        store.route_claims_check(Some(mine.id), &spec(&[taken], &[])).await.expect("its own");
    }
    for free in [("https", Some("www.example.org")), ("http", None), ("9000", Some("www.example.org")), ("auto", None)]
    {
        store.route_claims_check(None, &spec(&[free], &[])).await.expect("free");
    }
    assert_eq!(store.route_claims_list(mine.id).await.expect("claims").len(), 2);
    store.intent_create(rendered("mine", Verb::Upgrade, routes)).await.expect("an upgrade keeps its own");
}

async fn claims_follow_what_serves(world: &World) {
    let store = &world.store;
    let hosts = async |release| {
        let claims = store.route_claims_list(release).await.expect("claims");
        claims.into_iter().filter_map(|c| c.host).collect::<Vec<_>>()
    };
    let old = [("http", Some("old.example.org"))];
    let new = [("http", Some("new.example.org"))];
    let release = serving(store, "web", &spec(&old, &[])).await.id;
    // While the upgrade goes on, both are ours.
    let upgrade = store.intent_create(rendered("web", Verb::Upgrade, &new)).await.expect("accepted");
    assert_eq!(hosts(release).await, ["new.example.org", "old.example.org"]);
    carry_out(store, &upgrade, &spec(&new, &[]), &Phase::Failed { cause: cause("x") }).await;
    assert_eq!(hosts(release).await, ["old.example.org"]);
    let upgrade = store.intent_create(rendered("web", Verb::Upgrade, &new)).await.expect("accepted");
    carry_out(store, &upgrade, &spec(&new, &[]), &Phase::Succeeded).await;
    assert_eq!(hosts(release).await, ["new.example.org"]);
    let delete = store.intent_create(intent("web", Verb::Delete)).await.expect("accepted");
    carry_out(store, &delete, &spec(&[], &[]), &Phase::Succeeded).await;
    assert!(hosts(release).await.is_empty());
    store.intent_create(rendered("heir", Verb::Install, &old)).await.expect("free again");
}

async fn a_route_found_by_resolve_is_refused_there(world: &World) {
    let store = &world.store;
    let routes = [("http", Some("www.example.org"))];
    serving(store, "mine", &spec(&routes, &[])).await;
    let accepted = store.intent_create(intent("theirs", Verb::Install)).await.expect("not rendered yet");
    let lease = store.lease(accepted.rollout.id, "engine", TTL).await.expect("no error").expect("free");
    let (none, spec) = (SecretVersions::default(), spec(&routes, &[]));
    let plan = plan_for(&accepted.release, 1, &spec, &none);
    let refused =
        store.resolved(&lease, resolution(Some((String::new(), spec)), &plan, &none, &Phase::Advancing, vec![])).await;
    let refused = refused.expect_err("taken");
    assert_eq!(refused.code(), "route-taken");
    assert!(refused.to_string().contains("default/mine"), "{refused}");
    store.phase(&lease, &Phase::Failed { cause: cause("route-taken") }, vec![]).await.expect("failed");
}

async fn a_port_is_kept_for_its_application_until_the_release_goes(world: &World) {
    let store = &world.store;
    let release = serving(store, "web", &spec(&[], &[])).await;
    let other = AppName::new("admin").expect("a name");
    let range = 20_000..=20_003;
    let port = store.port_claim(release.id, &app(), range.clone(), &[20_000]).await.expect("a port");
    assert_eq!(port, 20_001);
    assert_eq!(store.port_claim(release.id, &app(), 30_000..=30_001, &[]).await.expect("the same"), port);
    assert_eq!(store.port_claim(release.id, &other, range.clone(), &[]).await.expect("the next"), 20_000);
    let delete = store.intent_create(intent("web", Verb::Delete)).await.expect("accepted");
    carry_out(store, &delete, &spec(&[], &[]), &Phase::Succeeded).await;
    let heir = serving(store, "heir", &spec(&[], &[])).await;
    assert_eq!(store.port_claim(heir.id, &app(), range, &[]).await.expect("free again"), 20_000);
    let nobody = skipper_core::id::ReleaseId::from_uuid(uuid::Uuid::max());
    assert!(matches!(store.port_claim(nobody, &app(), 1..=2, &[]).await, Err(Error::NotFound { .. })));
}

async fn ports_are_unique_whoever_asks_at_once(world: &World) {
    let another = world.another().await;
    let mut releases = Vec::new();
    for n in 0..8 {
        releases.push(serving(&world.store, &format!("web-{n}"), &spec(&[], &[])).await.id);
    }
    let claims = releases.iter().enumerate().map(|(n, release)| {
        let store = if n % 2 == 0 { &world.store } else { &another };
        async move { store.port_claim(*release, &app(), 20_000..=20_100, &[]).await.expect("a port") }
    });
    let mut ports = join_all(claims).await;
    ports.sort_unstable();
    assert_eq!(ports, (20_000..20_008).collect::<Vec<_>>());
    another.close().await;
}

async fn a_port_that_somebody_routes_is_not_given_out(world: &World) {
    let store = &world.store;
    serving(store, "routed", &spec(&[("20000", None)], &[])).await;
    let web = serving(store, "web", &spec(&[], &[])).await;
    assert_eq!(store.port_claim(web.id, &app(), 20_000..=20_010, &[]).await.expect("a port"), 20_001);
    // And the other way round.
    match store.intent_create(rendered("late", Verb::Install, &[("20001", None)])).await {
        Err(Error::RouteTaken { owner, .. }) => assert_eq!(owner, "default/web"),
        other => panic!("{other:?}"),
    }
    store.intent_create(rendered("web", Verb::Upgrade, &[("20001", None)])).await.expect("its own port");
}

async fn a_port_is_given_up_unless_its_release_is_routed_by_it(world: &World) {
    let store = &world.store;
    let web = serving(store, "web", &spec(&[], &[])).await.id;
    let range = || 20_000..=20_010;
    assert_eq!(store.port_claim(web, &app(), range(), &[]).await.expect("a port"), 20_000);
    assert!(store.port_give_up(web, &app()).await.expect("asked"));
    assert!(!store.port_give_up(web, &app()).await.expect("asked"), "there is none any more");
    assert_eq!(store.port_claim(web, &app(), range(), &[20_000]).await.expect("another"), 20_001);
    // Routed, by a rollout that is under way already.
    store.intent_create(rendered("web", Verb::Upgrade, &[("20001", None)])).await.expect("its own port");
    assert!(!store.port_give_up(web, &app()).await.expect("asked"));
    assert_eq!(store.port_claim(web, &app(), range(), &[20_001]).await.expect("the same"), 20_001);
}

async fn when_the_range_is_used_up_that_is_said(world: &World) {
    let a = serving(&world.store, "a", &spec(&[], &[])).await;
    let b = serving(&world.store, "b", &spec(&[], &[])).await;
    world.store.port_claim(a.id, &app(), 20_000..=20_000, &[]).await.expect("the only one");
    let refused = world.store.port_claim(b.id, &app(), 20_000..=20_000, &[]).await;
    assert!(matches!(refused, Err(Error::NoFreePort { from: 20_000, to: 20_000 })), "{refused:?}");
}
