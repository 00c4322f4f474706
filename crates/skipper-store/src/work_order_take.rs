//! Handing a work order out, under a lease and a generation of its own, and taking the report on it.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;
use skipper_core::{
    actor::{Actor, Provenance},
    fleet::{OrderStatus, Outcome, Verdict, judge},
    id::OrderId,
    name::NodeName,
};

use crate::{
    Error, Store,
    db::{args, statements},
    json,
    work_order::{Order, about, read},
};

statements! {
    /// The plus keeps the database from choosing the index by deadlines, and sorting.
    OLDEST = "SELECT * FROM (SELECT * FROM work_order WHERE node = $1 AND status = 'pending' AND ready = 1 AND +deadline > $2 ORDER BY id LIMIT 1) AS waiting \
        UNION ALL SELECT * FROM (SELECT * FROM work_order WHERE node = $1 AND status = 'active' AND lease_until <= $2 AND +deadline > $2 ORDER BY id LIMIT 1) AS lapsed";
    /// Whether there is anything of both.
    ANY = "SELECT CAST(CASE WHEN EXISTS (SELECT 1 FROM work_order WHERE node = $1 AND status = 'pending' AND ready = 1 AND +deadline > $2) \
        OR EXISTS (SELECT 1 FROM work_order WHERE node = $1 AND status = 'active' AND lease_until <= $2 AND +deadline > $2) \
        THEN 1 ELSE 0 END AS BIGINT) AS found";
    RAISE = "UPDATE node SET generation = generation + 1 WHERE name = $1 \
        RETURNING generation, (SELECT epoch FROM store_meta WHERE id = 1) AS epoch";
    TAKE = "UPDATE work_order SET status = 'active', generation = $2, lease_owner = $3, lease_until = $4 WHERE id = $1 AND generation = $5 \
        AND status IN ('pending', 'active')";
    GET = "SELECT * FROM work_order WHERE id = $1 AND node = $2";
    HELD = "SELECT id FROM work_order WHERE node = $1 AND status = 'active' ORDER BY id LIMIT 1000";
    LET_GO = "UPDATE work_order SET lease_until = $3 WHERE id = $1 AND node = $2 AND status = 'active' AND lease_until < $4";
    UNHELD = "SELECT node FROM work_order WHERE status = 'active' AND lease_until <= $1 LIMIT 1000";
    RENEW = "UPDATE work_order SET lease_until = $3 WHERE id = $1 AND node = $2 AND status = 'active'";
    FINISH = "UPDATE work_order SET status = $2, result = $3, finished_at = $4, lease_until = NULL WHERE id = $1 AND status IN ('pending', 'active')";
}

/// An order that its holder does not name was lost on its way there, unless it was handed out just now.
const ON_ITS_WAY: Duration = Duration::from_secs(5);
/// Within a life of the store there is room for so many orders a node.
const COUNTER_BITS: u32 = 32;

/// What came of a renewal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewed {
    /// Orders that were named and are not the node's.
    pub lost: Vec<OrderId>,
    /// Something that the node holds was not named, and may be had again.
    pub let_go: bool,
}

impl Store {
    /// Hands out the oldest order that waits for the node, or whose holder has let its lease run out.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction. An order that was handed out to nobody is handed out again when its lease has run out.
    pub async fn order_take(&self, node: &NodeName, owner: &str, lease: Duration) -> Result<Option<Order>, Error> {
        // Most who ask find nothing: they do not queue behind those who write.
        let any = self.one("look for work", ANY, args![node.as_str(), self.now()]).await?;
        if !any.map_or(Ok(false), |row| row.flag("found"))? {
            return Ok(None);
        }
        let mut txn = self.txn("hand out the work order").await?;
        let now = txn.shared().clock.now();
        let found = txn.all(OLDEST, args![node.as_str(), now]).await?;
        let found = found.iter().map(read).collect::<Result<Vec<Order>, Error>>()?;
        // Ids sort by age.
        let Some(order) = found.into_iter().min_by_key(|order| order.id) else { return Ok(None) };
        let raised = txn.row(RAISE, args![node.as_str()]).await?;
        let generation = (raised.count("epoch")?.saturating_sub(1) << COUNTER_BITS) + raised.count("generation")?;
        let until = now + lease;
        if txn.run(TAKE, args![order.id, generation, owner, until, order.generation]).await? == 0 {
            return Ok(None);
        }
        let order = Order {
            status: OrderStatus::Active,
            generation,
            lease_owner: Some(owner.to_owned()),
            lease_until: Some(until),
            ..order
        };
        txn.tell([about("order.taken", &order)]);
        txn.commit().await?;
        Ok(Some(order))
    }

    /// Makes the leases of those orders, or of all that the node holds, last `lease` from now. What it holds and does not name may
    /// be handed out again at once.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn orders_renew(
        &self,
        node: &NodeName,
        named: Option<&[OrderId]>,
        lease: Duration,
    ) -> Result<Renewed, Error> {
        let held = self.all("look for orders that a node holds", HELD, args![node.as_str()]).await?;
        let held: Vec<OrderId> = held.iter().map(|row| row.parse("id")).collect::<Result<_, _>>()?;
        let wanted = named.unwrap_or(&held);
        let lost: Vec<OrderId> = wanted.iter().filter(|id| !held.contains(id)).copied().collect();
        let forgotten: Vec<OrderId> = held.iter().filter(|id| !wanted.contains(id)).copied().collect();
        if wanted.len() > lost.len() || !forgotten.is_empty() {
            let mut txn = self.txn("renew the leases of work orders").await?;
            let now = txn.shared().clock.now();
            let until = now + lease;
            for id in &forgotten {
                txn.later(LET_GO, args![*id, node.as_str(), now, now + lease - ON_ITS_WAY]).await?;
            }
            for id in wanted.iter().filter(|id| held.contains(id)) {
                txn.later(RENEW, args![*id, node.as_str(), until]).await?;
            }
            txn.commit().await?;
        }
        Ok(Renewed { lost, let_go: !forgotten.is_empty() })
    }

    /// Nodes with orders whose holder has let its lease run out.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn orders_unheld(&self) -> Result<Vec<NodeName>, Error> {
        let rows = self.all("look for orders that nobody holds", UNHELD, args![self.now()]).await?;
        let nodes = rows.iter().map(|row| row.parse("node")).collect::<Result<BTreeSet<NodeName>, Error>>()?;
        Ok(nodes.into_iter().collect())
    }

    /// Takes a node's report on an order. `None`: there is no such order of that node.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn order_report(
        &self,
        id: OrderId,
        node: &NodeName,
        generation: Option<u64>,
        outcome: Outcome,
        result: &Value,
    ) -> Result<Option<(Verdict, Order)>, Error> {
        let mut txn = self.txn("take the report on the work order").await?;
        let Some(row) = txn.one(GET, args![id, node.as_str()]).await? else { return Ok(None) };
        let order = read(&row)?;
        let verdict = judge(order.status, order.generation, generation, outcome);
        if verdict != Verdict::Take {
            return Ok(Some((verdict, order)));
        }
        let now = txn.shared().clock.now();
        let status = outcome.status();
        txn.later(FINISH, args![id, status.as_str(), json::text(result)?, now]).await?;
        let by = Provenance { actor: Actor::Node { node: node.clone() }, ..order.provenance.clone() };
        let order = Order { status, result: Some(result.clone()), finished_at: Some(now), lease_until: None, ..order };
        let mut told = about("order.finished", &order);
        told.provenance = by;
        txn.tell([told]);
        txn.commit().await?;
        Ok(Some((verdict, order)))
    }
}
