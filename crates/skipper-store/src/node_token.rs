//! Table `node_token`: what lets a node's agent in, stored as the SHA-256 of 256 random bits as API tokens are.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use skipper_core::{Sha256, actor::Provenance, name::NodeName, time::Timestamp};
use zeroize::Zeroizing;

use crate::{
    Error, IdempotencyKey, Store, StoredAnswer, TokenSecret,
    agents::Known,
    db::{Row, Txn, args, statements},
    idempotency,
    node::told,
    sealed_answer,
};

statements! {
    NODE = "SELECT name FROM node WHERE name = $1";
    INSERT = "INSERT INTO node_token (sha256, node, purpose, created_at, expires_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
    END = "UPDATE node_token SET expires_at = $3 WHERE node = $1 AND purpose = $2 AND revoked_at IS NULL \
        AND (expires_at IS NULL OR expires_at > $3) AND sha256 <> $4";
    REVOKE = "UPDATE node_token SET revoked_at = $2 WHERE node = $1 AND revoked_at IS NULL";
    FORGET = "DELETE FROM node_token WHERE node = $1 AND (expires_at < $2 OR revoked_at < $2)";
    WHOSE = "SELECT node, expires_at FROM node_token WHERE sha256 = $1 AND purpose = $2 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $3)";
    USE_UP = "UPDATE node_token SET revoked_at = $2 WHERE sha256 = $1 AND purpose = 'enrolment' AND revoked_at IS NULL AND expires_at > $2";
    ENROLMENT_OF = "SELECT node FROM node_token WHERE sha256 = $1 AND purpose = 'enrolment'";
    OF_NODE = "SELECT * FROM node_token WHERE node = $1 AND purpose = 'agent' LIMIT 100";
}

const AGENT: &str = "agent";
const ENROLMENT: &str = "enrolment";
/// Longest token that somebody may bring along.
const GIVEN_MAX: usize = 512;
/// Shortest one: what can be guessed lets others take orders with their secrets.
const GIVEN_MIN: usize = 8;
/// How long what lets nobody in any more is kept, to be shown.
const KEEP: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A token of a node as it is shown: its hash, never its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeToken {
    /// SHA-256 of its text.
    pub sha256: Sha256,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// What is kept under an idempotency key as the answer to whoever was given a token: sealed, and in the transaction that makes the
/// token, so that no answer that is lost on its way takes the token along.
pub struct Answered<'a> {
    /// The key, which was begun.
    pub key: &'a IdempotencyKey,
    /// The answer that tells of the token.
    pub answer: &'a (dyn Fn(&TokenSecret) -> StoredAnswer + Send + Sync),
}

impl std::fmt::Debug for Answered<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answered").field("key", self.key).finish_non_exhaustive()
    }
}

impl Store {
    /// Makes a node's token, or takes the one that is given. Those before it go on for `grace`.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] without such a node; [`Error::Invalid`] for a given token that is too short, too long, or not of
    /// visible ASCII characters.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn node_token_create(
        &self,
        node: &NodeName,
        given: Option<String>,
        grace: Duration,
        provenance: &Provenance,
    ) -> Result<TokenSecret, Error> {
        let secret = match given {
            None => random("skn_"),
            Some(given) => {
                let fits = (GIVEN_MIN..=GIVEN_MAX).contains(&given.len());
                if !fits || !given.bytes().all(|b| b.is_ascii_graphic()) {
                    let rule = "has 8 to 512 visible ASCII characters";
                    return Err(Error::Invalid(format!("a node's token {rule}; leave it away to have one made")));
                }
                TokenSecret::from_text(given)
            }
        };
        let mut txn = self.txn("make the node's token").await?;
        self.put_token(&mut txn, node, Sha256::of(secret.expose().as_bytes()), grace, provenance).await?;
        txn.commit().await?;
        Ok(secret)
    }

    /// Takes a token by its hash, as it is written in a file of the data folder. Known already: nothing happens.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] without such a node.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn node_token_adopt(
        &self,
        node: &NodeName,
        sha256: Sha256,
        provenance: &Provenance,
    ) -> Result<bool, Error> {
        let known = self.node_tokens(node).await?;
        if known.iter().any(|token| token.sha256 == sha256) {
            return Ok(false);
        }
        let mut txn = self.txn("take the node's token").await?;
        self.put_token(&mut txn, node, sha256, Duration::ZERO, provenance).await?;
        txn.commit().await?;
        Ok(true)
    }

    async fn put_token(
        &self,
        txn: &mut Txn,
        node: &NodeName,
        sha256: Sha256,
        grace: Duration,
        provenance: &Provenance,
    ) -> Result<(), Error> {
        txn.one(NODE, args![node.as_str()]).await?.ok_or_else(|| Error::not_found("node", node))?;
        let now = txn.shared().clock.now();
        txn.agents_changed();
        txn.later(END, args![node.as_str(), AGENT, now + grace, sha256]).await?;
        txn.later(FORGET, args![node.as_str(), now - KEEP]).await?;
        txn.later(INSERT, args![sha256, node.as_str(), AGENT, now, None::<Timestamp>]).await?;
        txn.tell([told("node.token", None, provenance, serde_json::json!({"node": node}))]);
        Ok(())
    }

    /// The tokens of a node, newest first.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn node_tokens(&self, node: &NodeName) -> Result<Vec<NodeToken>, Error> {
        let rows = self.all("list a node's tokens", OF_NODE, args![node.as_str()]).await?;
        let mut tokens = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        tokens.sort_by_key(|token| std::cmp::Reverse(token.created_at));
        Ok(tokens)
    }

    /// Revokes every token of a node at once, those for enrolling too.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn node_tokens_revoke(&self, node: &NodeName, provenance: &Provenance) -> Result<(), Error> {
        let mut txn = self.txn("revoke the node's tokens").await?;
        let now = txn.shared().clock.now();
        if txn.run(REVOKE, args![node.as_str(), now]).await? > 0 {
            txn.agents_changed();
            txn.tell([told("node.revoked", None, provenance, serde_json::json!({"node": node}))]);
        }
        txn.commit().await
    }

    /// Whose agent that token lets in.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn node_authenticate(&self, secret: &str) -> Result<Option<NodeName>, Error> {
        let (token, now) = (Sha256::of(secret.as_bytes()), self.now());
        let forgotten = match self.shared.agents.get(token) {
            Ok(known) if known.expires_at.is_none_or(|ends| ends > now.as_micros()) => return Ok(Some(known.node)),
            Ok(_) => return Ok(None),
            Err(forgotten) => forgotten,
        };
        let row = self.one("look for the node's token", WHOSE, args![token, AGENT, now]).await?;
        let Some(row) = row else { return Ok(None) };
        let node: NodeName = row.parse("node")?;
        // Several servers on one PostgreSQL do not hear of each other's changes in time.
        if !self.is_shared() {
            let known = Known { node: node.clone(), expires_at: row.maybe_int("expires_at")? };
            self.shared.agents.remember(token, known, forgotten);
        }
        Ok(Some(node))
    }

    /// Makes what lets an agent fetch its token, once, within `ttl`.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] without such a node.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn node_enrolment_create(
        &self,
        node: &NodeName,
        ttl: Duration,
        provenance: &Provenance,
    ) -> Result<(TokenSecret, Timestamp), Error> {
        let secret = random("ske_");
        let mut txn = self.txn("make the node's enrolment").await?;
        txn.one(NODE, args![node.as_str()]).await?.ok_or_else(|| Error::not_found("node", node))?;
        let now = txn.shared().clock.now();
        let ends = now + ttl;
        let args = args![Sha256::of(secret.expose().as_bytes()), node.as_str(), ENROLMENT, now, Some(ends)];
        txn.later(INSERT, args).await?;
        txn.tell([told("node.enrolment", None, provenance, serde_json::json!({"node": node}))]);
        txn.commit().await?;
        Ok((secret, ends))
    }

    /// The node that an enrolment was made for, also one that was used or is too old: whose repetition it is. `None` for any
    /// other text.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn node_enrolment_of(&self, enrolment: &str) -> Result<Option<NodeName>, Error> {
        let hash = Sha256::of(enrolment.as_bytes());
        let row = self.one("look for an enrolment", ENROLMENT_OF, args![hash]).await?;
        row.map(|row| row.parse("node")).transpose()
    }

    /// Trades an enrolment for the node's token. A second time it is worth nothing; `answered` is what its own repetition is told.
    ///
    /// # Errors
    ///
    /// Those of the database; [`Error::Key`] where an answer is to be kept without the key that seals.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn node_enrol(
        &self,
        enrolment: &str,
        node: &NodeName,
        provenance: &Provenance,
        answered: Option<Answered<'_>>,
    ) -> Result<Option<TokenSecret>, Error> {
        let sealing = if answered.is_some() { Some(self.sealing_key().await?) } else { None };
        let hash = Sha256::of(enrolment.as_bytes());
        let mut txn = self.txn("enrol the node").await?;
        let now = txn.shared().clock.now();
        let whose = txn.one(WHOSE, args![hash, ENROLMENT, now]).await?;
        let is_its = whose.map(|row| row.parse::<NodeName>("node")).transpose()?.is_some_and(|whose| whose == *node);
        if !is_its || txn.run(USE_UP, args![hash, now]).await? == 0 {
            return Ok(None);
        }
        let secret = random("skn_");
        self.put_token(&mut txn, node, Sha256::of(secret.expose().as_bytes()), Duration::ZERO, provenance).await?;
        if let (Some(Answered { key, answer }), Some(sealing)) = (answered, sealing) {
            idempotency::finish_in_txn(&mut txn, key, sealed_answer::seal(&sealing, key, answer(&secret))).await?;
        }
        txn.commit().await?;
        Ok(Some(secret))
    }
}

fn random(prefix: &str) -> TokenSecret {
    let mut random = Zeroizing::new([0_u8; 32]);
    rand::fill(&mut random[..]);
    TokenSecret::from_text(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(*random)))
}

fn read(row: &Row) -> Result<NodeToken, Error> {
    Ok(NodeToken {
        sha256: row.parse("sha256")?,
        created_at: row.time("created_at")?,
        expires_at: row.maybe_time("expires_at")?,
        revoked_at: row.maybe_time("revoked_at")?,
    })
}
