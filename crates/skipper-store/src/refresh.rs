//! Taking over what the index of a repository says: one server at a time, in small transactions.

use std::time::Duration;

use serde_json::{Value, json};
use skipper_core::{
    Sha256,
    actor::Provenance,
    name::{PackageName, RepositoryName},
    time::Timestamp,
};

use crate::{
    Error, Repository, Store, Words,
    db::{Row, Txn, args, statements},
    json,
    repository::{get_in_txn, told},
    store::{PAGE, page},
};

statements! {
    /// Also held by whoever writes: on PostgreSQL it keeps the row, and so the repository, until the commit.
    TAKE = "UPDATE repository SET refresh_owner = $2, refresh_until = $3 \
        WHERE name = $1 AND kind <> 'removed' AND (refresh_until <= $4 OR refresh_owner = $2)";
    HOLD = "UPDATE repository SET refresh_until = $3 WHERE name = $1 AND refresh_owner = $2 AND kind <> 'removed'";
    KNOWN = "SELECT num, name, version, stamp, CASE WHEN archived = 1 THEN sha256 ELSE '' END AS kept FROM package \
        WHERE repository = $1 AND (name, version) > ($2, $3) ORDER BY name, version LIMIT $4";
    INSERT = "INSERT INTO package \
            (repository, name, version, version_key, sha256, size, archived, metadata, search, stamp, created_by, created_at) \
        VALUES ($1, $2, $3, $4, $5, 0, 0, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING";
    INSERT_NUMBERED = "INSERT INTO package \
            (repository, name, version, version_key, sha256, size, archived, metadata, search, stamp, created_by, created_at, num) \
        VALUES ($1, $2, $3, $4, $5, 0, 0, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING";
    /// The digest of an archive that is here stays: a published version never changes.
    UPDATE = "UPDATE package SET version_key = $2, sha256 = CASE WHEN archived = 1 THEN sha256 ELSE $3 END, metadata = $4, \
        search = $5, stamp = $6, row_version = row_version + 1 WHERE num = $1";
    REMOVE = "DELETE FROM package WHERE num = $1 AND NOT EXISTS (SELECT 1 FROM revision \
        WHERE revision.package_repository = package.repository AND revision.package_name = package.name \
            AND revision.package_version = package.version AND revision.state IN ('pending', 'live'))";
    LEFT = "UPDATE package SET stamp = 'left' WHERE num = $1";
    SWEEP = "DELETE FROM package WHERE repository = $1 AND stamp = 'left' AND NOT EXISTS (SELECT 1 FROM revision \
        WHERE revision.package_repository = package.repository AND revision.package_name = package.name \
            AND revision.package_version = package.version AND revision.state IN ('pending', 'live'))";
    DONE = "UPDATE repository SET etag = $3, digest = $4, refreshed_at = $5, failures = 0, problem = $6, due_at = $7, \
        refresh_owner = NULL, refresh_until = 0 WHERE name = $1 AND refresh_owner = $2";
    FAILED = "UPDATE repository SET failures = failures + 1, problem = $3, due_at = $4, refresh_owner = NULL, refresh_until = 0 \
        WHERE name = $1 AND refresh_owner = $2";
}

/// One version of a package, as an index says it.
#[derive(Debug, Clone)]
pub struct IndexRow {
    /// Its numeric id; counted on when absent.
    pub num: Option<i64>,
    /// Its name.
    pub name: PackageName,
    /// Its version.
    pub version: String,
    /// Sorts as its version does among versions; not empty.
    pub version_key: String,
    /// Digest of its archive, if the index tells.
    pub sha256: Option<Sha256>,
    /// Its metadata.
    pub metadata: Value,
    /// What it is found by beside its name.
    pub words: Words,
    /// Changes with everything above; never `left`.
    pub stamp: String,
}

/// What is known of a package that an index listed before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its numeric id.
    pub num: i64,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// [`IndexRow::stamp`] of what is stored; `left` for what is in the index no more.
    pub stamp: String,
    /// Digest of its archive, where that is here.
    pub kept: Option<Sha256>,
}

impl Known {
    fn is(&self, row: &IndexRow) -> bool {
        (self.name.as_str(), &self.version) == (row.name.as_str(), &row.version)
    }
}

/// A difference between an index and what is stored.
#[derive(Debug, Clone)]
pub enum Change {
    /// It is new.
    Add(IndexRow),
    /// Something is said of it anew.
    Update(i64, IndexRow),
    /// It is not in the index any more. It stays while a live or coming revision is made of it, and goes with the next
    /// [`Store::refresh_sweep`] after that.
    Remove(i64),
}

/// How many packages were changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changed {
    /// New ones.
    pub added: u64,
    /// Those that something is said of anew.
    pub updated: u64,
    /// Those that are gone.
    pub removed: u64,
}

/// Whose turn it is to read the index of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// The caller's.
    Own(Box<Repository>),
    /// Somebody else's.
    Busy,
}

/// What became of it.
#[derive(Debug, Clone)]
pub enum RefreshOutcome {
    /// The index was read, or is the one that was read before.
    Done {
        /// What the other server calls this version.
        etag: Option<String>,
        /// Digest of the text.
        digest: Option<String>,
        /// What in it could not be used.
        problem: Option<String>,
        /// What it changed.
        changed: Changed,
    },
    /// It could not be read.
    Failed(String),
}

impl Store {
    /// Takes the right to read the index of a repository for `ttl`, unless another server has it.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`].
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn refresh_begin(&self, name: &RepositoryName, owner: &str, ttl: Duration) -> Result<Turn, Error> {
        let mut txn = self.txn("take the right to refresh").await?;
        let now = txn.lease_now().await?;
        let taken = txn.run(TAKE, args![name.as_str(), owner, ends(now, ttl), now]).await? > 0;
        let repository = get_in_txn(&mut txn, name).await?.ok_or_else(|| Error::not_found("repository", name))?;
        txn.commit().await?;
        Ok(if taken { Turn::Own(Box::new(repository)) } else { Turn::Busy })
    }

    /// What is stored of a repository, by name and version. At most `limit` (and never more than 1000).
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn refresh_known(
        &self,
        name: &RepositoryName,
        after: Option<&Known>,
        limit: u32,
    ) -> Result<Vec<Known>, Error> {
        let (package, version) = after.map_or(("", ""), |known| (known.name.as_str(), known.version.as_str()));
        let args = args![name.as_str(), package, version, page(limit)];
        self.all("read what is known of a repository", KNOWN, args).await?.iter().map(known).collect()
    }

    /// Carries out some changes, and keeps the right to do so for `ttl` more. The same changes again change nothing.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when the repository is gone or the right is another server's: nothing was changed.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn refresh_apply(
        &self,
        name: &RepositoryName,
        owner: &str,
        ttl: Duration,
        changes: Vec<Change>,
        provenance: &Provenance,
    ) -> Result<Changed, Error> {
        let mut txn = self.txn("take over an index").await?;
        let now = txn.lease_now().await?;
        if txn.run(HOLD, args![name.as_str(), owner, ends(now, ttl)]).await? == 0 {
            return Err(Error::not_found("repository", name));
        }
        let by = json::text(provenance)?;
        let mut changed = Changed::default();
        for change in changes {
            match change {
                Change::Add(row) => changed.added += add(&mut txn, name, row, &by).await?,
                Change::Update(num, row) => changed.updated += update(&mut txn, num, row).await?,
                Change::Remove(num) => match txn.run(REMOVE, args![num]).await? {
                    0 => drop(txn.run(LEFT, args![num]).await?),
                    removed => changed.removed += removed,
                },
            }
        }
        txn.commit().await?;
        Ok(changed)
    }

    /// Removes what left the index while a revision was made of it, where that is so no more; says how many. Needs no index,
    /// so that it is done where the index is the one that was read before.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn refresh_sweep(&self, name: &RepositoryName) -> Result<u64, Error> {
        let mut txn = self.txn("remove what left an index").await?;
        let removed = txn.run(SWEEP, args![name.as_str()]).await?;
        txn.commit().await?;
        Ok(removed)
    }

    /// Gives the right back, and notes what became of it and when the index is to be read again.
    ///
    /// # Errors
    ///
    /// Only those of the database; that the repository is gone meanwhile is none.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction. What is not noted is done again when the right has expired.
    pub async fn refresh_end(
        &self,
        name: &RepositoryName,
        owner: &str,
        outcome: RefreshOutcome,
        due_at: Timestamp,
        provenance: &Provenance,
    ) -> Result<(), Error> {
        let mut txn = self.txn("note the end of a refresh").await?;
        let now = txn.shared().clock.now();
        match outcome {
            RefreshOutcome::Done { etag, digest, problem, changed } => {
                let args = args![name.as_str(), owner, etag, digest, now, problem, due_at];
                if txn.run(DONE, args).await? > 0 && changed != Changed::default() {
                    let data = json!({"added": changed.added, "updated": changed.updated, "removed": changed.removed});
                    txn.tell([told("repository.refreshed", name, provenance, data)]);
                }
            }
            RefreshOutcome::Failed(problem) => {
                let before = get_in_txn(&mut txn, name).await?.map(|repository| repository.refresh.failures);
                let noted = txn.run(FAILED, args![name.as_str(), owner, problem.as_str(), due_at]).await? > 0;
                // One event when it begins to fail, not one for each attempt.
                if noted && before == Some(0) {
                    txn.tell([told("repository.unreachable", name, provenance, json!({"problem": problem}))]);
                }
            }
        }
        txn.commit().await
    }
}

fn ends(now: i64, ttl: Duration) -> i64 {
    now.saturating_add(i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX))
}

fn digest(sha256: Option<Sha256>) -> String {
    sha256.map_or_else(String::new, |digest| digest.to_string())
}

fn known(row: &Row) -> Result<Known, Error> {
    Ok(Known {
        num: row.int("num")?,
        name: row.text("name")?,
        version: row.text("version")?,
        stamp: row.text("stamp")?,
        kept: row.text("kept")?.parse().ok(),
    })
}

/// Makes the packages of a small repository these.
pub(crate) async fn replace_in_txn(
    txn: &mut Txn,
    repository: &RepositoryName,
    rows: Vec<IndexRow>,
    provenance: &Provenance,
) -> Result<(), Error> {
    let by = json::text(provenance)?;
    let there = txn.all(KNOWN, args![repository.as_str(), "", "", i64::from(PAGE)]).await?;
    let there: Vec<Known> = there.iter().map(known).collect::<Result<_, _>>()?;
    for gone in there.iter().filter(|known| !rows.iter().any(|row| known.is(row))) {
        txn.later(REMOVE, args![gone.num]).await?;
    }
    for row in rows {
        match there.iter().find(|known| known.is(&row)) {
            Some(known) if known.stamp == row.stamp => {}
            Some(known) => drop(update(txn, known.num, row).await?),
            None => drop(add(txn, repository, row, &by).await?),
        }
    }
    Ok(())
}

async fn update(txn: &mut Txn, num: i64, row: IndexRow) -> Result<u64, Error> {
    let (search, sha256) = (row.words.column(row.name.as_str()), digest(row.sha256));
    txn.run(UPDATE, args![num, row.version_key, sha256, row.metadata.to_string(), search, row.stamp]).await
}

async fn add(txn: &mut Txn, repository: &RepositoryName, row: IndexRow, by: &str) -> Result<u64, Error> {
    let now = txn.shared().clock.now();
    let (search, sha256) = (row.words.column(row.name.as_str()), digest(row.sha256));
    let metadata = row.metadata.to_string();
    let name = row.name.as_str();
    let mut args =
        args![repository.as_str(), name, row.version, row.version_key, sha256, metadata, search, row.stamp, by, now];
    match row.num {
        Some(num) => {
            args.push(num.into());
            txn.run(INSERT_NUMBERED, args).await
        }
        None => txn.run(INSERT, args).await,
    }
}
