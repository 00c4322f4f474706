//! Whether a rendered spec differs from one that serves. What serves is pinned, what was just rendered is not.

use std::time::Duration;

use skipper_core::{
    deployment::Live,
    route::Listener,
    spec::{Application, Spec},
};

use crate::{app::App, resolver};

/// Longest a resource is looked at to see whether it changed. Slower ones count as changed: the rollout finds out.
const LOOK: Duration = Duration::from_secs(5);

/// The spec as it would be pinned now, with ports kept from `current`. `None`: it could not be found out, or differs in
/// what needs no pinning.
pub(super) async fn pinned_like(app: &App, fresh: &Spec, current: &Spec) -> Option<Spec> {
    let mut pinned = Spec { health_bound: current.health_bound, waves: current.waves.clone(), ..fresh.clone() };
    for application in &mut pinned.applications {
        let old = current.application(&application.name)?;
        keep_ports(application, old);
        resolver::reviewed(&app.platforms, application).await.ok()?;
    }
    if !same_but_digests(&pinned, current) {
        return None;
    }
    for application in &mut pinned.applications {
        let platform = app.platforms.get(&application.target)?;
        platform.pin(application, LOOK).await.ok()?;
    }
    Some(pinned)
}

/// Whether that is what runs, everywhere: after a rollout that stopped in the middle of its waves some places run something else
/// than what serves.
pub(super) fn runs_everywhere(spec: &Spec, lives: &[Live]) -> bool {
    let serving = || lives.iter().filter(|live| live.weight > 0).map(|live| &live.deployment.app);
    let same = |app: &Application| serving().any(|own| own.name == app.name && own.edition() == app.edition());
    spec.applications.iter().all(same) && serving().all(|own| spec.application(&own.name).is_some())
}

/// What was launched anew on request stays as it is, where nothing else about it changed.
pub(super) fn keep_launches(fresh: &mut Spec, current: &Spec) {
    for app in &mut fresh.applications {
        app.relaunched = current.application(&app.name).and_then(|old| old.relaunched);
    }
}

/// Takes on from what runs what is no difference, marks of launches, the bound of health and the way from node to node, and says
/// whether there is any other.
pub(super) fn takes_after(fresh: &mut Spec, current: &Spec) -> bool {
    keep_launches(fresh, current);
    fresh.health_bound = current.health_bound;
    fresh.waves.clone_from(&current.waves);
    fresh == current
}

/// Whether a spec that was pinned comes to what runs, so that nothing would be launched for it.
pub(crate) fn is_the_same(fresh: &Spec, current: &Spec) -> bool {
    let mut fresh = fresh.clone();
    for application in &mut fresh.applications {
        match current.application(&application.name) {
            Some(old) => {
                keep_ports(application, old);
                // The other images of a pod are pinned after it was made; where they are others, it is launched in any case.
                if application.images.is_empty() {
                    application.images.clone_from(&old.images);
                }
            }
            None => return false,
        }
    }
    takes_after(&mut fresh, current)
}

/// A port that Skipper picked stays the application's.
fn keep_ports(fresh: &mut Application, old: &Application) {
    for (route, before) in fresh.routes.iter_mut().zip(&old.routes) {
        if let (Listener::Auto, Listener::Port(_)) = (route.listener, before.listener) {
            route.listener = before.listener;
        }
    }
}

fn same_but_digests(a: &Spec, b: &Spec) -> bool {
    let bare = |spec: &Spec| {
        let mut spec = spec.clone();
        for app in &mut spec.applications {
            app.resource.sha256 = None;
            app.images.clear();
        }
        spec
    };
    bare(a) == bare(b)
}
