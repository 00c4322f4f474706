//! One file for each action of a plan, and what they share: how an action is bounded, prepared and carried out.

mod apply;
mod await_healthy;
mod bake;
mod begin;
mod censor;
mod drain;
mod fetch;
mod gate;
mod hold;
mod hook;
mod launch;
mod publish;
mod retire;
mod shift;
mod unroute;
mod verify;

pub(crate) use await_healthy::{Wait, healthy};
pub(crate) use censor::Censor;

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use skipper_core::{
    BoxFuture,
    deployment::{Deployment, DeploymentId, Live},
    event::NewEvent,
    port::{Error as PortError, ErrorKind, Platform},
    rollout::{Action, Instances, Step, StepOutcome},
    secret::SecretValues,
    spec::Target,
};
use tokio::time::timeout;

use crate::{
    failure::{Failure, StepError},
    published::Telling,
    retry::Backoff,
    rollout::{Entry, Run},
    service::Surface,
    status::Activity,
};

/// Which way an action is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// As a step of the plan. `resumed`: it may have been begun before.
    Forward { resumed: bool },
    /// As the undoing of one.
    Back,
}

/// What an action did, to be recorded with it.
#[derive(Debug, Default)]
pub(crate) struct Effect {
    pub(crate) live: Vec<Live>,
    pub(crate) gone: Vec<DeploymentId>,
    pub(crate) message: Option<String>,
    pub(crate) data: Value,
    /// How the application is reached from now on, where that changed.
    pub(crate) surface: Option<Surface>,
    /// A router was told: keeps it from being told everything anew until the store knows as well.
    pub(crate) published: Option<Telling>,
}

impl Effect {
    pub(crate) fn into_entry(self, events: Vec<NewEvent>) -> (Entry, Option<Telling>) {
        let outcome = StepOutcome { message: self.message, data: self.data };
        (Entry { outcome, live: self.live, gone: self.gone, events }, self.published)
    }

    fn message(message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), ..Self::default() }
    }
}

/// What is stored before the action begins: deployments that are about to be launched, so that nothing runs that the
/// store does not know of.
pub(crate) fn prepare(run: &Run<'_>, step: &Step) -> Vec<Live> {
    match &step.action {
        Action::Launch { deployment, instances, .. } => launch::intended(run, deployment, *instances),
        Action::Begin { deployment, .. } | Action::Apply { deployment, .. } => apply::intended(run, deployment),
        _ => None,
    }
    .into_iter()
    .collect()
}

/// The weights and ways in that an action is to bring about, whether or not the router can be told.
pub(crate) fn intended(run: &Run<'_>, step: &Step) -> Option<(Vec<Live>, Surface)> {
    match &step.action {
        Action::Shift { to, routes, .. } => {
            Some((shift::weighted(run, &step.app, to), Surface { routes: routes.clone(), held: None }))
        }
        Action::Hold { bound, from, routes } => {
            Some((shift::weighted(run, &step.app, from), Surface { routes: routes.clone(), held: Some(*bound) }))
        }
        _ => None,
    }
}

/// Carries an action out within its bound.
///
/// # Cancel safety
///
/// May be dropped: every action is idempotent, and what it stored is read again.
pub(crate) async fn act(run: &mut Run<'_>, index: u32, step: &Step, way: Way) -> Result<Effect, StepError> {
    let (shared, place, id) = (run.shared, run.place, run.rollout.id);
    let bound = step.bound.duration();
    let since = run.now();
    shared.board.begin(Activity {
        rollout: id,
        step: Some(index),
        undoing: way == Way::Back,
        app: Some(step.app.clone()),
        what: step.action.to_string(),
        since,
        deadline: since + bound,
        detail: None,
    });
    if way != Way::Back {
        run.transcript.clear();
    }
    let work = timeout(bound, Box::pin(dispatch(run, index, step, way)));
    let done = if step.target.0.node().is_some() { place.aside(shared, work).await } else { work.await };
    if let Ok(done) = done {
        return done;
    }
    let heard = shared.board.activity(id).and_then(|activity| activity.detail);
    if let Action::Drain { .. } = step.action {
        run.refresh().await?;
        return Ok(Effect::message(format!("not drained within {bound:?}")));
    }
    Err(Failure::bound(timeout_code(&step.action), &step.action.to_string(), bound, heard.as_deref()).into())
}

async fn dispatch(run: &mut Run<'_>, index: u32, step: &Step, way: Way) -> Result<Effect, StepError> {
    let bound = step.bound.duration();
    match &step.action {
        Action::Fetch { resource } => fetch::run(run, &step.target, resource, bound).await,
        Action::RunHook { deployment, point, hook } => {
            hook::run(run, index, deployment, *point, hook, way == Way::Forward { resumed: true }).await
        }
        Action::Launch { deployment, instances, .. } => launch::run(run, deployment, *instances, bound).await,
        Action::AwaitHealthy { deployment, instances } => {
            await_healthy::run(run, step, deployment, *instances, bound).await
        }
        Action::Hold { bound: held, from, routes } => hold::run(run, step, *held, from, routes).await,
        Action::Shift { to, routes_from, routes, .. } => shift::run(run, step, to, routes_from, routes, way).await,
        Action::Verify { deployment } => verify::run(run, step, deployment).await,
        Action::Bake { deployment, span, judge } => bake::run(run, index, deployment, span.duration(), *judge).await,
        Action::Drain { deployment, instances } => drain::run(run, index, step, deployment, *instances, way).await,
        Action::Retire { deployment, instances, last } => {
            retire::run(run, step, deployment, *instances, *last, bound).await
        }
        Action::Unroute => unroute::run(run, step).await,
        Action::Gate { deployments, most } => gate::run(run, step, deployments, *most).await,
        Action::Begin { deployment, .. } => begin::run(run, deployment, bound).await,
        Action::Apply { deployment, previous } => apply::run(run, deployment, previous.as_ref(), way, bound).await,
    }
}

const fn timeout_code(action: &Action) -> &'static str {
    match action {
        Action::Fetch { .. } => "fetch-timeout",
        Action::RunHook { .. } => "hook-timeout",
        Action::Launch { .. } | Action::Begin { .. } | Action::Apply { .. } => "start-timeout",
        Action::Gate { .. } => "too-many-unavailable",
        Action::AwaitHealthy { .. } => "health-timeout",
        Action::Hold { .. } | Action::Shift { .. } | Action::Unroute => "edge-timeout",
        Action::Verify { .. } => "not-reached",
        Action::Bake { .. } => "bake-timeout",
        Action::Drain { .. } => "drain-timeout",
        Action::Retire { .. } => "stop-timeout",
    }
}

/// Whether a step changes nothing but what is stored: then it may be told only when it is over.
pub(crate) fn only_looks(run: &Run<'_>, step: &Step) -> bool {
    match &step.action {
        Action::Shift { routes_from, routes, .. } => routes_from.is_empty() && routes.is_empty(),
        // Elsewhere it may be long until somebody is healthy, and something is fetched; a platform that converges by itself
        // has seen to both before it says that it is done.
        Action::AwaitHealthy { .. } | Action::Fetch { .. } => {
            let platform = run.shared.config.platforms.get(&step.target);
            let routed = run.surfaces.get(&step.app).is_some_and(|surface| !surface.routes.is_empty());
            !routed && platform.is_some_and(|platform| platform.capabilities().converges)
        }
        _ => false,
    }
}

impl Run<'_> {
    pub(crate) fn step(&self, index: u32) -> Option<Step> {
        self.plan.steps.get(usize::try_from(index).ok()?).cloned()
    }

    /// Takes over how an application is reached, once the store knows what was done.
    pub(crate) fn reached(&mut self, app: &skipper_core::name::AppName, surface: Option<Surface>) {
        if let Some(surface) = surface {
            self.surfaces.insert(app.clone(), surface);
            self.shared.ward.rollout_surfaces(self.release.id, &self.surfaces);
        }
    }

    fn platform(&self, target: &Target) -> Result<Arc<dyn Platform>, StepError> {
        self.shared.config.platforms.get(target).ok_or_else(|| {
            Failure::new("unknown-platform", format!("platform `{target}` is not configured any more"))
                .hint("configure it again, or delete what ran there by hand")
                .into()
        })
    }

    fn known(&self, id: &DeploymentId) -> Result<Deployment, StepError> {
        self.deployment(id).ok_or_else(|| {
            Failure::new("unknown-deployment", format!("nothing is known of deployment `{id}` any more")).into()
        })
    }

    /// The record of a deployment, made up where there is none yet.
    fn live(&self, id: &DeploymentId) -> Option<Live> {
        let make = || {
            self.plan.deployment(id).map(|deployment| Live {
                deployment: deployment.clone(),
                weight: 0,
                instances: Vec::new(),
                addresses: std::collections::BTreeMap::new(),
                generation: self.lease.generation,
            })
        };
        let live = self.lives.get(id).cloned().or_else(make);
        live.map(|live| Live { generation: self.lease.generation, ..live })
    }

    async fn secrets(&self, deployment: &Deployment) -> Result<SecretValues, StepError> {
        if deployment.secrets.0.is_empty() {
            return Ok(SecretValues::new());
        }
        let store = &self.shared.config.store;
        self.persevere(|| store.secret_values(&deployment.tenant, &deployment.secrets)).await
    }

    /// Asks until there is an answer that asking again cannot change. The step's bound ends it.
    async fn persevere<'f, T, F>(&self, ask: F) -> Result<T, StepError>
    where
        F: Fn() -> BoxFuture<'f, Result<T, PortError>>,
    {
        let mut backoff = Backoff::step();
        loop {
            match ask().await {
                Ok(value) => return Ok(value),
                Err(error) if matches!(error.kind(), ErrorKind::Transient | ErrorKind::Unknown) => {
                    self.shared.board.detail(self.rollout.id, error.chain());
                    backoff.wait().await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn count(instances: Instances) -> String {
    match instances.range().len() {
        1 => "1 instance".to_owned(),
        many => format!("{many} instances"),
    }
}

/// At least something to ask a platform with, when the bound is nearly over.
fn ask_within(bound: Duration) -> Duration {
    bound.max(Duration::from_millis(100))
}
