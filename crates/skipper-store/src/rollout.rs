//! Table `rollout`: the durable jobs. What the engine does with them under a lease is in `lease`, `resolved`, `step` and
//! `settle`.

use std::collections::BTreeSet;

use skipper_core::{
    actor::Provenance,
    event::NewEvent,
    id::{ReleaseId, RolloutId},
    port::Loaded,
    release::Release,
    rollout::{Cause, Phase, Rollout, Verb},
};

use crate::{
    Error, Store,
    db::{Reading, Row, Txn, args, statements},
    lease, live, release, revision, settle, step,
    store::page,
};

statements! {
    GET = "SELECT * FROM rollout WHERE id = $1";
    /// The slot is in the text, not a parameter: so these find their row by an index of one entry for each release.
    OPEN_OF = "SELECT * FROM rollout WHERE release_id = $1 AND slot = 'open'";
    WAITING_OF = "SELECT * FROM rollout WHERE release_id = $1 AND slot = 'waiting'";
    UNDER_WAY = "SELECT * FROM rollout WHERE release_id = $1 AND slot = 'open' \
        UNION ALL SELECT * FROM rollout WHERE release_id = $1 AND slot = 'waiting'";
    LATEST = "SELECT * FROM rollout WHERE release_id = $1 ORDER BY num DESC LIMIT 1";
    LIST = "SELECT * FROM rollout WHERE num < $1 ORDER BY num DESC LIMIT $2";
    LIST_OF_RELEASE = "SELECT * FROM rollout WHERE release_id = $3 AND num < $1 ORDER BY num DESC LIMIT $2";
    LIST_OPEN = "SELECT * FROM rollout WHERE slot = 'open' AND num < $1 ORDER BY num DESC LIMIT $2";
    REQUEST_CANCEL = "UPDATE rollout SET cancel_requested = 1, row_version = row_version + 1 WHERE id = $1 AND slot = 'open'";
    CANCEL_REQUESTED = "SELECT cancel_requested FROM rollout WHERE id = $1";
    CANCELS = "SELECT id FROM rollout WHERE slot = 'open' AND cancel_requested = 1";
    HAS_OPEN = "SELECT 1 AS found FROM rollout WHERE release_id = $1 AND slot = 'open'";
}

/// What a request to cancel led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelOutcome {
    /// It was waiting, and is cancelled now.
    Cancelled,
    /// The engine will undo what was done, and then it is cancelled.
    Requested,
}

impl Store {
    /// One rollout.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn rollout_get(&self, id: RolloutId) -> Result<Option<Rollout>, Error> {
        self.one("read the rollout", GET, args![id]).await?.as_ref().map(read).transpose()
    }

    /// The rollout that is open for the release.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn rollout_open(&self, release: ReleaseId) -> Result<Option<Rollout>, Error> {
        self.one("read the open rollout", OPEN_OF, args![release]).await?.as_ref().map(read).transpose()
    }

    /// The rollout that waits behind the open one.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn rollout_waiting(&self, release: ReleaseId) -> Result<Option<Rollout>, Error> {
        self.one("read the waiting rollout", WAITING_OF, args![release]).await?.as_ref().map(read).transpose()
    }

    /// The newest rollout of the release.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn rollout_latest(&self, release: ReleaseId) -> Result<Option<Rollout>, Error> {
        self.one("read the newest rollout", LATEST, args![release]).await?.as_ref().map(read).transpose()
    }

    /// Rollouts, newest first, at most `limit` (and never more than 1000), with the cursor for `before` of the next page.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn rollout_list(
        &self,
        of: Option<ReleaseId>,
        open_only: bool,
        limit: u32,
        before: Option<i64>,
    ) -> Result<Vec<(i64, Rollout)>, Error> {
        let mut args = args![before.unwrap_or(i64::MAX), page(limit)];
        let sql = match (of, open_only) {
            (Some(release), _) => {
                args.push(release.into());
                LIST_OF_RELEASE
            }
            (None, true) => LIST_OPEN,
            (None, false) => LIST,
        };
        let rows = self.all("list rollouts", sql, args).await?;
        let all = rows.iter().map(|row| Ok((row.int("num")?, read(row)?))).collect::<Result<Vec<_>, Error>>()?;
        Ok(all.into_iter().filter(|(_, rollout)| !open_only || !rollout.phase.is_final()).collect())
    }

    /// A rollout with its release, target, live deployments and steps, all of one moment.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for an unknown rollout.
    pub async fn rollout_load(&self, id: RolloutId) -> Result<Loaded, Error> {
        let mut reading = Reading::begin(&self.shared, "load the rollout").await?;
        let rollout = reading.one(GET, args![id]).await?;
        let row = rollout.ok_or_else(|| Error::not_found("rollout", id))?;
        let rollout = read(&row)?;
        // Steps could not be noted without it.
        lease::index(&row)?;
        let release = reading.one(release::GET_BY_ID, args![rollout.release]).await?;
        let release = release.ok_or_else(|| Error::corrupt(format!("the release of rollout {id} is missing")))?;
        let target = match rollout.to {
            None => None,
            Some(number) => reading.one(revision::GET, args![rollout.release, number]).await?,
        };
        let live = reading.all(live::OF_RELEASE, args![rollout.release]).await?;
        let steps = reading.all(step::LIST, args![id]).await?;
        reading.end().await?;
        Ok(Loaded {
            release: release::read(&release)?,
            target: target.as_ref().map(revision::read).transpose()?,
            live: live.iter().map(live::read).collect::<Result<_, _>>()?,
            steps: steps.iter().map(step::read).collect::<Result<_, _>>()?,
            rollout,
        })
    }

    /// Asks that a rollout be stopped and undone. A waiting one is cancelled here; asking twice is fine.
    ///
    /// # Errors
    ///
    /// [`Error::NotCancellable`] past the point of no return, and when it has ended.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn rollout_cancel(&self, id: RolloutId, provenance: &Provenance) -> Result<CancelOutcome, Error> {
        let mut txn = self.txn("cancel the rollout").await?;
        let found = txn.one(GET, args![id]).await?.as_ref().map(read).transpose()?;
        let of = found.ok_or_else(|| Error::not_found("rollout", id))?.release;
        let release = release::lock_in_txn(&mut txn, of).await?;
        // Read again: it may have moved while the lock was waited for.
        let rollout = read(&txn.row(GET, args![id]).await?)?;
        if !rollout.phase.can_cancel() {
            return Err(Error::NotCancellable { rollout: id, phase: rollout.phase.name().to_owned() });
        }
        let outcome = if rollout.phase == Phase::Waiting {
            let cause = Cause {
                code: Cause::CANCELLED.to_owned(),
                message: format!("cancelled by {} while it waited", provenance.actor),
                hint: None,
                step: None,
                at: txn.shared().clock.now(),
            };
            settle::end_waiting_in_txn(&mut txn, &release, &rollout, Phase::Cancelled { cause }).await?;
            txn.tell([told("rollout.cancelled", &release, &rollout, provenance)]);
            CancelOutcome::Cancelled
        } else {
            txn.later(REQUEST_CANCEL, args![id]).await?;
            if !rollout.cancel_requested {
                txn.tell([told("rollout.cancel-requested", &release, &rollout, provenance)]);
            }
            CancelOutcome::Requested
        };
        txn.wake();
        txn.commit().await?;
        Ok(outcome)
    }

    pub(crate) async fn rollout_cancel_requested(&self, id: RolloutId) -> Result<bool, Error> {
        let row = self.one("read the rollout", CANCEL_REQUESTED, args![id]).await?;
        row.ok_or_else(|| Error::not_found("rollout", id))?.flag("cancel_requested")
    }

    pub(crate) async fn rollout_cancels(&self) -> Result<BTreeSet<RolloutId>, Error> {
        let rows = self.all("look for rollouts to cancel", CANCELS, args![]).await?;
        rows.iter().map(|row| row.parse("id")).collect()
    }

    pub(crate) async fn rollout_has_open(&self, release: ReleaseId) -> Result<bool, Error> {
        Ok(self.one("look for an open rollout", HAS_OPEN, args![release]).await?.is_some())
    }
}

/// An event about a rollout.
pub(crate) fn told(kind: &str, release: &Release, rollout: &Rollout, provenance: &Provenance) -> NewEvent {
    NewEvent {
        kind: kind.to_owned(),
        tenant: Some(release.tenant.clone()),
        release: Some(release.name.clone()),
        revision: rollout.to,
        rollout: Some(rollout.id),
        provenance: provenance.clone(),
        data: serde_json::json!({"verb": rollout.verb, "from": rollout.from, "to": rollout.to, "purge": rollout.purge}),
    }
}

/// Whether one is open, and the one that waits behind it.
pub(crate) async fn under_way_in_txn(
    txn: &mut Txn,
    release: ReleaseId,
) -> Result<(Option<(RolloutId, String)>, Option<Rollout>), Error> {
    let (mut open, mut waiting) = (None, None);
    for row in txn.all(UNDER_WAY, args![release]).await? {
        if row.text("slot")? == "open" {
            // Not all of it: its plan may be long.
            open = Some((row.parse("id")?, row.text("phase_name")?));
        } else {
            waiting = Some(read(&row)?);
        }
    }
    Ok((open, waiting))
}

pub(crate) async fn waiting_in_txn(txn: &mut Txn, release: ReleaseId) -> Result<Option<Rollout>, Error> {
    txn.one(WAITING_OF, args![release]).await?.as_ref().map(read).transpose()
}

pub(crate) fn read(row: &Row) -> Result<Rollout, Error> {
    Ok(Rollout {
        id: row.parse("id")?,
        release: row.parse("release_id")?,
        verb: row.word("verb", Verb::parse)?,
        from: row.maybe_count("from_revision")?,
        to: row.maybe_count("to_revision")?,
        phase: row.json("phase")?,
        plan: row.maybe_json("plan")?,
        required_plan: row.maybe_parse("required_plan")?,
        purge: row.flag("purge")?,
        cancel_requested: row.flag("cancel_requested")?,
        secrets: row.json("secrets")?,
        provenance: row.json("provenance")?,
        created_at: row.time("created_at")?,
        started_at: row.maybe_time("started_at")?,
        finished_at: row.maybe_time("finished_at")?,
    })
}
