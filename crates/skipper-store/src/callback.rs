//! Tables `callback` and `callback_cursor`: what others are still to be told of rollouts. It is decided from the events, once
//! each, and kept until it was told or given up; where a server dies while it tells, another one tells it again.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use skipper_core::{id::RolloutId, name::ReleaseName, time::Timestamp};

use crate::{
    Error, Store,
    db::{Row, Txn, args, statements},
    json,
};

statements! {
    CURSOR = "SELECT seq FROM callback_cursor WHERE id = 1";
    FIRST_CURSOR = "INSERT INTO callback_cursor (id, seq) VALUES (1, $1) ON CONFLICT DO NOTHING";
    MOVE_CURSOR = "UPDATE callback_cursor SET seq = $2 WHERE id = 1 AND seq = $1";
    COUNT_DUE = "SELECT COUNT(*) AS n FROM callback WHERE due_at IS NOT NULL";
    GET = "SELECT * FROM callback WHERE rollout_id = $1 AND target = $2";
    INSERT = "INSERT INTO callback (rollout_id, target, release_name, pending, active, attempts, due_at, busy_until, created_at) \
        VALUES ($1, $2, $3, $4, $5, 0, $6, 0, $6)";
    ADD = "UPDATE callback SET pending = $3, active = $4, due_at = COALESCE(due_at, $5) WHERE rollout_id = $1 AND target = $2";
    ACTIVE = "SELECT * FROM callback WHERE release_name = $1 AND target = $2 AND active = 1 AND rollout_id <> $3";
    FORGET = "DELETE FROM callback WHERE due_at IS NULL AND active = 0 AND created_at < $1";
    DUE = "SELECT * FROM callback WHERE due_at <= $1 AND busy_until <= $1 ORDER BY due_at LIMIT $2";
    CLAIM = "UPDATE callback SET busy_until = $4 WHERE rollout_id = $1 AND target = $2 AND busy_until = $3";
    NEXT = "SELECT MIN(due_at) AS due FROM callback WHERE due_at IS NOT NULL";
    OWN = "SELECT * FROM callback WHERE rollout_id = $1 AND target = $2 AND busy_until = $3";
    SETTLE = "UPDATE callback SET pending = $4, remote = $5, attempts = $6, due_at = $7, busy_until = 0 \
        WHERE rollout_id = $1 AND target = $2 AND busy_until = $3";
}

/// How long one attempt is another's to make again: far above what it may take.
const BUSY: Duration = Duration::from_secs(60);
/// Most that wait: others that are down for long must not fill the database.
const MAX_DUE: u64 = 10_000;
/// How long what was told is remembered.
const KEEP: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// One thing to tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The word for what became of the rollout.
    pub state: String,
    /// The event that it is about.
    pub seq: u64,
    /// When that was.
    pub at: Timestamp,
}

/// What an event means for one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackNote {
    /// Of which rollout.
    pub rollout: RolloutId,
    /// Of which release.
    pub release: ReleaseName,
    /// Who is told: a word of the caller's.
    pub target: String,
    /// What; nothing where only those before it are told.
    pub told: Option<Told>,
    /// It is what runs now: whatever ran before is told `inactive` first.
    pub takes_over: bool,
    /// The same word, for those before it.
    pub inactive: &'static str,
}

/// What is due at one target, claimed for a minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    /// Of which rollout.
    pub rollout: RolloutId,
    /// Of which release.
    pub release: ReleaseName,
    /// Who is told.
    pub target: String,
    /// What, oldest first.
    pub pending: Vec<Told>,
    /// What the other side calls it.
    pub remote: Option<String>,
    /// How often it failed in a row.
    pub attempts: u32,
    claim: i64,
}

impl Store {
    /// The last event that was decided about; `None` before the first one.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn callbacks_cursor(&self) -> Result<Option<u64>, Error> {
        self.one("read how far callbacks are", CURSOR, args![]).await?.map(|row| row.count("seq")).transpose()
    }

    /// Notes what is to be told for the events after `from` up to `to`. `false` where somebody else has decided about them.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn callbacks_note(&self, from: Option<u64>, to: u64, notes: &[CallbackNote]) -> Result<bool, Error> {
        let mut txn = self.txn("note what others are to be told").await?;
        let moved = match from {
            None => txn.run(FIRST_CURSOR, args![to]).await?,
            Some(from) => txn.run(MOVE_CURSOR, args![from, to]).await?,
        };
        if moved == 0 {
            txn.leave().await?;
            return Ok(false);
        }
        let now = txn.shared().clock.now();
        if !notes.is_empty() {
            let oldest = Timestamp::from_micros(now.as_micros().saturating_sub_unsigned(micros(KEEP)));
            txn.later(FORGET, args![oldest]).await?;
        }
        for note in notes {
            note_in_txn(&mut txn, note, now).await?;
        }
        txn.commit().await?;
        Ok(true)
    }

    /// What is due now, claimed: whoever does not settle it within a minute has died.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn callbacks_due(&self, limit: u32) -> Result<Vec<Callback>, Error> {
        let mut txn = self.txn("look for what others are to be told").await?;
        let now = txn.shared().clock.now();
        let mut due = Vec::new();
        for row in txn.all(DUE, args![now, i64::from(limit)]).await? {
            let claim = now + BUSY;
            let (rollout, target) = (row.text("rollout_id")?, row.text("target")?);
            if txn.run(CLAIM, args![rollout, target, row.int("busy_until")?, claim]).await? == 1 {
                due.push(Callback { claim: claim.as_micros(), ..read(&row)? });
            }
        }
        txn.commit().await?;
        Ok(due)
    }

    /// When the next one is due.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn callbacks_next(&self) -> Result<Option<Timestamp>, Error> {
        match self.one("look when others are to be told", NEXT, args![]).await? {
            Some(row) => row.maybe_time("due"),
            None => Ok(None),
        }
    }

    /// The first `told` of what was pending are told. `again`: the rest failed, and is due then; without it the rest is due
    /// now. `give_up`: the rest is dropped.
    ///
    /// # Errors
    ///
    /// Only those of the database; a claim that was lost is no error.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn callbacks_settle(
        &self,
        callback: &Callback,
        told: usize,
        again: Option<Timestamp>,
        give_up: bool,
    ) -> Result<(), Error> {
        let mut txn = self.txn("note what others were told").await?;
        let own = || args![callback.rollout, callback.target.as_str(), callback.claim];
        // Read anew: more may have come meanwhile.
        let Some(row) = txn.one(OWN, own()).await? else { return txn.leave().await };
        let mut pending: Vec<Told> = row.json("pending")?;
        let gone = if give_up { callback.pending.len() } else { told };
        pending.drain(..gone.min(pending.len()));
        let now = txn.shared().clock.now();
        let due = (!pending.is_empty()).then(|| again.unwrap_or(now));
        let attempts = if again.is_some() { callback.attempts.saturating_add(1) } else { 0 };
        let mut args = own();
        args.extend(args![json::text(&pending)?, callback.remote.as_deref(), attempts, due]);
        txn.later(SETTLE, args).await?;
        txn.commit().await
    }
}

async fn note_in_txn(txn: &mut Txn, note: &CallbackNote, now: Timestamp) -> Result<(), Error> {
    if note.takes_over {
        let args = args![note.release.as_str(), note.target.as_str(), note.rollout];
        for row in txn.all(ACTIVE, args).await? {
            let mut pending: Vec<Told> = row.json("pending")?;
            let (seq, at) = note.told.as_ref().map_or((0, now), |told| (told.seq, told.at));
            pending.push(Told { state: note.inactive.to_owned(), seq, at });
            let args = args![row.text("rollout_id")?, row.text("target")?, json::text(&pending)?, false, now];
            txn.later(ADD, args).await?;
        }
    }
    let Some(told) = &note.told else { return Ok(()) };
    let known = txn.one(GET, args![note.rollout, note.target.as_str()]).await?;
    let mut pending: Vec<Told> = known.as_ref().map_or(Ok(Vec::new()), |row| row.json("pending"))?;
    pending.push(told.clone());
    let pending = json::text(&pending)?;
    if known.is_some() {
        txn.later(ADD, args![note.rollout, note.target.as_str(), pending, note.takes_over, now]).await?;
        return Ok(());
    }
    if txn.row(COUNT_DUE, args![]).await?.count("n")? >= MAX_DUE {
        tracing::warn!(rollout.id = %note.rollout, "nobody is told of this rollout: {MAX_DUE} callbacks wait already");
        return Ok(());
    }
    let (release, target) = (note.release.as_str(), note.target.as_str());
    txn.later(INSERT, args![note.rollout, target, release, pending, note.takes_over, now]).await?;
    Ok(())
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

fn read(row: &Row) -> Result<Callback, Error> {
    Ok(Callback {
        rollout: row.parse("rollout_id")?,
        release: row.parse("release_name")?,
        target: row.text("target")?,
        pending: row.json("pending")?,
        remote: row.maybe_text("remote")?,
        attempts: row.small("attempts")?,
        claim: row.int("busy_until")?,
    })
}
