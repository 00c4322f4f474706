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
use testkit::{Behaviour, Call, Fault, Intent, World, fixture};

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
    fn strategy(self, bake: Millis) -> Strategy {
        let stage = CanaryStep { weight: 20, bake: Millis(1200) };
        match self {
            Self::BlueGreen => Strategy::BlueGreen { bake },
            Self::Recreate => Strategy::Recreate { bake },
            Self::Rolling => Strategy::Rolling { batch: 1, bake },
            Self::Canary => Strategy::Canary { steps: vec![stage], bake },
        }
    }

    /// Two applications, of which the second one waits for the first and has no way in.
    fn spec(self, version: &str, replicas: u32, bake: Millis) -> Spec {
        let mut web = fixture::app("web", version);
        web.replicas = replicas;
        let mut job = fixture::worker("job", version);
        for app in [&mut web, &mut job] {
            app.strategy = self.strategy(bake);
            // Short, since some of the runs wait for them.
            let [fetch, start, health, hold, drain] = [20, 10, 20, 20, 5].map(Millis::secs);
            app.bounds = Bounds { fetch, start, health, hold, drain };
        }
        job.depends_on = vec![web.name.clone()];
        if self == Self::Recreate {
            web.volumes = vec![fixture::volume("data")];
        }
        if self == Self::BlueGreen {
            web.hooks = fixture::hooks();
        }
        fixture::spec([web, job])
    }
}

/// What is asked for, and how the new processes behave.
#[derive(Debug, Clone, Copy)]
struct Scenario {
    verb: Verb,
    way: Way,
    new_ones: New,
}

/// A rollout that turns back by itself has its way back broken too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum New {
    Work,
    NeverGetHealthy,
    DieWhileTheyBake,
}

impl New {
    fn behaviour(self) -> Behaviour {
        match self {
            Self::Work => Behaviour::default(),
            Self::NeverGetHealthy => Behaviour { healthy_after: None, exits_after: None },
            Self::DieWhileTheyBake => {
                Behaviour { exits_after: Some((Duration::from_millis(700), 1)), ..Behaviour::default() }
            }
        }
    }

    fn bake(self) -> Millis {
        if self == Self::DieWhileTheyBake { Millis(1200) } else { Millis(0) }
    }
}

impl Scenario {
    fn spec(self, version: &str, replicas: u32) -> Spec {
        self.way.spec(version, replicas, self.new_ones.bake())
    }

    async fn begin(self) -> Stage {
        // Nothing here depends on how often somebody looks without being asked, but the time that the tests take does.
        let every = Duration::from_secs(10);
        let tuning = Tuning { poll_every: every, cancel_poll: every, router_poll: every, ..Tuning::default() };
        let mut stage = Stage::tuned(World::default(), tuning);
        if self.verb != Verb::Install {
            stage.install(self.spec("1", 2)).await;
        }
        if self.verb == Verb::Rollback {
            assert_eq!(stage.rollout(Verb::Upgrade, self.spec("2", 2)).await.1, Phase::Succeeded);
        }
        stage.world.platform.behave("2", self.new_ones.behaviour());
        stage
    }

    fn intent(self) -> Intent {
        match self.verb {
            Verb::Install | Verb::Rollback => Intent::new(self.verb, self.spec("1", 2)),
            Verb::Upgrade => Intent::new(self.verb, self.spec("2", 2)),
            // More of what is routed, none of the other.
            Verb::Scale => {
                let mut spec = self.spec("1", 3);
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
    let readable = !matches!(fault, Some((_, Fault::Scribble)));
    assert_eq!(stage.world.violations(), [""; 0]);
    let stored = stage.world.store.release(release);
    if phase == Phase::Succeeded {
        assert_eq!(serving, scenario.reached());
        assert_eq!(stored.serving, stage.world.store.rollout(rollout).to);
    } else {
        if readable || scenario.way != Way::Rolling {
            assert_eq!(serving, before, "{phase:?}");
        } else {
            // Whose last instance was being taken away is not brought back: its successor goes on.
            let apps = |all: &[(String, u64)]| all.iter().map(|(app, _)| app.clone()).collect::<Vec<_>>();
            assert_eq!(apps(&serving), apps(&before), "{phase:?}");
        }
        assert_eq!(stored.serving, stage.world.store.rollout(rollout).from);
        // Of one that cannot be read there may have been nobody to keep it.
        assert!(!readable || stage.world.store.bundle_of(rollout).is_some(), "the evidence is kept");
    }
    let steps = stage.world.store.rollout(rollout).plan.map(|plan| plan.steps).unwrap_or_default();
    let hooks = steps.iter().filter(|step| step.action.name() == "run-hook").count();
    assert!(!readable || stage.world.platform.hooks_started() <= hooks_before + hooks, "a hook runs at most once");
    let mut before = None;
    for event in stage.world.store.events() {
        assert!(event.follows(before.as_ref()), "the chain of events holds");
        before = Some(event);
    }
    (phase, calls)
}

/// Every call of the scenario, broken in every way.
async fn enumerate(scenario: Scenario) {
    let works = scenario.new_ones == New::Work;
    let (phase, calls) = play(scenario, None).await;
    assert_eq!(phase == Phase::Succeeded, works, "{scenario:?} without any fault: {phase:?}");
    let all = calls.len();
    // The way there is broken where it succeeds; here it is the way back that matters.
    let turns_back = calls.iter().position(|call| call.detail == "undoing").unwrap_or(0);
    // One that was recreated is not there any more, and without a record nobody knows what it was.
    if works && scenario.way != Way::Recreate {
        for call in chosen(&calls) {
            println!("{scenario:?}: unreadable after call {call} of {all}, {:?}", calls[call]);
            Box::pin(play(scenario, Some((call, Fault::Scribble)))).await;
        }
    }
    // A rollback is an upgrade to what was there before: what matters is that it is found again after a crash.
    let faults = if scenario.verb == Verb::Rollback { &FAULTS[3..] } else { &FAULTS[..] };
    for fault in faults.iter().copied() {
        for call in chosen(&calls).into_iter().filter(|call| *call >= turns_back) {
            // Named first, so that a failed assertion tells which one it was.
            println!("{scenario:?}: {fault:?} at call {call} of {all}, {:?}", calls[call]);
            let (phase, _) = Box::pin(play(scenario, Some((call, fault)))).await;
            let passes = matches!(fault, Fault::Fail(ErrorKind::Transient) | Fault::LoseAnswer | Fault::TakeLease);
            assert!(!passes || (phase == Phase::Succeeded) == works, "what passes makes no difference: {phase:?}");
            assert!(works || phase != Phase::Succeeded, "what does not work does not succeed");
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
    ($($name:ident: $verb:ident $way:ident $new:ident;)*) => {$(
        #[test]
        fn $name() {
            let scenario = Scenario { verb: Verb::$verb, way: Way::$way, new_ones: New::$new };
            // A runtime for each, so that they run side by side.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
            runtime.expect("a runtime").block_on(enumerate(scenario));
        }
    )*};
}

scenarios! {
    an_install_survives_everything: Install BlueGreen Work;
    a_blue_green_upgrade_survives_everything: Upgrade BlueGreen Work;
    a_recreating_upgrade_survives_everything: Upgrade Recreate Work;
    a_rolling_upgrade_survives_everything: Upgrade Rolling Work;
    a_canary_upgrade_survives_everything: Upgrade Canary Work;
    a_blue_green_rollback_survives_everything: Rollback BlueGreen Work;
    a_recreating_rollback_survives_everything: Rollback Recreate Work;
    a_rolling_rollback_survives_everything: Rollback Rolling Work;
    a_canary_rollback_survives_everything: Rollback Canary Work;
    a_scale_survives_everything: Scale BlueGreen Work;
    a_scale_under_rolling_survives_everything: Scale Rolling Work;
    a_delete_survives_everything: Delete BlueGreen Work;
    a_blue_green_way_back_survives_everything: Upgrade BlueGreen DieWhileTheyBake;
    a_recreating_way_back_survives_everything: Upgrade Recreate DieWhileTheyBake;
    a_rolling_way_back_survives_everything: Upgrade Rolling DieWhileTheyBake;
    a_canary_way_back_survives_everything: Upgrade Canary DieWhileTheyBake;
    an_early_way_back_survives_everything: Upgrade BlueGreen NeverGetHealthy;
    an_early_recreating_way_back_survives_everything: Upgrade Recreate NeverGetHealthy;
}
