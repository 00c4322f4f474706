//! The fleet: what is known of nodes while the server runs, how orders reach them, and the platform that a node is.
//!
//! The store is the truth of orders and nodes. Kept in memory is only what nobody misses after a restart: who waits for work,
//! when a node was seen, and what it last said of its projects.

mod board;
mod document;
mod files;
mod mailroom;
mod node_platform;
mod tend;

use std::{sync::Arc, time::Duration};

use skipper_core::{name::NodeName, port::Clock, port::Platform, spec::Target};
use skipper_engine::Elsewhere;
use skipper_store::Store;

pub use board::{Board, SILENT_AFTER, Sight};
pub use document::{filled, shown, stamp};
pub use files::follow as follow_files;
pub use mailroom::Mailroom;
pub use node_platform::NodePlatform;
pub use tend::tend;

/// How long an order is its holder's before it is handed out again, unless it is renewed.
pub const LEASE: Duration = Duration::from_secs(60);

/// Everything about nodes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Fleet(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    store: Store,
    clock: Arc<dyn Clock>,
    mailroom: Mailroom,
    board: Board,
}

impl Fleet {
    /// A fleet of which nothing was seen yet.
    #[must_use]
    pub fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Parts { store, clock, mailroom: Mailroom::default(), board: Board::default() }))
    }

    /// Who waits for orders, and who for their results.
    #[must_use]
    pub fn mailroom(&self) -> &Mailroom {
        &self.0.mailroom
    }

    /// When nodes were seen, and what they said.
    #[must_use]
    pub fn board(&self) -> &Board {
        &self.0.board
    }

    /// What a node is to the engine.
    #[must_use]
    pub fn platform(&self, node: NodeName) -> NodePlatform {
        NodePlatform::new(self.clone(), node)
    }

    fn store(&self) -> &Store {
        &self.0.store
    }

    fn clock(&self) -> &dyn Clock {
        self.0.clock.as_ref()
    }
}

impl Elsewhere for Fleet {
    fn get(&self, target: &Target) -> Option<Arc<dyn Platform>> {
        match target.0.node()? {
            (node, None) => Some(Arc::new(self.platform(node))),
            (_, Some(_)) => None,
        }
    }
}
