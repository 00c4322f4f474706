//! What the door of webhooks keeps in memory: turns of apps, its key, and how often it has complained of late.

use std::{
    collections::hash_map::RandomState,
    fmt,
    hash::{BuildHasher as _, Hash},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Mutex as AsyncMutex, MutexGuard, OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Instant,
};
use zeroize::Zeroizing;

use crate::{app::App, auth::oidc::KeyCache, error::Error};

/// Apps share this many turns; two of them seldom the same one.
const TURNS: usize = 64;
/// Deliveries share this many: whoever gets another one's waits for its flush.
const DELIVERIES: usize = 1024;
/// Anybody can send what is refused, and must not fill the log with it.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);
/// What the key of tickets is made for.
const TICKETS: &str = "tickets of deploys";

/// One for each server.
pub struct Webhooks {
    turns: Vec<RwLock<()>>,
    same: Vec<AsyncMutex<()>>,
    hasher: RandomState,
    tickets: OnceCell<Zeroizing<[u8; 32]>>,
    complaints: Mutex<Complaints>,
    /// Keys of the issuer whose tokens deploy.
    pub(crate) oidc: KeyCache,
}

#[derive(Default)]
struct Complaints {
    last: Option<Instant>,
    silent: u64,
}

impl Default for Webhooks {
    fn default() -> Self {
        Self {
            turns: std::iter::repeat_with(RwLock::default).take(TURNS).collect(),
            same: std::iter::repeat_with(AsyncMutex::default).take(DELIVERIES).collect(),
            hasher: RandomState::new(),
            tickets: OnceCell::new(),
            complaints: Mutex::default(),
            oidc: KeyCache::default(),
        }
    }
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Webhooks")
    }
}

impl Webhooks {
    /// Waits while the app is to itself. Deliveries are accepted side by side, so that they share a flush: which one comes first, the
    /// store tells.
    pub(crate) async fn turn(&self, app: &str) -> RwLockReadGuard<'_, ()> {
        self.turns[self.place(app, TURNS)].read().await
    }

    /// Waits until nothing of the app is being accepted by this server, and lets nothing be until the guard is dropped.
    pub(crate) async fn alone(&self, app: &str) -> RwLockWriteGuard<'_, ()> {
        self.turns[self.place(app, TURNS)].write().await
    }

    /// Waits until the same delivery is not being accepted by this server: then its answer is there to be repeated.
    pub(crate) async fn same(&self, sender: &str, id: &str) -> MutexGuard<'_, ()> {
        self.same[self.place((sender, id), DELIVERIES)].lock().await
    }

    fn place(&self, of: impl Hash, count: usize) -> usize {
        usize::try_from(self.hasher.hash_one(of) % count as u64).unwrap_or(0)
    }

    /// Whether a refusal is to be told now, and how many were not since the last one was.
    pub(crate) fn complains(&self) -> Option<u64> {
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if complaints.last.is_some_and(|last| now.duration_since(last) < COMPLAIN_EVERY) {
            complaints.silent += 1;
            return None;
        }
        complaints.last = Some(now);
        Some(std::mem::take(&mut complaints.silent))
    }
}

/// The key that tickets of deploys are made with: of the sealing key, so that it outlasts the server and is nowhere stored.
pub(crate) async fn ticket_key(app: &App) -> Result<&[u8; 32], Error> {
    let key = app.webhooks.tickets.get_or_try_init(|| app.store.key_for(TICKETS)).await?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn refusals_are_told_now_and_then_and_counted_meanwhile() {
        let webhooks = Webhooks::default();
        assert_eq!(webhooks.complains(), Some(0));
        for _ in 0..1000 {
            assert_eq!(webhooks.complains(), None);
        }
        tokio::time::advance(COMPLAIN_EVERY).await;
        assert_eq!(webhooks.complains(), Some(1000));
        assert_eq!(webhooks.complains(), None);
    }
}
