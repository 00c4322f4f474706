//! A release on several nodes: wave by wave, with a bad one among them.

use std::time::Duration;

use skipper_core::{
    port::{Capabilities, ErrorKind},
    rollout::{Cause, Phase, Progress, StepState, Verb, waves::Records},
    spec::{Bounds, OnFailure, Portion, Spec, WaveTerms},
    time::Millis,
};
use skipper_engine::Tuning;
use testkit::{Behaviour, Call, Fault, World, fixture};

use crate::server::{Stage, node};

/// Four nodes; `versions` as they are to run, one word for each.
fn fleet(versions: &str, terms: &WaveTerms) -> Spec {
    let apps = versions.split(' ').enumerate().map(|(number, version)| {
        let mut app = fixture::worker(&format!("n{number}"), version);
        app.target = node(number);
        let [fetch, start, health, hold, drain] = [20, 10, 20, 20, 5].map(Millis::secs);
        app.bounds = Bounds { fetch, start, health, hold, drain };
        app
    });
    let mut spec = fixture::spec(apps);
    spec.waves = Some(Box::new(terms.clone()));
    spec
}

fn terms(sizes: &[u32], on_failure: OnFailure) -> WaveTerms {
    WaveTerms { waves: sizes.iter().map(|size| Portion::Count(*size)).collect(), max_unavailable: None, on_failure }
}

fn stage(converges: bool) -> Stage {
    let every = Duration::from_secs(10);
    let tuning = Tuning { poll_every: every, cancel_poll: every, router_poll: every, ..Tuning::default() };
    let clock = std::sync::Arc::new(testkit::TestClock::default());
    let platform = testkit::FakePlatform::new(std::sync::Arc::clone(&clock));
    let platform = platform.capable_of(Capabilities { converges, ..fixture::capable() });
    Stage::tuned(World::on(clock, platform), tuning)
}

fn never_healthy() -> Behaviour {
    Behaviour { healthy_after: None, exits_after: None }
}

fn revisions(stage: &Stage) -> Vec<u64> {
    stage.world.serving().into_iter().map(|(_, revision, _)| revision).collect()
}

#[tokio::test(start_paused = true)]
async fn the_first_bad_node_stops_the_waves_and_goes_back_alone() {
    for converges in [true, false] {
        let mut stage = stage(converges);
        stage.install(fleet("1 1 1 1", &terms(&[4], OnFailure::Stop))).await;
        stage.world.platform.behave("bad", never_healthy());
        let wanted = fleet("2 2 bad 2", &terms(&[1, 2], OnFailure::Stop));
        let (rollout, phase) = stage.rollout(Verb::Upgrade, wanted).await;
        let Phase::Failed { cause } = phase else { panic!("{phase:?}") };
        assert_eq!(cause.code, "health-timeout");
        assert!(cause.message.ends_with("2 of 4 run revision 2; went back: n2; not begun: n3"), "{}", cause.message);
        assert!(cause.hint.is_some_and(|hint| hint.contains("skipper fleet converge shop")));
        stage.settled().await;
        assert_eq!(revisions(&stage), [2, 2, 1, 1], "converges: {converges}");
        assert!(stage.world.store.bundle_of(rollout).is_some(), "the evidence is kept");
        assert_eq!(stage.world.violations(), [""; 0]);
        // Whoever asks for the same again touches only those that are not there yet.
        stage.world.platform.behave("bad", Behaviour::default());
        let (rollout, phase) = stage.rollout(Verb::Upgrade, fleet("2 2 bad 2", &terms(&[1], OnFailure::Stop))).await;
        assert_eq!(phase, Phase::Succeeded);
        stage.settled().await;
        assert_eq!(revisions(&stage), [2, 2, 3, 3]);
        let touched = stage.world.store.rollout(rollout).plan.expect("a plan").steps;
        assert!(touched.iter().all(|step| ["n2", "n3"].contains(&step.app.as_str())), "{touched:?}");
        // And all the way back.
        let (_, phase) = stage.rollout(Verb::Rollback, fleet("1 1 1 1", &terms(&[1, 4], OnFailure::Stop))).await;
        assert_eq!(phase, Phase::Succeeded);
        stage.settled().await;
        assert_eq!(revisions(&stage), [4; 4]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_install_that_stops_leaves_what_is_well() {
    let mut stage = stage(true);
    stage.world.platform.behave("bad", never_healthy());
    let (_, phase) = stage.rollout(Verb::Install, fleet("1 bad 1 1", &terms(&[1], OnFailure::Stop))).await;
    assert_eq!(phase.name(), "failed");
    stage.settled().await;
    assert_eq!(stage.world.serving(), [("n0".to_owned(), 1, 100)]);
}

#[tokio::test(start_paused = true)]
async fn terms_decide_whether_all_go_back_or_the_others_go_on() {
    for (on_failure, left) in [(OnFailure::RollBack, [1, 1, 1, 1]), (OnFailure::Continue, [2, 1, 2, 2])] {
        let mut stage = stage(true);
        stage.install(fleet("1 1 1 1", &terms(&[4], OnFailure::Stop))).await;
        stage.world.platform.behave("bad", never_healthy());
        let (_, phase) = stage.rollout(Verb::Upgrade, fleet("2 bad 2 2", &terms(&[2], on_failure))).await;
        assert_eq!(phase.name(), "failed");
        stage.settled().await;
        assert_eq!(revisions(&stage), left, "{on_failure:?}");
        assert_eq!(stage.world.violations(), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_wave_waits_for_room() {
    let mut stage = stage(true);
    let one = WaveTerms { max_unavailable: Some(Portion::Count(1)), ..WaveTerms::default() };
    stage.install(fleet("1 1 1 1", &one)).await;
    // The first one falls while the second one starts, and supervision leaves a release alone that is on its way.
    let falls = Behaviour { exits_after: Some((Duration::from_secs(2), 1)), ..Behaviour::default() };
    stage.world.platform.behave("2", falls);
    stage.world.platform.behave("3", Behaviour { healthy_after: Some(Duration::from_secs(5)), exits_after: None });
    let (_, rollout) = stage.world.ask(Verb::Upgrade, fleet("2 3 3 3", &one));
    let phase = stage.end_of(rollout).await;
    let Phase::Failed { cause } = phase else { panic!("{phase:?}") };
    assert_eq!(cause.code, "too-many-unavailable", "{cause:?}");
    assert!(cause.message.contains("n0 are away"), "{}", cause.message);
    assert_eq!(
        stage.world.serving().iter().filter(|(_, revision, _)| *revision == 2).count(),
        2,
        "{:?}",
        stage.world.serving()
    );
}

#[tokio::test(start_paused = true)]
async fn cancelling_takes_every_wave_back() {
    let mut stage = stage(true);
    stage.install(fleet("1 1 1 1", &terms(&[4], OnFailure::Stop))).await;
    stage.world.platform.behave("slow", never_healthy());
    let (_, rollout) = stage.world.ask(Verb::Upgrade, fleet("2 slow 2 2", &terms(&[1], OnFailure::Stop)));
    stage.server.handle.wake();
    let first = |stage: &Stage| stage.world.serving().iter().any(|(_, revision, _)| *revision == 2);
    stage.until("the first wave is over", first).await;
    stage.world.store.cancel(rollout);
    let phase = stage.end_of(rollout).await;
    assert_eq!(phase.cause().map(|cause| cause.code.as_str()), Some(Cause::CANCELLED));
    stage.settled().await;
    assert_eq!(revisions(&stage), [1; 4]);
}

/// Two waves of two, with the third node bad, and one call broken.
async fn play(converges: bool, fault: Option<(usize, Fault)>) -> Vec<Call> {
    let mut stage = stage(converges);
    stage.install(fleet("1 1 1 1", &terms(&[4], OnFailure::Stop))).await;
    stage.settled().await;
    stage
        .world
        .platform
        .behave("bad", Behaviour { exits_after: Some((Duration::from_millis(700), 1)), healthy_after: None });
    let first = stage.world.script.count();
    if let Some((call, fault)) = fault {
        stage.world.script.at(first + call, fault);
    }
    let (_, rollout) = stage.world.ask(Verb::Upgrade, fleet("2 2 bad 2", &terms(&[2], OnFailure::Stop)));
    let phase = stage.end_of(rollout).await;
    let calls = stage.world.script.calls().split_off(first);
    stage.settled().await;
    assert_eq!(stage.world.violations(), [""; 0]);
    assert_ne!(phase, Phase::Succeeded);
    let serving = stage.world.serving();
    assert_eq!(serving.len(), 4, "{serving:?}");
    assert!(serving.iter().all(|(_, _, weight)| *weight == 100), "{serving:?}");
    let stored = stage.world.store.rollout(rollout);
    let records: Records = stage.world.store.steps(rollout).into_iter().map(|record| (record.index, record)).collect();
    let progress = stored.plan.map(|plan| plan.progress(&records)).unwrap_or_default();
    for (number, (_, revision, _)) in serving.iter().enumerate() {
        let kept = progress.get(&node(number)) == Some(&Progress::Updated);
        assert_eq!(*revision == 2, kept, "n{number} runs {revision}: {progress:?} {phase:?}");
    }
    assert!(records.values().all(|record| !matches!(record.state, StepState::Undoing)), "{records:?}");
    if fault.is_none() {
        // What has begun is waited for; what has not is left alone.
        assert_eq!(revisions(&stage), if converges { [2, 2, 1, 2] } else { [2, 2, 1, 1] });
    }
    calls
}

async fn enumerate(converges: bool) {
    let calls = play(converges, None).await;
    let faults = [
        Fault::Fail(ErrorKind::Transient),
        Fault::Fail(ErrorKind::Permanent),
        Fault::Fail(ErrorKind::Unknown),
        Fault::LoseAnswer,
        Fault::CrashAfter,
        Fault::TakeLease,
        Fault::Cancel,
    ];
    for fault in faults {
        for call in 0..calls.len() {
            let same = |other: &Call| other.what == calls[call].what && other.detail == calls[call].detail;
            if calls[..call].iter().any(same) {
                continue;
            }
            println!("converges {converges}: {fault:?} at call {call} of {}, {:?}", calls.len(), calls[call]);
            Box::pin(play(converges, Some((call, fault)))).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn waves_of_what_converges_survive_everything() {
    enumerate(true).await;
}

#[tokio::test(start_paused = true)]
async fn waves_of_what_is_launched_survive_everything() {
    enumerate(false).await;
}
