//! What a rollout does when nothing, or something ordinary, goes wrong.

use std::time::Duration;

use skipper_core::{
    rollout::{Cause, Phase, StepState, Verb},
    route::Mode,
    spec::{CanaryStep, SecretUse, Spec, Strategy},
    time::Millis,
};
use skipper_engine::{PlanRequest, Tuning};
use testkit::{Behaviour, Fault, HookBehaviour, Intent, fixture};
use tokio::time::{Instant, sleep};

use crate::server::{Server, Stage};

fn web(version: &str) -> Spec {
    fixture::spec([fixture::app("web", version)])
}

fn never_healthy() -> Behaviour {
    Behaviour { healthy_after: None, exits_after: None }
}

fn code(phase: &Phase) -> &str {
    phase.cause().map_or("", |cause| &cause.code)
}

#[tokio::test(start_paused = true)]
async fn an_install_serves_within_40_ms_of_its_own_readiness() {
    let mut stage = Stage::new();
    let ready = Duration::from_millis(1300);
    stage.world.platform.behave("1", Behaviour { healthy_after: Some(ready), exits_after: None });
    let begun = Instant::now();
    let (_, phase) = stage.rollout(Verb::Install, web("1")).await;
    assert_eq!(phase, Phase::Succeeded);
    assert!(begun.elapsed() < ready + Duration::from_millis(80), "took {:?}", begun.elapsed());
    assert_eq!(stage.world.serving(), [("web".to_owned(), 1, 100)]);
    stage.settled().await;
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_leaves_nothing_of_the_old_revision() {
    let mut stage = Stage::serving(web("1")).await;
    let (_, phase) = stage.rollout(Verb::Upgrade, web("2")).await;
    assert_eq!(phase, Phase::Succeeded);
    stage.settled().await;
    assert_eq!(stage.world.serving(), [("web".to_owned(), 2, 100)]);
    assert_eq!(stage.world.platform.running().len(), 1);
    assert_eq!(stage.world.violations(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn the_same_spec_again_finishes_at_once_and_touches_nothing() {
    let mut stage = Stage::serving(web("1")).await;
    let before = stage.world.platform.running();
    let (rollout, phase) = stage.rollout(Verb::Upgrade, web("1")).await;
    assert_eq!(phase, Phase::Succeeded);
    assert!(stage.world.store.steps(rollout).is_empty());
    assert_eq!(stage.world.platform.running(), before);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_never_gets_healthy_rolls_itself_back_and_leaves_its_evidence() {
    let mut stage = Stage::serving(web("1")).await;
    stage.world.platform.behave("2", never_healthy());
    let (rollout, phase) = stage.rollout(Verb::Upgrade, web("2")).await;
    assert_eq!((phase.name(), code(&phase)), ("failed", "unhealthy"));
    stage.settled().await;
    assert_eq!(stage.world.serving(), [("web".to_owned(), 1, 100)]);
    let bundle = stage.world.store.bundle_of(rollout).expect("a failed rollout has a bundle");
    assert_eq!(bundle.applications.len(), 1);
    assert_eq!(bundle.applications[0].logs.last().map(String::as_str), Some("cannot open the database"));
    let probes = &bundle.applications[0].probes;
    assert!(!probes.is_empty() && probes.len() <= 50 && probes.iter().all(|probe| !probe.ok));
    assert_eq!(stage.world.violations(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_dies_ends_the_wait_early_with_its_exit() {
    let mut stage = Stage::serving(web("1")).await;
    let dies = Behaviour { healthy_after: None, exits_after: Some((Duration::from_millis(200), 3)) };
    stage.world.platform.behave("2", dies);
    let begun = Instant::now();
    let (rollout, phase) = stage.rollout(Verb::Upgrade, web("2")).await;
    assert_eq!((phase.name(), code(&phase)), ("failed", "exited"));
    assert!(begun.elapsed() < Duration::from_secs(1), "took {:?}", begun.elapsed());
    let bundle = stage.world.store.bundle_of(rollout).expect("a failed rollout has a bundle");
    assert_eq!(bundle.applications[0].exits[0].1.code, Some(3));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_only_has_to_run_still_has_to_be_there_after_an_interval() {
    let mut stage = Stage::serving(web("1")).await;
    let dies = Behaviour { healthy_after: Some(Duration::ZERO), exits_after: Some((Duration::from_millis(100), 1)) };
    stage.world.platform.behave("2", dies);
    let mut spec = web("2");
    spec.applications[0].health.check = skipper_core::spec::Check::Running;
    let (_, phase) = stage.rollout(Verb::Upgrade, spec).await;
    assert_eq!((phase.name(), code(&phase)), ("failed", "exited"));
}

#[tokio::test(start_paused = true)]
async fn a_death_within_the_bake_shifts_back() {
    let mut stage = Stage::serving(web("1")).await;
    let dies = Behaviour { exits_after: Some((Duration::from_secs(3), 1)), ..Behaviour::default() };
    stage.world.platform.behave("2", dies);
    let mut spec = web("2");
    spec.applications[0].strategy = Strategy::BlueGreen { bake: Millis::secs(10) };
    let (_, phase) = stage.rollout(Verb::Upgrade, spec).await;
    assert_eq!((phase.name(), code(&phase)), ("failed", "exited"));
    stage.settled().await;
    assert_eq!(stage.world.serving(), [("web".to_owned(), 1, 100)]);
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_errs_more_than_the_others_is_taken_back() {
    let mut stage = Stage::serving(web("1")).await;
    let mut spec = web("2");
    let steps = vec![CanaryStep { weight: 10, bake: Millis::secs(10) }];
    spec.applications[0].strategy = Strategy::Canary { steps, bake: Millis(0) };
    let (_, rollout) = stage.world.ask(Verb::Upgrade, spec);
    stage.server.handle.wake();
    stage.until("both are live", |stage| stage.world.serving().len() == 2).await;
    let live = stage.world.store.all_live();
    for live in &live {
        let new = live.deployment.revision == 2;
        let stats = skipper_core::port::DeploymentStats {
            requests: 1000,
            errors: if new { 100 } else { 1 },
            ..Default::default()
        };
        sleep(Duration::from_secs(1)).await;
        stage.world.router.count(&live.deployment.id, stats);
    }
    let phase = stage.end_of(rollout).await;
    assert_eq!((phase.name(), code(&phase)), ("failed", "judged-errors"));
    stage.settled().await;
    assert_eq!(stage.world.serving(), [("web".to_owned(), 1, 100)]);
}

#[tokio::test(start_paused = true)]
async fn requests_are_held_while_an_application_is_recreated_and_also_on_the_way_back() {
    let mut spec = web("1");
    spec.applications[0].volumes = vec![fixture::volume("data")];
    let mut stage = Stage::serving(spec.clone()).await;
    stage.world.platform.behave("2", never_healthy());
    spec.applications[0].env.insert("VERSION".into(), "2".into());
    let (_, rollout) = stage.world.ask(Verb::Upgrade, spec);
    stage.server.handle.wake();
    let held =
        |stage: &Stage| stage.world.router.table().values().all(|service| matches!(service.mode, Mode::Held { .. }));
    stage.until("requests are held", held).await;
    let phase = stage.end_of(rollout).await;
    assert_eq!(code(&phase), "unhealthy");
    stage.settled().await;
    assert_eq!(stage.world.serving(), [("web".to_owned(), 1, 100)]);
    assert_eq!(stage.world.violations(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_hook_runs_once_and_a_failing_one_fails_the_rollout() {
    let mut spec = web("1");
    spec.applications[0].hooks = fixture::hooks();
    let mut stage = Stage::serving(spec.clone()).await;
    assert_eq!(stage.world.platform.hooks_started(), 3);
    stage.world.platform.hook("migrate", HookBehaviour { code: 7, ..HookBehaviour::default() });
    spec.applications[0].env.insert("VERSION".into(), "2".into());
    let (_, phase) = stage.rollout(Verb::Upgrade, spec).await;
    assert_eq!(code(&phase), "hook-failed");
    assert!(phase.cause().expect("failed").message.contains("status 7"));
    assert_eq!(stage.world.platform.hooks_started(), 4);
    stage.settled().await;
}

#[tokio::test(start_paused = true)]
async fn a_hook_whose_outcome_nobody_knows_fails_and_is_not_run_again() {
    let mut spec = web("1");
    spec.applications[0].hooks = fixture::hooks();
    let mut stage = Stage::new();
    let long = HookBehaviour { runs_for: Duration::from_secs(5), code: 0 };
    stage.world.platform.hook("migrate", long);
    let (_, rollout) = stage.world.ask(Verb::Install, spec);
    stage.server.handle.wake();
    stage.until("the hook runs", |stage| stage.world.platform.hooks_started() == 1).await;
    stage.server.gate.kill();
    stage.world.platform.forget_hooks();
    let phase = stage.end_of(rollout).await;
    assert_eq!(code(&phase), "hook-unknown");
    assert_eq!(stage.world.platform.hooks_started(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_rollout_is_cancelled_in_the_middle_of_a_step() {
    let mut stage = Stage::serving(web("1")).await;
    stage.world.platform.behave("2", never_healthy());
    let (_, rollout) = stage.world.ask(Verb::Upgrade, web("2"));
    stage.server.handle.wake();
    let waits = |stage: &Stage| {
        stage.server.handle.activity(rollout).is_some_and(|a| a.what.starts_with("await healthy") && a.detail.is_some())
    };
    stage.until("it waits for health", waits).await;
    stage.world.store.cancel(rollout);
    let begun = Instant::now();
    let phase = stage.end_of(rollout).await;
    assert_eq!((phase.name(), code(&phase)), ("cancelled", Cause::CANCELLED));
    assert!(begun.elapsed() < Duration::from_secs(1));
    stage.settled().await;
    assert_eq!(stage.server.handle.activity(rollout), None);
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_is_not_the_required_one_changes_nothing() {
    let mut stage = Stage::serving(web("1")).await;
    let (release, spec) = (stage.world.store.all_live()[0].deployment.release, web("2"));
    let live = stage.world.store.all_live();
    let (name, tenant) = (fixture::release("shop"), fixture::tenant());
    let request = PlanRequest {
        release,
        release_name: &name,
        tenant: &tenant,
        live: &live,
        target: Some((9, &spec)),
        purge: false,
    };
    let preview = stage.server.handle.preview(&request).await.expect("can be planned");
    // What a preview of another revision number says holds for the real one.
    let mut intent = Intent::new(Verb::Upgrade, spec.clone());
    intent.required_plan = Some(preview.hash());
    let (_, rollout) = stage.world.intend(intent.clone());
    assert_eq!(stage.end_of(rollout).await, Phase::Succeeded);
    // Now nothing is left to be done, so the plan is another one.
    let (_, rollout) = stage.world.intend(intent);
    let phase = stage.end_of(rollout).await;
    assert_eq!(code(&phase), "plan-changed");
    assert_eq!(stage.world.serving(), [("web".to_owned(), 2, 100)]);
}

#[tokio::test(start_paused = true)]
async fn a_preview_of_an_install_has_the_hash_of_the_install() {
    let mut stage = Stage::new();
    let spec = web("1");
    let (name, tenant) = (fixture::release("shop"), fixture::tenant());
    let nobody = "00000000-0000-0000-0000-000000000000".parse().expect("an id");
    let request = PlanRequest {
        release: nobody,
        release_name: &name,
        tenant: &tenant,
        live: &[],
        target: Some((1, &spec)),
        purge: false,
    };
    let hash = stage.server.handle.preview(&request).await.expect("can be planned").hash();
    let intent = Intent { required_plan: Some(hash), ..Intent::new(Verb::Install, spec) };
    let (_, rollout) = stage.world.intend(intent);
    assert_eq!(stage.end_of(rollout).await, Phase::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_rollout_begins_when_the_open_one_has_ended() {
    let mut stage = Stage::serving(web("1")).await;
    let (_, first) = stage.world.ask(Verb::Upgrade, web("2"));
    let (_, second) = stage.world.ask(Verb::Upgrade, web("3"));
    assert_eq!(stage.world.phase(second), Phase::Waiting);
    assert_eq!(stage.end_of(first).await, Phase::Succeeded);
    assert_eq!(stage.end_of(second).await, Phase::Succeeded);
    assert_eq!(stage.world.serving(), [("web".to_owned(), 3, 100)]);
}

#[tokio::test(start_paused = true)]
async fn a_missing_secret_fails_before_anything_is_launched() {
    let mut stage = Stage::new();
    let mut spec = web("1");
    let secret = skipper_core::name::SecretName::new("db").expect("valid");
    spec.applications[0].secrets = vec![SecretUse::Env { secret, var: "DB".into() }];
    let (_, phase) = stage.rollout(Verb::Install, spec.clone()).await;
    assert_eq!(code(&phase), "secret-missing");
    stage.world.store.set_secret("db", "hunter2");
    let (rollout, phase) = stage.rollout(Verb::Install, spec).await;
    assert_eq!(phase, Phase::Succeeded);
    assert_eq!(stage.world.store.rollout(rollout).secrets.0.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_rotated_secret_brings_a_new_deployment() {
    let mut stage = Stage::new();
    stage.world.store.set_secret("db", "hunter2");
    let mut spec = web("1");
    let secret = skipper_core::name::SecretName::new("db").expect("valid");
    spec.applications[0].secrets = vec![SecretUse::Env { secret, var: "DB".into() }];
    stage.install(spec.clone()).await;
    stage.world.store.set_secret("db", "hunter3");
    stage.rollout(Verb::Upgrade, spec).await;
    assert_eq!(stage.world.serving(), [("web".to_owned(), 2, 100)]);
}

#[tokio::test(start_paused = true)]
async fn scaling_to_zero_and_back_keeps_the_release() {
    let mut stage = Stage::serving(web("1")).await;
    stage.world.router.strict(false);
    let mut none = web("1");
    none.applications[0].replicas = 0;
    assert_eq!(stage.rollout(Verb::Scale, none).await.1, Phase::Succeeded);
    assert_eq!(stage.world.serving(), [("web".to_owned(), 1, 100)]);
    assert_eq!(stage.world.platform.running().values().map(Vec::len).sum::<usize>(), 0);
    // A scale that fails leaves it scaled to zero, not forgotten.
    stage.world.platform.behave("1", never_healthy());
    assert_eq!(stage.rollout(Verb::Scale, web("1")).await.1.name(), "failed");
    assert_eq!(stage.world.serving(), [("web".to_owned(), 1, 100)]);
    stage.world.platform.behave("1", Behaviour::default());
    assert_eq!(stage.rollout(Verb::Scale, web("1")).await.1, Phase::Succeeded);
    stage.settled().await;
    assert_eq!(stage.world.serving(), [("web".to_owned(), 1, 100)]);
}

#[tokio::test(start_paused = true)]
async fn routes_change_without_a_new_instance() {
    let mut stage = Stage::serving(web("1")).await;
    let before = stage.world.platform.running();
    let mut spec = web("1");
    spec.applications[0].routes = fixture::app("shop", "1").routes;
    assert_eq!(stage.rollout(Verb::Upgrade, spec).await.1, Phase::Succeeded);
    assert_eq!(stage.world.platform.running(), before);
    stage.settled().await;
    let table = stage.world.router.table();
    let key = table.values().flat_map(|service| service.routes["http"].clone()).next().expect("a route");
    assert_eq!(key.host.expect("a host").as_str(), "shop.example.org");
}

#[tokio::test(start_paused = true)]
async fn a_stopped_engine_gives_its_work_back_and_the_next_one_goes_on() {
    let stage = Stage::serving(web("1")).await;
    let slow = Behaviour { healthy_after: Some(Duration::from_secs(20)), exits_after: None };
    stage.world.platform.behave("2", slow);
    let (_, rollout) = stage.world.ask(Verb::Upgrade, web("2"));
    stage.server.handle.wake();
    sleep(Duration::from_secs(5)).await;
    assert_eq!(stage.server.handle.running(), 1);
    let world = stage.world.clone();
    stage.server.stop().await;
    let begun = Instant::now();
    let mut stage = Stage::on(world);
    assert_eq!(stage.end_of(rollout).await, Phase::Succeeded);
    assert!(begun.elapsed() < Duration::from_secs(17), "took {:?}", begun.elapsed());
    let steps = stage.world.store.steps(rollout);
    assert!(steps.iter().all(|step| step.state == StepState::Done));
}

#[tokio::test(start_paused = true)]
async fn many_rollouts_are_worked_on_at_once_but_no_more_than_allowed() {
    let world = testkit::World::default();
    let slow = Behaviour { healthy_after: Some(Duration::from_secs(20)), exits_after: None };
    world.platform.behave("1", slow);
    let rollouts: Vec<_> = (0..20)
        .map(|number| {
            let name = fixture::release(&format!("shop-{number}"));
            let mut spec = web("1");
            spec.applications[0].routes.clear();
            world.store.accept(&name, Intent::new(Verb::Install, spec)).expect("not busy").1
        })
        .collect();
    let tuning = Tuning { max_rollouts: 8, ..Default::default() };
    let mut stage = Stage::tuned(world, tuning);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(stage.server.handle.running(), 8);
    for rollout in rollouts {
        assert_eq!(stage.end_of(rollout).await, Phase::Succeeded);
    }
}

#[tokio::test(start_paused = true)]
async fn another_server_takes_over_when_the_lease_of_a_dead_one_expires() {
    let mut stage = Stage::serving(web("1")).await;
    let slow = Behaviour { healthy_after: Some(Duration::from_secs(25)), exits_after: None };
    stage.world.platform.behave("2", slow);
    let (_, rollout) = stage.world.ask(Verb::Upgrade, web("2"));
    stage.server.handle.wake();
    sleep(Duration::from_secs(5)).await;
    stage.server.gate.kill();
    let begun = Instant::now();
    stage.server = Server::named(&stage.world, "another", Tuning::default());
    sleep(Duration::from_secs(8)).await;
    assert_eq!(stage.server.handle.activity(rollout), None, "the dead one still has the lease");
    assert_eq!(stage.end_of(rollout).await, Phase::Succeeded);
    assert!(begun.elapsed() < Duration::from_secs(30), "took {:?}", begun.elapsed());
    stage.settled().await;
    assert_eq!(stage.world.violations(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn two_servers_share_the_work_and_never_a_rollout() {
    let world = testkit::World::default();
    let names: Vec<_> = (0..30).map(|number| fixture::release(&format!("shop-{number}"))).collect();
    let mut spec = web("1");
    spec.applications[0].routes.clear();
    let rollouts: Vec<_> = names
        .iter()
        .map(|name| world.store.accept(name, Intent::new(Verb::Install, spec.clone())).expect("not busy").1)
        .collect();
    let other = Server::named(&world, "other", Tuning::default());
    let mut stage = Stage::on(world);
    for rollout in &rollouts {
        assert_eq!(stage.end_of(*rollout).await, Phase::Succeeded);
    }
    let calls = stage.world.script.calls();
    for rollout in rollouts {
        let loads = calls.iter().filter(|call| call.what == "store.load" && call.detail == rollout.to_string());
        assert_eq!(loads.count(), 1, "worked on once");
    }
    stage.settled().await;
    other.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_loses_nothing() {
    let mut stage = Stage::serving(web("1")).await;
    let mut spec = web("2");
    spec.applications[0].strategy = Strategy::BlueGreen { bake: Millis::secs(20) };
    let (_, rollout) = stage.world.ask(Verb::Upgrade, spec);
    stage.server.handle.wake();
    sleep(Duration::from_secs(2)).await;
    stage.world.clock.advance(Duration::from_secs(86_400));
    sleep(Duration::from_secs(5)).await;
    stage.world.clock.set_back(Duration::from_secs(2 * 86_400));
    assert_eq!(stage.end_of(rollout).await, Phase::Succeeded);
    stage.settled().await;
    assert_eq!(stage.world.serving(), [("web".to_owned(), 2, 100)]);
    assert_eq!(stage.world.violations(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_platform_that_converges_is_handed_the_whole_and_handed_the_old_one_to_go_back() {
    let clock = std::sync::Arc::new(testkit::TestClock::default());
    let capabilities = skipper_core::port::Capabilities { converges: true, ..fixture::capable() };
    let platform = testkit::FakePlatform::new(std::sync::Arc::clone(&clock)).capable_of(capabilities);
    let mut stage = Stage::on(testkit::World::on(clock, platform));
    let mut spec = web("1");
    spec.applications[0].replicas = 2;
    assert_eq!(stage.rollout(Verb::Install, spec.clone()).await.1, Phase::Succeeded);
    stage.settled().await;
    spec.applications[0].env.insert("VERSION".into(), "2".into());
    stage.world.platform.behave("2", never_healthy());
    let (_, phase) = stage.rollout(Verb::Upgrade, spec.clone()).await;
    assert_eq!(code(&phase), "unhealthy");
    stage.settled().await;
    assert_eq!(stage.world.serving(), [("web".to_owned(), 1, 100)]);
    stage.world.platform.behave("2", Behaviour::default());
    assert_eq!(stage.rollout(Verb::Upgrade, spec.clone()).await.1, Phase::Succeeded);
    stage.settled().await;
    assert_eq!(stage.world.serving(), [("web".to_owned(), 3, 100)]);
    spec.applications[0].replicas = 4;
    assert_eq!(stage.rollout(Verb::Scale, spec).await.1, Phase::Succeeded);
    stage.settled().await;
    assert_eq!(stage.world.platform.running().values().map(Vec::len).sum::<usize>(), 4);
}

/// The router, which knows nothing any more, is told before anybody has taken the rollout up again, wherever the server before
/// died.
#[tokio::test(start_paused = true)]
async fn what_an_open_rollout_holds_is_not_let_go_to_nobody_when_a_new_server_tells_the_router_everything() {
    let mut slow_leases = 0;
    for at in 0..45 {
        for slow in 0..4 {
            let mut spec = web("1");
            spec.applications[0].strategy = Strategy::Recreate { bake: Millis(0) };
            let mut stage = Stage::serving(spec.clone()).await;
            spec.applications[0].env.insert("VERSION".into(), "2".into());
            let (_, rollout) = stage.world.ask(Verb::Upgrade, spec);
            stage.world.script.at(stage.world.script.count() + at, Fault::CrashBefore);
            stage.server.handle.wake();
            while !stage.server.gate.is_dead() && !stage.world.phase(rollout).is_final() {
                sleep(Duration::from_millis(5)).await;
            }
            if stage.world.phase(rollout).is_final() {
                continue;
            }
            stage.world.router.lose_everything();
            let slow = stage.world.script.count() + slow;
            stage.world.script.at(slow, Fault::Hang);
            let ended = stage.end_of(rollout).await;
            let hung = stage.world.script.calls()[slow].what;
            // What hangs outside of the store is given up by the bound of its step, and the rollout undone.
            let bounded = ended.is_final() && !hung.starts_with("store.");
            assert!(ended == Phase::Succeeded || bounded, "{hung}: {ended:?}");
            slow_leases += u32::from(stage.world.script.calls()[slow].what == "store.lease");
            assert_eq!(stage.world.violations(), [""; 0], "died at {at}, then {slow} was slow");
            stage.server.stop().await;
        }
    }
    assert!(slow_leases > 10, "{slow_leases}");
}
