//! The wire of a node: whichever link it has now.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::Method;
use skipper_core::{
    BoxFuture,
    name::NodeName,
    port::{Error, ErrorKind},
};
use skipper_platform::remote::{self, Reply, Wire};

use tokio::time::timeout;

use super::call::{Fault, Link, told};
use crate::fleet::{Fleet, Parts, SILENT_AFTER};

/// Longest that somebody waits for an agent to open a link.
const COMES: Duration = Duration::from_secs(3);

/// A node's wire. There while the node has no link, too.
pub(in crate::fleet) struct NodeWire {
    /// Not kept alive: the fleet keeps what has this.
    parts: Weak<Parts>,
    node: NodeName,
}

impl fmt::Debug for NodeWire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeWire").field("node", &self.node).finish_non_exhaustive()
    }
}

impl NodeWire {
    pub(in crate::fleet) const fn new(parts: Weak<Parts>, node: NodeName) -> Self {
        Self { parts, node }
    }

    fn fleet(&self) -> Result<Fleet, Error> {
        self.parts.upgrade().map(Fleet).ok_or_else(|| remote::unreachable(&self.node))
    }

    /// Has the agent open a link, and waits for it for a little while.
    async fn called(&self, fleet: &Fleet, deadline: Duration) -> Option<Arc<Link>> {
        // One that was not seen yet may come back from a restart of this server, as all of them do.
        let comes = fleet
            .board()
            .sight(&self.node)
            .is_none_or(|sight| sight.links != Some(false) && fleet.clock().now().since(sight.at) <= SILENT_AFTER);
        if !comes {
            return None;
        }
        let mut turns = fleet.links().turns(&self.node);
        fleet.links().want(&self.node);
        fleet.mailroom().ring(&self.node);
        let comes = async {
            loop {
                if let Some(link) = fleet.links().get(&self.node) {
                    return Some(link);
                }
                turns.changed().await.ok()?;
            }
        };
        let link = timeout(deadline.mul_f64(0.8).min(COMES), comes).await.ok().flatten();
        if link.is_none() {
            fleet.links().does_not_come(&self.node);
        }
        link
    }

    /// What is asked of a node that has no link.
    async fn away(&self, fleet: &Fleet, method: &str) -> Result<Reply, Error> {
        if fleet.store().node_get(&self.node).await?.is_some() {
            return Err(remote::unreachable(&self.node));
        }
        if matches!(method, "retire" | "remove" | "drain") {
            // With the node went whatever could be asked, and whatever is to be taken away.
            let nothing = if method == "drain" { r#"{"left":0}"# } else { "{}" };
            return Ok(Reply { status: 200, body: stream::iter([Ok(Bytes::from(nothing))]).boxed() });
        }
        let what = format!("node `{}` is not registered", self.node);
        let hint = format!("skipper node register --node-id {}", self.node);
        Err(Error::new(ErrorKind::Permanent, "unknown-node", what).hint(hint))
    }

    /// Nothing new is planned for a node that is cordoned; what runs there goes on.
    async fn admits(&self, fleet: &Fleet) -> Result<(), Error> {
        let node = fleet.store().node_get(&self.node).await?;
        let cordoned = node.and_then(|node| node.spec.get("cordoned")?.as_bool()).unwrap_or_default();
        if !cordoned {
            return Ok(());
        }
        let what = format!("node `{}` is cordoned and takes nothing new", self.node);
        let hint = format!("skipper node uncordon {}", self.node);
        Err(Error::new(ErrorKind::Permanent, "node-cordoned", what).hint(hint))
    }
}

impl Wire for NodeWire {
    fn ask<'a>(&'a self, path: &'a str, body: Bytes, deadline: Duration) -> BoxFuture<'a, Result<Reply, Error>> {
        Box::pin(async move {
            let fleet = self.fleet()?;
            let method = path.rsplit('/').next().unwrap_or_default();
            if method == "review" {
                self.admits(&fleet).await?;
            }
            let quiet = matches!(method, "changes" | "needs_sync");
            let link = match fleet.links().get(&self.node) {
                Some(link) => link,
                // Nobody is woken for what matters only to those who are awake.
                None if quiet => return self.away(&fleet, method).await,
                None => match self.called(&fleet, deadline).await {
                    Some(link) => link,
                    None => return self.away(&fleet, method).await,
                },
            };
            if path != "/platforms" {
                // Whoever plans by what the node offers is to know it.
                let _ = timeout(deadline / 2, link.greeted.cancelled()).await;
            }
            if !quiet {
                link.is_used();
            }
            let lasts = matches!(method, "logs" | "changes");
            match link.call(Method::POST, path, body, deadline, lasts).await {
                Ok(answer) => {
                    let node = self.node.clone();
                    let pieces = answer.body.map(move |piece| piece.map_err(|error| remote::cut(&node, told(&error))));
                    Ok(Reply { status: answer.status.as_u16(), body: pieces.boxed() })
                }
                Err(Fault::NotMade(why)) => Err(remote::unreachable(&self.node).because(why)),
                Err(Fault::Lost(why)) => Err(remote::cut(&self.node, why)),
            }
        })
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let Ok(fleet) = self.fleet() else { return std::future::pending().await };
            let mut turns = fleet.links().turns(&self.node);
            drop(fleet);
            let _ = turns.changed().await;
        })
    }
}
