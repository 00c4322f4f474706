//! What is in hand: orders that wait, run, or are to be told of. Decides when one may begin; does nothing itself but write the journal.

use std::{collections::BTreeMap, io, path::Path, time::Duration};

use skipper_core::{fleet::Outcome, id::OrderId, name::TenantName};
use skipper_source::fleet::{OrderResult, Report, WorkOrder};
use tokio::time::Instant;

use super::{
    disk,
    door::Handed,
    journal::{Decision, Entry, Facts, Journal, Record, Stage},
};

/// Tenants whose orders are carried out at the same time.
const SIDE_BY_SIDE: usize = 4;
/// Orders in hand, those under way with them. More would only wait here instead of at the server, where they can still be replaced.
const IN_HAND: usize = 8;
/// Results that may wait for the server before no further order is taken.
const SPOOLED: usize = 1000;

/// What this run of the agent knows of an order that the journal does not.
#[derive(Debug)]
struct InHand {
    /// Until when it is this node's; `None`: not known, since a run before this one took it.
    lease_until: Option<Instant>,
    /// Until when it is to be done.
    until: Instant,
    /// Somebody is at it.
    is_running: bool,
}

/// The orders of this node.
#[derive(Debug)]
pub(super) struct Desk {
    dir: std::path::PathBuf,
    journal: Journal,
    in_hand: BTreeMap<OrderId, InHand>,
    /// Results that a full disk has not taken.
    unkept: BTreeMap<OrderId, OrderResult>,
}

/// What became of an order that was handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    /// It is taken.
    Taken,
    /// It was in hand or done already.
    Known,
    /// It is of the past, and reported so.
    Stale,
}

/// What is to be told of an order.
#[derive(Debug)]
pub(super) struct Telling {
    /// Which.
    pub(super) order: OrderId,
    /// What.
    pub(super) report: Report,
    /// Of the request that asked for it.
    pub(super) request_id: String,
    /// Of the larger job.
    pub(super) correlation_id: String,
}

impl Desk {
    /// Opens the journal. What a run before this one had begun is begun again; what it had only taken waits until the server
    /// has said that it is still this node's.
    ///
    /// # Errors
    ///
    /// The folder cannot be used.
    pub(super) fn open(dir: &Path, now: Instant) -> io::Result<Self> {
        let journal = Journal::open(dir)?;
        let in_hand = journal.ledger().open().into_iter().map(|known| {
            let until = now + Duration::from_millis(known.facts.budget_ms);
            (known.facts.order, InHand { lease_until: None, until, is_running: false })
        });
        Ok(Self { dir: dir.to_owned(), in_hand: in_hand.collect(), journal, unkept: BTreeMap::new() })
    }

    /// Why no order may be taken now.
    pub(super) fn trouble(&mut self) -> Option<String> {
        if let Err(error) = self.settle() {
            return Some(format!("write to {}: {error}", self.dir.display()));
        }
        let spooled = self.journal.ledger().unreported().len();
        disk::too_full(&self.dir)
            .or_else(|| (spooled >= SPOOLED).then(|| format!("{spooled} results wait for the server to take them")))
    }

    /// Whether there is a hand free.
    pub(super) fn has_room(&self) -> bool {
        self.in_hand.len() < IN_HAND
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.in_hand.values().all(|hand| !hand.is_running)
    }

    /// Takes in an order that was handed out: what it is, is on the disk when this returns.
    ///
    /// # Errors
    ///
    /// The disk does not take it, and it is as if it had not come.
    pub(super) fn receive(&mut self, handed: &Handed, now: Instant) -> io::Result<Received> {
        let order = &handed.order;
        let taken = || Entry::Taken(facts(handed));
        let lease_until = Some(now + handed.lease);
        match self.journal.ledger().decide(order) {
            Decision::New => {
                self.journal.keep_order(order)?;
                self.journal.write(taken()).inspect_err(|_| self.journal.drop_order(order.id))?;
                self.supersede(order);
                self.in_hand.insert(order.id, InHand { lease_until, until: now + handed.budget, is_running: false });
                Ok(Received::Taken)
            }
            Decision::InHand => {
                self.journal.write(taken())?;
                if let Some(hand) = self.in_hand.get_mut(&order.id) {
                    hand.lease_until = lease_until;
                    hand.until = now + handed.budget;
                }
                Ok(Received::Known)
            }
            Decision::Repeated => {
                self.journal.write(taken())?;
                Ok(Received::Known)
            }
            Decision::Outrun => Ok(Received::Known),
            Decision::Stale { seen } => {
                self.journal.write(taken())?;
                let why = format!(
                    "stale: generation {} is lower than {seen}, which this node has seen for {}; nothing was done (if the server was \
                     set up anew, stop the agent, remove {} and start it again)",
                    order.generation,
                    order.tenant,
                    self.dir.join("journal").display()
                );
                self.end(order.id, failed(why));
                Ok(Received::Stale)
            }
        }
    }

    /// Ends orders of the same tenant that wait while a newer one is here.
    fn supersede(&mut self, newer: &WorkOrder) {
        let waiting = self.journal.ledger().open().into_iter().filter(|known| {
            known.facts.tenant == newer.tenant
                && known.facts.generation < newer.generation
                && self.in_hand.get(&known.facts.order).is_some_and(|hand| !hand.is_running)
        });
        for order in waiting.map(|known| known.facts.order).collect::<Vec<_>>() {
            self.end(order, failed(format!("superseded: {} came before this one was carried out", newer.id)));
        }
    }

    /// Orders that may begin now; they are under way from here on. Those that may not any more are given back or ended.
    pub(super) fn start(&mut self, now: Instant) -> Vec<OrderId> {
        let mut busy: Vec<TenantName> = Vec::new();
        let mut waiting: Vec<(OrderId, TenantName, Stage)> = Vec::new();
        for known in self.journal.ledger().open() {
            let (order, tenant) = (known.facts.order, known.facts.tenant.clone());
            match self.in_hand.get(&order) {
                Some(hand) if hand.is_running => busy.push(tenant),
                _ => waiting.push((order, tenant, known.stage)),
            }
        }
        let mut started = Vec::new();
        for (order, tenant, stage) in waiting {
            let Some(hand) = self.in_hand.get_mut(&order) else { continue };
            if busy.len() >= SIDE_BY_SIDE || busy.contains(&tenant) {
                continue;
            }
            match (stage, hand.lease_until) {
                // How far it got before the crash nobody knows: it is settled whoever has the order now.
                (Stage::Begun, _) => {}
                (_, None) => continue,
                (_, Some(until)) if until <= now => {
                    tracing::warn!(work_order = %order, %tenant, "the lease ran out before the order could begin; the server hands it out again");
                    self.give_back(order);
                    continue;
                }
                (_, Some(_)) if hand.until <= now => {
                    self.end(order, failed("its deadline passed before it could begin".to_owned()));
                    continue;
                }
                (_, Some(_)) => {}
            }
            hand.is_running = true;
            busy.push(tenant);
            started.push(order);
        }
        started
    }

    /// Notes that an effect begins, and hands out what is to be done and until when. `None`: it is over already.
    ///
    /// # Errors
    ///
    /// The disk does not take it: it waits again.
    pub(super) fn begin(&mut self, id: OrderId) -> io::Result<Option<(WorkOrder, Instant)>> {
        let mut order = match self.journal.order(id) {
            Ok(order) => order,
            Err(error) => {
                self.end(id, failed(format!("the order's file cannot be read any more: {error}")));
                return Ok(None);
            }
        };
        // It may have been handed out again while it waited.
        order.generation = self.journal.ledger().get(id).map_or(order.generation, |known| known.facts.generation);
        let written = self.journal.write(Entry::Begun { order: id });
        let Some(hand) = self.in_hand.get_mut(&id) else { return Ok(None) };
        match written {
            Ok(()) => Ok(Some((order, hand.until))),
            Err(error) => {
                hand.is_running = false;
                Err(error)
            }
        }
    }

    /// Notes that an effect has ended, and how. Where the disk is full it is held in memory until there is room.
    pub(super) fn end(&mut self, id: OrderId, result: OrderResult) {
        let status = result.status;
        if let Err(error) = self.journal.keep_result(id, &result) {
            tracing::warn!(work_order = %id, "the result cannot be kept on the disk yet: {error}");
            self.unkept.insert(id, result);
        }
        self.in_hand.remove(&id);
        if self.journal.note(Entry::Done { order: id, status }) {
            self.journal.drop_order(id);
        }
    }

    fn give_back(&mut self, id: OrderId) {
        self.in_hand.remove(&id);
        self.journal.note(Entry::Dropped { order: id });
        self.journal.drop_order(id);
    }

    /// Writes what a full disk had not taken.
    ///
    /// # Errors
    ///
    /// It is still full.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        while let Some((id, result)) = self.unkept.first_key_value() {
            self.journal.keep_result(*id, result)?;
            self.unkept.pop_first();
        }
        self.journal.settle()
    }

    /// Results that the server does not know, the oldest first.
    pub(super) fn untold(&self) -> Vec<OrderId> {
        self.journal.ledger().unreported().iter().map(|known| known.facts.order).collect()
    }

    /// What is to be told of an order; `None` where that was done meanwhile.
    pub(super) fn telling(&self, id: OrderId) -> Option<Telling> {
        let Record { facts, stage: Stage::Done(status), .. } = self.journal.ledger().get(id)? else { return None };
        let lost = |error: io::Error| OrderResult {
            status: *status,
            summary: format!("what became of it in detail is lost: {error}"),
            ..failed(String::new())
        };
        let result = self.unkept.get(&id).cloned().unwrap_or_else(|| self.journal.result(id).unwrap_or_else(lost));
        let report = Report {
            generation: Some(facts.generation),
            status: *status,
            result: Some(result),
            // The server knows by itself what follows for the tenant.
            state_updates: Vec::new(),
        };
        Some(Telling {
            order: id,
            report,
            request_id: facts.request_id.clone(),
            correlation_id: facts.correlation_id.clone(),
        })
    }

    /// The server knows, or does not want to, what was told under that generation.
    pub(super) fn told(&mut self, id: OrderId, generation: Option<u64>) {
        // Handed out again meanwhile: it is to be told again.
        if self.journal.ledger().get(id).is_some_and(|known| Some(known.facts.generation) == generation) {
            self.journal.note(Entry::Reported { order: id });
            self.unkept.remove(&id);
        }
    }

    /// Orders to be named in a heartbeat: those in hand, and those to be told of.
    pub(super) fn named(&self) -> Vec<OrderId> {
        self.in_hand.keys().copied().chain(self.untold()).collect()
    }

    /// Takes in what the server says of the orders that were named.
    pub(super) fn heard(&mut self, named: &[OrderId], lost: &[OrderId], lease_until: Instant) {
        for id in named {
            let Some(hand) = self.in_hand.get_mut(id) else { continue };
            if !lost.contains(id) {
                hand.lease_until = Some(lease_until);
                continue;
            }
            let stage = self.journal.ledger().get(*id).map(|known| known.stage);
            if hand.is_running || stage == Some(Stage::Begun) {
                tracing::warn!(work_order = %id, "the order is not this node's any more; what has begun is brought to its end");
            } else {
                tracing::info!(work_order = %id, "the order is not this node's any more; it had not begun");
                self.give_back(*id);
            }
        }
    }

    /// Orders that a run before this one had begun.
    pub(super) fn begun(&self) -> usize {
        self.journal.ledger().open().iter().filter(|known| known.stage == Stage::Begun).count()
    }
}

fn facts(handed: &Handed) -> Facts {
    let order = &handed.order;
    Facts {
        order: order.id,
        kind: order.kind,
        tenant: order.tenant.clone(),
        generation: order.generation,
        revision: order.revision,
        digest: disk::digest(&serde_json::to_vec(&order.desired).unwrap_or_default()),
        budget_ms: u64::try_from(handed.budget.as_millis()).unwrap_or(u64::MAX),
        request_id: order.request_id.clone(),
        correlation_id: order.correlation_id.clone(),
    }
}

/// Nothing was done, and why.
pub(super) fn failed(summary: String) -> OrderResult {
    OrderResult {
        status: Outcome::Failed,
        started_at: None,
        finished_at: None,
        exit_code: None,
        summary,
        services: BTreeMap::new(),
        logs_tail: String::new(),
    }
}

#[cfg(test)]
mod tests;
