//! What runs is kept running.

use std::time::Duration;

use skipper_core::{
    Sha256,
    deployment::Deployment,
    rollout::{Phase, Verb},
    route::Mode,
    spec::Spec,
};
use skipper_engine::{GarbageSettings, InstanceState, Tuning};
use testkit::{Behaviour, Intent, World, fixture};
use tokio::time::{Instant, sleep};

use crate::server::{Server, Stage};

fn web(version: &str, replicas: u32) -> Spec {
    let mut app = fixture::app("web", version);
    app.replicas = replicas;
    fixture::spec([app])
}

fn events(world: &World, kind: &str) -> usize {
    world.store.events().iter().filter(|event| event.kind == kind).count()
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_dies_is_taken_out_of_the_table_at_once_and_comes_back_after_a_pause() {
    let mut stage = Stage::serving(web("1", 2)).await;
    stage.settled().await;
    let id = stage.world.store.all_live()[0].deployment.id.clone();
    let release = stage.world.store.all_live()[0].deployment.release;
    stage.world.platform.kill(&id, 1);
    let begun = Instant::now();
    let one_left = |stage: &Stage| {
        let table = stage.world.router.table();
        table.values().all(|service| service.backends[0].addresses["http"].len() == 1)
    };
    stage.until("the dead one is out of the table", one_left).await;
    assert!(begun.elapsed() < Duration::from_millis(200), "took {:?}", begun.elapsed());
    let health = stage.server.handle.health(release).expect("supervision knows of it");
    assert!(matches!(health.instances[0].state, InstanceState::BackingOff { .. }));
    stage.settled().await;
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(1) && took < Duration::from_millis(1500), "took {took:?}");
    assert_eq!(events(&stage.world, "instance.exited"), 1);
    assert_eq!(events(&stage.world, "instance.restarted"), 1);
    assert_eq!(stage.world.violations(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_dies_again_and_again_is_reported_as_degraded_and_restarted_ever_more_slowly() {
    let mut stage = Stage::serving(web("1", 1)).await;
    stage.world.router.strict(false);
    let dies = Behaviour { exits_after: Some((Duration::from_millis(500), 1)), ..Behaviour::default() };
    stage.world.platform.behave("1", dies);
    let live = stage.world.store.all_live();
    stage.world.platform.kill(&live[0].deployment.id, 0);
    let degraded = |stage: &Stage| events(&stage.world, "release.degraded") > 0;
    stage.until("it is degraded", degraded).await;
    let health = stage.server.handle.health(live[0].deployment.release).expect("troubled");
    assert!(health.degraded.expect("degraded").contains("restarted 5 times"));
    sleep(Duration::from_secs(1200)).await;
    let exits = events(&stage.world, "instance.exited");
    assert!((12..40).contains(&exits), "{exits} deaths in twenty minutes");
    assert_eq!(events(&stage.world, "release.degraded"), 1, "told once");
    // It gets well and stays so: nothing is left of it.
    stage.world.platform.behave("1", Behaviour::default());
    stage.settled().await;
    let release = live[0].deployment.release;
    stage.until("it is forgotten", |stage| stage.server.handle.health(release).is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn what_serves_and_is_not_healthy_any_more_is_told_once_and_left_where_it_is() {
    let mut stage = Stage::serving(web("1", 1)).await;
    let live = stage.world.store.all_live();
    stage.world.platform.sicken();
    stage.until("it is told", |stage| events(&stage.world, "instance.unhealthy") > 0).await;
    sleep(Duration::from_secs(120)).await;
    let health = stage.server.handle.health(live[0].deployment.release).expect("supervision knows of it");
    assert!(health.degraded.expect("degraded").contains("instance 0 of `web` runs and is not healthy"));
    assert_eq!(events(&stage.world, "instance.unhealthy"), 1, "told once");
    assert_eq!(events(&stage.world, "instance.exited"), 0);
    assert_eq!(stage.world.store.all_live(), live, "nobody touched it");
    stage.world.platform.heal();
    let release = live[0].deployment.release;
    stage.until("it is well again", |stage| stage.server.handle.health(release).is_none()).await;
    assert_eq!(events(&stage.world, "instance.healthy"), 1);
}

#[tokio::test(start_paused = true)]
async fn orphans_go_after_a_grace_and_the_known_stay() {
    let mut stage = Stage::serving(web("1", 1)).await;
    let known = stage.world.store.all_live()[0].deployment.clone();
    let orphan = Deployment {
        id: skipper_core::deployment::DeploymentId::from_stored("shop-web-r77-0badcafe"),
        ..known.clone()
    };
    stage.world.platform.plant(&orphan, 0);
    stage.world.platform.plant(&known, 5);
    stage.settled().await;
    assert_eq!(events(&stage.world, "orphan.removed"), 1);
    assert_eq!(stage.world.platform.running().len(), 1);
    assert!(events(&stage.world, "drift.found") >= 1, "the instance that nobody wanted");
}

#[tokio::test(start_paused = true)]
async fn a_router_that_lost_its_table_is_told_everything() {
    let mut stage = Stage::serving(web("1", 2)).await;
    stage.settled().await;
    stage.world.router.lose_everything();
    let begun = Instant::now();
    stage.settled().await;
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_router_that_lost_its_table_in_a_hold_is_told_to_hold() {
    let mut spec = web("1", 1);
    spec.applications[0].volumes = vec![fixture::volume("data")];
    let mut stage = Stage::serving(spec.clone()).await;
    stage.world.platform.behave("2", Behaviour { healthy_after: Some(Duration::from_secs(20)), exits_after: None });
    spec.applications[0].env.insert("VERSION".into(), "2".into());
    let (_, rollout) = stage.world.ask(Verb::Upgrade, spec);
    stage.server.handle.wake();
    sleep(Duration::from_secs(5)).await;
    stage.world.router.lose_everything();
    sleep(Duration::from_secs(2)).await;
    let table = stage.world.router.table();
    assert!(table.values().all(|service| matches!(service.mode, Mode::Held { .. })) && table.len() == 1);
    assert_eq!(stage.end_of(rollout).await.name(), "succeeded");
    stage.settled().await;
}

#[tokio::test(start_paused = true)]
async fn a_leftover_without_weight_is_removed() {
    let mut stage = Stage::serving(web("1", 1)).await;
    let mut left = stage.world.store.all_live()[0].clone();
    left.deployment.id = skipper_core::deployment::DeploymentId::from_stored("shop-web-r9-12345678");
    left.weight = 0;
    stage.world.platform.plant(&left.deployment, 0);
    stage.world.store.put_live(left);
    stage.settled().await;
    assert_eq!(events(&stage.world, "leftover.removed"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_new_server_adopts_what_runs_without_touching_it() {
    let mut stage = Stage::serving(web("1", 3)).await;
    stage.settled().await;
    let (before, live) = (stage.world.platform.running(), stage.world.store.all_live());
    let generations = live[0].generation;
    stage.server.gate.kill();
    stage.server = Server::start(&stage.world);
    sleep(Duration::from_secs(120)).await;
    assert_eq!(stage.world.platform.running(), before);
    assert_eq!(stage.world.store.all_live()[0].generation, generations, "nobody acted upon it");
    assert_eq!(stage.server.handle.troubled(), []);
}

#[tokio::test(start_paused = true)]
async fn a_release_that_cannot_be_helped_keeps_no_other_waiting() {
    let mut stage = Stage::serving(web("1", 1)).await;
    stage.world.router.strict(false);
    let mut worker = fixture::worker("job", "2");
    worker.bounds.health = skipper_core::time::Millis::secs(600);
    let other = fixture::release("other");
    let (_, rollout) =
        stage.world.store.accept(&other, Intent::new(Verb::Install, fixture::spec([worker]))).expect("not busy");
    stage.end_of(rollout).await;
    // From now on the worker never gets healthy again.
    stage.world.platform.behave("2", Behaviour { healthy_after: None, exits_after: None });
    for live in stage.world.store.all_live() {
        stage.world.platform.kill(&live.deployment.id, 0);
    }
    let begun = Instant::now();
    let back = |stage: &Stage| {
        let live = stage.world.store.all_live();
        live.iter().any(|live| live.deployment.app.name.as_str() == "web" && live.addresses.len() == 1)
            && events(&stage.world, "instance.restarted") == 1
    };
    stage.until("the web is back", back).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "took {:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_maintenance_page_stays_across_an_upgrade_until_it_is_taken_away() {
    let mut stage = Stage::serving(web("1", 1)).await;
    let release = stage.world.store.all_live()[0].deployment.release;
    let page = Mode::Maintenance { message: "back soon".into() };
    stage.server.handle.set_mode(release, None, Some(page.clone())).await.expect("nothing is open");
    let modes = |stage: &Stage| stage.world.router.table().values().map(|s| s.mode.clone()).collect::<Vec<_>>();
    assert_eq!(modes(&stage), std::slice::from_ref(&page));
    let mut spec = web("2", 1);
    spec.applications[0].health.successes = 2;
    let (_, rollout) = stage.world.ask(Verb::Upgrade, spec);
    stage.server.handle.wake();
    let refused = stage.server.handle.set_mode(release, None, None).await.expect_err("a rollout is open");
    assert_eq!(refused.code(), "rollout-open");
    let _ = stage.end_of(rollout).await;
    assert_eq!(modes(&stage), std::slice::from_ref(&page));
    // Another server tells a router that has lost everything the same.
    let next = Server::start(&stage.world);
    std::mem::replace(&mut stage.server, next).stop().await;
    stage.world.router.lose_everything();
    stage.until("the page is there again", |stage| modes(stage) == std::slice::from_ref(&page)).await;
    stage.server.handle.set_mode(release, None, None).await.expect("nothing is open");
    assert_eq!(modes(&stage), [Mode::Open]);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_live_deployments_are_looked_at_without_a_write() {
    let mut stage = Stage::serving(web("1", 1)).await;
    let live = stage.world.store.all_live()[0].clone();
    for number in 0..10_000 {
        let mut other = live.clone();
        other.deployment.id =
            skipper_core::deployment::DeploymentId::from_stored(format!("copy-{number:05}-r1-00000000"));
        other.instances.clear();
        other.addresses.clear();
        stage.world.store.put_live(other);
    }
    let begun = std::time::Instant::now();
    let before = stage.world.script.count();
    sleep(Duration::from_secs(31)).await;
    assert!(stage.world.script.count() - before < 5, "supervision wrote");
    assert!(begun.elapsed() < Duration::from_secs(10), "took {:?}", begun.elapsed());
    let _ = stage.rollout(Verb::Upgrade, web("2", 1)).await;
}

#[tokio::test(start_paused = true)]
async fn what_no_revision_needs_is_cleared_away_and_never_what_can_be_gone_back_to() {
    let keep = Duration::from_secs(3600);
    let garbage = GarbageSettings { every: Some(Duration::from_secs(60)), revisions: 2, keep };
    let mut stage = Stage::tuned(World::default(), Tuning { garbage, ..Tuning::default() });
    let digest = |version: &str| Sha256::of(version.as_bytes());
    let made_of = |version: &str| {
        let mut spec = web(version, 1);
        spec.applications[0].resource.sha256 = Some(digest(version));
        spec
    };
    stage.install(made_of("1")).await;
    for version in ["2", "3", "4", "5"] {
        let (_, phase) = stage.rollout(Verb::Upgrade, made_of(version)).await;
        assert_eq!(phase, Phase::Succeeded);
    }
    let kept = |stage: &Stage| {
        let kept = stage.world.platform.kept_digests();
        ["1", "2", "3", "4", "5"].into_iter().filter(|version| kept.contains(&digest(version))).collect::<String>()
    };
    sleep(Duration::from_secs(300)).await;
    assert_eq!(kept(&stage), "12345", "they are young");
    stage.until("the old ones are gone", |stage| kept(stage) == "345").await;
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(kept(&stage), "345", "the last two that served, and what serves");
    let told: Vec<_> = stage.world.store.events().into_iter().filter(|event| event.kind == "garbage.removed").collect();
    let images: usize = told.iter().map(|event| event.data["images"].as_array().map_or(0, Vec::len)).sum();
    assert_eq!(images, 2, "{told:?}");
    assert_eq!(stage.world.violations(), [""; 0]);
}
