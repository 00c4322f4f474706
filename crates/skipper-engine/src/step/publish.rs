//! Telling the routers how an application is reached.

use skipper_core::{deployment::Live, name::AppName, route::ServiceId};

use crate::{
    failure::StepError,
    published::Telling,
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
    pub(super) async fn publish(&self, app: &AppName, surface: &Surface, lives: &[Live]) -> Result<Telling, StepError> {
        // Those that serve first, so that nobody is without an answer in between.
        let mut ordered: Vec<&Live> = lives.iter().collect();
        ordered.sort_by_key(|live| std::cmp::Reverse(live.weight));
        let told = self.shared.config.routers.split(ordered);
        let guard = self.shared.published.telling(told.iter().map(|(router, _)| router)).await;
        let id = ServiceId { release: self.release.id, app: app.clone() };
        let asked = self.shared.modes.of(&id);
        let generation = self.lease.generation;
        for (router, there) in &told {
            let service = service::service(surface, there.iter().copied(), asked.as_ref())
                .map(|service| skipper_core::route::Service { generation, ..service });
            match &service {
                Some(service) => self.persevere(|| router.set(service)).await?,
                None => self.persevere(|| router.remove(&id, generation)).await?,
            }
        }
        Ok(guard)
    }
}
