//! One look at everything that runs. It changes nothing; it finds the releases that need somebody.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::atomic::{AtomicU32, Ordering},
};

use futures::{StreamExt as _, future::join_all, stream};
use skipper_core::{
    BoxFuture,
    deployment::{DeploymentId, Live, Observed},
    id::ReleaseId,
    port::Platform,
    rollout::Instances,
    spec::Target,
};
use tokio::time::{Instant, timeout};
use tracing::{error, warn};

use super::stored;
use crate::engine::Shared;

/// Deployments read and looked at together.
const PAGE: u32 = 500;
/// Questions to one platform at the same time.
const ASKED_AT_ONCE: usize = 16;
/// After so many questions without an answer a platform is left alone until the next sweep.
const GIVE_UP_AFTER: u32 = 3;

/// What a sweep found.
#[derive(Debug, Default)]
pub(crate) struct Swept {
    /// Releases that need somebody.
    pub(crate) troubled: BTreeSet<ReleaseId>,
    /// Every deployment that the store knows.
    pub(crate) known: HashMap<DeploymentId, Known>,
    /// Everything was read; without that nobody can be called an orphan.
    pub(crate) complete: bool,
}

/// What the store says of a deployment.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) release: ReleaseId,
    pub(crate) instances: Vec<u32>,
}

pub(crate) async fn sweep(shared: &Shared) -> Swept {
    let mut swept = Swept::default();
    let mut after: Option<DeploymentId> = None;
    let mut silent: BTreeMap<Target, AtomicU32> = BTreeMap::new();
    loop {
        let page = match stored(shared.config.store.live(after.as_ref(), PAGE)).await {
            Ok(page) => page,
            Err(error) => {
                error!(error = error.chain(), "cannot read what runs; supervision waits");
                return swept;
            }
        };
        after = page.last().map(|live| live.deployment.id.clone());
        let full = u32::try_from(page.len()).is_ok_and(|read| read >= PAGE);
        for live in &page {
            silent.entry(live.deployment.target().clone()).or_default();
        }
        look_at(shared, &page, &silent, &mut swept).await;
        for live in page {
            let known = Known { release: live.deployment.release, instances: live.instances };
            swept.known.insert(live.deployment.id, known);
        }
        if !full {
            break;
        }
    }
    swept.complete = true;
    for (target, silent) in &silent {
        if silent.load(Ordering::Relaxed) >= GIVE_UP_AFTER {
            warn!(platform = %target, "the platform does not answer; what runs there is looked at later");
        }
    }
    shared.ward.keep_only(&swept.known);
    // Also of those that have just been forgotten.
    for (release, _) in shared.board.troubled() {
        let health = shared.ward.health(release, shared.config.clock.as_ref());
        shared.board.set_health(release, &health);
    }
    swept
}

/// Every platform is asked on its own, so that a slow one keeps no other waiting.
async fn look_at(shared: &Shared, page: &[Live], silent: &BTreeMap<Target, AtomicU32>, swept: &mut Swept) {
    let mut by_target: BTreeMap<&Target, Vec<&Live>> = BTreeMap::new();
    for live in page {
        by_target.entry(live.deployment.target()).or_default().push(live);
    }
    let asked = by_target.into_iter().map(|(target, lives)| -> BoxFuture<'_, Vec<ReleaseId>> {
        match shared.config.platforms.get(target).zip(silent.get(target)) {
            Some((platform, silent)) => Box::pin(async move { ask(shared, platform.as_ref(), lives, silent).await }),
            None => {
                let releases = lives.iter().map(|live| live.deployment.release).collect();
                Box::pin(async move { releases })
            }
        }
    });
    swept.troubled.extend(join_all(asked).await.into_iter().flatten());
}

async fn ask(shared: &Shared, platform: &dyn Platform, lives: Vec<&Live>, silent: &AtomicU32) -> Vec<ReleaseId> {
    let mut questions: Vec<BoxFuture<'_, Option<ReleaseId>>> = Vec::with_capacity(lives.len());
    for live in lives {
        questions.push(Box::pin(async move {
            needs_somebody(shared, platform, live, silent).await.then_some(live.deployment.release)
        }));
    }
    let mut answers = stream::iter(questions).buffer_unordered(ASKED_AT_ONCE);
    let mut troubled = Vec::new();
    while let Some(answer) = answers.next().await {
        troubled.extend(answer);
    }
    troubled
}

async fn needs_somebody(shared: &Shared, platform: &dyn Platform, live: &Live, silent: &AtomicU32) -> bool {
    if live.weight == 0 {
        return true;
    }
    let Some(range) = span(&live.instances) else { return false };
    if silent.load(Ordering::Relaxed) >= GIVE_UP_AFTER {
        return false;
    }
    let bound = shared.config.tuning.observe_bound;
    let Ok(Ok(seen)) = timeout(bound, platform.observe(&live.deployment, range, bound)).await else {
        silent.fetch_add(1, Ordering::Relaxed);
        return false;
    };
    let now = Instant::now();
    let id = &live.deployment.id;
    range.range().zip(seen).filter(|(index, _)| live.instances.contains(index)).fold(false, |needs, (index, seen)| {
        let this_one = match seen {
            Observed::Running(instance) if live.addresses.get(&index) == Some(&instance.addresses) => {
                shared.ward.well(id, index, now);
                false
            }
            Observed::Running(_) => true,
            Observed::Unknown { .. } => false,
            Observed::Exited { .. } | Observed::Absent => shared.ward.may_restart(id, index, now),
        };
        needs || this_one
    })
}

/// The range that holds all indices.
pub(crate) fn span(instances: &[u32]) -> Option<Instances> {
    let (from, last) = (instances.iter().min()?, instances.iter().max()?);
    Some(Instances { from: *from, to: last.saturating_add(1) })
}
