//! Nodes as the engine sees them: accounts that come and go, and routers of their own.

use std::sync::{Arc, PoisonError};

use futures::future::select_all;
use skipper_core::{
    BoxFuture,
    name::{NodeName, PlatformName},
    port::{Capabilities, Description, Platform, Router},
    spec::Target,
};
use skipper_engine::Elsewhere;
use skipper_platform::remote::{RemoteNode, RemotePlatform, RemoteRouter};

use super::{Fleet, SILENT_AFTER, link::NodeWire};

/// A node, as far as it is reached by a link.
#[derive(Debug)]
pub(super) struct Reached {
    /// What it last said of itself, and the way to it.
    pub(super) node: Arc<RemoteNode>,
    /// Its edge. Always the same: whoever tells it something goes by that.
    pub(super) router: Arc<RemoteRouter>,
}

impl Fleet {
    /// The node, kept: whatever is told of it is told to the same one.
    pub(super) fn reached(&self, node: &NodeName) -> Arc<Reached> {
        let mut reached = self.0.reached.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(reached.entry(node.clone()).or_insert_with(|| Arc::new(self.reach(node))))
    }

    /// The same where it is kept already: nobody is to fill the memory with names.
    fn looked_up(&self, node: &NodeName) -> Arc<Reached> {
        let reached = self.0.reached.lock().unwrap_or_else(PoisonError::into_inner);
        reached.get(node).cloned().unwrap_or_else(|| Arc::new(self.reach(node)))
    }

    fn reach(&self, node: &NodeName) -> Reached {
        let wire = Arc::new(NodeWire::new(Arc::downgrade(&self.0), node.clone()));
        let remote = Arc::new(RemoteNode::new(node.clone(), wire, Arc::clone(&self.0.clock), None));
        Reached { router: Arc::new(RemoteRouter::new(Arc::clone(&remote))), node: remote }
    }

    /// Forgets what a node offered that is gone for good.
    pub(crate) fn forget(&self, node: &NodeName) {
        self.0.reached.lock().unwrap_or_else(PoisonError::into_inner).remove(node);
    }

    /// The accounts that nodes offer, by name, as they last said. Asks nobody.
    #[must_use]
    pub fn descriptions(&self) -> Vec<Description> {
        let now = self.clock().now();
        let mut all = Vec::new();
        for (node, offered, at) in self.board().offers() {
            let known = self.looked_up(&node).node.known();
            let reachable = self.links().is_within_reach(&node, now.since(at) <= SILENT_AFTER);
            for (account, kind) in offered {
                let Ok(account) = PlatformName::new(account) else { continue };
                let name = PlatformName::of_node(&node, Some(&account)).to_string();
                let said = known.as_ref().and_then(|known| known.platforms.get(&account).cloned());
                let said = said.unwrap_or_else(|| Description {
                    name: String::new(),
                    kind,
                    summary: "not asked since this server started".to_owned(),
                    deployer: None,
                    reachable,
                    capabilities: Capabilities::default(),
                });
                let summary = match reachable {
                    true => said.summary,
                    false => format!("node `{node}` is away; {}", said.summary),
                };
                all.push(Description { name, summary, reachable: reachable && said.reachable, ..said });
            }
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Resolves when something may have changed on one of the node's accounts.
    pub(super) async fn news_of(&self, node: &Arc<RemoteNode>) {
        let accounts: Vec<PlatformName> =
            node.known().map(|known| known.platforms.keys().cloned().collect()).unwrap_or_default();
        let platforms: Vec<_> =
            accounts.into_iter().map(|account| RemotePlatform::new(Arc::clone(node), account)).collect();
        if platforms.is_empty() {
            return std::future::pending().await;
        }
        select_all(platforms.iter().map(Platform::changed)).await;
    }
}

impl Elsewhere for Fleet {
    fn get(&self, target: &Target) -> Option<Arc<dyn Platform>> {
        match target.0.node()? {
            (node, None) => Some(Arc::new(self.platform(node))),
            (node, Some(account)) => {
                Some(Arc::new(RemotePlatform::new(Arc::clone(&self.looked_up(&node).node), account)))
            }
        }
    }

    fn all(&self) -> Vec<(Target, Arc<dyn Platform>)> {
        let reached = self.links().nodes().into_iter().map(|node| self.looked_up(&node));
        let accounts = |one: Arc<Reached>| {
            let known = one.node.known();
            let accounts: Vec<PlatformName> =
                known.map(|known| known.platforms.keys().cloned().collect()).unwrap_or_default();
            accounts.into_iter().map(move |account| {
                let name = PlatformName::of_node(one.node.name(), Some(&account));
                let platform = RemotePlatform::new(Arc::clone(&one.node), account);
                (Target(name), Arc::new(platform) as Arc<dyn Platform>)
            })
        };
        reached.flat_map(accounts).collect()
    }

    fn router(&self, target: &Target) -> Option<Arc<dyn Router>> {
        let (node, account) = target.0.node()?;
        account.is_some().then(|| Arc::clone(&self.reached(&node).router) as Arc<dyn Router>)
    }

    fn routers(&self) -> Vec<Arc<dyn Router>> {
        let nodes = self.links().nodes();
        let reached = self.0.reached.lock().unwrap_or_else(PoisonError::into_inner);
        let with_edge = |one: &&Arc<Reached>| one.node.known().is_some_and(|known| known.edge);
        let linked = nodes.iter().filter_map(|node| reached.get(node));
        linked.filter(with_edge).map(|one| Arc::clone(&one.router) as Arc<dyn Router>).collect()
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        let mut news = self.0.news.subscribe();
        Box::pin(async move {
            let _ = news.changed().await;
        })
    }
}
