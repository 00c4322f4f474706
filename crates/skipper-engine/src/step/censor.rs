//! Checks of health may say anything: a command prints the address that it could not connect to, password and all. What they say goes
//! into events, errors and bundles, so the application's secrets are blackened in it before anybody hears of it.

use skipper_core::{deployment::Deployment, health::Attempt, port::RolloutStore, secret::Blackener};
use tokio::{sync::OnceCell, time::timeout};

use crate::supervise::STORE_BOUND;

/// What is told in the place of what cannot be blackened.
const LEFT_OUT: &str = "[left out: the secrets to be blackened in it cannot be read]";

/// Blackens what the checks of one deployment say.
pub(crate) struct Censor<'a> {
    store: &'a dyn RolloutStore,
    deployment: &'a Deployment,
    /// Read with the first word: most checks have nothing to say, and most deployments no secrets.
    blackener: OnceCell<Blackener>,
}

impl<'a> Censor<'a> {
    pub(crate) fn new(store: &'a dyn RolloutStore, deployment: &'a Deployment) -> Self {
        Self { store, deployment, blackener: OnceCell::new() }
    }

    /// The attempt as it may be told.
    pub(crate) async fn passed(&self, attempt: Attempt) -> Attempt {
        if self.deployment.secrets.0.is_empty() || attempt.detail.is_empty() {
            return attempt;
        }
        let read = self.blackener.get_or_try_init(|| async {
            let values = self.store.secret_values(&self.deployment.tenant, &self.deployment.secrets);
            let values = timeout(STORE_BOUND, values).await.map_err(drop)?.map_err(drop)?;
            Ok::<_, ()>(Blackener::new(&values))
        });
        let detail = match read.await {
            Ok(blackener) => blackener.line(attempt.detail),
            Err(()) => LEFT_OUT.to_owned(),
        };
        Attempt { detail, ..attempt }
    }
}
