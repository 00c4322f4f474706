//! A rollout's place among those that are worked on at the same time.

use std::{
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::engine::Shared;

/// How long another machine is waited for before there is room for others.
const PATIENCE: Duration = Duration::from_millis(100);
/// Most rollouts that wait aside; those after them keep their place while they wait.
pub(crate) const MOST_ASIDE: usize = 500;

/// A place, which is given up while another machine is waited for: one that does not answer holds up nobody else.
#[derive(Debug)]
pub(crate) struct Place {
    permits: Arc<Semaphore>,
    held: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Place {
    pub(crate) fn new(permits: &Arc<Semaphore>, permit: OwnedSemaphorePermit) -> Self {
        Self { permits: Arc::clone(permits), held: Mutex::new(Some(permit)) }
    }

    fn held(&self) -> MutexGuard<'_, Option<OwnedSemaphorePermit>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out what waits for another machine.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the place may be gone: see [`Place::take`].
    pub(crate) async fn aside<T>(&self, shared: &Shared, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        if let Ok(done) = timeout(PATIENCE, &mut work).await {
            return done;
        }
        let Ok(_aside) = shared.aside.try_acquire() else { return work.await };
        self.leave();
        // One more may be taken up.
        shared.wake();
        let done = work.await;
        self.take().await;
        done
    }

    /// Waits for a place, where it was given up.
    pub(crate) async fn take(&self) {
        if self.held().is_some() {
            return;
        }
        // Nobody closes them.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        *self.held() = permit;
    }

    /// Gives it up.
    pub(crate) fn leave(&self) {
        self.held().take();
    }
}
