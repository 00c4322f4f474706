//! Table `home`: which of the servers that share a database tends what runs. Processes live on one machine, so a second
//! server that took up their rollouts, or looked for them where they are not, would start everything once more.

use std::time::Duration;

use crate::{
    Error, Store,
    db::{args, statements},
};

statements! {
    TAKE = "INSERT INTO home (id, owner, place, expires_at) VALUES (1, $1, $2, $3) \
        ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, place = excluded.place, expires_at = excluded.expires_at \
        WHERE home.owner = excluded.owner OR home.expires_at <= $4";
    GET = "SELECT place FROM home WHERE id = 1";
    CLEAR = "DELETE FROM home";
    LEAVE = "DELETE FROM home WHERE owner = $1";
}

/// Who tends what runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Home {
    /// Whoever asked, until `ttl` has passed since it asked.
    Own,
    /// Another server; where it is, in its own words.
    Other(String),
}

impl Store {
    /// Takes the right to tend what runs, or keeps it, for `ttl`. Another server's is respected until it expires.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn home_take(&self, owner: &str, place: &str, ttl: Duration) -> Result<Home, Error> {
        let mut txn = self.txn("take the right to tend what runs").await?;
        let now = txn.lease_now().await?;
        let ends = now.saturating_add(i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX));
        let taken = txn.run(TAKE, args![owner, place, ends, now]).await? > 0;
        let home = if taken { Home::Own } else { Home::Other(txn.row(GET, args![]).await?.text("place")?) };
        txn.commit().await?;
        Ok(home)
    }

    /// Gives the right back, so that another server need not wait until it expires.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn home_leave(&self, owner: &str) -> Result<(), Error> {
        let mut txn = self.txn("give the right to tend back").await?;
        txn.later(LEAVE, args![owner]).await?;
        txn.commit().await
    }
}
