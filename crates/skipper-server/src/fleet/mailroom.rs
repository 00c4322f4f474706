use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use skipper_core::{id::OrderId, name::NodeName};
use tokio::sync::Notify;

/// Tells those who wait that there is something: agents of orders, rollouts of results. Missing a word costs time and nothing else,
/// since both look into the store again.
#[derive(Debug, Default)]
pub struct Mailroom {
    bells: Mutex<HashMap<NodeName, Arc<Notify>>>,
    /// Those who wait for the end of an order. Each order has its own, so that an end wakes nobody else.
    ends: Mutex<HashMap<OrderId, Arc<Notify>>>,
}

/// Somebody who waits for the end of an order.
#[derive(Debug)]
pub struct Ending<'a> {
    mailroom: &'a Mailroom,
    order: OrderId,
    end: Arc<Notify>,
}

impl Ending<'_> {
    /// Resolves when the order may have ended since this was made, or since it resolved last.
    pub async fn told(&self) {
        self.end.notified().await;
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let mut ends = self.mailroom.ends();
        // One is in the map, one is here.
        if Arc::strong_count(&self.end) <= 2 {
            ends.remove(&self.order);
        }
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

    fn ends(&self) -> MutexGuard<'_, HashMap<OrderId, Arc<Notify>>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An order has ended.
    pub fn ended(&self, order: OrderId) {
        if let Some(end) = self.ends().get(&order) {
            end.notify_one();
        }
    }

    /// Any order may have.
    pub fn ended_any(&self) {
        self.ends().values().for_each(|end| end.notify_one());
    }

    /// Waits for the end of an order, one rollout for each. Made before the store is asked, it is not missed.
    #[must_use]
    pub fn ending(&self, order: OrderId) -> Ending<'_> {
        let end = Arc::clone(self.ends().entry(order).or_default());
        Ending { mailroom: self, order, end }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn the_end_of_an_order_wakes_who_waits_for_that_one_and_is_forgotten_with_them() {
        let mailroom = Mailroom::default();
        let [first, second] = [1, 2].map(|n| OrderId::from_uuid(uuid::Uuid::from_u128(n)));
        let (one, other) = (mailroom.ending(first), mailroom.ending(second));
        mailroom.ended(first);
        assert!(one.told().now_or_never().is_some(), "also where nobody listened at that moment");
        assert!(one.told().now_or_never().is_none());
        assert!(other.told().now_or_never().is_none());
        mailroom.ended_any();
        assert!(one.told().now_or_never().is_some() && other.told().now_or_never().is_some());
        let again = mailroom.ending(first);
        drop(one);
        mailroom.ended(first);
        assert!(again.told().now_or_never().is_some());
        drop((again, other));
        assert_eq!(mailroom.ends().len(), 0);
    }
}
