//! What the store knows of itself: its schema, its life (epoch), and the counter that generations come from.

use skipper_core::{generation::Generation, time::Timestamp};

use crate::{
    Error, Store, StoreConfig,
    db::{Arg, Txn, args, statements},
};

statements! {
    VERSION = "SELECT schema_version FROM store_meta WHERE id = 1";
    SET_VERSION = "UPDATE store_meta SET schema_version = $1 WHERE id = 1";
    FIRST = "INSERT INTO store_meta (id, schema_version, store_id, epoch, counter, created_by, created_at) \
        VALUES (1, 0, $1, 1, 0, $2, $3)";
    TOUCH = "UPDATE store_meta SET counter = counter + 1 WHERE id = 1";
    SET_EPOCH = "UPDATE store_meta SET epoch = $1 WHERE id = 1";
    HELD = "SELECT 1 AS held WHERE EXISTS (SELECT 1 FROM rollout WHERE slot = 'open' AND lease_owner IS NOT NULL) \
        OR EXISTS (SELECT 1 FROM idempotency WHERE state = 'in-progress' AND rollout_id IS NULL)";
    BREAK_LEASES = "UPDATE rollout SET lease_owner = NULL, lease_expires_at = NULL WHERE slot = 'open' AND lease_owner IS NOT NULL";
    FORGET_UNFINISHED = "DELETE FROM idempotency WHERE state = 'in-progress' AND rollout_id IS NULL";
    GET = "SELECT * FROM store_meta WHERE id = 1";
    NEXT_GENERATION = "UPDATE store_meta SET counter = counter + 1 WHERE id = 1 RETURNING epoch, counter";
    COUNT_RELEASES = "SELECT COUNT(*) AS n FROM release WHERE purged = 0 AND deleted = 0";
    COUNT_OPEN = "SELECT COUNT(*) AS n FROM rollout WHERE slot = 'open'";
    COUNT_LIVE = "SELECT COUNT(*) AS n FROM live";
}

/// What the store knows of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Made up when the database was.
    pub store_id: String,
    /// Raised by every restore.
    pub epoch: u64,
    /// The schema's version.
    pub schema_version: i64,
    /// The Skipper that made the database.
    pub created_by: String,
    /// When it did.
    pub created_at: Timestamp,
}

/// For gauges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Releases that are not deleted.
    pub releases: u64,
    /// Rollouts that are open.
    pub open_rollouts: u64,
    /// Deployments that run.
    pub deployments: u64,
    /// Events so far.
    pub events: u64,
}

impl Store {
    /// What the store knows of itself.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn meta_get(&self) -> Result<Meta, Error> {
        let row = self.one("read the store's own record", GET, args![]).await?;
        let row = row.ok_or_else(|| Error::corrupt("the store's own record is missing"))?;
        Ok(Meta {
            store_id: row.text("store_id")?,
            epoch: row.count("epoch")?,
            schema_version: row.int("schema_version")?,
            created_by: row.text("created_by")?,
            created_at: row.time("created_at")?,
        })
    }

    /// Numbers for gauges; counts by index, a millisecond for 100,000 releases.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn counts(&self) -> Result<Counts, Error> {
        let doing = "count";
        let mut counts = [0; 3];
        for (count, sql) in counts.iter_mut().zip([COUNT_RELEASES, COUNT_OPEN, COUNT_LIVE]) {
            *count = self.one(doing, sql, args![]).await?.map_or(Ok(0), |row| row.count("n"))?;
        }
        let [releases, open_rollouts, deployments] = counts;
        Ok(Counts { releases, open_rollouts, deployments, events: self.events_head().await? })
    }
}

/// The row of a new database.
pub(crate) fn first(config: &StoreConfig) -> (&'static str, Vec<Arg>) {
    let made_by = concat!("skipper ", env!("CARGO_PKG_VERSION"));
    (FIRST, args![config.ids.next().to_string(), made_by, config.clock.now()])
}

/// A generation that is higher than all before.
pub(crate) async fn generation_next_in_txn(txn: &mut Txn) -> Result<Generation, Error> {
    let row = txn.row(NEXT_GENERATION, args![]).await?;
    Ok(Generation { epoch: row.count("epoch")?, counter: row.count("counter")? })
}
