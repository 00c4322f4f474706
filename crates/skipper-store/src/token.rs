//! Table `token`: API tokens, stored as the SHA-256 of 256 random bits. Such a token cannot be guessed, so a slow hash
//! would protect nothing; and it is looked up by its hash, so comparing takes no time that depends on the token.

use std::{
    fmt,
    sync::PoisonError,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use skipper_core::{
    Sha256,
    actor::{Actor, Provenance, Role},
    event::NewEvent,
    id::TokenId,
    name::TenantName,
    time::Timestamp,
};
use zeroize::Zeroizing;

use crate::{
    Error, Store,
    db::{Row, args, statements},
    json,
};

statements! {
    INSERT = "INSERT INTO token (id, sha256, name, role, tenant, created_at, created_by, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    BY_HASH = "SELECT * FROM token WHERE sha256 = $1";
    GET = "SELECT * FROM token WHERE id = $1";
    LIST = "SELECT * FROM token ORDER BY created_at, id LIMIT 10000";
    TOUCH = "UPDATE token SET last_used_at = $2 WHERE id = $1 AND revoked_at IS NULL";
    REVOKE = "UPDATE token SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
    ANY = "SELECT 1 AS found WHERE EXISTS (SELECT 1 FROM token WHERE revoked_at IS NULL)";
}

/// How old "last used" may be before it is written again: a write for each request would cost more than it tells.
const TOUCH_AFTER_SECS: u64 = 60;
/// Longest name.
const NAME_MAX: usize = 200;

/// How long an answer of [`Store::token_any`] holds: the command line may make a token beside a server that runs.
const ANY_HELD: Duration = Duration::from_millis(250);

/// Whether there was a token, after so many commits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AnyToken {
    found: bool,
    commits: u64,
    read_at: Instant,
}

/// A token to make.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// For people.
    pub name: String,
    /// What its bearer may do.
    pub role: Role,
    /// The only tenant it may touch; `None` for every tenant.
    pub tenant: Option<TenantName>,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
}

/// A token as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its id; not a secret.
    pub id: TokenId,
    /// For people.
    pub name: String,
    /// What its bearer may do.
    pub role: Role,
    /// The only tenant it may touch; `None` for every tenant.
    pub tenant: Option<TenantName>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl Token {
    /// Its bearer.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor::Token { id: self.id, name: self.name.clone(), role: self.role, tenant: self.tenant.clone() }
    }

    /// Whether it lets anybody in at that time.
    #[must_use]
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

/// The text of a new token: shown once, stored nowhere.
#[derive(Clone)]
pub struct TokenSecret(Zeroizing<String>);

impl TokenSecret {
    pub(crate) fn from_text(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text to hand to its owner.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl Store {
    /// Makes a token. Its text is in the answer and nowhere else.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a name that is empty or longer than 200 bytes.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn token_create(&self, new: NewToken, provenance: &Provenance) -> Result<(Token, TokenSecret), Error> {
        if new.name.trim().is_empty() || new.name.len() > NAME_MAX || new.name.contains('\0') {
            return Err(Error::Invalid(format!("a token's name has 1 to {NAME_MAX} bytes")));
        }
        let mut random = Zeroizing::new([0_u8; 32]);
        rand::fill(&mut random[..]);
        let secret = TokenSecret::from_text(format!("skp_{}", URL_SAFE_NO_PAD.encode(*random)));
        let mut txn = self.txn("create the token").await?;
        let token = Token {
            id: TokenId::from_uuid(txn.shared().ids.next()),
            name: new.name,
            role: new.role,
            tenant: new.tenant,
            created_at: txn.shared().clock.now(),
            expires_at: new.expires_at,
            last_used_at: None,
            revoked_at: None,
        };
        txn.later(
            INSERT,
            args![
                token.id,
                Sha256::of(secret.expose().as_bytes()),
                token.name.as_str(),
                token.role.as_str(),
                token.tenant.clone().map(String::from),
                token.created_at,
                json::text(provenance)?,
                token.expires_at,
            ],
        )
        .await?;
        txn.tell([told("token.created", &token, provenance)]);
        txn.commit().await?;
        Ok((token, secret))
    }

    /// Whose token that is; `None` when it is unknown, expired or revoked.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn token_authenticate(&self, secret: &str) -> Result<Option<Token>, Error> {
        let hash = Sha256::of(secret.as_bytes());
        let row = self.one("look for the token", BY_HASH, args![hash]).await?;
        let now = self.now();
        let Some(token) = row.as_ref().map(read).transpose()?.filter(|token| token.is_valid(now)) else {
            return Ok(None);
        };
        let stale = token.last_used_at.is_none_or(|last| now.since(last).as_secs() >= TOUCH_AFTER_SECS);
        if stale && let Err(error) = self.token_touch(token.id, now).await {
            // Letting the bearer in matters more than when that was.
            tracing::warn!(%error, token.id = %token.id, "when a token was last used could not be stored");
        }
        Ok(Some(token))
    }

    async fn token_touch(&self, id: TokenId, now: Timestamp) -> Result<(), Error> {
        let mut txn = self.txn("remember when the token was used").await?;
        txn.later(TOUCH, args![id, now]).await?;
        txn.commit().await
    }

    /// All tokens, also those that are expired or revoked, oldest first; at most 10,000.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn token_list(&self) -> Result<Vec<Token>, Error> {
        self.all("list tokens", LIST, args![]).await?.iter().map(read).collect()
    }

    /// Whether any token was made and not revoked: then nobody is let in without one. An expired token counts, so that
    /// access never opens by itself.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn token_any(&self) -> Result<bool, Error> {
        let commits = self.commits();
        let held = *self.shared.any_token.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held
            && commits == Some(held.commits)
            && held.read_at.elapsed() < ANY_HELD
        {
            return Ok(held.found);
        }
        let read_at = Instant::now();
        let found = self.one("look for tokens", ANY, args![]).await?.is_some();
        let now = commits.map(|commits| AnyToken { found, commits, read_at });
        *self.shared.any_token.lock().unwrap_or_else(PoisonError::into_inner) = now;
        Ok(found)
    }

    /// Revokes a token for good. Twice is fine.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`].
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn token_revoke(&self, id: TokenId, provenance: &Provenance) -> Result<Token, Error> {
        let mut txn = self.txn("revoke the token").await?;
        let now = txn.shared().clock.now();
        let revoked = txn.run(REVOKE, args![id, now]).await? > 0;
        let token = txn.one(GET, args![id]).await?.as_ref().map(read).transpose()?;
        let token = token.ok_or_else(|| Error::not_found("token", id))?;
        if revoked {
            txn.tell([told("token.revoked", &token, provenance)]);
        }
        txn.commit().await?;
        Ok(token)
    }
}

fn told(kind: &str, token: &Token, provenance: &Provenance) -> NewEvent {
    NewEvent {
        kind: kind.to_owned(),
        tenant: None,
        release: None,
        revision: None,
        rollout: None,
        provenance: provenance.clone(),
        data: serde_json::json!({"token": token.id, "name": token.name, "role": token.role, "tenant": token.tenant}),
    }
}

fn read(row: &Row) -> Result<Token, Error> {
    Ok(Token {
        id: row.parse("id")?,
        name: row.text("name")?,
        role: row.word("role", Role::parse)?,
        tenant: row.maybe_parse("tenant")?,
        created_at: row.time("created_at")?,
        expires_at: row.maybe_time("expires_at")?,
        last_used_at: row.maybe_time("last_used_at")?,
        revoked_at: row.maybe_time("revoked_at")?,
    })
}
