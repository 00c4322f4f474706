//! The steps of one application, by strategy.

use super::{Builder, EDGE_BOUND, PlanInput, SLACK, VERIFY_BOUND, all};
use crate::{
    deployment::{Deployment, DeploymentId, Live},
    name::SecretName,
    rollout::plan::{Action, HookPoint, Instances, Notice, Weight},
    secret::SecretVersions,
    spec::{Application, CanaryStep, Hook, RecreateReason, Route, Strategy},
    time::Millis,
};

/// What has to happen to one application.
#[derive(Debug)]
enum Move {
    /// A new deployment takes the place of `old`, or of nothing.
    Replace { strategy: Strategy, notice: Option<RecreateReason>, converges: bool },
    /// The deployment stays; its number of instances or its routes change.
    Adjust { instances_now: u32 },
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
        let secrets = used(input.secrets, app);
        let mut deployment = Deployment {
            id: DeploymentId::derive(input.release, input.release_name, &app.name, revision),
            release: input.release,
            release_name: input.release_name.clone(),
            tenant: input.tenant.clone(),
            revision,
            app: app.clone(),
            secrets,
        };
        if let Some(live) = old {
            let was = &live.deployment;
            if was.app.edition() == app.edition() && was.secrets == deployment.secrets {
                let instances_now = u32::try_from(live.instances.len()).unwrap_or(u32::MAX);
                if instances_now == app.replicas && was.app.routes == app.routes {
                    return None;
                }
                deployment.id = was.id.clone();
                deployment.revision = was.revision;
                return Some(Self { app, deployment, old, kind: Move::Adjust { instances_now } });
            }
        }
        let (strategy, notice) = app.effective_strategy();
        let converges = input.capabilities.get(&app.target).is_some_and(|c| c.converges);
        Some(Self { app, deployment, old, kind: Move::Replace { strategy, notice, converges } })
    }

    pub(super) fn fetch(&self, builder: &mut Builder) {
        let Move::Replace { notice, .. } = &self.kind else { return };
        builder.name(&self.deployment);
        if let Some(old) = self.old {
            builder.name(&old.deployment);
        }
        // Nothing was there before, so nothing asked for a strategy is given up.
        if let (Some(reason), Some(_)) = (notice, self.old) {
            builder.notices.push(Notice { app: self.app.name.clone(), recreate: reason.clone() });
        }
        builder.push(self.app, Action::Fetch { resource: self.app.resource.clone() }, self.app.bounds.fetch);
    }

    pub(super) fn bring_up(&self, builder: &mut Builder) {
        match &self.kind {
            Move::Adjust { instances_now } => {
                builder.name(&self.deployment);
                builder.launch(&self.deployment, Instances { from: *instances_now, to: self.app.replicas });
            }
            Move::Replace { converges: true, .. } => {
                self.hook(HookPoint::BeforeLaunch, self.app.hooks.before_launch.as_ref(), builder);
                let previous = self.old.map(|live| live.deployment.id.clone());
                let apply = Action::Apply { deployment: self.deployment.id.clone(), previous };
                builder.push(self.app, apply, self.app.bounds.start);
                let instances = Instances::first(self.app.replicas);
                let wait = Action::AwaitHealthy { deployment: self.deployment.id.clone(), instances };
                builder.push(self.app, wait, self.app.bounds.health);
            }
            Move::Replace { strategy, .. } => {
                self.hook(HookPoint::BeforeLaunch, self.app.hooks.before_launch.as_ref(), builder);
                match (strategy, self.old) {
                    (Strategy::Recreate { .. }, Some(old)) => self.recreate(old, builder),
                    (Strategy::Rolling { batch, .. }, Some(old)) => self.roll(old, *batch, builder),
                    _ => builder.launch(&self.deployment, Instances::first(self.app.replicas)),
                }
            }
        }
    }

    /// The old one goes first; its requests wait at the edge.
    fn recreate(&self, old: &Live, builder: &mut Builder) {
        if old.deployment.app.is_routed() {
            let from = all(&old.deployment.id);
            let hold = Action::Hold { bound: self.app.bounds.hold, from, routes: old.deployment.app.routes.clone() };
            builder.push(self.app, hold, EDGE_BOUND);
        }
        // Not the last word on the old one: the undo may need its folders and claims.
        builder.retire(&old.deployment, running(old), false);
        builder.launch(&self.deployment, Instances::first(self.app.replicas));
        self.hook(HookPoint::BeforeShift, self.app.hooks.before_shift.as_ref(), builder);
        self.shift_all(builder);
    }

    /// A batch of new ones comes up, then as many old ones go.
    fn roll(&self, old: &Live, batch: u32, builder: &mut Builder) {
        let (new_count, old_count) = (self.app.replicas, running(old).to);
        let batch = batch.max(1);
        let mut weights = all(&old.deployment.id);
        let mut routes = old.deployment.app.routes.clone();
        let mut at = 0;
        while at < new_count.max(old_count) {
            let next = at.saturating_add(batch);
            builder.launch(&self.deployment, Instances { from: at.min(new_count), to: next.min(new_count) });
            if at == 0 {
                self.hook(HookPoint::BeforeShift, self.app.hooks.before_shift.as_ref(), builder);
            }
            let (new_up, old_left) = (next.min(new_count), old_count.saturating_sub(next));
            let share = u8::try_from(u64::from(new_up) * 100 / u64::from((new_up + old_left).max(1))).unwrap_or(100);
            let to = split(&self.deployment.id, share, &old.deployment.id);
            if to != weights || routes != self.app.routes {
                self.push_shift(std::mem::replace(&mut weights, to.clone()), to, routes, builder);
                routes = self.app.routes.clone();
            }
            builder.retire(&old.deployment, Instances { from: at.min(old_count), to: next.min(old_count) }, false);
            at = next;
        }
        self.verify(builder);
        self.hook(HookPoint::AfterShift, self.app.hooks.after_shift.as_ref(), builder);
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
                self.hook(HookPoint::BeforeShift, self.app.hooks.before_shift.as_ref(), builder);
                if let (Strategy::Canary { steps, .. }, Some(old), true) = (strategy, old, self.app.is_routed()) {
                    self.canary(steps, old, builder);
                } else {
                    self.shift_all(builder);
                }
            }
            (Move::Adjust { instances_now }, _) => {
                let grown = *instances_now < self.app.replicas;
                if grown || self.routes_before() != self.app.routes {
                    let weights = all(&self.deployment.id);
                    self.push_shift(weights.clone(), weights, self.routes_before(), builder);
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
            self.push_shift(std::mem::replace(&mut weights, to.clone()), to, routes, builder);
            routes = self.app.routes.clone();
            let bake = Action::Bake { deployment: self.deployment.id.clone(), span: step.bake, judge: true };
            builder.push(self.app, bake, Millis(step.bake.0 + SLACK.0));
        }
        self.push_shift(weights, all(&self.deployment.id), routes, builder);
        self.verify(builder);
        self.hook(HookPoint::AfterShift, self.app.hooks.after_shift.as_ref(), builder);
    }

    fn shift_all(&self, builder: &mut Builder) {
        let from = self.old.map(|live| all(&live.deployment.id)).unwrap_or_default();
        self.push_shift(from, all(&self.deployment.id), self.routes_before(), builder);
        self.verify(builder);
        self.hook(HookPoint::AfterShift, self.app.hooks.after_shift.as_ref(), builder);
    }

    fn push_shift(&self, from: Vec<Weight>, to: Vec<Weight>, routes_from: Vec<Route>, builder: &mut Builder) {
        let shift = Action::Shift { from, to, routes_from, routes: self.app.routes.clone() };
        builder.push(self.app, shift, EDGE_BOUND);
    }

    fn verify(&self, builder: &mut Builder) {
        if self.app.is_routed() && self.app.replicas > 0 {
            let verify = Action::Verify { deployment: self.deployment.id.clone() };
            builder.push(self.app, verify, VERIFY_BOUND);
        }
    }

    fn hook(&self, point: HookPoint, hook: Option<&Hook>, builder: &mut Builder) {
        if let Some(hook) = hook {
            let run = Action::RunHook { deployment: self.deployment.id.clone(), point, hook: hook.clone() };
            builder.push(self.app, run, Millis(hook.timeout.0 + SLACK.0));
        }
    }

    /// How long the application wants to be watched.
    pub(super) fn bake(&self) -> Millis {
        match &self.kind {
            Move::Replace { strategy, .. } if self.app.replicas > 0 => strategy.bake(),
            _ => Millis(0),
        }
    }

    pub(super) fn watch(&self, span: Millis, builder: &mut Builder) {
        let bake = Action::Bake { deployment: self.deployment.id.clone(), span, judge: false };
        builder.push(self.app, bake, Millis(span.0 + SLACK.0));
    }

    pub(super) fn clear_away(&self, builder: &mut Builder) {
        match (&self.kind, self.old) {
            (Move::Replace { converges: true, .. }, _) | (_, None) => {}
            // Its instances are gone already; what is left are folders and claims.
            (Move::Replace { strategy: Strategy::Recreate { .. } | Strategy::Rolling { .. }, .. }, Some(old)) => {
                let action = Action::Retire {
                    deployment: old.deployment.id.clone(),
                    instances: Instances::first(0),
                    last: true,
                };
                builder.push(&old.deployment.app, action, Millis(old.deployment.app.stop.grace.0 + SLACK.0));
            }
            (Move::Replace { .. }, Some(old)) => builder.retire(&old.deployment, running(old), true),
            (Move::Adjust { instances_now }, Some(_)) => {
                builder.retire(&self.deployment, Instances { from: self.app.replicas, to: *instances_now }, false);
            }
        }
    }

    fn routes_before(&self) -> Vec<Route> {
        self.old.map(|live| live.deployment.app.routes.clone()).unwrap_or_default()
    }
}

/// Gives up an application that the target does not have.
pub(super) fn take_away(live: &Live, builder: &mut Builder) {
    let deployment = &live.deployment;
    builder.name(deployment);
    if deployment.app.is_routed() {
        builder.push(&deployment.app, Action::Unroute, EDGE_BOUND);
    }
    builder.retire(deployment, running(live), true);
}

/// All instances of what runs, as a range.
fn running(live: &Live) -> Instances {
    Instances::first(live.instances.iter().max().map_or(0, |highest| highest + 1))
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
