use std::collections::BTreeSet;

use skipper_core::{
    deployment::{DeploymentId, Live},
    name::AppName,
    rollout::{Step, Weight},
    spec::Route,
};

use super::{Effect, Way};
use crate::{
    failure::StepError,
    rollout::Run,
    service::{Surface, of_app},
};

/// Moves new requests. An application without routes only has its weights recorded.
pub(super) async fn run(
    run: &Run<'_>,
    step: &Step,
    to: &[Weight],
    routes_from: &[Route],
    routes: &[Route],
    way: Way,
) -> Result<Effect, StepError> {
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
