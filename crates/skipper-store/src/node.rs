//! Table `node`: the hosts of the fleet.

use serde_json::Value;
use skipper_core::{
    actor::Provenance,
    event::NewEvent,
    name::{NodeName, TenantName},
    time::Timestamp,
};

use crate::{
    Error, Store,
    db::{Row, args, statements},
    json,
};

statements! {
    GET = "SELECT * FROM node WHERE name = $1";
    LIST = "SELECT * FROM node WHERE name > $1 ORDER BY name LIMIT $2";
    PUT = "INSERT INTO node (name, spec, created_at, updated_at) VALUES ($1, $2, $3, $3) \
        ON CONFLICT (name) DO UPDATE SET spec = excluded.spec, updated_at = excluded.updated_at, row_version = node.row_version + 1";
    SEEN = "UPDATE node SET last_seen = $2, agent_version = COALESCE($3, agent_version), draining = $4 WHERE name = $1";
    REMOVE = "DELETE FROM node WHERE name = $1";
    REMOVE_TOKENS = "DELETE FROM node_token WHERE node = $1";
    DROP_ORDERS = "UPDATE work_order SET status = 'superseded', finished_at = $2 WHERE node = $1 AND status IN ('pending', 'active')";
}

/// A host of the fleet as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// What people say of it.
    pub spec: Value,
    /// When its agent last asked or told anything, to the minute.
    pub last_seen: Option<Timestamp>,
    /// The version of its agent.
    pub agent_version: Option<String>,
    /// Its agent takes nothing new.
    pub draining: bool,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When what people say of it last changed.
    pub updated_at: Timestamp,
    /// Counts those changes.
    pub row_version: u64,
}

/// A sign of life of a node's agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Of which node.
    pub node: NodeName,
    /// When.
    pub at: Timestamp,
    /// The version that it told, if it did.
    pub agent_version: Option<String>,
    /// It takes nothing new.
    pub draining: bool,
}

impl Store {
    /// Registers a node, or changes what is said of it. The same again changes nothing. Answers whether it is new.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn node_put(
        &self,
        name: &NodeName,
        spec: &Value,
        provenance: &Provenance,
    ) -> Result<(Node, bool), Error> {
        let mut txn = self.txn("store the node").await?;
        let before = txn.one(GET, args![name.as_str()]).await?.as_ref().map(read).transpose()?;
        if let Some(before) = before.as_ref().filter(|before| before.spec == *spec) {
            return Ok((before.clone(), false));
        }
        let now = txn.shared().clock.now();
        txn.later(PUT, args![name.as_str(), json::text(spec)?, now]).await?;
        let node = read(&txn.row(GET, args![name.as_str()]).await?)?;
        let kind = if before.is_some() { "node.changed" } else { "node.registered" };
        txn.tell([told(kind, None, provenance, serde_json::json!({"node": name, "spec": spec}))]);
        txn.commit().await?;
        Ok((node, before.is_none()))
    }

    /// A node.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn node_get(&self, name: &NodeName) -> Result<Option<Node>, Error> {
        self.one("read a node", GET, args![name.as_str()]).await?.as_ref().map(read).transpose()
    }

    /// Nodes by name, at most `limit` of them after that one.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn node_list(&self, after: Option<&NodeName>, limit: u32) -> Result<Vec<Node>, Error> {
        let after = after.map_or("", NodeName::as_str);
        self.all("list nodes", LIST, args![after, limit]).await?.iter().map(read).collect()
    }

    /// Remembers signs of life, all in one transaction. Nodes that are gone are passed over.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn nodes_seen(&self, seen: &[Seen]) -> Result<(), Error> {
        let mut txn = self.txn("remember when nodes were seen").await?;
        for one in seen {
            let version = one.agent_version.as_deref();
            txn.later(SEEN, args![one.node.as_str(), one.at, version, one.draining]).await?;
        }
        txn.commit().await
    }

    /// Forgets a node: its tokens let nobody in any more, and what waits for it is given up.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`].
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn node_remove(&self, name: &NodeName, provenance: &Provenance) -> Result<(), Error> {
        let mut txn = self.txn("remove the node").await?;
        if txn.run(REMOVE, args![name.as_str()]).await? == 0 {
            return Err(Error::not_found("node", name));
        }
        let now = txn.shared().clock.now();
        txn.agents_changed();
        txn.later(REMOVE_TOKENS, args![name.as_str()]).await?;
        txn.later(DROP_ORDERS, args![name.as_str(), now]).await?;
        txn.tell([told("node.removed", None, provenance, serde_json::json!({"node": name}))]);
        txn.commit().await
    }
}

/// An event of the fleet.
pub(crate) fn told(kind: &str, tenant: Option<&TenantName>, provenance: &Provenance, data: Value) -> NewEvent {
    NewEvent {
        kind: kind.to_owned(),
        tenant: tenant.cloned(),
        release: None,
        revision: None,
        rollout: None,
        provenance: provenance.clone(),
        data,
    }
}

fn read(row: &Row) -> Result<Node, Error> {
    Ok(Node {
        name: row.parse("name")?,
        spec: row.json("spec")?,
        last_seen: row.maybe_time("last_seen")?,
        agent_version: row.maybe_text("agent_version")?,
        draining: row.flag("draining")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        row_version: row.count("row_version")?,
    })
}
