//! Table `step`: the log of a rollout, one row a step with its latest state.

use skipper_core::{
    id::RolloutId,
    port::Lease,
    rollout::{StepRecord, StepState},
};

use crate::{
    Error, Store,
    db::{Row, Txn, args, statements},
    json,
    lease::Fenced,
};

statements! {
    LIST = "SELECT * FROM step WHERE rollout_id = $1 ORDER BY idx";
    PUT = "INSERT INTO step (rollout_id, idx, app, target, action, state, started_at, updated_at, outcome) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
        ON CONFLICT (rollout_id, idx) DO UPDATE SET state = excluded.state, updated_at = excluded.updated_at, outcome = excluded.outcome";
}

impl Store {
    /// The step log of a rollout, by index.
    ///
    /// # Errors
    ///
    /// Only those of the database; an unknown rollout has no steps.
    pub async fn steps_get(&self, rollout: RolloutId) -> Result<Vec<StepRecord>, Error> {
        self.all("read the step log", LIST, args![rollout]).await?.iter().map(read).collect()
    }
}

/// See [`skipper_core::port::RolloutStore::step`]. Writing the same again changes nothing.
pub(crate) async fn put_in_txn(
    txn: &mut Txn,
    lease: &Lease,
    fenced: &Fenced,
    record: &StepRecord,
) -> Result<(), Error> {
    let index = usize::try_from(record.index).unwrap_or(usize::MAX);
    let (app, target, action) = fenced.steps.get(index).cloned().ok_or_else(|| {
        let (index, count) = (record.index, fenced.steps.len());
        Error::Invalid(format!("rollout {} has no step {index}: its plan has {count}", lease.rollout))
    })?;
    let outcome = json::text(&record.outcome)?;
    let (started, updated) = (record.started_at, record.updated_at);
    txn.later(
        PUT,
        args![lease.rollout, record.index, app, target, action, record.state.as_str(), started, updated, outcome],
    )
    .await
}

pub(crate) fn read(row: &Row) -> Result<StepRecord, Error> {
    Ok(StepRecord {
        index: row.small("idx")?,
        state: row.word("state", StepState::parse)?,
        started_at: row.time("started_at")?,
        updated_at: row.time("updated_at")?,
        outcome: row.json("outcome")?,
    })
}
