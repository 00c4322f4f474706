//! Keeping the right to work on a rollout.

use skipper_core::port::{ErrorKind, Lease};
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use crate::config::EngineConfig;

/// Renews the lease for as long as that works. Returns when it is lost: a higher generation holds it, or it could not be
/// renewed before it expired. Whoever works under it stops then, wherever it stands; the generation protects what is
/// on its way.
pub(crate) async fn keep(config: &EngineConfig, mut lease: Lease) {
    let settings = config.tuning.lease;
    let mut valid_until = Instant::now() + settings.ttl();
    loop {
        sleep(settings.renew_every()).await;
        let asked = Instant::now();
        match timeout(settings.renew_every(), config.store.renew(&lease, settings.ttl())).await {
            Ok(Ok(renewed)) => {
                lease = renewed;
                valid_until = asked + settings.ttl();
            }
            Ok(Err(error)) if matches!(error.kind(), ErrorKind::Fenced | ErrorKind::NotFound) => return,
            Ok(Err(error)) => warn!(error = error.chain(), "the lease was not renewed"),
            Err(_) => warn!("the store does not answer; the lease was not renewed"),
        }
        // The next chance comes after another pause: too late counts as lost.
        if Instant::now() + settings.renew_every() >= valid_until {
            return;
        }
    }
}
