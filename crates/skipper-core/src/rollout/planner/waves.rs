//! The steps up to the point of no return, place by place.
//!
//! 1. Places that are there come first, in the order of what they depend on and of their names; those that are away come last, and
//!    in waves of their own, so that nobody waits for them who could go on.
//! 2. Sizes are taken from the terms, and cut down to what may be unavailable beside what is so already.
//! 3. Within a wave everything is fetched, what converges by itself begins side by side, and then each is waited for, gets its
//!    requests, and is watched. Only then the next wave begins.

use std::collections::{BTreeMap, BTreeSet};

use super::{Builder, PlanError, PlanInput, app::Mover, bake};
use crate::{
    deployment::DeploymentId,
    name::AppName,
    rollout::{
        plan::Action,
        waves::{Wave, Waves},
    },
    spec::{OnFailure, Portion, Spec, Target, WaveTerms},
};

/// Which places change together, in their order.
#[derive(Debug)]
pub(super) struct Sorted {
    on_failure: OnFailure,
    most: Option<usize>,
    waves: Vec<Vec<Target>>,
    /// From here on the places are away already, so that a change of theirs takes nobody away.
    gone_from: usize,
    /// What serves now of each application, and where.
    serving: BTreeMap<AppName, (Target, DeploymentId)>,
}

/// Puts the places that change into waves. `None` where the spec wants none, or no more than one place changes.
pub(super) fn sorted(
    input: &PlanInput<'_>,
    spec: &Spec,
    movers: &[Mover<'_>],
) -> Result<Option<Sorted>, Vec<PlanError>> {
    let Some(terms) = &spec.waves else { return Ok(None) };
    let changed: BTreeSet<Target> = movers.iter().map(|mover| mover.app().target.place()).collect();
    if changed.len() < 2 {
        return Ok(None);
    }
    let serving = input.current.iter().filter(|live| live.weight > 0).map(|live| {
        let deployment = &live.deployment;
        (deployment.app.name.clone(), (deployment.target().place(), deployment.id.clone()))
    });
    let serving: BTreeMap<_, _> = serving.collect();
    let all: BTreeSet<Target> = spec
        .applications
        .iter()
        .map(|app| app.target.place())
        .chain(serving.values().map(|(place, _)| place.clone()))
        .collect();
    let away: BTreeSet<Target> = input.unavailable.intersection(&all).cloned().collect();
    let most = terms.max_unavailable.map(|portion| portion.count(all.len()));
    let (here, gone): (Vec<Target>, Vec<Target>) =
        in_order(spec, &changed).into_iter().partition(|p| !away.contains(p));
    let mut room = most;
    if let Some(most) = most {
        let left = most.saturating_sub(away.len());
        if left == 0 && !here.is_empty() {
            let away = away.iter().map(Target::place_name).collect();
            return Err(vec![PlanError::NoRoom { most, of: all.len(), away }]);
        }
        room = Some(left);
    }
    let mut sizes = Sizes::of(terms, changed.len());
    let mut waves = sizes.cut(here, room);
    let gone_from = waves.len();
    waves.extend(sizes.cut(gone, most));
    check_order(movers, &waves)?;
    Ok(Some(Sorted { on_failure: terms.on_failure, most, waves, gone_from, serving }))
}

/// Places by the depth of what they depend on, then by name.
fn in_order(spec: &Spec, changed: &BTreeSet<Target>) -> Vec<Target> {
    let groups = spec.start_order().unwrap_or_default();
    let level: BTreeMap<&AppName, usize> =
        groups.iter().enumerate().flat_map(|(level, names)| names.iter().map(move |name| (name, level))).collect();
    let mut depth: BTreeMap<Target, usize> = BTreeMap::new();
    for app in &spec.applications {
        let depth = depth.entry(app.target.place()).or_default();
        *depth = (*depth).max(level.get(&app.name).copied().unwrap_or_default());
    }
    let mut places: Vec<Target> = changed.iter().cloned().collect();
    places.sort_by_key(|place| (depth.get(place).copied(), place.clone()));
    places
}

/// The sizes of waves, one after the other.
struct Sizes<'a> {
    sizes: std::slice::Iter<'a, Portion>,
    last: Portion,
    of: usize,
}

impl<'a> Sizes<'a> {
    fn of(terms: &'a WaveTerms, of: usize) -> Self {
        // Who only says what may be unavailable means waves of that size.
        let last = if terms.max_unavailable.is_some() { Portion::Rest } else { Portion::Count(1) };
        Self { sizes: terms.waves.iter(), last, of }
    }

    /// Waves of the next sizes, none larger than `room`.
    fn cut(&mut self, places: Vec<Target>, room: Option<usize>) -> Vec<Vec<Target>> {
        let mut waves = Vec::new();
        let mut left = places.into_iter().peekable();
        while left.peek().is_some() {
            if let Some(next) = self.sizes.next() {
                self.last = *next;
            }
            let mut size = self.last.count(self.of);
            // A size that there is no room for makes several waves, and not a smaller step on the way.
            while size > 0 && left.peek().is_some() {
                let wave: Vec<Target> = left.by_ref().take(room.map_or(size, |room| size.min(room).max(1))).collect();
                size = size.saturating_sub(wave.len());
                waves.push(wave);
            }
        }
        waves
    }
}

/// Nothing may begin before what it depends on, where both change.
fn check_order(movers: &[Mover<'_>], waves: &[Vec<Target>]) -> Result<(), Vec<PlanError>> {
    let wave_of = |mover: &Mover<'_>| {
        let place = mover.app().target.place();
        waves.iter().position(|wave| wave.contains(&place))
    };
    let mut errors = Vec::new();
    for mover in movers {
        let app = mover.app();
        let needed = movers.iter().filter(|other| app.depends_on.contains(other.name()));
        for needs in needed.filter(|needs| wave_of(needs) > wave_of(mover)) {
            errors.push(PlanError::WaveOrder {
                app: app.name.clone(),
                place: app.target.place_name(),
                needs: needs.name().clone(),
            });
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// The steps, wave by wave.
pub(super) fn advance(sorted: &Sorted, movers: &[Mover<'_>], builder: &mut Builder) {
    let mut waves = Vec::with_capacity(sorted.waves.len());
    let mut serving = sorted.serving.clone();
    for (number, places) in sorted.waves.iter().enumerate() {
        let from = count(builder.steps.len());
        let own: Vec<&Mover<'_>> = movers.iter().filter(|m| places.contains(&m.app().target.place())).collect();
        if let (Some(most), Some(first), true) = (sorted.most, own.first(), number < sorted.gone_from) {
            let elsewhere = serving.values().filter(|(place, _)| !places.contains(place));
            let deployments: Vec<DeploymentId> = elsewhere.map(|(_, id)| id.clone()).collect();
            if !deployments.is_empty() {
                let most = count(most.saturating_sub(places.len()));
                builder.push(first.app(), Action::Gate { deployments, most });
            }
        }
        for mover in &own {
            mover.fetch(builder);
        }
        if places.len() > 1 {
            own.iter().for_each(|mover| mover.begin(builder));
        }
        for mover in &own {
            mover.bring_up(builder);
            mover.shift(builder);
        }
        bake(own.iter().copied(), builder);
        waves.push(Wave { from, to: count(builder.steps.len()), places: places.clone() });
        for mover in own {
            serving.insert(mover.name().clone(), (mover.app().target.place(), mover.id().clone()));
        }
    }
    builder.waves = Some(Box::new(Waves { on_failure: sorted.on_failure, most: sorted.most.map(count), waves }));
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
