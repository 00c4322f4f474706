use std::collections::BTreeMap;

use skipper_core::{fleet::Outcome, id::OrderId, name::TenantName};
use skipper_source::fleet::WorkOrder;

use super::{Entry, Facts};

/// How far an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::agent) enum Stage {
    /// Nothing has been done yet.
    Taken,
    /// Its effect has begun; how far it got is not known after a crash.
    Begun,
    /// Its effect has ended, and the server does not know yet.
    Done(Outcome),
    /// The server knows.
    Reported(Outcome),
}

/// An order as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::agent) struct Record {
    /// What was taken down of it.
    pub(in crate::agent) facts: Facts,
    /// How far it is.
    pub(in crate::agent) stage: Stage,
    /// Its place in line: of being taken, later of being done.
    pub(in crate::agent) turn: u64,
}

/// What is to be done with an order that was handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::agent) enum Decision {
    /// Take it.
    New,
    /// It is in hand already; only its generation is new.
    InHand,
    /// It was done before; tell again what became of it.
    Repeated,
    /// It is in hand, or was done, under a later generation than this one.
    Outrun,
    /// A later order of that tenant was seen: this one is of the past.
    Stale {
        /// The generation that was seen.
        seen: u64,
    },
}

/// What the journal says, all in all.
#[derive(Debug, Default)]
pub(in crate::agent) struct Ledger {
    records: BTreeMap<OrderId, Record>,
    fences: BTreeMap<TenantName, u64>,
    turns: u64,
}

impl Ledger {
    /// Judges an order.
    pub(in crate::agent) fn decide(&self, order: &WorkOrder) -> Decision {
        match self.records.get(&order.id) {
            Some(known) if order.generation < known.facts.generation => match known.stage {
                // Its report would be refused under the old number, and goes out under the new one.
                Stage::Taken | Stage::Begun | Stage::Done(_) => Decision::Outrun,
                // A server that was restored may count from below; it is to know all the same.
                Stage::Reported(_) => Decision::Repeated,
            },
            Some(known) => match known.stage {
                Stage::Taken | Stage::Begun => Decision::InHand,
                Stage::Done(_) | Stage::Reported(_) => Decision::Repeated,
            },
            None => match self.fences.get(&order.tenant) {
                Some(&seen) if order.generation < seen => Decision::Stale { seen },
                _ => Decision::New,
            },
        }
    }

    /// Takes a line in. One about an order that is not known changes nothing.
    pub(super) fn apply(&mut self, entry: Entry) {
        self.turns += 1;
        let turn = self.turns;
        match entry {
            Entry::Taken(facts) => {
                let fence = self.fences.entry(facts.tenant.clone()).or_default();
                *fence = facts.generation.max(*fence);
                match self.records.get_mut(&facts.order) {
                    Some(known) => {
                        if let Stage::Reported(outcome) = known.stage {
                            known.stage = Stage::Done(outcome);
                            known.turn = turn;
                        }
                        known.facts = facts;
                    }
                    None => {
                        self.records.insert(facts.order, Record { facts, stage: Stage::Taken, turn });
                    }
                }
            }
            Entry::Begun { order } => self.moved(order, Stage::Begun, |stage| stage == Stage::Taken),
            Entry::Done { order, status } => {
                self.moved(order, Stage::Done(status), |stage| matches!(stage, Stage::Taken | Stage::Begun));
                if let Some(known) = self.records.get_mut(&order) {
                    known.turn = turn;
                }
            }
            Entry::Reported { order } => {
                if let Some(known) = self.records.get_mut(&order)
                    && let Stage::Done(outcome) = known.stage
                {
                    known.stage = Stage::Reported(outcome);
                }
            }
            Entry::Dropped { order } => {
                self.records.remove(&order);
            }
            Entry::Fence { tenant, generation } => {
                let fence = self.fences.entry(tenant).or_default();
                *fence = generation.max(*fence);
            }
        }
    }

    fn moved(&mut self, order: OrderId, to: Stage, from: impl Fn(Stage) -> bool) {
        if let Some(known) = self.records.get_mut(&order).filter(|known| from(known.stage)) {
            known.stage = to;
        }
    }

    /// An order.
    pub(in crate::agent) fn get(&self, order: OrderId) -> Option<&Record> {
        self.records.get(&order)
    }

    /// Orders whose effect has not ended, in the order in which they were taken.
    pub(in crate::agent) fn open(&self) -> Vec<&Record> {
        self.sorted(|stage| matches!(stage, Stage::Taken | Stage::Begun))
    }

    /// Orders whose result the server does not know, the oldest first.
    pub(in crate::agent) fn unreported(&self) -> Vec<&Record> {
        self.sorted(|stage| matches!(stage, Stage::Done(_)))
    }

    /// Orders of which nothing is left to do, the oldest first.
    pub(super) fn over(&self) -> Vec<&Record> {
        self.sorted(|stage| matches!(stage, Stage::Reported(_)))
    }

    fn sorted(&self, wanted: impl Fn(Stage) -> bool) -> Vec<&Record> {
        let mut found: Vec<&Record> = self.records.values().filter(|known| wanted(known.stage)).collect();
        found.sort_unstable_by_key(|known| known.turn);
        found
    }

    /// Forgets all but the last `kept` orders of which nothing is left to do.
    pub(super) fn forget(&mut self, kept: usize) -> Vec<OrderId> {
        let over: Vec<OrderId> = self.over().iter().map(|known| known.facts.order).collect();
        let gone = over[..over.len().saturating_sub(kept)].to_vec();
        for order in &gone {
            self.records.remove(order);
        }
        gone
    }

    /// Lines that say the same.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let fences = self.fences.iter();
        let mut entries: Vec<Entry> = fences
            .map(|(tenant, generation)| Entry::Fence { tenant: tenant.clone(), generation: *generation })
            .collect();
        for known in self.sorted(|_| true) {
            let order = known.facts.order;
            entries.push(Entry::Taken(known.facts.clone()));
            match known.stage {
                Stage::Taken => {}
                Stage::Begun => entries.push(Entry::Begun { order }),
                Stage::Done(status) => entries.push(Entry::Done { order, status }),
                Stage::Reported(status) => entries.extend([Entry::Done { order, status }, Entry::Reported { order }]),
            }
        }
        entries
    }
}
