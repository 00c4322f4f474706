//! What happens in the fleet without anybody asking: orders expire, and what was seen of nodes is stored.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Fleet;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(5);
/// An order that was made for a rollout which is not there by then belongs to none.
const UNCLAIMED: Duration = Duration::from_secs(60);
/// How long orders that ended are remembered.
const KEEP: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Looks after the fleet until `stop`.
pub async fn tend(fleet: Fleet, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        let now = fleet.clock().now();
        match fleet.store().orders_tidy(now - UNCLAIMED, now - KEEP).await {
            Ok(expired) if expired.is_empty() => {}
            Ok(expired) => {
                for order in &expired {
                    fleet.mailroom().ended(order.id);
                    warn!(work_order = %order.id, node = %order.node, tenant = %order.tenant, "the work order has expired");
                }
            }
            Err(error) => warn!(%error, "work orders are not tidied yet"),
        }
        match fleet.store().orders_unheld().await {
            Ok(nodes) => nodes.iter().for_each(|node| fleet.mailroom().ring(node)),
            Err(error) => warn!(%error, "orders that nobody holds are not looked for yet"),
        }
        remember(&fleet).await;
        if fleet.store().is_shared() {
            fleet.mailroom().ring_all();
            fleet.mailroom().ended_any();
        }
    }
    remember(&fleet).await;
}

async fn remember(fleet: &Fleet) {
    let seen = fleet.board().due(fleet.clock().now());
    if !seen.is_empty()
        && let Err(error) = fleet.store().nodes_seen(&seen).await
    {
        warn!(%error, "when nodes were seen is not stored");
    }
}
