use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use skipper_core::name::NodeName;
use tokio::sync::{Notify, watch};

/// Tells those who wait that there is something: agents of orders, rollouts of results. Missing a word costs time and nothing else,
/// since both look into the store again.
#[derive(Debug)]
pub struct Mailroom {
    bells: Mutex<HashMap<NodeName, Arc<Notify>>>,
    ended: watch::Sender<u64>,
}

impl Default for Mailroom {
    fn default() -> Self {
        Self { bells: Mutex::default(), ended: watch::Sender::new(0) }
    }
}

impl Mailroom {
    /// The bell of a node. Taken before the store is asked, it is not missed.
    #[must_use]
    pub fn bell(&self, node: &NodeName) -> Arc<Notify> {
        let mut bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(bells.entry(node.clone()).or_default())
    }

    /// There is something for the node.
    pub fn ring(&self, node: &NodeName) {
        let bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bell) = bells.get(node) {
            // Also for one who comes just now; and for every agent that waits, since one of them may be gone.
            bell.notify_one();
            bell.notify_waiters();
        }
    }

    /// Another server may have stored something for anybody.
    pub fn ring_all(&self) {
        let bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        bells.values().for_each(|bell| bell.notify_waiters());
    }

    /// Forgets the bell of a node that is gone; who waits at it goes away.
    pub fn remove(&self, node: &NodeName) {
        let gone = self.bells.lock().unwrap_or_else(PoisonError::into_inner).remove(node);
        if let Some(bell) = gone {
            bell.notify_waiters();
        }
    }

    /// An order has ended.
    pub fn ended(&self) {
        self.ended.send_modify(|count| *count += 1);
    }

    /// Changes whenever an order ends.
    #[must_use]
    pub fn endings(&self) -> watch::Receiver<u64> {
        self.ended.subscribe()
    }
}
