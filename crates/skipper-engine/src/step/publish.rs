//! Telling the routers how an application is reached.

use std::sync::Arc;

use skipper_core::{deployment::Live, name::AppName, port::Router, route::ServiceId};
use tokio::sync::OwnedRwLockReadGuard;

use crate::{
    failure::StepError,
    rollout::Run,
    service::{self, Surface},
};

impl Run<'_> {
    /// The application's deployments with those of `changed` in their new state.
    pub(super) fn with_changes(&self, app: &AppName, changed: &[Live]) -> Vec<Live> {
        let unchanged =
            self.lives.values().filter(|live| !changed.iter().any(|c| c.deployment.id == live.deployment.id));
        service::of_app(unchanged.chain(changed), app).cloned().collect()
    }

    /// Sets the application's service, or removes it where nothing is left of it. `lives` are all its deployments as they
    /// are to be. The guard is kept until the store knows.
    pub(super) async fn publish(
        &self,
        app: &AppName,
        surface: &Surface,
        lives: &[Live],
    ) -> Result<OwnedRwLockReadGuard<()>, StepError> {
        let guard = Arc::clone(&self.shared.published).read_owned().await;
        let id = ServiceId { release: self.release.id, app: app.clone() };
        let asked = self.shared.modes.of(&id);
        let generation = self.lease.generation;
        let service = service::service(surface, lives.iter(), asked.as_ref())
            .map(|service| skipper_core::route::Service { generation, ..service });
        let routers = &self.shared.config.routers;
        let mut told: Vec<&Arc<dyn Router>> = Vec::new();
        // Those that serve first, so that nobody is without an answer in between.
        let mut ordered: Vec<&Live> = lives.iter().collect();
        ordered.sort_by_key(|live| std::cmp::Reverse(live.weight));
        for live in ordered {
            let router = routers.of(live.deployment.target());
            if told.iter().any(|known| Arc::ptr_eq(known, router)) {
                continue;
            }
            match &service {
                Some(service) if live.weight > 0 => self.persevere(|| router.set(service)).await?,
                _ => self.persevere(|| router.remove(&id, generation)).await?,
            }
            told.push(router);
        }
        Ok(guard)
    }
}
