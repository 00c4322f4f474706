//! Table `database_branch`: branches of databases that were made for releases, at a provider. A row is there before the
//! provider is asked and until it is known that it has none of that name, so that no crash leaves one that nobody knows of.

use skipper_core::{id::ReleaseId, time::Timestamp};

use crate::{
    Error, Store,
    db::{Row, Txn, args, statements},
};

statements! {
    OF_RELEASE = "SELECT * FROM database_branch WHERE release_id = $1 AND gone = 0";
    GET = "SELECT * FROM database_branch WHERE name = $1";
    INSERT = "INSERT INTO database_branch (name, release_id, provider, project, asked_at, gone, attempts, due_at, created_at) \
        VALUES ($1, $2, $3, $4, $5, 0, 0, $5, $5)";
    ASK = "UPDATE database_branch SET asked_at = $2 WHERE name = $1 AND gone = 0";
    MADE = "UPDATE database_branch SET remote = $2 WHERE name = $1";
    LEAVE = "UPDATE database_branch SET gone = 1, due_at = $2 WHERE release_id = $1 AND gone = 0";
    DUE = "SELECT * FROM database_branch WHERE gone = 1 AND due_at <= $1 ORDER BY due_at LIMIT $2";
    LATER = "UPDATE database_branch SET attempts = attempts + 1, due_at = $2 WHERE name = $1";
    FORGET = "DELETE FROM database_branch WHERE name = $1 AND gone = 1";
}

/// A branch that was made for a release, or that may have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseBranch {
    /// What it is called at the provider; unique.
    pub name: String,
    /// The release.
    pub release: ReleaseId,
    /// The provider, by its name in the configuration.
    pub provider: String,
    /// The provider's project.
    pub project: String,
    /// The provider's id of it, once it has answered.
    pub remote: Option<String>,
    /// When the provider was asked for it last: until a while later it may still come to be.
    pub asked_at: Timestamp,
    /// How often it could not be removed.
    pub attempts: u32,
}

impl Store {
    /// The branch of a release at a provider, which is about to be asked for it. Where the release has none, or one that is
    /// elsewhere, there is a new one of that name; what is elsewhere is left behind, to be removed.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn branch_ask(
        &self,
        release: ReleaseId,
        provider: &str,
        project: &str,
        name: &str,
    ) -> Result<DatabaseBranch, Error> {
        let mut txn = self.txn("note the branch of a database").await?;
        let now = txn.shared().clock.now();
        let there = txn.one(OF_RELEASE, args![release]).await?.as_ref().map(read).transpose()?;
        let name = match there.filter(|there| there.provider == provider && there.project == project) {
            Some(there) => {
                txn.later(ASK, args![there.name.as_str(), now]).await?;
                there.name
            }
            None => {
                leave_in_txn(&mut txn, release).await?;
                txn.later(INSERT, args![name, release, provider, project, now]).await?;
                name.to_owned()
            }
        };
        let branch = read(&txn.row(GET, args![name]).await?)?;
        txn.commit().await?;
        Ok(branch)
    }

    /// Notes the provider's id of it.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn branch_made(&self, name: &str, remote: &str) -> Result<(), Error> {
        let mut txn = self.txn("note the branch of a database").await?;
        txn.later(MADE, args![name, remote]).await?;
        txn.commit().await
    }

    /// Branches whose releases are gone and that are to be removed now, at most `limit`.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn branches_due(&self, limit: u32) -> Result<Vec<DatabaseBranch>, Error> {
        let args = args![self.now(), i64::from(limit)];
        self.all("look for branches of databases to be removed", DUE, args).await?.iter().map(read).collect()
    }

    /// Notes that it could not be removed, and when it is tried again.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn branch_later(&self, name: &str, due: Timestamp) -> Result<(), Error> {
        let mut txn = self.txn("note a branch of a database to be removed").await?;
        txn.later(LATER, args![name, due]).await?;
        txn.commit().await
    }

    /// Forgets a branch that is removed.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn branch_forget(&self, name: &str) -> Result<(), Error> {
        let mut txn = self.txn("forget a branch of a database").await?;
        txn.later(FORGET, args![name]).await?;
        txn.commit().await
    }
}

/// With its release, a branch goes: from now on it is to be removed.
pub(crate) async fn leave_in_txn(txn: &mut Txn, release: ReleaseId) -> Result<(), Error> {
    let now = txn.shared().clock.now();
    txn.later(LEAVE, args![release, now]).await
}

fn read(row: &Row) -> Result<DatabaseBranch, Error> {
    Ok(DatabaseBranch {
        name: row.text("name")?,
        release: row.parse("release_id")?,
        provider: row.text("provider")?,
        project: row.text("project")?,
        remote: row.maybe_text("remote")?,
        asked_at: row.time("asked_at")?,
        attempts: row.small("attempts")?,
    })
}
