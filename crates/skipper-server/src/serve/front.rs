//! Follows what is said of Caddy while the server runs.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{apps::Apps, caddy::Settings, config::Config};

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(2);

/// Reads the configuration again whenever its file, or the directory of apps, has changed, and hands on what is said of Caddy;
/// until `stop`.
pub(super) async fn follow(config: Config, told: watch::Sender<Option<Settings>>, stop: CancellationToken) {
    let again = config.again.clone();
    let look = || {
        let again = again.clone();
        async move { tokio::task::spawn_blocking(move || again.look()).await.ok() }
    };
    let (mut apps, mut file) = (config.apps.get(), look().await);
    while stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
        let now = (config.apps.get(), look().await);
        if same(apps.as_ref(), now.0.as_ref()) && file == now.1 {
            continue;
        }
        (apps, file) = now;
        let (again, with) = (again.clone(), apps.clone());
        match tokio::task::spawn_blocking(move || again.caddy(with.as_deref())).await {
            Ok(Ok(Some(settings))) => hand_on(&told, settings),
            Ok(Err(what)) => {
                warn!("the configuration has faults; what was read before holds\n{what}");
            }
            Ok(Ok(None)) | Err(_) => {}
        }
    }
}

fn same(a: Option<&Arc<Apps>>, b: Option<&Arc<Apps>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// Where the edge listens does not change while it runs: with a Caddy or without, and for another address, it is another edge.
fn hand_on(told: &watch::Sender<Option<Settings>>, settings: Option<Settings>) {
    let before = told.borrow().clone();
    if before == settings {
        return;
    }
    match (&before, &settings) {
        (Some(before), Some(now)) if before.upstream == now.upstream => {
            info!("what is said of Caddy has changed, and is followed");
            told.send_replace(settings);
        }
        _ => warn!(
            "what is said of Caddy has changed, and counts when the server is started again: the edge listens elsewhere then"
        ),
    }
}
