//! Routers that have lost their table, or were not told of a change.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt as _, future::join_all, stream};
use skipper_core::{
    deployment::{DeploymentId, Live},
    id::RolloutId,
    port::{Error as PortError, ErrorKind, Router},
    route::{Service, ServiceId},
};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::stored;
use crate::{
    engine::Shared,
    rollout::replay,
    service::{self, Surface},
};

/// Longest a router may take to be told everything.
const SYNC_BOUND: Duration = Duration::from_secs(30);
/// Longest a router elsewhere may take to remove what may well not be there.
const REMOVE_BOUND: Duration = Duration::from_secs(2);
/// Routers elsewhere that are asked at a time.
const ASKED_AT_ONCE: usize = 32;
/// Time in which open rollouts are taken up after a start.
const TAKE_UP: Duration = Duration::from_millis(250);
/// Deployments read at a time.
const PAGE: u32 = 500;
/// Open rollouts that nobody works on yet and whose logs are looked at.
const OPEN: u32 = 10_000;

/// Never returns.
pub(super) async fn keep(shared: &Shared) {
    let tuning = &shared.config.tuning;
    // Open rollouts are taken up meanwhile, and say what they hold.
    sleep(tuning.router_poll.min(TAKE_UP)).await;
    let purges = AtomicU64::new(0);
    tokio::join!(keep_ours(shared, &purges), keep_elsewhere(shared, &purges));
}

/// Those that are configured, and what was not told to any.
async fn keep_ours(shared: &Shared, purges: &AtomicU64) {
    let tuning = &shared.config.tuning;
    let (mut complaints, mut purged) = (0, false);
    loop {
        for router in shared.config.routers.all() {
            let asks = timeout(tuning.observe_bound, router.needs_sync()).await.unwrap_or(false);
            if asks || purged {
                match timeout(SYNC_BOUND, sync(shared, &router)).await {
                    Ok(Ok(services)) => {
                        info!(services, "told the router everything");
                        (complaints, purged) = (0, false);
                    }
                    // Told once: a router that is away is asked every second.
                    Ok(Err(error)) if complaints == 0 => {
                        warn!(error = error.chain(), "the router was not told everything; trying on");
                        complaints = 1;
                    }
                    Ok(Err(_)) => {}
                    Err(_) => warn!(bound = ?SYNC_BOUND, "the router did not take everything in time"),
                }
            }
        }
        for id in shared.ward.dirty() {
            match timeout(tuning.observe_bound, tell(shared, &id)).await {
                Ok(Ok(true)) => shared.ward.clean(&id),
                Ok(Ok(false)) | Err(_) => {}
                // The release is gone for good, and with it the right to act on it alone.
                Ok(Err(error)) if error.kind() == ErrorKind::NotFound => {
                    shared.ward.clean(&id);
                    purged = true;
                    purges.fetch_add(1, Ordering::Relaxed);
                }
                Ok(Err(error)) => warn!(error = error.chain(), service = %id, "the router was not told"),
            }
        }
        sleep(tuning.router_poll).await;
    }
}

/// Those that come and go. Each is asked on its own, so that one that does not answer keeps no other waiting.
async fn keep_elsewhere(shared: &Shared, purges: &AtomicU64) {
    let tuning = &shared.config.tuning;
    let mut told_of = 0;
    loop {
        let now = purges.load(Ordering::Relaxed);
        let purged = now != told_of;
        stream::iter(shared.config.routers.elsewhere())
            .for_each_concurrent(ASKED_AT_ONCE, |router| async move {
                // Who does not answer this is not told anything that others would have to wait for.
                let Ok(asks) = timeout(tuning.observe_bound, router.needs_sync()).await else { return };
                if !asks && !purged {
                    return;
                }
                match timeout(SYNC_BOUND, sync(shared, &router)).await {
                    Ok(Ok(services)) => info!(services, ?router, "told a router elsewhere everything"),
                    Ok(Err(error)) => {
                        debug!(error = error.chain(), ?router, "a router elsewhere was not told everything");
                    }
                    Err(_) => warn!(bound = ?SYNC_BOUND, ?router, "a router elsewhere did not take everything in time"),
                }
            })
            .await;
        told_of = now;
        sleep(tuning.router_poll).await;
    }
}

async fn sync(shared: &Shared, router: &Arc<dyn Router>) -> Result<usize, PortError> {
    // From reading until the router has it, nobody else tells it anything.
    let _alone = shared.published.alone(router).await;
    let mut by_service: BTreeMap<ServiceId, Vec<Live>> = BTreeMap::new();
    let mut after: Option<DeploymentId> = None;
    loop {
        let page = stored(shared.config.store.live(after.as_ref(), PAGE)).await?;
        after = page.last().map(|live| live.deployment.id.clone());
        let full = u32::try_from(page.len()).is_ok_and(|read| read >= PAGE);
        for live in page {
            if Arc::ptr_eq(&shared.config.routers.of(live.deployment.target()), router) {
                let id = ServiceId { release: live.deployment.release, app: live.deployment.app.name.clone() };
                by_service.entry(id).or_default().push(live);
            }
        }
        if !full {
            break;
        }
    }
    let logged = logged(shared).await?;
    let surface = |id: &ServiceId| shared.ward.surface(id).or_else(|| logged.get(id).cloned());
    let services: Vec<Service> =
        by_service.iter().filter_map(|(id, lives)| desired(shared, id, surface(id), lives)).collect();
    router.sync(&services).await?;
    Ok(services.len())
}

/// How what an open rollout has changed is reached, as its log tells it: one that an earlier server left may not have been taken
/// up yet, and what it holds must not be let go to nobody.
async fn logged(shared: &Shared) -> Result<BTreeMap<ServiceId, Surface>, PortError> {
    let store = &shared.config.store;
    let mut open: BTreeSet<RolloutId> = shared.worked_on().into_iter().collect();
    open.extend(stored(store.due(shared.config.clock.now(), OPEN)).await?);
    let mut logged = BTreeMap::new();
    for rollout in open {
        let loaded = match stored(store.load(rollout)).await {
            Ok(loaded) => loaded,
            // It has ended meanwhile, or is given up by whoever takes it up.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Damaged) => continue,
            Err(error) => return Err(error),
        };
        let release = loaded.release.id;
        let surfaces = replay::of(loaded).into_iter().flatten();
        logged.extend(surfaces.map(|(app, surface)| (ServiceId { release, app }, surface)));
    }
    Ok(logged)
}

/// As an open rollout wants it, or as the store has it.
fn desired(shared: &Shared, id: &ServiceId, surface: Option<Surface>, lives: &[Live]) -> Option<Service> {
    let surface = surface.unwrap_or_else(|| Surface::settled(lives));
    service::service(&surface, lives.iter(), shared.modes.of(id).as_ref())
}

/// Tells the routers of one service; `false` while a rollout is open, which then does it itself.
async fn tell(shared: &Shared, id: &ServiceId) -> Result<bool, PortError> {
    let Some(generation) = stored(shared.config.store.supervise(id.release)).await? else { return Ok(false) };
    let lives = stored(shared.config.store.live_of(id.release)).await?;
    let own: Vec<Live> = service::of_app(&lives, &id.app).cloned().map(|live| Live { generation, ..live }).collect();
    let routers = &shared.config.routers;
    let surface = || shared.ward.surface(id);
    if desired(shared, id, surface(), &own).is_none() {
        for router in routers.all() {
            let _telling = shared.published.telling([&router]).await;
            router.remove(id, generation).await?;
        }
        // One that is away is told everything when it is back.
        let others = routers.elsewhere();
        join_all(others.iter().map(|router| timeout(REMOVE_BOUND, router.remove(id, generation)))).await;
        return Ok(true);
    }
    let asked = shared.modes.of(id);
    let settled = surface().unwrap_or_else(|| Surface::settled(&own));
    for (router, there) in routers.split(&own) {
        let _telling = shared.published.telling([&router]).await;
        let Some(service) = service::service(&settled, there.iter().copied(), asked.as_ref()) else { continue };
        router.set(&service).await?;
        for live in there.into_iter().filter(|live| live.weight > 0) {
            stored(shared.config.store.live_update(live, generation, Vec::new())).await?;
        }
    }
    Ok(true)
}
