mod changes;
mod checks;
mod ways;

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    ops::Bound,
    sync::Arc,
};

use skipper_core::{
    generation::Generation,
    route::{self, Listener, RouteKey, Service, ServiceId},
};

pub(crate) use self::changes::Change;
use self::checks::fault;
use super::{
    books::Books,
    journal::{Journal, Loaded, Record},
};
use crate::{
    acme::ChallengeKind,
    control::wire::{self, Fault, RemoveBody},
    listen::Listeners,
    proxy::Shared,
    table::{Cell, Choice, Choices, Mode, Serving, State, Table},
};

/// Generations of removed services that are remembered, so that a late message cannot bring one back.
const TOMBSTONES: usize = 8192;

/// The owner of the table. Changes come one at a time.
#[derive(Debug)]
pub(crate) struct Registry {
    shared: Arc<Shared>,
    services: BTreeMap<ServiceId, Entry>,
    tombstones: HashMap<ServiceId, Generation>,
    buried: VecDeque<ServiceId>,
    books: Books,
    listeners: Listeners,
    /// Routes by listener.
    routes: HashMap<Listener, usize>,
    /// Listeners that routes need and that cannot be opened now: the others serve, and these are tried again.
    shut: BTreeMap<Listener, Fault>,
    journal: Journal,
    /// The edge itself answers on the plain listener for hosts that are served with TLS.
    plain_beside_tls: bool,
    /// Nobody has told us everything since we started.
    needs_sync: bool,
    /// A successor has what we have; nothing may change until it takes over or fails, and then only what it changes.
    frozen: bool,
}

#[derive(Debug)]
struct Entry {
    service: Arc<Service>,
    cell: Arc<Cell>,
    /// Set since this edge started, not just restored.
    told: bool,
}

/// Where a service comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// The server set it.
    Now,
    /// It was restored, or taken over.
    Before,
}

/// What becomes of a change when a listener cannot be opened that it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// It is refused, unless the service had the listener before.
    Refuses,
    /// It is made all the same: what served before must serve again as far as it can.
    Bears,
}

/// What a registry starts with.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) records: Vec<Record>,
    pub(crate) needs_sync: bool,
}

impl From<Loaded> for Restored {
    fn from(loaded: Loaded) -> Self {
        Self { records: loaded.records, needs_sync: true }
    }
}

impl Registry {
    /// Builds the table and opens the listeners it needs. What cannot be restored is logged and left for the server to set
    /// again.
    pub(crate) fn new(shared: Arc<Shared>, listeners: Listeners, journal: Journal, restored: Restored) -> Self {
        let proves = shared.acme.as_ref().is_some_and(|acme| acme.uses(ChallengeKind::Http01));
        let mut registry = Self {
            plain_beside_tls: proves || shared.redirect.is_some(),
            shared,
            services: BTreeMap::new(),
            tombstones: HashMap::new(),
            buried: VecDeque::new(),
            books: Books::default(),
            listeners,
            routes: HashMap::new(),
            shut: BTreeMap::new(),
            journal,
            needs_sync: restored.needs_sync,
            frozen: false,
        };
        // The last word on each service counts; intermediate ones would only open and close listeners.
        let mut latest: BTreeMap<(String, String), Record> = BTreeMap::new();
        for record in restored.records {
            let id = match &record {
                Record::Set(service) => (service.release.clone(), service.app.clone()),
                Record::Remove(body) => (body.release.clone(), body.app.clone()),
            };
            latest.insert(id, record);
        }
        for record in latest.into_values() {
            let restored = match record {
                Record::Set(service) => Service::try_from(*service)
                    .map_err(|error| fault("permanent", "bad-request", error.to_string()))
                    .and_then(|service| registry.put(service, Told::Before, Missing::Bears)),
                Record::Remove(body) => wire::service_id(&body.release, body.app)
                    .map_err(|error| fault("permanent", "bad-request", error.to_string()))
                    .map(|id| registry.bury(id, body.generation)),
            };
            if let Err(fault) = restored {
                tracing::error!(reason = fault.message, "a service could not be restored");
            }
        }
        registry
    }

    fn set(&mut self, service: Service) -> Result<(), Fault> {
        if let Some(entry) = self.services.get_mut(&service.id)
            && *entry.service == service
        {
            entry.told = true;
            return Ok(());
        }
        self.put(service, Told::Now, Missing::Refuses)
    }

    fn put(&mut self, service: Service, told: Told, missing: Missing) -> Result<(), Fault> {
        self.check_generation(&service.id, service.generation)?;
        let keys = self.check_routes(&service)?;
        if !self.frozen {
            self.open_listeners(&service.id, &keys, missing)?;
        }
        if told == Told::Now {
            self.write(&Record::Set(Box::new(wire::Service::from(&service))));
        }
        self.tombstones.remove(&service.id);
        let state = self.state_of(&service);
        let before = self.services.remove(&service.id);
        let cell = match &before {
            Some(entry) if entry.service.routes == service.routes => {
                entry.cell.store(state);
                entry.cell.clone()
            }
            _ => self.reroute(before.as_ref(), &service.id, &keys, state),
        };
        self.books.settle(before.as_ref().map_or(&[], |entry| &entry.service.backends), &service.backends);
        self.services.insert(service.id.clone(), Entry { service: Arc::new(service), cell, told: told == Told::Now });
        if let Some(entry) = &before {
            self.close_unused(&entry.service);
        }
        Ok(())
    }

    fn give_up(&mut self, id: &ServiceId, generation: Generation) {
        let body = RemoveBody { release: id.release.to_string(), app: id.app.as_str().to_owned(), generation };
        self.write(&Record::Remove(body));
        self.take_out(id);
        self.bury(id.clone(), generation);
    }

    /// Writes a change down before it is acknowledged. Where that fails (a full disk), traffic is worth more than the
    /// record: after a crash the server tells everything anyway.
    fn write(&mut self, record: &Record) {
        if self.frozen {
            return;
        }
        if let Err(error) = self.journal.append(record) {
            tracing::error!(%error, "write the journal; going on without");
        }
    }

    fn sync(&mut self, services: Vec<Service>) -> Result<(), Fault> {
        let newest = services.iter().map(|service| service.generation).max().unwrap_or_default();
        let given: HashSet<ServiceId> = services.iter().map(|service| service.id.clone()).collect();
        let stale = |(id, entry): (&ServiceId, &Entry)| {
            let later = entry.told && entry.service.generation > newest;
            (!given.contains(id) && !later).then(|| (id.clone(), entry.service.generation))
        };
        let gone: Vec<_> = self.services.iter().filter_map(stale).collect();
        for (id, generation) in gone {
            self.give_up(&id, generation);
        }
        let mut first_fault = None;
        for service in services {
            match self.put_from_sync(service) {
                Ok(()) => {}
                Err(fault) if fault.kind == "fenced" => {}
                Err(fault) => {
                    tracing::error!(reason = fault.message, "a service could not be set");
                    first_fault.get_or_insert(fault);
                }
            }
        }
        if !self.frozen {
            self.write_snapshot();
        }
        self.needs_sync = false;
        first_fault.map_or(Ok(()), Err)
    }

    fn put_from_sync(&mut self, service: Service) -> Result<(), Fault> {
        let id = service.id.clone();
        if self.services.get(&id).is_none_or(|entry| *entry.service != service) {
            self.put(service, Told::Now, Missing::Bears)?;
        }
        if let Some(entry) = self.services.get_mut(&id) {
            entry.told = true;
        }
        Ok(())
    }

    fn state_of(&mut self, service: &Service) -> State {
        let ports = service.routes.keys().map(|port| {
            let choices = service.backends.iter().map(|backend| {
                let addresses = backend.addresses.get(port).map_or(&[][..], Vec::as_slice);
                Choice {
                    weight: u32::from(backend.weight),
                    targets: addresses.iter().map(|address| self.books.target(backend, *address)).collect(),
                }
            });
            Choices::new(choices.collect())
        });
        let ports = ports.collect();
        let mode = match &service.mode {
            route::Mode::Open => Mode::Open,
            route::Mode::Held { bound } => Mode::Held { bound: bound.duration() },
            route::Mode::Maintenance { message } => Mode::Maintenance { message: message.as_str().into() },
        };
        State::Serving(Serving { mode, ports })
    }

    /// Gives the service a new cell under its new keys, then sends whoever still has the old cell back to the table.
    fn reroute(
        &mut self,
        before: Option<&Entry>,
        id: &ServiceId,
        keys: &[(RouteKey, usize)],
        state: State,
    ) -> Arc<Cell> {
        let cell = Arc::new(Cell::new(id.clone(), state));
        let mut table = Table::clone(&self.shared.table.load());
        if let Some(entry) = before {
            self.forget_routes(&mut table, &entry.service);
        }
        for (key, port) in keys {
            table.insert(key, cell.clone(), *port);
        }
        for listener in self.needed(keys.iter().map(|(key, _)| key.listener)) {
            *self.routes.entry(listener).or_default() += 1;
        }
        self.publish(table);
        if let Some(entry) = before {
            entry.cell.store(State::Moved);
        }
        cell
    }

    fn forget_routes(&mut self, table: &mut Table, service: &Service) {
        let keys = || service.routes.values().flatten();
        keys().for_each(|key| table.remove(key));
        for listener in self.needed(keys().map(|key| key.listener)) {
            if let Some(count) = self.routes.get_mut(&listener) {
                *count = count.saturating_sub(1);
            }
        }
    }

    fn publish(&self, table: Table) {
        self.shared.table.store(Arc::new(table));
        if let Some(acme) = &self.shared.acme {
            acme.wake();
        }
    }

    fn take_out(&mut self, id: &ServiceId) {
        let Some(entry) = self.services.remove(id) else { return };
        let mut table = Table::clone(&self.shared.table.load());
        self.forget_routes(&mut table, &entry.service);
        self.publish(table);
        entry.cell.store(State::Moved);
        self.books.settle(&entry.service.backends, &[]);
        self.close_unused(&entry.service);
    }

    fn bury(&mut self, id: ServiceId, generation: Generation) {
        if self.tombstones.insert(id.clone(), generation).is_none() {
            self.buried.push_back(id);
        }
        while self.buried.len() > TOMBSTONES {
            if let Some(oldest) = self.buried.pop_front() {
                self.tombstones.remove(&oldest);
            }
        }
    }

    /// Writes a snapshot when it is time.
    pub(crate) fn housekeep(&mut self, quiet: bool) {
        if !self.frozen && self.journal.is_due(quiet) {
            self.write_snapshot();
        }
    }

    /// Writes a snapshot.
    pub(crate) fn write_snapshot(&mut self) {
        let services: Vec<Arc<Service>> = self.services.values().map(|entry| entry.service.clone()).collect();
        let tombstones = self.tombstones();
        self.journal
            .snapshot(move || (services.iter().map(|service| wire::Service::from(&**service)).collect(), tombstones));
    }

    fn tombstones(&self) -> Vec<RemoveBody> {
        let body = |(id, generation): (&ServiceId, &Generation)| RemoveBody {
            release: id.release.to_string(),
            app: id.app.as_str().to_owned(),
            generation: *generation,
        };
        self.tombstones.iter().map(body).collect()
    }

    /// Stops all change and says everything there is, for a successor.
    pub(crate) fn freeze(&mut self) -> Result<(Vec<wire::Service>, Vec<RemoveBody>), Fault> {
        self.check_thawed()?;
        self.journal.finish();
        self.frozen = true;
        let services = self.services.values().map(|entry| wire::Service::from(&*entry.service)).collect();
        Ok((services, self.tombstones()))
    }

    /// The successor failed: goes on.
    pub(crate) fn thaw(&mut self) {
        self.frozen = false;
    }

    pub(crate) const fn needs_sync(&self) -> bool {
        self.needs_sync
    }

    pub(crate) const fn books(&self) -> &Books {
        &self.books
    }

    pub(crate) const fn listeners(&self) -> &Listeners {
        &self.listeners
    }

    pub(crate) fn listeners_mut(&mut self) -> &mut Listeners {
        &mut self.listeners
    }

    pub(crate) fn len(&self) -> usize {
        self.services.len()
    }

    /// Services after that id.
    pub(crate) fn page(&self, after: Option<&ServiceId>, limit: usize) -> Vec<Arc<Service>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let range = self.services.range::<ServiceId, _>((from, Bound::Unbounded));
        range.take(limit).map(|(_, entry)| entry.service.clone()).collect()
    }
}
