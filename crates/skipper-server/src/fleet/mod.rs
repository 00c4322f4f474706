//! The fleet: what is known of nodes while the server runs, how orders reach them, and the platform that a node is.
//!
//! The store is the truth of orders and nodes. Kept in memory is only what nobody misses after a restart: who waits for work,
//! when a node was seen, and what it last said of its projects.

mod board;
mod document;
mod elsewhere;
mod files;
mod link;
mod mailroom;
mod node_platform;
mod projects;
mod tend;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use skipper_core::{name::NodeName, port::Clock, time::Timestamp};
use skipper_store::Store;
use tokio::{sync::watch, time::timeout};

pub use board::{Board, SILENT_AFTER, Sight};
pub use document::{filled, shown, stamp};
pub use files::{WrongFiles, follow as follow_files};
pub use link::{Asked, Farewell, Link, Links, UPGRADE, serve as serve_link};
pub use mailroom::Mailroom;
pub use node_platform::NodePlatform;
pub use tend::tend;

/// Longest a request waits for the files to be looked at.
const LOOKING: Duration = Duration::from_secs(2);
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
    /// How often somebody wanted the files to be looked at, and up to which of those they were.
    wanted: watch::Sender<u64>,
    looked: watch::Sender<u64>,
    wrong_files: WrongFiles,
    /// The connections of agents by which their nodes are asked something.
    links: Links,
    reached: Mutex<HashMap<NodeName, Arc<elsewhere::Reached>>>,
    /// Changes whenever something may have changed on a node.
    news: watch::Sender<u64>,
    /// What was seen of the files, where somebody follows them.
    files: OnceLock<Arc<files::Taken>>,
}

/// What is told of a node's link: since when, the agent's run, and whether there is an edge.
pub type LinkSeen = (Timestamp, Option<String>, bool);

impl Fleet {
    /// A fleet of which nothing was seen yet.
    #[must_use]
    pub fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Parts {
            store,
            clock,
            mailroom: Mailroom::default(),
            board: Board::default(),
            wanted: watch::Sender::new(0),
            looked: watch::Sender::new(0),
            wrong_files: WrongFiles::default(),
            links: Links::default(),
            reached: Mutex::default(),
            news: watch::Sender::new(0),
            files: OnceLock::new(),
        }))
    }

    /// Waits until the files of the data folder, as they are now, are taken in: whoever writes one and asks for something at once
    /// means what is in it. Where nobody follows them, or not in time, what is stored counts.
    pub async fn look_at_files(&self) {
        let is_quiet = || self.0.files.get().is_some_and(|files| files.is_quiet());
        if self.0.wanted.receiver_count() == 0 || is_quiet() {
            return;
        }
        let mut looked = self.0.looked.subscribe();
        let mut turn = 0;
        self.0.wanted.send_modify(|wanted| {
            *wanted += 1;
            turn = *wanted;
        });
        let _ = timeout(LOOKING, looked.wait_for(|looked| *looked >= turn)).await;
    }

    /// Files of the data folder that cannot be read as they are now.
    #[must_use]
    pub fn wrong_files(&self) -> &WrongFiles {
        &self.0.wrong_files
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

    /// The connections of agents by which their nodes are asked something.
    #[must_use]
    pub fn links(&self) -> &Links {
        &self.0.links
    }

    /// What is known of a node's link, while there is one.
    #[must_use]
    pub fn link_of(&self, node: &NodeName) -> Option<LinkSeen> {
        let link = self.links().get(node)?;
        let reached = self.0.reached.lock().unwrap_or_else(PoisonError::into_inner).get(node).cloned();
        let edge = reached.and_then(|reached| reached.node.known()).is_some_and(|known| known.edge);
        Some((link.opened_at(), link.instance().map(str::to_owned), edge))
    }

    /// Something may have changed on a node.
    fn tell_news(&self) {
        self.0.news.send_modify(|count| *count = count.wrapping_add(1));
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
