//! Leases: who may work on a rollout, until when, and with which generation. Time is the store's clock on SQLite and the
//! database's on PostgreSQL (see [`crate::db::Txn::lease_now`]); expiry only says when another may take over. What protects
//! an effect is the generation: [`fence_in_txn`] comes first in every write under a lease.

use std::time::Duration;

use skipper_core::{
    generation::Generation,
    id::{ReleaseId, RolloutId},
    port::Lease,
    time::Timestamp,
};

use crate::{
    Error, Store,
    db::{Row, Txn, args, statements},
    meta, release, rollout,
};

statements! {
    DUE = "SELECT id FROM rollout WHERE slot = 'open' AND (lease_owner IS NULL OR lease_expires_at <= $1) ORDER BY num LIMIT $2";
    LOOK = "SELECT release_id, slot, lease_owner, lease_expires_at FROM rollout WHERE id = $1";
    TAKE = "UPDATE rollout SET lease_owner = $2, lease_expires_at = $3, gen_epoch = $4, gen_counter = $5, row_version = row_version + 1 \
        WHERE id = $1 AND slot = 'open' AND (lease_owner IS NULL OR lease_owner = $2 OR lease_expires_at <= $6)";
    RENEW = "UPDATE rollout SET lease_expires_at = $2 \
        WHERE id = $1 AND slot = 'open' AND lease_owner IS NOT NULL AND gen_epoch = $3 AND gen_counter = $4";
    GIVE_BACK = "UPDATE rollout SET lease_owner = NULL, lease_expires_at = NULL \
        WHERE id = $1 AND slot = 'open' AND gen_epoch = $2 AND gen_counter = $3";
    RECLAIM = "UPDATE rollout SET lease_owner = NULL, lease_expires_at = NULL WHERE slot = 'open' AND lease_owner = $1";
    FENCE = "UPDATE rollout SET row_version = row_version + 1 \
        WHERE id = $1 AND slot = 'open' AND lease_owner IS NOT NULL AND gen_epoch = $2 AND gen_counter = $3 \
        RETURNING release_id, to_revision, plan_index";
}

impl Store {
    pub(crate) async fn lease_due(&self, now: Timestamp, limit: u32) -> Result<Vec<RolloutId>, Error> {
        let doing = "look for work";
        let now = match self.pg_now(doing).await? {
            Some(now) => now,
            None => now.as_micros(),
        };
        let rows = self.all(doing, DUE, args![now, crate::store::page(limit)]).await?;
        rows.iter().map(|row| row.parse("id")).collect()
    }

    pub(crate) async fn lease_take(
        &self,
        rollout: RolloutId,
        owner: &str,
        ttl: Duration,
    ) -> Result<Option<Lease>, Error> {
        let mut txn = self.txn("take the lease").await?;
        let seen = txn.one(LOOK, args![rollout]).await?.ok_or_else(|| Error::not_found("rollout", rollout))?;
        let now = txn.lease_now().await?;
        if !is_free(&seen, owner, now)? {
            txn.leave().await?;
            return Ok(None);
        }
        let of: ReleaseId = seen.parse("release_id")?;
        release::lock_in_txn(&mut txn, of).await?;
        let generation = meta::generation_next_in_txn(&mut txn).await?;
        let ends = now.saturating_add(micros(ttl));
        let taken = txn.run(TAKE, args![rollout, owner, ends, generation.epoch, generation.counter, now]).await?;
        if taken == 0 {
            txn.leave().await?;
            return Ok(None);
        }
        release::set_generation_in_txn(&mut txn, of, generation).await?;
        let expires_at = txn.shared().clock.now() + ttl;
        txn.commit().await?;
        Ok(Some(Lease { rollout, generation, expires_at }))
    }

    pub(crate) async fn lease_renew(&self, lease: &Lease, ttl: Duration) -> Result<Lease, Error> {
        let mut txn = self.txn("renew the lease").await?;
        let ends = txn.lease_now().await?.saturating_add(micros(ttl));
        let Generation { epoch, counter } = lease.generation;
        if txn.run(RENEW, args![lease.rollout, ends, epoch, counter]).await? == 0 {
            return Err(refusal_in_txn(&mut txn, lease.rollout).await?);
        }
        let expires_at = txn.shared().clock.now() + ttl;
        txn.commit().await?;
        Ok(Lease { expires_at, ..lease.clone() })
    }

    /// A lease that is not held any more is given back already.
    pub(crate) async fn lease_give_back(&self, lease: &Lease) -> Result<(), Error> {
        let mut txn = self.txn("give the lease back").await?;
        let Generation { epoch, counter } = lease.generation;
        if txn.run(GIVE_BACK, args![lease.rollout, epoch, counter]).await? > 0 {
            txn.wake();
        }
        txn.commit().await
    }

    pub(crate) async fn lease_reclaim(&self, owner: &str) -> Result<(), Error> {
        let mut txn = self.txn("give the leases of the last run back").await?;
        txn.later(RECLAIM, args![owner]).await?;
        txn.wake();
        txn.commit().await
    }

    pub(crate) async fn lease_supervise(&self, of: ReleaseId) -> Result<Option<Generation>, Error> {
        let mut txn = self.txn("take a generation for supervision").await?;
        release::lock_in_txn(&mut txn, of).await?;
        if txn.one(rollout::HAS_OPEN, args![of]).await?.is_some() {
            txn.leave().await?;
            return Ok(None);
        }
        let generation = meta::generation_next_in_txn(&mut txn).await?;
        release::set_generation_in_txn(&mut txn, of, generation).await?;
        txn.commit().await?;
        Ok(Some(generation))
    }

    async fn pg_now(&self, doing: &'static str) -> Result<Option<i64>, Error> {
        match &self.shared.db {
            crate::db::Db::Sqlite(_) => Ok(None),
            crate::db::Db::Pg(pool) => sqlx::query_scalar::<_, i64>(crate::db::PG_NOW)
                .fetch_one(pool)
                .await
                .map(Some)
                .map_err(|e| Error::from_sqlx(doing, e)),
        }
    }
}

fn is_free(seen: &Row, owner: &str, now: i64) -> Result<bool, Error> {
    if seen.maybe_text("slot")?.as_deref() != Some("open") {
        return Ok(false);
    }
    Ok(match (seen.maybe_text("lease_owner")?, seen.maybe_int("lease_expires_at")?) {
        (Some(holder), Some(ends)) => holder == owner || ends <= now,
        _ => true,
    })
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

/// What a fence lets through knows.
#[derive(Debug)]
pub(crate) struct Fenced {
    pub(crate) release: ReleaseId,
    pub(crate) to: Option<u64>,
    /// Application, target and action of each step of the plan.
    pub(crate) steps: Vec<(String, String, String)>,
}

/// The names of a plan's steps.
pub(crate) fn index(row: &Row) -> Result<Vec<(String, String, String)>, Error> {
    Ok(row.maybe_json("plan_index")?.unwrap_or_default())
}

/// Refuses a lease that is not the newest, and locks the rollout for the rest of the transaction.
pub(crate) async fn fence_in_txn(txn: &mut Txn, lease: &Lease) -> Result<Fenced, Error> {
    let Generation { epoch, counter } = lease.generation;
    match txn.one(FENCE, args![lease.rollout, epoch, counter]).await? {
        Some(row) => Ok(Fenced {
            release: row.parse("release_id")?,
            to: row.maybe_count("to_revision")?,
            // Whoever takes the rollout up was told when it cannot be read, and must be let in to give it up.
            steps: index(&row).unwrap_or_default(),
        }),
        None => Err(refusal_in_txn(txn, lease.rollout).await?),
    }
}

/// Why a fence did not open: the rollout is unknown, or the lease is not the newest.
pub(crate) async fn refusal_in_txn(txn: &mut Txn, rollout: RolloutId) -> Result<Error, Error> {
    Ok(match txn.one(LOOK, args![rollout]).await? {
        None => Error::not_found("rollout", rollout),
        Some(_) => Error::Fenced { rollout },
    })
}
