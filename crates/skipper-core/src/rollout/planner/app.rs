//! The steps of one application, by strategy.

use super::{Builder, PlanInput, all};
use crate::{
    deployment::{Deployment, DeploymentId, Live},
    name::{AppName, SecretName},
    port::Capabilities,
    rollout::plan::{Action, HookPoint, Instances, Notice, Weight},
    secret::SecretVersions,
    spec::{Application, CanaryStep, RecreateReason, Route, Strategy},
    time::Millis,
};

/// What has to happen to one application.
#[derive(Debug)]
enum Move {
    /// A new deployment takes the place of `old`, or of nothing.
    Replace { strategy: Strategy, notice: Option<RecreateReason>, converges: bool },
    /// The deployment stays; instances are added or taken away, or its routes change.
    Adjust { missing: Vec<Instances>, surplus: Vec<Instances> },
}

/// One application that changes.
#[derive(Debug)]
pub(super) struct Mover<'a> {
    app: &'a Application,
    deployment: Deployment,
    old: Option<&'a Live>,
    kind: Move,
}

impl<'a> Mover<'a> {
    /// `None` when the application stays as it is.
    pub(super) fn new(
        input: &PlanInput<'_>,
        revision: u64,
        app: &'a Application,
        old: Option<&'a Live>,
    ) -> Option<Self> {
        let can = input.capabilities.get(&app.target).cloned().unwrap_or_default();
        let mut deployment = Deployment {
            id: DeploymentId::derive(input.release, input.release_name, &app.name, revision),
            release: input.release,
            release_name: input.release_name.clone(),
            tenant: input.tenant.clone(),
            revision,
            app: app.clone(),
            secrets: used(input.secrets, app),
        };
        if let Some(live) = old
            && live.deployment.app.edition() == app.edition()
            && live.deployment.secrets == deployment.secrets
        {
            let missing = ranges((0..app.replicas).filter(|index| !live.instances.contains(index)));
            let surplus = ranges(sorted(&live.instances).into_iter().filter(|index| *index >= app.replicas));
            let same_number = missing.is_empty() && surplus.is_empty();
            if same_number && live.deployment.app.routes == app.routes {
                return None;
            }
            // A platform that converges is handed the whole deployment again, so another number is another deployment.
            if same_number || !can.converges {
                deployment.id = live.deployment.id.clone();
                deployment.revision = live.deployment.revision;
                return Some(Self { app, deployment, old, kind: Move::Adjust { missing, surplus } });
            }
        }
        let (strategy, notice) = strategy(app, old, &can);
        Some(Self { app, deployment, old, kind: Move::Replace { strategy, notice, converges: can.converges } })
    }

    /// Its name.
    pub(super) const fn name(&self) -> &AppName {
        &self.app.name
    }

    /// What it is to be.
    pub(super) const fn app(&self) -> &'a Application {
        self.app
    }

    /// The deployment that it comes to.
    pub(super) const fn id(&self) -> &DeploymentId {
        &self.deployment.id
    }

    /// Whether nothing of it serves yet.
    pub(super) const fn is_first(&self) -> bool {
        self.old.is_none()
    }

    pub(super) fn fetch(&self, builder: &mut Builder) {
        builder.name(&self.deployment);
        let Move::Replace { notice, .. } = &self.kind else { return };
        if let Some(old) = self.old {
            builder.name(&old.deployment);
        }
        // Nothing was there before, so nothing asked for a strategy is given up.
        if let (Some(reason), Some(_)) = (notice, self.old) {
            builder.notices.push(Notice { app: self.app.name.clone(), recreate: reason.clone() });
        }
        builder.push(self.app, Action::Fetch { resource: self.app.resource.clone() });
    }

    /// Lets it begin beside others, where its platform converges by itself and nothing has to come before.
    pub(super) fn begin(&self, builder: &mut Builder) {
        if matches!(self.kind, Move::Replace { converges: true, .. }) && self.app.hooks.before_launch.is_none() {
            let previous = self.converged_from().map(|live| live.deployment.id.clone());
            builder.push(self.app, Action::Begin { deployment: self.deployment.id.clone(), previous });
        }
    }

    pub(super) fn bring_up(&self, builder: &mut Builder) {
        match &self.kind {
            Move::Adjust { missing, .. } => {
                for range in missing {
                    builder.launch(&self.deployment, *range, false);
                }
            }
            Move::Replace { converges: true, .. } => {
                self.hook(HookPoint::BeforeLaunch, builder);
                let previous = self.converged_from().map(|live| live.deployment.id.clone());
                builder.push(self.app, Action::Apply { deployment: self.deployment.id.clone(), previous });
                let instances = Instances::first(self.app.replicas);
                if !instances.is_empty() {
                    let deployment = self.deployment.id.clone();
                    builder.push(self.app, Action::AwaitHealthy { deployment, instances });
                }
            }
            Move::Replace { strategy, .. } => {
                self.hook(HookPoint::BeforeLaunch, builder);
                match (strategy, self.old) {
                    (Strategy::Recreate { .. }, Some(old)) => self.recreate(old, builder),
                    (Strategy::Rolling { batch, .. }, Some(old)) => self.roll(old, *batch, builder),
                    _ => builder.launch(&self.deployment, Instances::first(self.app.replicas), true),
                }
            }
        }
    }

    /// The old one goes first; its requests wait at the edge.
    fn recreate(&self, old: &Live, builder: &mut Builder) {
        let held = old.deployment.app.is_routed().then_some(self.app.bounds.hold);
        let (from, routes) = (all(&old.deployment.id), old.deployment.app.routes.clone());
        if let Some(bound) = held {
            let hold = Action::Hold { bound, from: from.clone(), routes: routes.clone() };
            builder.push(self.app, hold);
        }
        for range in running(old) {
            // Not the last word on the old one: the undo may need its folders and claims.
            builder.retire(&old.deployment, range, false);
        }
        builder.launch(&self.deployment, Instances::first(self.app.replicas), true);
        self.hook(HookPoint::BeforeShift, builder);
        self.push_shift(from, all(&self.deployment.id), routes, held, builder);
        self.verify(builder);
        self.hook(HookPoint::AfterShift, builder);
    }

    /// A batch of new ones comes up, then as many old ones go.
    fn roll(&self, old: &Live, batch: u32, builder: &mut Builder) {
        let old_instances = sorted(&old.instances);
        let new_count = self.app.replicas;
        let old_count = u32::try_from(old_instances.len()).unwrap_or(u32::MAX);
        let batch = batch.max(1);
        let mut weights = all(&old.deployment.id);
        let mut routes = old.deployment.app.routes.clone();
        let (mut at, mut seen) = (0, 0);
        while at < new_count.max(old_count).max(1) {
            let next = at.saturating_add(batch);
            let launched = Instances { from: at.min(new_count), to: next.min(new_count) };
            builder.launch(&self.deployment, launched, at == 0);
            if at == 0 {
                self.hook(HookPoint::BeforeShift, builder);
            }
            let (new_up, old_left) = (next.min(new_count), old_count.saturating_sub(next));
            let everything_moves = next >= new_count.max(old_count);
            let share = if everything_moves { 100 } else { percent(new_up, new_up + old_left) };
            let to = split(&self.deployment.id, share, &old.deployment.id);
            if to != weights || routes != self.app.routes {
                let from = std::mem::replace(&mut weights, to.clone());
                self.push_shift(from, to, routes, None, builder);
                routes = self.app.routes.clone();
            }
            // Seen to answer before the first old one goes, and again when it has everything.
            if share > 0 && (seen == 0 || everything_moves) && seen != share {
                self.verify(builder);
                seen = share;
            }
            let from = usize::try_from(at).unwrap_or(usize::MAX).min(old_instances.len());
            let to = usize::try_from(next).unwrap_or(usize::MAX).min(old_instances.len());
            for range in ranges(old_instances[from..to].iter().copied()) {
                builder.retire(&old.deployment, range, false);
            }
            at = next;
        }
        self.hook(HookPoint::AfterShift, builder);
    }

    pub(super) fn shift(&self, builder: &mut Builder) {
        match (&self.kind, self.old) {
            (
                Move::Replace {
                    strategy: Strategy::Recreate { .. } | Strategy::Rolling { .. }, converges: false, ..
                },
                Some(_),
            ) => {}
            (Move::Replace { strategy, .. }, old) => {
                self.hook(HookPoint::BeforeShift, builder);
                let judged = self.app.is_routed() && self.app.replicas > 0 && self.converged_from().is_none();
                if let (Strategy::Canary { steps, .. }, Some(old), true) = (strategy, old, judged) {
                    self.canary(steps, old, builder);
                } else {
                    self.shift_all(builder);
                }
            }
            (Move::Adjust { missing, .. }, _) => {
                let rerouted = self.routes_before() != self.app.routes;
                if rerouted {
                    let weights = all(&self.deployment.id);
                    self.push_shift(weights.clone(), weights, self.routes_before(), None, builder);
                }
                if rerouted || !missing.is_empty() {
                    self.verify(builder);
                }
            }
        }
    }

    fn canary(&self, steps: &[CanaryStep], old: &Live, builder: &mut Builder) {
        let mut weights = all(&old.deployment.id);
        let mut routes = self.routes_before();
        for step in steps.iter().filter(|s| (1..100).contains(&s.weight)) {
            let to = split(&self.deployment.id, step.weight, &old.deployment.id);
            self.push_shift(std::mem::replace(&mut weights, to.clone()), to, routes, None, builder);
            routes = self.app.routes.clone();
            let deployment = self.deployment.id.clone();
            builder.push(self.app, Action::Bake { deployment, span: step.bake, judge: true });
        }
        self.push_shift(weights, all(&self.deployment.id), routes, None, builder);
        self.verify(builder);
        self.hook(HookPoint::AfterShift, builder);
    }

    fn shift_all(&self, builder: &mut Builder) {
        let from = self.old.map(|live| all(&live.deployment.id)).unwrap_or_default();
        self.push_shift(from, all(&self.deployment.id), self.routes_before(), None, builder);
        self.verify(builder);
        self.hook(HookPoint::AfterShift, builder);
    }

    fn push_shift(
        &self,
        from: Vec<Weight>,
        to: Vec<Weight>,
        routes_from: Vec<Route>,
        held: Option<Millis>,
        builder: &mut Builder,
    ) {
        builder.push(self.app, Action::Shift { from, to, routes_from, routes: self.app.routes.clone(), held });
    }

    fn verify(&self, builder: &mut Builder) {
        if self.app.is_routed() && self.app.replicas > 0 {
            builder.push(self.app, Action::Verify { deployment: self.deployment.id.clone() });
        }
    }

    fn hook(&self, point: HookPoint, builder: &mut Builder) {
        let hooks = &self.app.hooks;
        let hook = match point {
            HookPoint::BeforeLaunch => &hooks.before_launch,
            HookPoint::BeforeShift => &hooks.before_shift,
            HookPoint::AfterShift => &hooks.after_shift,
        };
        if let Some(hook) = hook.clone() {
            builder.push(self.app, Action::RunHook { deployment: self.deployment.id.clone(), point, hook });
        }
    }

    /// What a converging platform turns into the new deployment: only what it holds itself.
    fn converged_from(&self) -> Option<&'a Live> {
        let converges = matches!(self.kind, Move::Replace { converges: true, .. });
        self.old.filter(|old| converges && old.deployment.app.target == self.app.target)
    }

    /// How long the application wants to be watched.
    pub(super) fn bake(&self) -> Millis {
        match &self.kind {
            Move::Replace { strategy, .. } if self.app.replicas > 0 => strategy.bake(),
            _ => Millis(0),
        }
    }

    pub(super) fn watch(&self, span: Millis, builder: &mut Builder) {
        builder.push(self.app, Action::Bake { deployment: self.deployment.id.clone(), span, judge: false });
    }

    pub(super) fn clear_away(&self, builder: &mut Builder) {
        match (&self.kind, self.old) {
            (_, None) => {}
            // The platform has turned the old one into the new one: nothing of it is left.
            (Move::Replace { .. }, Some(_)) if self.converged_from().is_some() => {}
            // Its instances are gone already; what is left are folders and claims.
            (
                Move::Replace {
                    strategy: Strategy::Recreate { .. } | Strategy::Rolling { .. }, converges: false, ..
                },
                Some(old),
            ) => builder.retire(&old.deployment, Instances::first(0), true),
            (Move::Replace { .. }, Some(old)) => retire_all(old, builder),
            (Move::Adjust { surplus, .. }, Some(_)) => {
                for range in surplus {
                    builder.retire(&self.deployment, *range, false);
                }
            }
        }
    }

    fn routes_before(&self) -> Vec<Route> {
        self.old.map(|live| live.deployment.app.routes.clone()).unwrap_or_default()
    }
}

/// Gives up an application that the target does not have.
pub(super) fn take_away(live: &Live, builder: &mut Builder) {
    builder.name(&live.deployment);
    if live.deployment.app.is_routed() {
        builder.push(&live.deployment.app, Action::Unroute);
    }
    retire_all(live, builder);
}

/// Takes away all there is of a deployment, its folders last.
fn retire_all(live: &Live, builder: &mut Builder) {
    let ranges = running(live);
    let Some((last, before)) = ranges.split_last() else {
        return builder.retire(&live.deployment, Instances::first(0), true);
    };
    for range in before {
        builder.retire(&live.deployment, *range, false);
    }
    builder.retire(&live.deployment, *last, true);
}

/// The strategy that is followed, with the reason where it is not the one asked for.
fn strategy(app: &Application, old: Option<&Live>, can: &Capabilities) -> (Strategy, Option<RecreateReason>) {
    let (asked, notice) = app.effective_strategy();
    let Some(old) = old.map(|live| &live.deployment.app) else { return (asked, notice) };
    if matches!(asked, Strategy::Recreate { .. }) {
        return (asked, notice);
    }
    let recreate = |reason| (Strategy::Recreate { bake: asked.bake() }, Some(reason));
    // The new one only reads it, but the old one still writes.
    let written = old.volumes.iter().find(|had| !had.read_only && app.volumes.iter().any(|v| v.name == had.name));
    if let Some(volume) = written {
        return recreate(RecreateReason::SingleWriter { volume: volume.name.clone() });
    }
    let taken = |number: Option<u16>| number.is_some() && old.ports.iter().any(|had| had.fixed == number);
    if let Some(port) = app.ports.iter().find(|port| !can.own_network && taken(port.fixed)) {
        return recreate(RecreateReason::FixedPort { port: port.name.clone() });
    }
    (asked, notice)
}

/// What runs, as ranges.
fn running(live: &Live) -> Vec<Instances> {
    ranges(sorted(&live.instances).into_iter())
}

fn sorted(instances: &[u32]) -> Vec<u32> {
    let mut sorted = instances.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    sorted
}

/// Ascending indices as few ranges.
fn ranges(indices: impl Iterator<Item = u32>) -> Vec<Instances> {
    let mut ranges: Vec<Instances> = Vec::new();
    for index in indices {
        match ranges.last_mut() {
            Some(range) if range.to == index => range.to = index.saturating_add(1),
            _ => ranges.push(Instances { from: index, to: index.saturating_add(1) }),
        }
    }
    ranges
}

/// `part` of `whole` in per cent, rounded down.
fn percent(part: u32, whole: u32) -> u8 {
    u8::try_from(u64::from(part) * 100 / u64::from(whole.max(1))).unwrap_or(100)
}

/// `share` per cent to the new one, the rest to the old one.
fn split(new: &DeploymentId, share: u8, old: &DeploymentId) -> Vec<Weight> {
    [(new, share), (old, 100 - share)]
        .into_iter()
        .filter(|(_, weight)| *weight > 0)
        .map(|(deployment, weight)| Weight { deployment: deployment.clone(), weight })
        .collect()
}

/// The versions of the secrets that the application uses.
fn used(versions: &SecretVersions, app: &Application) -> SecretVersions {
    let names: Vec<&SecretName> = app.secrets.iter().map(crate::spec::SecretUse::secret).collect();
    SecretVersions(versions.0.iter().filter(|(name, _)| names.contains(name)).map(|(n, v)| (n.clone(), *v)).collect())
}
