//! What a user asked the edge to do with a release's requests: hold them, answer with a page.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Mutex,
};

use skipper_core::{
    id::ReleaseId,
    name::AppName,
    port::{Error as PortError, ErrorKind},
    route::{Mode, ServiceId},
};

use crate::{
    engine::Shared,
    service::{self, Surface},
    supervise::stored,
};

const POISONED: &str = "no code panics while it holds this lock";

/// The modes that users asked for, as the store has them: read when the engine begins.
#[derive(Debug, Default)]
pub(crate) struct Modes {
    asked: Mutex<HashMap<ServiceId, Mode>>,
}

impl Modes {
    pub(crate) fn of(&self, id: &ServiceId) -> Option<Mode> {
        self.asked.lock().expect(POISONED).get(id).cloned()
    }

    /// Takes over what is stored.
    pub(crate) fn learn(&self, stored: Vec<(ServiceId, Mode)>) {
        *self.asked.lock().expect(POISONED) = stored.into_iter().collect();
    }

    /// Of a release that is gone nothing is asked.
    pub(crate) fn forget(&self, release: ReleaseId) {
        self.asked.lock().expect(POISONED).retain(|id, _| id.release != release);
    }

    /// The applications of the release of which something is asked, whether they run or not.
    fn apps(&self, release: ReleaseId) -> Vec<AppName> {
        let asked = self.asked.lock().expect(POISONED);
        asked.keys().filter(|id| id.release == release).map(|id| id.app.clone()).collect()
    }

    fn set(&self, id: ServiceId, mode: Option<Mode>) {
        let mut asked = self.asked.lock().expect(POISONED);
        match mode {
            Some(mode) => asked.insert(id, mode),
            None => asked.remove(&id),
        };
    }
}

/// Stores the mode and tells the routers.
pub(crate) async fn apply(
    shared: &Shared,
    release: ReleaseId,
    app: Option<&AppName>,
    mode: Option<Mode>,
) -> Result<(), PortError> {
    let store = &shared.config.store;
    let busy = || {
        PortError::new(ErrorKind::Permanent, "rollout-open", "a rollout of this release is open")
            .hint("wait until it has ended, or cancel it")
    };
    let generation = stored(store.supervise(release)).await?.ok_or_else(busy)?;
    let mut lives = stored(store.live_of(release)).await?;
    lives.iter_mut().for_each(|live| live.generation = generation);
    let mut apps: BTreeSet<AppName> = lives.iter().map(|live| live.deployment.app.name.clone()).collect();
    if mode.is_none() {
        // Also one that an upgrade has removed since, and another may bring back.
        apps.extend(shared.modes.apps(release));
    }
    for name in apps.iter().filter(|name| app.is_none_or(|wanted| wanted == *name)) {
        let id = ServiceId { release, app: name.clone() };
        // Durable first: a server that is started again tells its router everything anew.
        stored(store.mode_set(&id, mode.as_ref())).await?;
        shared.modes.set(id, mode.clone());
        let own = service::of_app(&lives, name);
        let surface = Surface::settled(own.clone());
        for (router, there) in shared.config.routers.split(own) {
            let _published = shared.published.telling([&router]).await;
            let lives = there.iter().copied();
            let Some(service) = service::service(&surface, lives, mode.as_ref()) else { continue };
            router.set(&service).await?;
            for live in there.into_iter().filter(|live| live.weight > 0) {
                stored(store.live_update(live, generation, Vec::new())).await?;
            }
        }
    }
    Ok(())
}
