//! Looking after one release: what died is taken out of the table, and started again when its pause is over; what came
//! up is let in; what nobody uses goes.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, stream::FuturesUnordered};
use serde_json::json;
use skipper_core::{
    deployment::{Deployment, Exit, Instance, Live, Observed},
    event::NewEvent,
    generation::Generation,
    port::{Error as PortError, ErrorKind, Launch, Platform},
    rollout::Instances,
    route::ServiceId,
    secret::SecretValues,
    spec::Strategy,
};
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::{stored, sweep::span, tell::event, ward::Visit};
use crate::{
    engine::Shared,
    failure::StepError,
    service::{self, Surface},
    step::{Wait, healthy},
};

/// Slack over an application's own grace for stopping it.
const STOP_SLACK: Duration = Duration::from_secs(15);

/// Puts right what can be put right now.
pub(super) async fn tend(visit: &Visit) {
    match try_tend(visit).await {
        Ok(true) => visit.shared.ward.no_setback(visit.release),
        Ok(false) => visit.shared.ward.setback(visit.release),
        // A rollout has begun, and looks after the release now.
        Err(error) if error.kind() == ErrorKind::Fenced => {}
        Err(error) => {
            warn!(error = error.chain(), "supervision of a release was broken off");
            visit.shared.ward.setback(visit.release);
        }
    }
}

/// `false` when something has to be tried again.
async fn try_tend(visit: &Visit) -> Result<bool, PortError> {
    let (shared, release) = (&visit.shared, visit.release);
    let store = &shared.config.store;
    let Some(generation) = stored(store.supervise(release)).await? else { return Ok(true) };
    let mut round = Round { shared, generation, lives: stored(store.live_of(release)).await?, drifted: false };
    // Worked off from the end: leftovers first, since what serves may have to wait for them.
    round.lives.sort_by_key(|live| live.weight == 0);
    let mut all_well = true;
    for at in (0..round.lives.len()).rev() {
        let deployment = round.lives[at].deployment.clone();
        let Some(platform) = shared.config.platforms.get(deployment.target()) else {
            let what = format!("platform `{}` of {} is not configured", deployment.target(), deployment.id);
            round.drift(&deployment, &what).await?;
            all_well = false;
            continue;
        };
        all_well &= if round.lives[at].weight == 0 {
            round.remove_leftover(at, platform.as_ref()).await?
        } else if round.waits_for_leftover(at) {
            false
        } else {
            round.serve(at, platform.as_ref()).await?
        };
    }
    if !round.drifted {
        shared.ward.no_drift(release);
    }
    Ok(all_well)
}

struct Round<'a> {
    shared: &'a Shared,
    generation: Generation,
    lives: Vec<Live>,
    drifted: bool,
}

impl Round<'_> {
    async fn drift(&mut self, deployment: &Deployment, what: &str) -> Result<(), PortError> {
        self.drifted = true;
        if self.shared.ward.drift(deployment.release, what) {
            warn!("{what}");
            let told = event(self.shared, "drift.found", Some(deployment), json!({"what": what}));
            stored(self.shared.config.store.tell(vec![told])).await?;
        }
        Ok(())
    }

    /// Whether another one of the application is still there with which this one must not run at the same time.
    fn waits_for_leftover(&self, at: usize) -> bool {
        let own = &self.lives[at].deployment.app;
        let alone = |live: &Live| matches!(live.deployment.app.effective_strategy().0, Strategy::Recreate { .. });
        let mut leftovers = self.lives.iter().filter(|live| live.weight == 0 && live.deployment.app.name == own.name);
        leftovers.any(|left| alone(left) || alone(&self.lives[at]))
    }

    /// What a rollout could not clear away.
    async fn remove_leftover(&mut self, at: usize, platform: &dyn Platform) -> Result<bool, PortError> {
        let live = self.lives[at].clone();
        let deployment = &live.deployment;
        let service = ServiceId { release: deployment.release, app: deployment.app.name.clone() };
        if self.shared.ward.is_dirty(&service) {
            // The router may still send requests there; it is told first.
            return Ok(true);
        }
        let range = span(&live.instances).unwrap_or(Instances::first(0));
        let bound = deployment.app.stop.grace.duration() + STOP_SLACK;
        let retired = timeout(bound, platform.retire(deployment, range, true, self.generation, bound)).await;
        match retired {
            Ok(Ok(())) => {
                info!("removed {}, which a rollout had left", deployment.id);
                let data = json!({"deployment": deployment.id});
                let told = event(self.shared, "leftover.removed", Some(deployment), data);
                stored(self.shared.config.store.live_remove(&deployment.id, self.generation, vec![told])).await?;
                self.lives.remove(at);
                Ok(true)
            }
            Ok(Err(error)) if error.kind() == ErrorKind::Fenced => Err(error),
            other => {
                let why = match other {
                    Ok(Err(error)) => error.chain(),
                    _ => format!("the platform did not answer within {bound:?}"),
                };
                let what = format!("{} serves nobody and cannot be removed: {why}", deployment.id);
                self.drift(deployment, &what).await?;
                Ok(false)
            }
        }
    }

    /// A deployment that serves.
    async fn serve(&mut self, at: usize, platform: &dyn Platform) -> Result<bool, PortError> {
        let live = self.lives[at].clone();
        let Some(range) = span(&live.instances) else { return Ok(true) };
        let bound = self.shared.config.tuning.observe_bound;
        let Ok(seen) = timeout(bound, platform.observe(&live.deployment, range, bound)).await else {
            return Ok(false);
        };
        let (mut come_up, mut dead) = (Vec::new(), Vec::new());
        for (index, seen) in range.range().zip(seen?).filter(|(index, _)| live.instances.contains(index)) {
            match seen {
                Observed::Running(instance) if live.addresses.get(&index) == Some(&instance.addresses) => {}
                Observed::Running(_) => come_up.push(index),
                Observed::Exited { exit, .. } => dead.push((index, Some(exit))),
                Observed::Absent => dead.push((index, None)),
                Observed::Unknown { .. } => {}
            }
        }
        self.take_out(at, &dead).await?;
        let now = Instant::now();
        let ward = &self.shared.ward;
        let restart: Vec<u32> =
            dead.iter().map(|(index, _)| *index).filter(|i| ward.may_restart(&live.deployment.id, *i, now)).collect();
        let mut all_well = true;
        for index in restart {
            if self.start_again(at, index, platform).await? {
                come_up.push(index);
            } else {
                all_well = false;
            }
        }
        Ok(self.let_in(at, come_up, platform).await? && all_well)
    }

    /// The dead get no more requests, and it is told once that they died.
    async fn take_out(&mut self, at: usize, dead: &[(u32, Option<Exit>)]) -> Result<(), PortError> {
        let mut live = self.lives[at].clone();
        let mut events: Vec<NewEvent> = Vec::new();
        for (index, exit) in dead {
            live.addresses.remove(index);
            if self.shared.ward.died(&live.deployment, *index, exit.clone(), Instant::now()) {
                let how = exit.as_ref().map_or_else(|| "is not there any more".to_owned(), ToString::to_string);
                warn!("instance {index} of {} {how}", live.deployment.id);
                let data = json!({
                    "deployment": live.deployment.id,
                    "app": live.deployment.app.name,
                    "instance": index,
                    "exit": exit,
                    "message": how,
                });
                events.push(event(self.shared, "instance.exited", Some(&live.deployment), data));
            }
        }
        let known = live.addresses == self.lives[at].addresses;
        if events.is_empty() && known {
            return Ok(());
        }
        self.change(at, live, events, !known).await
    }

    /// Launches a dead instance again. `false`: that did not work, and is tried again after a pause.
    async fn start_again(&mut self, at: usize, index: u32, platform: &dyn Platform) -> Result<bool, PortError> {
        let deployment = self.lives[at].deployment.clone();
        self.shared.ward.restarting(&deployment.id, index, Instant::now());
        if let Some(sentence) = self.shared.ward.newly_degraded(deployment.release, Instant::now()) {
            warn!("degraded: {sentence}");
            let told = event(self.shared, "release.degraded", Some(&deployment), json!({"message": sentence}));
            stored(self.shared.config.store.tell(vec![told])).await?;
        }
        let store = &self.shared.config.store;
        let secrets = if deployment.secrets.0.is_empty() {
            Ok(SecretValues::new())
        } else {
            stored(store.secret_values(&deployment.tenant, &deployment.secrets)).await
        };
        let bound = deployment.app.bounds.start.duration();
        let why = match secrets {
            Err(error) => error.chain(),
            Ok(secrets) => {
                let instances = Instances { from: index, to: index.saturating_add(1) };
                let launch =
                    Launch { deployment: &deployment, instances, secrets: &secrets, generation: self.generation };
                match timeout(bound, platform.launch(launch, bound)).await {
                    Ok(Ok(_)) => return Ok(true),
                    Ok(Err(error)) if error.kind() == ErrorKind::Fenced => return Err(error),
                    Ok(Err(error)) => error.chain(),
                    Err(_) => format!("the platform did not answer within {bound:?}"),
                }
            }
        };
        warn!("instance {index} of {} cannot be started again: {why}", deployment.id);
        self.shared.ward.died(&deployment, index, None, Instant::now());
        let what = format!("instance {index} of {} cannot be started: {why}", deployment.id);
        self.drift(&deployment, &what).await?;
        Ok(false)
    }

    /// Instances that came up get requests as soon as they are healthy.
    async fn let_in(&mut self, at: usize, indices: Vec<u32>, platform: &dyn Platform) -> Result<bool, PortError> {
        let deployment = self.lives[at].deployment.clone();
        let bound = deployment.app.bounds.health.duration();
        let wait = Wait::new(self.shared, platform, &deployment, self.shared.config.tuning.observe_bound, &|_| {});
        let one = |index: u32| {
            let wait = &wait;
            async move {
                let only = Instances { from: index, to: index.saturating_add(1) };
                (index, timeout(bound, healthy(wait, only)).await)
            }
        };
        let mut waits: FuturesUnordered<_> = indices.into_iter().map(one).collect();
        let mut all_well = true;
        while let Some((index, waited)) = waits.next().await {
            match waited {
                Ok(Ok(found)) => {
                    for instance in found {
                        self.admit(at, instance).await?;
                    }
                }
                Ok(Err(StepError::Halt(_))) => {
                    return Err(PortError::new(ErrorKind::Fenced, "fenced", "a rollout has taken over"));
                }
                Ok(Err(StepError::Failed(failure))) => {
                    warn!(code = failure.code, "{failure}");
                    all_well = false;
                }
                Err(_) => {
                    warn!("instance {index} of {} runs and is not healthy after {bound:?}", deployment.id);
                    all_well = false;
                }
            }
        }
        Ok(all_well)
    }

    async fn admit(&mut self, at: usize, instance: Instance) -> Result<(), PortError> {
        let mut live = self.lives[at].clone();
        let index = instance.index;
        info!("instance {index} of {} is healthy", live.deployment.id);
        self.shared.ward.well(&live.deployment.id, index, Instant::now());
        let data = json!({
            "deployment": live.deployment.id,
            "app": live.deployment.app.name,
            "instance": index,
            "handle": instance.handle,
        });
        let told = event(self.shared, "instance.restarted", Some(&live.deployment), data);
        live.addresses.insert(index, instance.addresses);
        self.change(at, live, vec![told], true).await
    }

    /// Tells the router, where that matters to it, and then the store.
    async fn change(&mut self, at: usize, live: Live, events: Vec<NewEvent>, reroute: bool) -> Result<(), PortError> {
        let live = Live { generation: self.generation, ..live };
        self.lives[at] = live.clone();
        let router = self.shared.config.routers.of(live.deployment.target());
        let guard = self.shared.published.telling([&router]).await;
        if reroute {
            let id = ServiceId { release: live.deployment.release, app: live.deployment.app.name.clone() };
            let own = service::of_app(&self.lives, &id.app);
            let surface = Surface::settled(own.clone());
            let split = self.shared.config.routers.split(own);
            let there = split.into_iter().find(|(one, _)| Arc::ptr_eq(one, &router)).map(|(_, there)| there);
            let there = there.unwrap_or_default();
            let asked = self.shared.modes.of(&id);
            if let Some(service) = service::service(&surface, there.into_iter(), asked.as_ref()) {
                let bound = self.shared.config.tuning.observe_bound;
                match timeout(bound, router.set(&service)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) if error.kind() == ErrorKind::Fenced => return Err(error),
                    // The store is right all the same; the router is told when it answers.
                    Ok(Err(error)) => {
                        warn!(error = error.chain(), "the router was not told");
                        self.shared.ward.mark_dirty(id.release, &id.app);
                    }
                    Err(_) => self.shared.ward.mark_dirty(id.release, &id.app),
                }
            }
        }
        stored(self.shared.config.store.live_update(&live, self.generation, events)).await?;
        drop(guard);
        Ok(())
    }
}
