//! Table `work_order`: what nodes are asked to do. How one is handed out and reported on is in `work_order_take`.

use serde_json::Value;
use skipper_core::{
    actor::Provenance,
    deployment::DeploymentId,
    fleet::{OrderKind, OrderStatus},
    id::{OrderId, ReleaseId},
    name::{NodeName, TenantName},
    secret::SecretVersions,
    time::Timestamp,
};

use crate::{
    Error, Store,
    db::{Row, Txn, args, statements},
    json,
    node::told,
};

statements! {
    GET = "SELECT * FROM work_order WHERE id = $1";
    NEWEST = "SELECT * FROM work_order WHERE deployment_id = $1 AND kind = $2 ORDER BY id DESC LIMIT 1";
    TAKEN_AFTER = "SELECT 1 AS found FROM work_order WHERE node = $1 AND tenant = $2 AND release_id = $3 AND id > $4 AND generation > 0 LIMIT 1";
    TAKEN_EVER = "SELECT 1 AS found FROM work_order WHERE node = $1 AND release_id = $2 AND generation > 0 LIMIT 1";
    INSERT = "INSERT INTO work_order (id, kind, tenant, node, release_id, deployment_id, revision, status, ready, generation, created_at, \
            deadline, idempotency_key, provenance, desired, secrets) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, 'pending', $8, 0, $9, $10, $11, $12, $13, $14) RETURNING *";
    READY = "UPDATE work_order SET ready = 1, deadline = $2, secrets = $3 WHERE id = $1 AND ready = 0 RETURNING *";
    REPLACE = "UPDATE work_order SET status = 'superseded', finished_at = $5 \
        WHERE node = $1 AND tenant = $2 AND release_id = $3 AND id <> $4 AND status = 'pending' AND ready = 1";
    WITHDRAW = "UPDATE work_order SET status = 'superseded', finished_at = $2 WHERE deployment_id = $1 AND status = 'pending'";
    FORSAKEN = "UPDATE work_order SET status = 'superseded', finished_at = $2 WHERE status = 'pending' AND ready = 0 AND created_at < $1 \
        AND NOT EXISTS (SELECT 1 FROM rollout WHERE rollout.release_id = work_order.release_id AND rollout.slot IS NOT NULL)";
    OVERDUE = "SELECT * FROM work_order WHERE status IN ('pending', 'active') AND deadline <= $1 LIMIT 1000";
    EXPIRE = "UPDATE work_order SET status = 'expired', finished_at = $2 WHERE id = $1 AND status IN ('pending', 'active')";
    FORGET = "DELETE FROM work_order WHERE finished_at < $1";
    LIST = "SELECT * FROM work_order WHERE (node = $1 OR $1 = '') AND (tenant = $2 OR $2 = '') AND (status = $3 OR $3 = '') \
        AND (id < $4 OR $4 = '') ORDER BY id DESC LIMIT $5";
    LIST_OF_TENANT = "SELECT * FROM work_order WHERE tenant = $2 AND (node = $1 OR $1 = '') AND (status = $3 OR $3 = '') \
        AND (id < $4 OR $4 = '') ORDER BY id DESC LIMIT $5";
    LAST_OF_TENANT = "SELECT id FROM work_order WHERE tenant = $1 ORDER BY id DESC LIMIT 1";
    OPEN_OF = "SELECT COUNT(*) AS n FROM work_order WHERE node = $1 AND status IN ('pending', 'active')";
}

/// An order as it is stored: without a secret.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// What it asks for.
    pub kind: OrderKind,
    /// For whom.
    pub tenant: TenantName,
    /// By which node.
    pub node: NodeName,
    /// Of which release.
    pub release: ReleaseId,
    /// Which application of which revision.
    pub deployment: DeploymentId,
    /// The revision.
    pub revision: u64,
    /// How far it is.
    pub status: OrderStatus,
    /// Whether its turn has come: a rollout that waits for another one is not carried out yet.
    pub ready: bool,
    /// Under which it was handed out last; 0 where it never was.
    pub generation: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it is given up.
    pub deadline: Timestamp,
    /// Who has it.
    pub lease_owner: Option<String>,
    /// Until when.
    pub lease_until: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// The key of the request that asked.
    pub idempotency_key: Option<String>,
    /// Who asked.
    pub provenance: Provenance,
    /// What is to be, a document of the caller's.
    pub desired: Value,
    /// Which versions of the secrets.
    pub secrets: SecretVersions,
    /// What became of it, a document of the caller's.
    pub result: Option<Value>,
}

/// An order to be made.
#[derive(Debug, Clone)]
pub struct NewOrder {
    /// What it asks for.
    pub kind: OrderKind,
    /// For whom.
    pub tenant: TenantName,
    /// By which node.
    pub node: NodeName,
    /// Of which release.
    pub release: ReleaseId,
    /// Which application of which revision.
    pub deployment: DeploymentId,
    /// The revision.
    pub revision: u64,
    /// When it is given up.
    pub deadline: Timestamp,
    /// The key of the request that asked.
    pub idempotency_key: Option<String>,
    /// Who asked.
    pub provenance: Provenance,
    /// What is to be.
    pub desired: Value,
    /// Which versions of the secrets.
    pub secrets: SecretVersions,
    /// It may be handed out now.
    pub ready: bool,
}

/// Which orders.
#[derive(Debug, Clone, Copy, Default)]
pub struct OrderFilter<'a> {
    /// Only a node's.
    pub node: Option<&'a NodeName>,
    /// Only a tenant's.
    pub tenant: Option<&'a TenantName>,
    /// Only those that are so far.
    pub status: Option<OrderStatus>,
    /// Only those made before that one.
    pub before: Option<OrderId>,
    /// At most so many.
    pub limit: u32,
}

impl Store {
    /// The order for a deployment: the one that is there if it still says what is wanted, else a new one.
    ///
    /// One that succeeded is there as long as `holds` says that the node still has what it asked for, and nothing else was
    /// handed out for the release on that node since. Others that wait for the node lose their place to one that is ready.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn order_ensure(&self, new: NewOrder, holds: bool) -> Result<Order, Error> {
        let mut txn = self.txn("make the work order").await?;
        let newest = txn.one(NEWEST, args![new.deployment.as_str(), new.kind.as_str()]).await?;
        if let Some(known) = newest.as_ref().map(read).transpose()?
            && is_it(&mut txn, &known, holds).await?
        {
            if !new.ready || known.ready {
                if new.ready && known.status.is_final() {
                    // The node has it already, and is not to get what was meant to take its place.
                    replace(&mut txn, &known).await?;
                    txn.commit().await?;
                }
                return Ok(known);
            }
            let known = read(&txn.row(READY, args![known.id, new.deadline, json::text(&new.secrets)?]).await?)?;
            replace(&mut txn, &known).await?;
            txn.commit().await?;
            return Ok(known);
        }
        let id = OrderId::from_uuid(txn.shared().ids.next());
        let now = txn.shared().clock.now();
        let args = args![
            id,
            new.kind.as_str(),
            new.tenant.as_str(),
            new.node.as_str(),
            new.release,
            new.deployment.as_str(),
            new.revision,
            new.ready,
            now,
            new.deadline,
            new.idempotency_key.as_deref(),
            json::text(&new.provenance)?,
            json::text(&new.desired)?,
            json::text(&new.secrets)?,
        ];
        let order = read(&txn.row(INSERT, args).await?)?;
        if order.ready {
            replace(&mut txn, &order).await?;
        }
        txn.tell([about("order.created", &order)]);
        txn.commit().await?;
        Ok(order)
    }

    /// An order.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn order_get(&self, id: OrderId) -> Result<Option<Order>, Error> {
        self.one("read a work order", GET, args![id]).await?.as_ref().map(read).transpose()
    }

    /// The newest order of that kind for a deployment.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn order_newest(&self, deployment: &DeploymentId, kind: OrderKind) -> Result<Option<Order>, Error> {
        let args = args![deployment.as_str(), kind.as_str()];
        self.one("read a deployment's work order", NEWEST, args).await?.as_ref().map(read).transpose()
    }

    /// Whether the node was ever handed anything of the release.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn order_ever_taken(&self, node: &NodeName, release: ReleaseId) -> Result<bool, Error> {
        Ok(self.one("look for work orders", TAKEN_EVER, args![node.as_str(), release]).await?.is_some())
    }

    /// Orders, newest first.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn order_list(&self, filter: OrderFilter<'_>) -> Result<Vec<Order>, Error> {
        let args = args![
            filter.node.map_or("", NodeName::as_str),
            filter.tenant.map_or("", TenantName::as_str),
            filter.status.map_or("", OrderStatus::as_str),
            filter.before.map_or_else(String::new, |id| id.to_string()),
            filter.limit,
        ];
        let sql = if filter.tenant.is_some() { LIST_OF_TENANT } else { LIST };
        self.all("list work orders", sql, args).await?.iter().map(read).collect()
    }

    /// A tenant's newest order.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn order_last(&self, tenant: &TenantName) -> Result<Option<OrderId>, Error> {
        let row = self.one("look for a tenant's last order", LAST_OF_TENANT, args![tenant.as_str()]).await?;
        row.map(|row| row.parse("id")).transpose()
    }

    /// How many orders a node has not ended.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn order_count_open(&self, node: &NodeName) -> Result<u64, Error> {
        let row = self.one("count work orders", OPEN_OF, args![node.as_str()]).await?;
        row.map_or(Ok(0), |row| row.count("n"))
    }

    /// Takes back what nobody has taken of a deployment.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn order_withdraw(&self, deployment: &DeploymentId) -> Result<(), Error> {
        let mut txn = self.txn("take the work order back").await?;
        let now = txn.shared().clock.now();
        txn.later(WITHDRAW, args![deployment.as_str(), now]).await?;
        txn.commit().await
    }

    /// Ends what is overdue and what belongs to rollouts that are gone, and forgets what ended before `forget`. Answers what
    /// has just expired.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn orders_tidy(&self, unclaimed: Timestamp, forget: Timestamp) -> Result<Vec<Order>, Error> {
        let mut txn = self.txn("tidy work orders").await?;
        let now = txn.shared().clock.now();
        let mut expired = Vec::new();
        for row in txn.all(OVERDUE, args![now]).await? {
            let order = read(&row)?;
            txn.later(EXPIRE, args![order.id, now]).await?;
            let order = Order { status: OrderStatus::Expired, finished_at: Some(now), ..order };
            txn.tell([about("order.expired", &order)]);
            expired.push(order);
        }
        txn.later(FORSAKEN, args![unclaimed, now]).await?;
        txn.later(FORGET, args![forget]).await?;
        txn.commit().await?;
        Ok(expired)
    }
}

/// Whether an order that is there is the one that is wanted.
async fn is_it(txn: &mut Txn, known: &Order, holds: bool) -> Result<bool, Error> {
    Ok(match known.status {
        OrderStatus::Pending | OrderStatus::Active => true,
        OrderStatus::Succeeded if holds => {
            let args = args![known.node.as_str(), known.tenant.as_str(), known.release, known.id];
            txn.one(TAKEN_AFTER, args).await?.is_none()
        }
        _ => false,
    })
}

async fn replace(txn: &mut Txn, order: &Order) -> Result<(), Error> {
    let now = txn.shared().clock.now();
    let args = args![order.node.as_str(), order.tenant.as_str(), order.release, order.id, now];
    txn.later(REPLACE, args).await
}

pub(crate) fn about(kind: &str, order: &Order) -> skipper_core::event::NewEvent {
    let data = serde_json::json!({"order": order.id, "node": order.node, "type": order.kind, "status": order.status,
        "generation": order.generation, "revision": order.revision, "deployment": order.deployment});
    told(kind, Some(&order.tenant), &order.provenance, data)
}

pub(crate) fn read(row: &Row) -> Result<Order, Error> {
    Ok(Order {
        id: row.parse("id")?,
        kind: row.word("kind", OrderKind::parse)?,
        tenant: row.parse("tenant")?,
        node: row.parse("node")?,
        release: row.parse("release_id")?,
        deployment: DeploymentId::from_stored(row.text("deployment_id")?),
        revision: row.count("revision")?,
        status: row.word("status", OrderStatus::parse)?,
        ready: row.flag("ready")?,
        generation: row.count("generation")?,
        created_at: row.time("created_at")?,
        deadline: row.time("deadline")?,
        lease_owner: row.maybe_text("lease_owner")?,
        lease_until: row.maybe_time("lease_until")?,
        finished_at: row.maybe_time("finished_at")?,
        idempotency_key: row.maybe_text("idempotency_key")?,
        provenance: row.json("provenance")?,
        desired: row.json("desired")?,
        secrets: row.json("secrets")?,
        result: row.maybe_json("result")?,
    })
}
