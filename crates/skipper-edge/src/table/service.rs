use std::{net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use skipper_core::route::{Listener, ServiceId};
use tokio::{sync::Notify, time::Instant};

use super::{Table, Target, Ticket};

/// A service in the table. Its state is swapped without touching the table as long as its routes stay the same, so a
/// shift is one atomic store.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) id: ServiceId,
    state: ArcSwap<State>,
    /// Woken after each change of state, for requests that are held.
    changed: Notify,
}

/// What a cell holds.
#[derive(Debug)]
pub(crate) enum State {
    /// The service as it is.
    Serving(Serving),
    /// The service was given another cell, or removed: look it up in the table again.
    Moved,
}

#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) mode: Mode,
    /// By the index of the route's port.
    pub(crate) ports: Box<[Choices]>,
}

/// What happens to requests now.
#[derive(Debug)]
pub(crate) enum Mode {
    Open,
    Held { bound: Duration },
    Maintenance { message: Arc<str> },
}

/// The backends of a port that have addresses and weight.
#[derive(Debug, Default)]
pub(crate) struct Choices {
    choices: Box<[Choice]>,
    total: u32,
}

/// A backend's share.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) weight: u32,
    pub(crate) targets: Box<[Arc<Target>]>,
}

impl Choices {
    /// Keeps those that can get a request.
    pub(crate) fn new(all: Vec<Choice>) -> Self {
        let choices: Box<[Choice]> =
            all.into_iter().filter(|choice| choice.weight > 0 && !choice.targets.is_empty()).collect();
        let total = choices.iter().map(|choice| choice.weight).sum();
        Self { choices, total }
    }

    /// Picks by weight, and within a backend the less busy of two. Avoids the addresses that just failed.
    fn pick(&self, avoid: &[SocketAddr]) -> Option<&Arc<Target>> {
        let choice = match &*self.choices {
            [] => return None,
            [only] => only,
            several => {
                let mut at = random(self.total);
                several.iter().find(|choice| {
                    let hit = at < choice.weight;
                    at = at.wrapping_sub(choice.weight);
                    hit
                })?
            }
        };
        let target = match &*choice.targets {
            [only] => only,
            several => {
                let count = u32::try_from(several.len()).unwrap_or(u32::MAX);
                let first = random(count);
                let second = (first + 1 + random(count - 1)) % count;
                let (first, second) = (&several[first as usize], &several[second as usize]);
                if second.in_flight() < first.in_flight() { second } else { first }
            }
        };
        if !avoid.contains(&target.address) {
            return Some(target);
        }
        // Rare: one just refused the connection. The same deployment first, so that weights stay what they are.
        let here = choice.targets.iter();
        here.chain(self.choices.iter().flat_map(|choice| &choice.targets))
            .find(|target| !avoid.contains(&target.address))
    }
}

/// A number below `bound`. Not for secrets.
fn random(bound: u32) -> u32 {
    use std::cell::Cell;
    thread_local! {
        static STATE: Cell<u64> = Cell::new(rand::random::<u64>() | 1);
    }
    STATE.with(|state| {
        // xorshift64*: a few ns, and even enough for weights.
        let mut x = state.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        state.set(x);
        let high = x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        u32::try_from((high * u64::from(bound)) >> 32).unwrap_or(0)
    })
}

impl Cell {
    pub(crate) fn new(id: ServiceId, state: State) -> Self {
        Self { id, state: ArcSwap::from_pointee(state), changed: Notify::new() }
    }

    /// Swaps the state. When this returns, no request is sent by the old one that is not counted in already.
    pub(crate) fn store(&self, state: State) {
        self.state.store(Arc::new(state));
        self.changed.notify_waiters();
    }

    /// For waiting until the state changes; must be enabled before [`Cell::is_held`] is asked.
    pub(crate) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// Whether requests still have to wait.
    pub(crate) fn is_held(&self) -> bool {
        matches!(&**self.state.load(), State::Serving(Serving { mode: Mode::Held { .. }, .. }))
    }
}

/// What the table says about a request.
#[derive(Debug)]
pub(crate) enum Admission {
    /// Send it there; it is counted in.
    Go(Ticket),
    /// Wait for the cell to change, at most so long since the request came.
    Wait(Arc<Cell>, Duration),
    /// Answer with the maintenance page.
    Maintenance(Arc<str>),
    /// The service has no instance that could answer.
    NoBackend,
    /// No route.
    Unrouted,
}

/// What a request is looked up by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) listener: Listener,
    pub(crate) host: Option<&'a str>,
    pub(crate) path: &'a str,
    pub(crate) arrived: Instant,
    /// A probe with the token sees through maintenance and hold: it asks whether the deployment behind is well.
    pub(crate) probe: bool,
    pub(crate) avoid: &'a [SocketAddr],
}

/// Decides, and counts the request in at its target: load, count in, look again. If the state was swapped in between, the
/// request is counted out and everything decided anew; so whoever swapped the state and then reads the counts sees every
/// request that goes by the old one.
pub(crate) fn admit(table: &ArcSwap<Table>, wanted: Wanted<'_>) -> Admission {
    loop {
        let table = table.load();
        let Some(route) = table.find(wanted.listener, wanted.host, wanted.path) else { return Admission::Unrouted };
        let state = route.cell.state.load();
        let State::Serving(serving) = &**state else {
            // The new table is stored before the old cell is marked, so the next turn finds the new cell.
            continue;
        };
        match &serving.mode {
            Mode::Open => {}
            _ if wanted.probe => {}
            Mode::Held { bound } => return Admission::Wait(route.cell.clone(), *bound),
            Mode::Maintenance { message } => return Admission::Maintenance(message.clone()),
        }
        let choices = serving.ports.get(route.port);
        let Some(target) = choices.and_then(|choices| choices.pick(wanted.avoid)) else { return Admission::NoBackend };
        let ticket = target.count_in(wanted.arrived);
        if Arc::ptr_eq(&state, &route.cell.state.load()) {
            return Admission::Go(ticket);
        }
    }
}
