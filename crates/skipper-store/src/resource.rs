//! Table `resource`: what people wrote of tenants and of services in documents of their own, and what is known of them.

use serde_json::Value;
use skipper_core::{actor::Provenance, name::TenantName, time::Timestamp};

use crate::{
    Error, Store,
    db::{Row, args, statements},
    json,
    node::told,
};

statements! {
    GET = "SELECT * FROM resource WHERE kind = $1 AND name = $2";
    LIST = "SELECT * FROM resource WHERE kind = $1 AND (tenant = $2 OR $2 = '') AND name > $3 ORDER BY name LIMIT $4";
    PUT = "INSERT INTO resource (kind, name, tenant, spec, created_at, updated_at, row_version) VALUES ($1, $2, $3, $4, $5, $5, 1) \
        ON CONFLICT (kind, name) DO UPDATE SET tenant = excluded.tenant, spec = excluded.spec, updated_at = excluded.updated_at, \
            row_version = resource.row_version + 1";
    SET_STATUS = "UPDATE resource SET status = $3 WHERE kind = $1 AND name = $2";
    REMOVE = "DELETE FROM resource WHERE kind = $1 AND name = $2";
}

/// A document and what is known of what it describes.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// `tenant` or `service`.
    pub kind: String,
    /// Its id.
    pub name: String,
    /// Who owns it.
    pub tenant: TenantName,
    /// What people wrote.
    pub spec: Value,
    /// What is known.
    pub status: Option<Value>,
    /// When it was first stored.
    pub created_at: Timestamp,
    /// When what people wrote last changed.
    pub updated_at: Timestamp,
    /// Counts those changes.
    pub row_version: u64,
}

/// Which resources.
#[derive(Debug, Clone, Copy)]
pub struct ResourceFilter<'a> {
    /// `tenant` or `service`.
    pub kind: &'a str,
    /// Only one tenant's.
    pub tenant: Option<&'a TenantName>,
    /// Only those whose id comes after that.
    pub after: &'a str,
    /// At most so many.
    pub limit: u32,
}

impl Store {
    /// Stores a document; the same again changes nothing. Answers whether it changed anything.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn resource_put(
        &self,
        kind: &str,
        name: &str,
        tenant: &TenantName,
        spec: &Value,
        provenance: &Provenance,
    ) -> Result<(Resource, bool), Error> {
        let mut txn = self.txn("store the resource").await?;
        let before = txn.one(GET, args![kind, name]).await?.as_ref().map(read).transpose()?;
        if let Some(before) = before.filter(|before| before.spec == *spec && before.tenant == *tenant) {
            return Ok((before, false));
        }
        let now = txn.shared().clock.now();
        txn.later(PUT, args![kind, name, tenant.as_str(), json::text(spec)?, now]).await?;
        let resource = read(&txn.row(GET, args![kind, name]).await?)?;
        let data = serde_json::json!({"kind": kind, "id": name});
        txn.tell([told("resource.put", Some(tenant), provenance, data)]);
        txn.commit().await?;
        Ok((resource, true))
    }

    /// A document.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn resource_get(&self, kind: &str, name: &str) -> Result<Option<Resource>, Error> {
        self.one("read a resource", GET, args![kind, name]).await?.as_ref().map(read).transpose()
    }

    /// Documents by their ids.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn resource_list(&self, filter: ResourceFilter<'_>) -> Result<Vec<Resource>, Error> {
        let tenant = filter.tenant.map_or("", TenantName::as_str);
        let args = args![filter.kind, tenant, filter.after, filter.limit];
        self.all("list resources", LIST, args).await?.iter().map(read).collect()
    }

    /// Remembers what is known of it; one that is gone is passed over.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn resource_status(&self, kind: &str, name: &str, status: &Value) -> Result<(), Error> {
        let mut txn = self.txn("store a resource's status").await?;
        txn.later(SET_STATUS, args![kind, name, json::text(status)?]).await?;
        txn.commit().await
    }

    /// Forgets a document.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`].
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn resource_remove(&self, kind: &str, name: &str, provenance: &Provenance) -> Result<Resource, Error> {
        let mut txn = self.txn("remove the resource").await?;
        let row = txn.one(GET, args![kind, name]).await?.ok_or_else(|| Error::not_found("resource", name))?;
        let resource = read(&row)?;
        txn.later(REMOVE, args![kind, name]).await?;
        let data = serde_json::json!({"kind": kind, "id": name});
        txn.tell([told("resource.removed", Some(&resource.tenant), provenance, data)]);
        txn.commit().await?;
        Ok(resource)
    }
}

fn read(row: &Row) -> Result<Resource, Error> {
    Ok(Resource {
        kind: row.text("kind")?,
        name: row.text("name")?,
        tenant: row.parse("tenant")?,
        spec: row.json("spec")?,
        status: row.maybe_json("status")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        row_version: row.count("row_version")?,
    })
}
