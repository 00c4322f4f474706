use std::{collections::BTreeSet, time::Duration};

use skipper_core::{
    deployment::{DeploymentId, Live},
    health::Attempt,
    name::AppName,
    rollout::{Action, Step, StepState, Weight},
    spec::Route,
};

use super::{
    Effect, Way,
    await_healthy::{Wait, still_healthy},
};
use crate::{
    failure::StepError,
    rollout::Run,
    service::{Surface, of_app},
};

/// What was healthy this recently is not asked again.
const FRESH: Duration = Duration::from_secs(1);

/// Moves new requests. An application without routes only has its weights recorded.
pub(super) async fn run(
    run: &Run<'_>,
    step: &Step,
    to: &[Weight],
    routes_from: &[Route],
    routes: &[Route],
    way: Way,
) -> Result<Effect, StepError> {
    if let Way::Forward { .. } = way {
        for weight in to {
            check(run, weight).await?;
        }
    }
    let mut live = weighted(run, &step.app, to);
    let surface = Surface { routes: routes.to_vec(), held: None };
    let routed = !routes.is_empty() || !routes_from.is_empty();
    let published = if routed {
        let lives = run.with_changes(&step.app, &live);
        Some(run.publish(&step.app, &surface, &lives).await?)
    } else {
        None
    };
    let mut gone = Vec::new();
    if way == Way::Back {
        // Nothing was ever launched of it: the shift alone had made it known.
        let empty = |live: &Live| {
            live.weight == 0 && live.instances.is_empty() && Some(live.deployment.revision) == run.rollout.to
        };
        gone = live.iter().filter(|live| empty(live)).map(|live| live.deployment.id.clone()).collect();
        live.retain(|live| !empty(live));
    }
    Ok(Effect { live, gone, surface: Some(surface), published, ..Effect::default() })
}

/// Makes sure that whoever gets more requests than before can still take them: other applications may have kept this one
/// waiting since it was healthy, and so may a crash.
async fn check(run: &Run<'_>, weight: &Weight) -> Result<(), StepError> {
    let Some(live) = run.lives.get(&weight.deployment).filter(|live| live.weight < weight.weight) else {
        return Ok(());
    };
    let now = run.now();
    let fresh = run.records.values().any(|record| {
        let step = run.step(record.index);
        let awaited = matches!(step.map(|step| step.action), Some(Action::AwaitHealthy { deployment, .. } | Action::Bake { deployment, .. }) if deployment == weight.deployment);
        awaited && record.state == StepState::Done && now.since(record.updated_at) < FRESH
    });
    if fresh {
        return Ok(());
    }
    let deployment = run.known(&weight.deployment)?;
    let heard = |attempt: Attempt| run.transcript.add(attempt);
    let platform = run.platform(deployment.target())?;
    let bound = run.shared.config.tuning.observe_bound;
    let wait = Wait::new(run.shared, platform.as_ref(), &deployment, bound, &heard);
    still_healthy(&wait, &live.instances).await
}

/// The application's deployments with their new weights; one without instances may be new here.
pub(super) fn weighted(run: &Run<'_>, app: &AppName, to: &[Weight]) -> Vec<Live> {
    let known = of_app(run.lives.values(), app).map(|live| live.deployment.id.clone());
    let ids: BTreeSet<DeploymentId> = known.chain(to.iter().map(|weight| weight.deployment.clone())).collect();
    ids.iter()
        .filter_map(|id| {
            let weight = to.iter().find(|weight| weight.deployment == *id).map_or(0, |weight| weight.weight);
            run.live(id).map(|live| Live { weight, ..live })
        })
        .collect()
}
