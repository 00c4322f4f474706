//! The listeners that routes need: opened with the first, closed with the last.

use std::collections::{BTreeSet, HashSet};

use skipper_core::route::{Host, Listener, RouteKey, Service, ServiceId};

use super::{Missing, Registry};
use crate::control::wire::Fault;

impl Registry {
    /// Opens what is not open, all or none; but what the service had before, or has to be served whatever happens, keeps
    /// nobody from being served who can be.
    pub(super) fn open_listeners(
        &mut self,
        id: &ServiceId,
        keys: &[(RouteKey, usize)],
        missing: Missing,
    ) -> Result<(), Fault> {
        let had: HashSet<Listener> = match self.services.get(id) {
            Some(entry) => entry.service.routes.values().flatten().map(|key| key.listener).collect(),
            None => HashSet::new(),
        };
        let own: HashSet<Listener> = keys.iter().map(|(key, _)| key.listener).collect();
        let mut opened = Vec::new();
        for listener in self.needed(keys.iter().map(|(key, _)| key.listener)) {
            match self.listeners.open(listener) {
                Ok(true) => {
                    self.shut.remove(&listener);
                    opened.push(listener);
                }
                Ok(false) => {}
                Err(refused) if missing == Missing::Bears || had.contains(&listener) || !own.contains(&listener) => {
                    self.note_shut(listener, refused);
                }
                Err(refused) => {
                    // One that routes wait for already stays: it was shut, and could be opened at last.
                    for listener in
                        opened.into_iter().filter(|listener| self.routes.get(listener).is_none_or(|count| *count == 0))
                    {
                        self.listeners.close(listener);
                    }
                    return Err(refused);
                }
            }
        }
        Ok(())
    }

    /// Every listener that keys need, as often as they do. With TLS comes the plain one, where something of it is answered by
    /// the edge itself.
    pub(super) fn needed(&self, keys: impl Iterator<Item = Listener>) -> Vec<Listener> {
        let beside = self.plain_beside_tls && self.listeners.may_open(Listener::Http);
        keys.flat_map(|key| [Some(key), (beside && key == Listener::Https).then_some(Listener::Http)])
            .flatten()
            .collect()
    }

    fn note_shut(&mut self, listener: Listener, fault: Fault) {
        let news = self.shut.get(&listener).is_none_or(|known| known.message != fault.message);
        if news {
            tracing::error!(%listener, reason = fault.message, "a listener cannot be opened; the others serve");
        }
        self.shut.insert(listener, fault);
    }

    /// Tries again to open what could not be opened.
    pub(crate) fn reopen(&mut self) {
        if self.frozen {
            return;
        }
        for listener in self.shut.keys().copied().collect::<Vec<_>>() {
            match self.listeners.open(listener) {
                Ok(_) => drop(self.shut.remove(&listener)),
                Err(refused) => self.note_shut(listener, refused),
            }
        }
    }

    /// What cannot be opened now, and why.
    pub(crate) fn shut(&self) -> impl Iterator<Item = (&Listener, &Fault)> {
        self.shut.iter()
    }

    /// The hosts that routes have on the TLS listener.
    pub(crate) fn tls_hosts(&self) -> BTreeSet<Host> {
        let keys = self.services.values().flat_map(|entry| entry.service.routes.values().flatten());
        keys.filter(|key| key.listener == Listener::Https).filter_map(|key| key.host.clone()).collect()
    }

    /// Closes the listeners that only the service used.
    pub(super) fn close_unused(&mut self, gone: &Service) {
        for listener in self.needed(gone.routes.values().flatten().map(|key| key.listener)) {
            if self.routes.get(&listener).is_some_and(|count| *count == 0) {
                self.routes.remove(&listener);
                self.shut.remove(&listener);
                self.listeners.close(listener);
            }
        }
    }
}
