//! Requests that this server is at, by their keys: a repetition waits until the first one has ended, however long it takes, and
//! nobody takes over what is still being done.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use skipper_core::Sha256;
use tokio::sync::watch;

use super::named::Name;
use crate::error::{Code, Error};

/// All of them; each handle on it is the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turns(Arc<Mutex<HashMap<Name, Running>>>);

#[derive(Debug)]
struct Running {
    fingerprint: Sha256,
    ended: watch::Receiver<()>,
}

/// The one request of its name that is carried out now; over when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Turns,
    name: Name,
    /// Dropped behind the name's entry: whoever waits for it finds the name free.
    _ends: watch::Sender<()>,
}

impl Turns {
    /// Waits until no other request of that name is carried out here.
    ///
    /// # Errors
    ///
    /// [`Code::IdempotencyMismatch`] while one is that says something else.
    pub(super) async fn of(&self, name: &Name, fingerprint: Sha256) -> Result<Turn, Error> {
        loop {
            let mut ended = {
                let mut all = self.lock();
                match all.get(name) {
                    Some(running) if running.fingerprint != fingerprint => {
                        let key = &name.key;
                        let what =
                            format!("idempotency key `{key}` is that of a different request, which is being worked on");
                        return Err(Error::new(Code::IdempotencyMismatch, what));
                    }
                    Some(running) => running.ended.clone(),
                    None => {
                        let (ends, ended) = watch::channel(());
                        all.insert(name.clone(), Running { fingerprint, ended });
                        return Ok(Turn { turns: self.clone(), name: name.clone(), _ends: ends });
                    }
                }
            };
            // Nothing is ever sent: it is closed when the other one ends.
            while ended.changed().await.is_ok() {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Running>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.lock().remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use skipper_core::name::TenantName;

    use super::*;

    #[tokio::test]
    async fn a_repetition_waits_and_another_request_is_refused() {
        let turns = Turns::default();
        let name = Name { tenant: TenantName::default_tenant(), actor: "local".to_owned(), key: "k".to_owned() };
        let (one, two) = (Sha256::of(b"one"), Sha256::of(b"two"));
        let first = turns.of(&name, one).await.expect("free");
        let mut second = Box::pin(turns.of(&name, one));
        assert!(futures::poll!(&mut second).is_pending());
        assert_eq!(turns.of(&name, two).await.expect_err("refused").code(), Code::IdempotencyMismatch);
        let other = Name { key: "l".to_owned(), ..name.clone() };
        drop(turns.of(&other, two).await.expect("other names are free"));
        drop(first);
        drop(second.await.expect("its turn"));
        turns.of(&name, two).await.expect("nothing is left behind");
        assert!(turns.lock().is_empty());
    }
}
