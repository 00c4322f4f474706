//! Every verb under every strategy, with every call to the world broken in every way, one at a time.
//!
//! Whatever breaks, the rollout ends, the old revision serves unless the new one does, nothing is orphaned or lost, and
//! store, platform and router tell the same story in the end.

use std::time::Duration;

use skipper_core::{
    port::ErrorKind,
    rollout::{Phase, Verb},
    spec::{Bounds, CanaryStep, Spec, Strategy},
    time::Millis,
};
use skipper_engine::Tuning;
use testkit::{Call, Fault, Intent, World, fixture};

use crate::server::Stage;

/// A crash before a call leaves the world as a crash after the call before it does, so only one of the two is here.
const FAULTS: [Fault; 8] = [
    Fault::Fail(ErrorKind::Transient),
    Fault::Fail(ErrorKind::Permanent),
    Fault::Fail(ErrorKind::Unknown),
    Fault::LoseAnswer,
    Fault::CrashAfter,
    Fault::Hang,
    Fault::TakeLease,
    Fault::Cancel,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    BlueGreen,
    Recreate,
    Rolling,
    Canary,
}

impl Way {
    fn strategy(self) -> Strategy {
        let bake = Millis(1200);
        match self {
            Self::BlueGreen => Strategy::BlueGreen { bake },
            Self::Recreate => Strategy::Recreate { bake: Millis(0) },
            Self::Rolling => Strategy::Rolling { batch: 1, bake: Millis(0) },
            Self::Canary => Strategy::Canary { steps: vec![CanaryStep { weight: 20, bake }], bake: Millis(0) },
        }
    }

    /// Two applications, of which the second one waits for the first and has no way in.
    fn spec(self, version: &str, replicas: u32) -> Spec {
        let mut web = fixture::app("web", version);
        web.replicas = replicas;
        let mut job = fixture::worker("job", version);
        for app in [&mut web, &mut job] {
            app.strategy = self.strategy();
            // Short, since some of the runs wait for them.
            let [fetch, start, health, hold, drain] = [20, 10, 20, 20, 5].map(Millis::secs);
            app.bounds = Bounds { fetch, start, health, hold, drain };
        }
        job.depends_on = vec![web.name.clone()];
        if self == Self::BlueGreen {
            web.hooks = fixture::hooks();
        }
        fixture::spec([web, job])
    }
}

/// What is asked for, and what serves before.
#[derive(Debug, Clone, Copy)]
struct Scenario {
    verb: Verb,
    way: Way,
}

impl Scenario {
    async fn begin(self) -> Stage {
        // Nothing here depends on how often somebody looks without being asked, but the time that the tests take does.
        let every = Duration::from_secs(10);
        let tuning = Tuning { poll_every: every, cancel_poll: every, router_poll: every, ..Tuning::default() };
        let mut stage = Stage::tuned(World::default(), tuning);
        if self.verb != Verb::Install {
            stage.install(self.way.spec("1", 2)).await;
        }
        if self.verb == Verb::Rollback {
            assert_eq!(stage.rollout(Verb::Upgrade, self.way.spec("2", 2)).await.1, Phase::Succeeded);
        }
        stage
    }

    fn intent(self) -> Intent {
        match self.verb {
            Verb::Install | Verb::Rollback => Intent::new(self.verb, self.way.spec("1", 2)),
            Verb::Upgrade => Intent::new(self.verb, self.way.spec("2", 2)),
            // More of what is routed, none of the other.
            Verb::Scale => {
                let mut spec = self.way.spec("1", 3);
                spec.applications[1].replicas = 0;
                Intent::new(self.verb, spec)
            }
            Verb::Delete => Intent::delete(),
        }
    }

    /// What serves when it has succeeded: application and revision.
    fn reached(self) -> Vec<(String, u64)> {
        let all = |revision| vec![("job".to_owned(), revision), ("web".to_owned(), revision)];
        match self.verb {
            Verb::Install | Verb::Scale => all(1),
            Verb::Upgrade => all(2),
            Verb::Rollback => all(3),
            Verb::Delete => Vec::new(),
        }
    }
}

fn serving(stage: &Stage) -> Vec<(String, u64)> {
    let serving = stage.world.serving().into_iter();
    serving
        .map(|(app, revision, weight)| {
            assert_eq!(weight, 100, "{app} serves as a whole");
            (app, revision)
        })
        .collect()
}

/// Carries the scenario out with one call broken. Says what the phase was and which calls it took.
async fn play(scenario: Scenario, fault: Option<(usize, Fault)>) -> (Phase, Vec<Call>) {
    let mut stage = scenario.begin().await;
    stage.settled().await;
    let before = serving(&stage);
    let first = stage.world.script.count();
    let hooks_before = stage.world.platform.hooks_started();
    // Only a delete may leave a route that nobody answers, and only after it was given up.
    stage.world.router.strict(!matches!(scenario.verb, Verb::Delete | Verb::Install));
    if let Some((call, fault)) = fault {
        stage.world.script.at(first + call, fault);
    }
    let (release, rollout) = stage.world.intend(scenario.intent());
    let phase = stage.end_of(rollout).await;
    let calls = stage.world.script.calls().split_off(first);
    stage.settled().await;
    let serving = serving(&stage);
    assert_eq!(stage.world.violations(), [""; 0]);
    let stored = stage.world.store.release(release);
    if phase == Phase::Succeeded {
        assert_eq!(serving, scenario.reached());
        assert_eq!(stored.serving, stage.world.store.rollout(rollout).to);
    } else {
        assert_eq!(serving, before, "{phase:?}");
        assert_eq!(stored.serving, stage.world.store.rollout(rollout).from);
        assert!(stage.world.store.bundle_of(rollout).is_some(), "the evidence is kept");
    }
    let steps = stage.world.store.rollout(rollout).plan.map(|plan| plan.steps).unwrap_or_default();
    let hooks = steps.iter().filter(|step| step.action.name() == "run-hook").count();
    assert!(stage.world.platform.hooks_started() <= hooks_before + hooks, "a hook runs at most once");
    let mut before = None;
    for event in stage.world.store.events() {
        assert!(event.follows(before.as_ref()), "the chain of events holds");
        before = Some(event);
    }
    (phase, calls)
}

/// Every call of the scenario, broken in every way.
async fn enumerate(verb: Verb, way: Way) {
    let scenario = Scenario { verb, way };
    let (phase, calls) = play(scenario, None).await;
    assert_eq!(phase, Phase::Succeeded, "{scenario:?} without any fault");
    let all = calls.len();
    for fault in FAULTS {
        for call in chosen(&calls) {
            // Named first, so that a failed assertion tells which one it was.
            println!("{scenario:?}: {fault:?} at call {call} of {all}, {:?}", calls[call]);
            let (phase, _) = Box::pin(play(scenario, Some((call, fault)))).await;
            let passes = matches!(fault, Fault::Fail(ErrorKind::Transient) | Fault::LoseAnswer | Fault::TakeLease);
            assert!(!passes || phase == Phase::Succeeded, "what passes breaks nothing: {phase:?}");
        }
    }
}

/// Of a question that is asked over and over, the first one and the last one: every call when `SKIPPER_ENUMERATE=all`.
fn chosen(calls: &[Call]) -> Vec<usize> {
    let all = std::env::var("SKIPPER_ENUMERATE").is_ok_and(|how| how == "all");
    let same = |a: &Call, b: &Call| a.what == b.what && a.detail == b.detail;
    let repeated = |at: &usize| {
        let before = calls[..*at].iter().filter(|call| same(call, &calls[*at])).count();
        let after = calls[at + 1..].iter().any(|call| same(call, &calls[*at]));
        before >= 1 && after
    };
    (0..calls.len()).filter(|at| all || !repeated(at)).collect()
}

macro_rules! scenarios {
    ($($name:ident: $verb:ident $way:ident;)*) => {$(
        #[test]
        fn $name() {
            // A runtime for each, so that they run side by side.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
            runtime.expect("a runtime").block_on(enumerate(Verb::$verb, Way::$way));
        }
    )*};
}

scenarios! {
    an_install_survives_everything: Install BlueGreen;
    a_blue_green_upgrade_survives_everything: Upgrade BlueGreen;
    a_recreating_upgrade_survives_everything: Upgrade Recreate;
    a_rolling_upgrade_survives_everything: Upgrade Rolling;
    a_canary_upgrade_survives_everything: Upgrade Canary;
    a_blue_green_rollback_survives_everything: Rollback BlueGreen;
    a_recreating_rollback_survives_everything: Rollback Recreate;
    a_rolling_rollback_survives_everything: Rollback Rolling;
    a_canary_rollback_survives_everything: Rollback Canary;
    a_scale_survives_everything: Scale BlueGreen;
    a_scale_under_rolling_survives_everything: Scale Rolling;
    a_delete_survives_everything: Delete BlueGreen;
}
