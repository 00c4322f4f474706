use std::time::Duration;

use skipper_core::{
    port::{Error, Router},
    route::{RouteKey, Service, ServiceId},
};

use super::{platform::done, within};
use crate::remote::{
    Reply,
    message::{CheckRoutes, Drain, Left, Named, Needs, Nothing, RemoveService, SetService, SyncServices, Verify, read},
};

/// Answers for the edge; `None` where it has no such method.
///
/// # Errors
///
/// The request is not understood.
pub(super) async fn answer(router: &dyn Router, method: &str, body: &[u8]) -> Result<Option<Reply>, Error> {
    Ok(Some(match method {
        "set" => {
            let ask = read::<SetService<Service>>(body)?;
            within(&ask, done(router.set(&ask.with.service))).await
        }
        "remove" => {
            let ask = read::<RemoveService<ServiceId>>(body)?;
            within(&ask, done(router.remove(&ask.with.id, ask.with.generation))).await
        }
        "check" => {
            let ask = read::<CheckRoutes<Vec<RouteKey>>>(body)?;
            within(&ask, done(router.check(&ask.with.routes))).await
        }
        "sync" => {
            let ask = read::<SyncServices<Vec<Service>>>(body)?;
            within(&ask, done(router.sync(&ask.with.services))).await
        }
        "drain" => {
            let ask = read::<Drain<_>>(body)?;
            let bound = Duration::from_millis(ask.with.bound_ms);
            within(&ask, async { router.drain(&ask.with.deployment, bound).await.map(|left| Left { left }) }).await
        }
        "verify" => {
            let ask = read::<Verify<RouteKey, String>>(body)?;
            within(&ask, router.verify(&ask.with.route, &ask.with.path)).await
        }
        "stats" => {
            let ask = read::<Named>(body)?;
            within(&ask, router.stats(&ask.with.deployment)).await
        }
        "needs_sync" => {
            let ask = read::<Nothing>(body)?;
            within(&ask, async { Ok(Needs { needs_sync: router.needs_sync().await }) }).await
        }
        _ => return Ok(None),
    }))
}
