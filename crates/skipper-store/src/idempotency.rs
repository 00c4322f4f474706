//! Table `idempotency`: the first answer to a request is the answer to every repetition of it, across restarts.
//!
//! A key is begun before the work and finished with the answer. Where the work is an intent, the rollout is remembered in the
//! intent's own transaction: a server that dies between the two has not lost what its answer would have been. And where nothing
//! but the intent is done, all of it, the answer as well, is that one transaction: see [`Claim`].

use std::{fmt, sync::Arc, time::Duration};

use skipper_core::{Sha256, id::RolloutId, name::TenantName};

use crate::{
    Error, IntentAccepted, Store,
    db::{Row, Txn, args, statements},
    json, sealed_answer,
};

statements! {
    GET = "SELECT * FROM idempotency WHERE tenant = $1 AND actor = $2 AND idempotency_key = $3";
    EXPIRE = "DELETE FROM idempotency WHERE expires_at <= $1";
    BEGIN = "INSERT INTO idempotency (tenant, actor, idempotency_key, fingerprint, state, holder, busy_until, expires_at) \
        VALUES ($1, $2, $3, $4, 'in-progress', $5, $6, $7) ON CONFLICT DO NOTHING";
    TAKE_OVER = "UPDATE idempotency SET holder = $5, busy_until = $6, expires_at = $7 \
        WHERE tenant = $1 AND actor = $2 AND idempotency_key = $3 AND fingerprint = $4 AND state = 'in-progress' \
            AND rollout_id IS NULL AND busy_until <= $8";
    ACCEPTED = "UPDATE idempotency SET rollout_id = $5 \
        WHERE tenant = $1 AND actor = $2 AND idempotency_key = $3 AND holder = $4 AND state = 'in-progress'";
    /// Takes over what nobody waits for any more.
    CLAIM = "INSERT INTO idempotency (tenant, actor, idempotency_key, fingerprint, state, holder, busy_until, expires_at, \
            rollout_id, status, headers, body) \
        VALUES ($1, $2, $3, $4, 'done', $5, $6, $7, $8, $9, $10, $11) \
        ON CONFLICT (tenant, actor, idempotency_key) DO UPDATE SET fingerprint = excluded.fingerprint, state = excluded.state, \
            holder = excluded.holder, busy_until = excluded.busy_until, expires_at = excluded.expires_at, \
            rollout_id = excluded.rollout_id, status = excluded.status, headers = excluded.headers, body = excluded.body \
        WHERE idempotency.expires_at <= $6 OR (idempotency.state = 'in-progress' AND idempotency.rollout_id IS NULL \
            AND idempotency.busy_until <= $6 AND idempotency.fingerprint = excluded.fingerprint)";
    FINISH = "UPDATE idempotency SET state = 'done', status = $5, headers = $6, body = $7 \
        WHERE tenant = $1 AND actor = $2 AND idempotency_key = $3 AND holder = $4 AND state = 'in-progress'";
    GIVE_UP = "DELETE FROM idempotency \
        WHERE tenant = $1 AND actor = $2 AND idempotency_key = $3 AND holder = $4 AND state = 'in-progress' AND rollout_id IS NULL";
}

/// Longest key that is kept; ours are UUIDs.
const KEY_MAX: usize = 255;
/// Longest that a request stays "in progress" without an answer: its server is dead then. Requests themselves are bounded
/// far below.
const BUSY: Duration = Duration::from_secs(60);

/// A key in the hands of the request that began it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    pub(crate) tenant: TenantName,
    pub(crate) actor: String,
    pub(crate) key: String,
    /// Made up for this one attempt, so that a slow predecessor cannot finish what was taken over from it.
    holder: String,
}

/// A key that is taken, and answered, in the transaction of an intent: nothing is begun, so nothing has to be given up either.
#[derive(Clone)]
pub struct Claim {
    /// Who sends it: keys are theirs.
    pub actor: String,
    /// 1 to 255 bytes.
    pub key: String,
    /// Digest of everything that makes the request what it is.
    pub fingerprint: Sha256,
    /// How long it is known.
    pub keep: Duration,
    /// What else the same request is called: it is taken with the claim or not at all.
    pub alias: Option<Alias>,
    /// The answer to what was accepted; asked within the transaction.
    pub answer: Arc<dyn Fn(&IntentAccepted) -> StoredAnswer + Send + Sync>,
}

/// A second name of a claimed request, known for a time of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// Who calls it so.
    pub actor: String,
    /// 1 to 255 bytes.
    pub key: String,
    /// How long it is known.
    pub keep: Duration,
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").field("actor", &self.actor).field("key", &self.key).finish_non_exhaustive()
    }
}

/// What makes an intent happen once.
#[derive(Debug, Clone)]
pub enum Once {
    /// A key that was begun by [`Store::idempotency_begin`]: the rollout is remembered with it.
    Begun(IdempotencyKey),
    /// A key of its own.
    Claim(Claim),
}

impl Once {
    /// What the client calls its request.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Begun(begun) => &begun.key,
            Self::Claim(claim) => claim.alias.as_ref().map_or(&claim.key, |alias| &alias.key),
        }
    }
}

impl From<IdempotencyKey> for Once {
    fn from(key: IdempotencyKey) -> Self {
        Self::Begun(key)
    }
}

/// An answer to be repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// HTTP status.
    pub status: u16,
    /// Headers that belong to the answer.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

/// What to do with a request that has an idempotency key.
#[derive(Debug)]
pub enum Begun {
    /// Do it, then call [`Store::idempotency_finish`], or [`Store::idempotency_give_up`] where nothing was done.
    New(IdempotencyKey),
    /// It was done: repeat this answer.
    Done(StoredAnswer),
    /// Its intent was accepted, and the answer was lost: answer from [`Store::intent_get`], then finish the key.
    Accepted(IdempotencyKey, RolloutId),
    /// The first one is still being worked on.
    InProgress,
}

impl Store {
    /// Begins a request with a key of its actor's choosing. `fingerprint` is a digest of everything that makes the request
    /// what it is; the answer is kept for `keep`.
    ///
    /// # Errors
    ///
    /// [`Error::IdempotencyMismatch`] when the key came with another request before; [`Error::Invalid`] for a key that is
    /// empty or longer than 255 bytes.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction. A key that was begun and never finished is free again after a minute.
    pub async fn idempotency_begin(
        &self,
        tenant: &TenantName,
        actor: &str,
        key: &str,
        fingerprint: Sha256,
        keep: Duration,
    ) -> Result<Begun, Error> {
        check(key)?;
        let mut txn = self.txn("look for the idempotency key").await?;
        let now = txn.shared().clock.now();
        let holder = txn.shared().ids.next().to_string();
        let mine = IdempotencyKey { tenant: tenant.clone(), actor: actor.to_owned(), key: key.to_owned(), holder };
        let begin = || args![tenant.as_str(), actor, key, fingerprint, mine.holder.as_str(), now + BUSY, now + keep];
        txn.later(EXPIRE, args![now]).await?;
        if txn.run(BEGIN, begin()).await? == 1 {
            txn.commit().await?;
            return Ok(Begun::New(mine));
        }
        let found = txn.row(GET, args![tenant.as_str(), actor, key]).await?;
        let known = known(&found, key, fingerprint, |holder| IdempotencyKey { holder, ..mine.clone() })?;
        if !matches!(known, Begun::InProgress) {
            txn.leave().await?;
            return self.opened(&mine, known);
        }
        let mut take_over = begin();
        take_over.push(now.into());
        if txn.run(TAKE_OVER, take_over).await? == 0 {
            return Ok(Begun::InProgress);
        }
        txn.commit().await?;
        Ok(Begun::New(mine))
    }

    /// What is known of a request before it is claimed (see [`Claim`]); `None` where nothing is.
    ///
    /// # Errors
    ///
    /// As [`Store::idempotency_begin`].
    pub async fn idempotency_find(
        &self,
        tenant: &TenantName,
        actor: &str,
        key: &str,
        fingerprint: Sha256,
    ) -> Result<Option<Begun>, Error> {
        check(key)?;
        let row = self.one("look for the idempotency key", GET, args![tenant.as_str(), actor, key]).await?;
        let now = self.now();
        let Some(found) = row else { return Ok(None) };
        if found.time("expires_at")? <= now {
            return Ok(None);
        }
        let mine =
            |holder| IdempotencyKey { tenant: tenant.clone(), actor: actor.to_owned(), key: key.to_owned(), holder };
        match known(&found, key, fingerprint, mine)? {
            Begun::InProgress if found.time("busy_until")? <= now => Ok(None),
            known => self.opened(&mine(String::new()), known).map(Some),
        }
    }

    /// With an answer that was sealed as it was.
    fn opened(&self, key: &IdempotencyKey, known: Begun) -> Result<Begun, Error> {
        match known {
            Begun::Done(answer) => sealed_answer::open(&self.shared.keys, key, answer).map(Begun::Done),
            other => Ok(other),
        }
    }

    /// Keeps the answer. An answer without its secrets is the caller's to make.
    ///
    /// # Errors
    ///
    /// Only those of the database; a key that expired meanwhile is no error.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn idempotency_finish(&self, key: &IdempotencyKey, answer: StoredAnswer) -> Result<(), Error> {
        let mut txn = self.txn("keep the answer").await?;
        finish_in_txn(&mut txn, key, answer).await?;
        txn.commit().await
    }

    /// Keeps an answer that holds a secret: its body is sealed as secrets are, and opened for the repetition alone.
    ///
    /// # Errors
    ///
    /// As [`Store::idempotency_finish`]; [`Error::Key`] without the key that seals.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn idempotency_finish_sealed(&self, key: &IdempotencyKey, answer: StoredAnswer) -> Result<(), Error> {
        let sealed = sealed_answer::seal(&self.sealing_key().await?, key, answer);
        self.idempotency_finish(key, sealed).await
    }

    /// Frees the key: nothing was done, and the request may come again. Without effect once an intent was accepted.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn idempotency_give_up(&self, key: &IdempotencyKey) -> Result<(), Error> {
        let mut txn = self.txn("free the idempotency key").await?;
        txn.later(GIVE_UP, key.args()).await?;
        txn.commit().await
    }
}

impl IdempotencyKey {
    fn args(&self) -> Vec<crate::db::Arg> {
        args![self.tenant.as_str(), self.actor.as_str(), self.key.as_str(), self.holder.as_str()]
    }
}

/// Remembers what the request led to, in the transaction that did it.
pub(crate) async fn accepted_in_txn(txn: &mut Txn, key: &IdempotencyKey, rollout: RolloutId) -> Result<(), Error> {
    let mut args = key.args();
    args.push(rollout.into());
    if txn.run(ACCEPTED, args).await? == 0 {
        // Somebody took the key over because this request was too slow: they do it, not we.
        return Err(Error::Invalid(
            "the request took so long that its idempotency key was given to a repetition".into(),
        ));
    }
    Ok(())
}

/// Keeps the answer, in the transaction that did what it tells of.
pub(crate) async fn finish_in_txn(txn: &mut Txn, key: &IdempotencyKey, answer: StoredAnswer) -> Result<(), Error> {
    let mut args = key.args();
    args.extend(args![u32::from(answer.status), json::text(&answer.headers)?, answer.body]);
    txn.later(FINISH, args).await
}

/// Takes a key with its answer, in the transaction that did it.
pub(crate) async fn claim_in_txn(
    txn: &mut Txn,
    tenant: &TenantName,
    claim: &Claim,
    accepted: &IntentAccepted,
) -> Result<(), Error> {
    let (now, holder) = (txn.shared().clock.now(), txn.shared().ids.next().to_string());
    if txn.shared().is_time_to_expire(now) {
        txn.later(EXPIRE, args![now]).await?;
    }
    let answer = (claim.answer)(accepted);
    let headers = json::text(&answer.headers)?;
    let own = (&claim.actor, &claim.key, claim.keep);
    let alias = claim.alias.as_ref().map(|alias| (&alias.actor, &alias.key, alias.keep));
    for (actor, key, keep) in std::iter::once(own).chain(alias) {
        check(key)?;
        let args = args![
            tenant.as_str(),
            actor.as_str(),
            key.as_str(),
            claim.fingerprint,
            holder.as_str(),
            now,
            now + keep,
            accepted.rollout.id,
            u32::from(answer.status),
            headers.as_str(),
            answer.body.clone(),
        ];
        if txn.run(CLAIM, args).await? == 0 {
            return Err(Error::Repeated { key: key.clone() });
        }
    }
    Ok(())
}

fn check(key: &str) -> Result<(), Error> {
    if key.is_empty() || key.len() > KEY_MAX || key.contains('\0') {
        return Err(Error::Invalid(format!("an idempotency key has 1 to {KEY_MAX} bytes")));
    }
    Ok(())
}

/// What is stored under a key.
fn known(
    found: &Row,
    key: &str,
    fingerprint: Sha256,
    held_by: impl FnOnce(String) -> IdempotencyKey,
) -> Result<Begun, Error> {
    if found.text("fingerprint")? != fingerprint.to_string() {
        return Err(Error::IdempotencyMismatch { key: key.to_owned() });
    }
    if found.text("state")? == "done" {
        return Ok(Begun::Done(read(found)?));
    }
    Ok(match found.maybe_parse("rollout_id")? {
        Some(rollout) => Begun::Accepted(held_by(found.text("holder")?), rollout),
        None => Begun::InProgress,
    })
}

fn read(row: &Row) -> Result<StoredAnswer, Error> {
    Ok(StoredAnswer {
        status: row.small("status")?,
        headers: row.json("headers")?,
        body: row.maybe_bytes("body")?.unwrap_or_default(),
    })
}
