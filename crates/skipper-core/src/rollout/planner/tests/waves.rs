//! Rollouts in waves, played through with places that turn out bad.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, option, prelude::*, sample::subsequence};

use super::inputs::{application_on, live, release, target};
use crate::{
    deployment::{DeploymentId, Live},
    name::{AppName, ReleaseName, TenantName},
    port::Capabilities,
    rollout::{
        Next, Plan, Progress, StepOutcome, StepRecord, StepState,
        plan::Action,
        planner::{PlanError, PlanInput, plan},
        waves::Records,
    },
    secret::SecretVersions,
    spec::{OnFailure, Portion, Spec, Target, WaveTerms},
    time::Timestamp,
};

/// A tenant on many nodes.
#[derive(Debug, Clone)]
struct Fleet {
    /// Of each node: what it runs now, and what it is to run; `None` where nothing.
    nodes: Vec<(Option<u8>, Option<u8>)>,
    away: Vec<usize>,
    bad: Vec<usize>,
    terms: WaveTerms,
    converges: bool,
}

fn node(number: usize) -> Target {
    target(&format!("node:n{number:02}"))
}

fn name(number: usize) -> AppName {
    AppName::new(format!("n{number:02}")).expect("valid")
}

impl Fleet {
    fn input(&self) -> (Vec<Live>, Spec) {
        let app = |number: usize, version: u8| application_on(&name(number), &node(number), version);
        let nodes = || self.nodes.iter().enumerate();
        let current = nodes().filter_map(|(n, (had, _))| Some(live(app(n, (*had)?), 1))).collect();
        let mut spec = Spec::new(nodes().filter_map(|(n, (_, want))| Some(app(n, (*want)?))).collect());
        spec.waves = Some(Box::new(self.terms.clone()));
        (current, spec)
    }

    fn plan(&self) -> Result<Plan, Vec<PlanError>> {
        let (current, spec) = self.input();
        let can = Capabilities { schemes: vec!["file".into()], converges: self.converges, ..Capabilities::default() };
        plan(&PlanInput {
            release: release(),
            release_name: &ReleaseName::new("shop").expect("valid"),
            tenant: &TenantName::default_tenant(),
            current: &current,
            target: Some((9, &spec)),
            secrets: &SecretVersions::default(),
            capabilities: &(0..self.nodes.len()).map(|n| (node(n), can.clone())).collect(),
            unavailable: &self.away.iter().map(|n| node(*n)).collect(),
        })
    }
}

fn any_fleet() -> impl Strategy<Value = Fleet> {
    (2usize..14).prop_flat_map(|count| {
        let all: Vec<usize> = (0..count).collect();
        let portion = prop_oneof![(1u32..6).prop_map(Portion::Count), (1u8..=100).prop_map(Portion::Percent)];
        let size = prop_oneof![4 => portion.clone(), 1 => Just(Portion::Rest)];
        let on_failure = prop_oneof![Just(OnFailure::Stop), Just(OnFailure::RollBack), Just(OnFailure::Continue)];
        let terms = (vec(size, 0..4), option::of(portion), on_failure)
            .prop_map(|(waves, max_unavailable, on_failure)| WaveTerms { waves, max_unavailable, on_failure });
        let runs = (option::weighted(0.8, 1u8..3), option::weighted(0.9, 1u8..3));
        let some = subsequence(all.clone(), 0..=count / 3);
        (vec(runs, count), some.clone(), some, terms, any::<bool>()).prop_map(
            |(mut nodes, away, bad, terms, converges)| {
                // Where nothing is wanted at all there is no release.
                nodes[0].1 = Some(2);
                Fleet { nodes, away, bad, terms, converges }
            },
        )
    })
}

/// The log of a rollout that is played through, and who was touched.
#[derive(Debug, Default)]
struct Played {
    records: Records,
    /// Places on their way, at each moment.
    moments: Vec<BTreeSet<Target>>,
    end: Option<Next>,
}

fn play(fleet: &Fleet, plan: &Plan) -> Played {
    let mut played = Played::default();
    let bad: BTreeSet<Target> = fleet.bad.iter().map(|n| node(*n)).collect();
    // Each step is carried out or taken back once.
    for _ in 0..=plan.steps.len() * 2 {
        let next = plan.next_in_waves(&played.records).expect("a plan with waves");
        let (index, state) = match next {
            Next::Step(index) => {
                let step = &plan.steps[index as usize];
                let breaks = bad.contains(&step.target.place()) && matches!(step.action, Action::AwaitHealthy { .. });
                (index, if breaks { StepState::Failed } else { StepState::Done })
            }
            Next::TakeBack(index) => (index, StepState::Undone),
            end => {
                played.end = Some(end);
                return played;
            }
        };
        let at = Timestamp::default();
        let outcome = StepOutcome::default();
        played.records.insert(index, StepRecord { index, state, started_at: at, updated_at: at, outcome });
        let progress = plan.progress(&played.records);
        let moving = |p: &Progress| matches!(p, Progress::Updating | Progress::GoingBack);
        played.moments.push(progress.into_iter().filter(|(_, p)| moving(p)).map(|(place, _)| place).collect());
    }
    played
}

proptest! {
    #[test]
    fn no_more_places_are_unavailable_than_may_be_and_every_place_ends_in_one_state(fleet in any_fleet()) {
        let planned = fleet.plan();
        let (current, spec) = fleet.input();
        let away: BTreeSet<Target> = fleet.away.iter().map(|n| node(*n)).collect();
        let known: BTreeSet<Target> = current.iter().map(|l| l.deployment.target().clone()).chain(spec.applications.iter().map(|a| a.target.clone())).collect();
        let away: BTreeSet<Target> = away.intersection(&known).cloned().collect();
        let most = fleet.terms.max_unavailable.map(|portion| portion.count(known.len()));
        let plan = match planned {
            Ok(plan) => plan,
            Err(errors) => {
                let no_room = matches!(&errors[..], [PlanError::NoRoom { .. }]);
                prop_assert!(no_room && most.is_some_and(|most| away.len() >= most), "{errors:?}");
                return Ok(());
            }
        };
        prop_assert_eq!(&fleet.plan().expect("again"), &plan, "it is deterministic");
        let Some(waves) = &plan.waves else { return Ok(()) };
        // Together the waves are the steps before the commit, without gap.
        let mut at = 0;
        for wave in &waves.waves {
            prop_assert_eq!(wave.from, at);
            prop_assert!(wave.to > wave.from && !wave.places.is_empty());
            at = wave.to;
        }
        prop_assert_eq!(at, plan.commit);
        let placed: Vec<&Target> = waves.waves.iter().flat_map(|wave| &wave.places).collect();
        let unique: BTreeSet<&Target> = placed.iter().copied().collect();
        prop_assert_eq!(placed.len(), unique.len(), "each place has one wave");
        if let Some(at) = placed.iter().position(|place| away.contains(*place)) {
            prop_assert!(placed[at..].iter().all(|place| away.contains(*place)), "those that are away come last");
        }
        let played = play(&fleet, &plan);
        for moving in &played.moments {
            let unavailable = moving.union(&away).count();
            let limit = most.map_or(usize::MAX, |most| most.max(away.len()));
            prop_assert!(unavailable <= limit, "{moving:?} of {limit}");
            let wave = waves.waves.iter().find(|wave| moving.iter().any(|place| wave.places.contains(place)));
            prop_assert!(wave.is_none_or(|wave| moving.iter().all(|place| wave.places.contains(place))), "one wave at a time");
        }
        let progress = plan.progress(&played.records);
        let met_bad = fleet.bad.iter().any(|n| placed.contains(&&node(*n)));
        match played.end {
            Some(Next::Commit) => {
                prop_assert!(!met_bad);
                prop_assert!(placed.iter().all(|place| progress[*place] == Progress::Updated));
            }
            Some(Next::Broken(index)) => {
                prop_assert!(met_bad);
                let bad = plan.steps[index as usize].target.clone();
                let first = waves.waves.iter().position(|wave| wave.places.contains(&bad)).expect("it has a wave");
                for (number, wave) in waves.waves.iter().enumerate() {
                    for place in &wave.places {
                        let is_bad = fleet.bad.iter().any(|n| node(*n) == *place);
                        let now = progress[place];
                        match fleet.terms.on_failure {
                            OnFailure::RollBack => {}
                            _ if number < first => prop_assert_eq!(now, Progress::Updated),
                            OnFailure::Stop if number > first => prop_assert_eq!(now, Progress::NotBegun),
                            _ if is_bad => prop_assert!(matches!(now, Progress::WentBack | Progress::NotBegun), "{place}: {now:?}"),
                            _ => prop_assert!(matches!(now, Progress::Updated | Progress::NotBegun | Progress::WentBack), "{place}: {now:?}"),
                        }
                    }
                }
            }
            other => prop_assert!(false, "it does not end: {other:?}"),
        }
    }

    #[test]
    fn what_was_stopped_is_converged_by_planning_the_same_again(fleet in any_fleet()) {
        let fleet = Fleet { away: Vec::new(), terms: WaveTerms { on_failure: OnFailure::Stop, ..fleet.terms }, ..fleet };
        let Ok(plan) = fleet.plan() else { return Ok(()) };
        if plan.waves.is_none() {
            return Ok(());
        }
        let played = play(&fleet, &plan);
        let progress = plan.progress(&played.records);
        let mended = Fleet {
            nodes: fleet.nodes.iter().enumerate().map(|(n, (had, want))| {
                let reached = progress.get(&node(n)) == Some(&Progress::Updated);
                (if reached { *want } else { *had }, *want)
            }).collect(),
            bad: Vec::new(),
            ..fleet.clone()
        };
        let again = mended.plan().expect("it can be planned");
        for (place, progress) in &progress {
            let touched = again.steps.iter().any(|step| step.target == *place);
            prop_assert_eq!(touched, *progress != Progress::Updated, "{}: {:?}", place, progress);
        }
    }
}

fn waves(plan: &Plan) -> Vec<String> {
    let names = |places: &[Target]| places.iter().map(Target::place_name).collect::<Vec<_>>().join(" ");
    plan.waves.iter().flat_map(|waves| &waves.waves).map(|wave| names(&wave.places)).collect()
}

fn fleet(count: usize, terms: &str) -> Fleet {
    Fleet {
        nodes: vec![(Some(1), Some(2)); count],
        away: Vec::new(),
        bad: Vec::new(),
        terms: serde_json::from_str(terms).expect("terms"),
        converges: true,
    }
}

#[test]
fn sizes_are_followed_and_the_last_one_is_repeated() {
    let of = |count, terms: &str| waves(&fleet(count, terms).plan().expect("a plan"));
    assert_eq!(of(3, "{}"), ["n00", "n01", "n02"]);
    assert_eq!(of(6, r#"{"waves": [1, "50%", "rest"]}"#), ["n00", "n01 n02 n03", "n04 n05"]);
    assert_eq!(of(5, r#"{"waves": [1, 2]}"#), ["n00", "n01 n02", "n03 n04"]);
    assert_eq!(of(5, r#"{"max_unavailable": 2}"#), ["n00 n01", "n02 n03", "n04"]);
    assert_eq!(of(6, r#"{"waves": [1, "rest"], "max_unavailable": "34%"}"#), ["n00", "n01 n02", "n03 n04", "n05"]);
    assert_eq!(of(1, "{}"), <[&str; 0]>::default(), "one place needs no waves");
}

#[test]
fn who_is_away_takes_from_what_may_be_unavailable_and_comes_last() {
    let mut away = fleet(5, r#"{"max_unavailable": 2}"#);
    away.away = vec![1];
    assert_eq!(waves(&away.plan().expect("a plan")), ["n00", "n02", "n03", "n04", "n01"]);
    away.away = vec![1, 3];
    let refused = away.plan().expect_err("no room");
    assert_eq!(
        refused[0].to_string(),
        "at most 2 of 5 nodes may be unavailable at a time, and 2 are already: n01, n03; mend them or allow more"
    );
    let mut usual = fleet(3, "{}");
    usual.away = vec![0];
    assert_eq!(waves(&usual.plan().expect("a plan")), ["n01", "n02", "n00"]);
}

#[test]
fn a_wave_begins_everywhere_before_anybody_is_waited_for() {
    let plan = fleet(3, r#"{"waves": [1, "rest"], "max_unavailable": 2}"#).plan().expect("a plan");
    let ids: BTreeMap<DeploymentId, String> =
        plan.deployments.iter().map(|d| (d.id.clone(), format!("{}@{}", d.app.name, d.revision))).collect();
    let steps: Vec<String> = plan
        .steps
        .iter()
        .filter(|step| !matches!(step.action, Action::Fetch { .. } | Action::Shift { .. }))
        .map(|step| {
            ids.iter()
                .fold(format!("{}: {}", step.app, step.action), |text, (id, short)| text.replace(id.as_str(), short))
        })
        .collect();
    assert_eq!(
        steps,
        [
            "n00: wait until at most 1 elsewhere are away or not healthy",
            "n00: apply n00@9",
            "n00: await healthy n00@9 [0]",
            "n01: wait until at most 0 elsewhere are away or not healthy",
            "n01: begin n01@9",
            "n02: begin n02@9",
            "n01: apply n01@9",
            "n01: await healthy n01@9 [0]",
            "n02: apply n02@9",
            "n02: await healthy n02@9 [0]",
        ]
    );
}

#[test]
fn an_application_never_begins_before_what_it_depends_on() {
    let (current, mut spec) = fleet(3, "{}").input();
    spec.applications[0].depends_on = vec![name(2)];
    let can = Capabilities { schemes: vec!["file".into()], ..Capabilities::default() };
    let plan_with = |away: &BTreeSet<Target>| {
        plan(&PlanInput {
            release: release(),
            release_name: &ReleaseName::new("shop").expect("valid"),
            tenant: &TenantName::default_tenant(),
            current: &current,
            target: Some((9, &spec)),
            secrets: &SecretVersions::default(),
            capabilities: &(0..3).map(|n| (node(n), can.clone())).collect(),
            unavailable: away,
        })
    };
    assert_eq!(waves(&plan_with(&BTreeSet::new()).expect("a plan")), ["n01", "n02", "n00"]);
    let refused = plan_with(&[node(2)].into()).expect_err("what it needs is away");
    assert!(matches!(&refused[..], [PlanError::WaveOrder { .. }]), "{refused:?}");
}
