//! Who tells a router something at the moment.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use skipper_core::port::Router;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

const POISONED: &str = "no code panics while it holds this lock";

/// For each router a lock: held for reading from before it is told something until the store knows that too, and for writing while it
/// is told everything from the store, so that it is never told what has just been overtaken. One that is away holds up nobody
/// who tells another.
#[derive(Debug, Default)]
pub(crate) struct Published {
    /// By the address of the router, which is kept, so that no other one gets it.
    locks: Mutex<HashMap<usize, Lock>>,
}

/// A router, and who tells it something.
type Lock = (Arc<dyn Router>, Arc<RwLock<()>>);

/// Somebody tells some routers something.
#[derive(Debug)]
#[must_use = "the routers may be told everything as soon as it is dropped"]
pub(crate) struct Telling {
    _guards: Vec<OwnedRwLockReadGuard<()>>,
}

impl Published {
    /// Waits while one of these is told everything.
    pub(crate) async fn telling(&self, routers: impl IntoIterator<Item = &Arc<dyn Router>>) -> Telling {
        let mut keys: Vec<(usize, Arc<RwLock<()>>)> =
            routers.into_iter().map(|router| (key(router), self.lock(router))).collect();
        // Always in the same order: of two who tell the same two none has what the other waits for.
        keys.sort_by_key(|(key, _)| *key);
        keys.dedup_by_key(|(key, _)| *key);
        let mut guards = Vec::with_capacity(keys.len());
        for (_, lock) in keys {
            guards.push(lock.read_owned().await);
        }
        Telling { _guards: guards }
    }

    /// Waits until nobody else tells this one anything, and keeps everybody from it.
    pub(crate) async fn alone(&self, router: &Arc<dyn Router>) -> OwnedRwLockWriteGuard<()> {
        self.lock(router).write_owned().await
    }

    fn lock(&self, router: &Arc<dyn Router>) -> Arc<RwLock<()>> {
        let mut locks = self.locks.lock().expect(POISONED);
        let (_, lock) = locks.entry(key(router)).or_insert_with(|| (Arc::clone(router), Arc::default()));
        Arc::clone(lock)
    }
}

fn key(router: &Arc<dyn Router>) -> usize {
    Arc::as_ptr(router).cast::<()>().addr()
}
