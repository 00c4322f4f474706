//! Table `repository`: where packages come from.

use skipper_core::{actor::Provenance, event::NewEvent, name::RepositoryName, time::Timestamp};

use crate::{
    Error, IndexRow, Numeric, Store,
    db::{Row, Txn, args, statements},
    refresh,
    release::numeric,
};

statements! {
    LIST = "SELECT * FROM repository WHERE kind <> 'removed' ORDER BY priority, name LIMIT 1000";
    GET = "SELECT * FROM repository WHERE name = $1 AND kind <> 'removed'";
    GET_ANY = "SELECT * FROM repository WHERE name = $1";
    INSERT = "INSERT INTO repository (name, kind, url, source_url, description, priority, ordered, created_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING";
    /// With a number that has become free.
    INSERT_NUMBERED = "INSERT INTO repository (name, kind, url, source_url, description, priority, ordered, created_at, num) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING";
    /// The number is given, so that the others are counted from 1.
    INSERT_BUILT_IN = "INSERT INTO repository (num, name, kind, description, priority, created_at) \
        VALUES (-1, $1, 'built-in', $2, $3, $4) ON CONFLICT DO NOTHING";
    /// Also locks the row on PostgreSQL.
    SET_DIGEST = "UPDATE repository SET digest = $2, description = $3 WHERE name = $1 AND kind = 'built-in'";
    FORGET_REMOVED = "DELETE FROM repository WHERE name = $1 AND kind = 'removed'";
    UPDATE = "UPDATE repository SET url = $2, source_url = $3, description = $4, priority = $5, ordered = $6, due_at = 0, etag = NULL, \
        digest = NULL, row_version = row_version + 1 WHERE name = $1 AND kind <> 'removed'";
    SIZES = "SELECT repository, COUNT(*) AS n FROM package GROUP BY repository";
    USER = "SELECT release.tenant AS tenant, release.name AS name, revision.package_name AS package, \
            revision.package_version AS version \
        FROM revision JOIN release ON release.id = revision.release_id \
        WHERE revision.package_repository = $1 AND revision.state IN ('pending', 'live') LIMIT 1";
    DELETE_PACKAGES = "DELETE FROM package WHERE repository = $1";
    DELETE = "DELETE FROM repository WHERE name = $1";
    /// As the first migration made it, and nothing in it.
    DELETE_UNTOUCHED = "DELETE FROM repository WHERE name = $1 AND created_at = 0 AND row_version = 1 \
        AND NOT EXISTS (SELECT 1 FROM package WHERE repository = $1) RETURNING num";
    HIDE = "UPDATE repository SET kind = 'removed', digest = NULL, row_version = row_version + 1 WHERE name = $1";
}

/// The repository that uploads go to; there from the first day.
pub(crate) const LOCAL: &str = "local";

/// How a repository is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepositoryKind {
    /// Its packages are uploaded to this server.
    Local,
    /// Its packages are listed in an index somewhere else.
    Remote,
    /// Its packages are in the binary.
    BuiltIn,
}

impl RepositoryKind {
    /// The word in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Remote => "remote",
            Self::BuiltIn => "built-in",
        }
    }

    fn read(word: &str) -> Option<Self> {
        [Self::Local, Self::Remote, Self::BuiltIn].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// A repository to add.
#[derive(Debug, Clone)]
pub struct NewRepository {
    /// Unique.
    pub name: RepositoryName,
    /// How it is read.
    pub kind: RepositoryKind,
    /// Where it is.
    pub url: Option<String>,
    /// Where its sources are, for people.
    pub source_url: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// The highest is asked first; `None`, which nobody gave, counts as 0.
    pub order: Option<i64>,
}

/// A repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Its numeric id and row version.
    pub numeric: Numeric,
    /// Unique.
    pub name: RepositoryName,
    /// How it is read.
    pub kind: RepositoryKind,
    /// Where it is.
    pub url: Option<String>,
    /// Where its sources are, for people.
    pub source_url: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// The highest is asked first; `None`, which nobody gave, counts as 0.
    pub order: Option<i64>,
    /// When it was added.
    pub created_at: Timestamp,
    /// How reading its index went.
    pub refresh: RefreshState,
}

/// How reading the index of a repository went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshState {
    /// When it was last read, or found to be the same.
    pub refreshed_at: Option<Timestamp>,
    /// How often it could not be read since.
    pub failures: u64,
    /// What was wrong the last time: why it could not be read, or what in it could not be used.
    pub problem: Option<String>,
    /// When it is to be read again.
    pub due_at: Timestamp,
    /// What the other server calls the version that was read.
    pub etag: Option<String>,
    /// Digest of the text that was read.
    pub digest: Option<String>,
}

impl Store {
    /// All repositories, in the order they are searched.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn repository_list(&self) -> Result<Vec<Repository>, Error> {
        self.all("list repositories", LIST, args![]).await?.iter().map(read).collect()
    }

    /// One repository.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn repository_get(&self, name: &RepositoryName) -> Result<Option<Repository>, Error> {
        self.one("read the repository", GET, args![name.as_str()]).await?.as_ref().map(read).transpose()
    }

    /// How many packages each repository has; one without any is not named.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn repository_sizes(&self) -> Result<Vec<(RepositoryName, u64)>, Error> {
        let rows = self.all("count packages", SIZES, args![]).await?;
        rows.iter().map(|row| Ok((row.parse("repository")?, row.count("n")?))).collect()
    }

    /// Adds a repository.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`].
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn repository_add(&self, new: NewRepository, provenance: &Provenance) -> Result<Repository, Error> {
        let mut txn = self.txn("add the repository").await?;
        let now = txn.shared().clock.now();
        let name = new.name.as_str();
        txn.later(FORGET_REMOVED, args![name]).await?;
        if !insert_in_txn(&mut txn, new.clone(), None, now).await? {
            return Err(Error::Exists { kind: "repository", name: new.name.to_string() });
        }
        let repository = read(&txn.row(GET, args![name]).await?)?;
        txn.tell([told("repository.added", &new.name, provenance, serde_json::json!({"url": repository.url}))]);
        txn.commit().await?;
        Ok(repository)
    }

    /// Adds those that are not there, in this order. The one that uploads go to is added anew with them as long as nobody
    /// used it, so that it is numbered and described as they say; the first of them gets the number that it had.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn repository_seed(&self, new: Vec<NewRepository>, provenance: &Provenance) -> Result<(), Error> {
        let mut txn = self.txn("add the repositories of the configuration").await?;
        let now = txn.shared().clock.now();
        let mut free = None;
        if new.iter().any(|one| one.name.as_str() == LOCAL)
            && let Some(row) = txn.one(DELETE_UNTOUCHED, args![LOCAL]).await?
        {
            free = Some(row.int("num")?);
        }
        for one in new {
            let (name, url) = (one.name.clone(), one.url.clone());
            txn.later(FORGET_REMOVED, args![name.as_str()]).await?;
            if insert_in_txn(&mut txn, one, free, now).await? {
                free = None;
                txn.tell([told("repository.added", &name, provenance, serde_json::json!({"url": url}))]);
            }
        }
        txn.commit().await
    }

    /// Makes the built-in repository what the binary has, in one transaction and without an event. Its numbers are below zero.
    /// Nothing is done when somebody removed it, or has another one of that name.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn repository_build_in(
        &self,
        new: NewRepository,
        digest: &str,
        rows: Vec<IndexRow>,
        provenance: &Provenance,
    ) -> Result<(), Error> {
        let mut txn = self.txn("list what is built in").await?;
        let now = txn.shared().clock.now();
        let name = new.name.as_str();
        if txn.one(GET_ANY, args![name]).await?.is_none() {
            txn.later(INSERT_BUILT_IN, args![name, new.description.clone(), priority(new.order), now]).await?;
        }
        if txn.run(SET_DIGEST, args![name, digest, new.description]).await? > 0 {
            refresh::replace_in_txn(&mut txn, &new.name, rows, provenance).await?;
        }
        txn.commit().await
    }

    /// Changes what is said of a repository; name and kind stay. Its index is due at once, whatever was read before.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`].
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn repository_update(&self, new: NewRepository, provenance: &Provenance) -> Result<Repository, Error> {
        let mut txn = self.txn("change the repository").await?;
        let name = new.name.as_str();
        let args = args![name, new.url, new.source_url, new.description, priority(new.order), new.order.is_some()];
        if txn.run(UPDATE, args).await? == 0 {
            return Err(Error::not_found("repository", name));
        }
        let repository = read(&txn.row(GET, args![name]).await?)?;
        txn.tell([told("repository.changed", &new.name, provenance, serde_json::json!({"url": repository.url}))]);
        txn.commit().await?;
        Ok(repository)
    }

    /// Removes a repository with its packages.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`]; [`Error::StillNeeded`] for the one that uploads go to, and while a live or coming revision is made
    /// of one of its packages.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn repository_remove(&self, name: &RepositoryName, provenance: &Provenance) -> Result<(), Error> {
        let needed = |reason: String| Error::StillNeeded { kind: "repository", name: name.to_string(), reason };
        if name.as_str() == LOCAL {
            return Err(needed("it is where uploads go".to_owned()));
        }
        let mut txn = self.txn("remove the repository").await?;
        let row = txn.one(GET, args![name.as_str()]).await?.ok_or_else(|| Error::not_found("repository", name))?;
        let kind = read(&row)?.kind;
        if let Some(user) = txn.one(USER, args![name.as_str()]).await? {
            let (tenant, release) = (user.text("tenant")?, user.text("name")?);
            let (package, version) = (user.text("package")?, user.text("version")?);
            return Err(needed(format!("release `{tenant}/{release}` is made of its package {package}-{version}")));
        }
        let packages = txn.run(DELETE_PACKAGES, args![name.as_str()]).await?;
        let removal = if kind == RepositoryKind::BuiltIn { HIDE } else { DELETE };
        txn.later(removal, args![name.as_str()]).await?;
        txn.tell([told("repository.removed", name, provenance, serde_json::json!({"packages": packages}))]);
        txn.commit().await
    }
}

/// The database has the lowest first, people read the highest as the most important.
fn priority(order: Option<i64>) -> i64 {
    flipped(order.unwrap_or_default())
}

const fn flipped(order: i64) -> i64 {
    1_i64.saturating_sub(order)
}

/// Whether it was not there. Without a number it gets the next one.
async fn insert_in_txn(txn: &mut Txn, new: NewRepository, num: Option<i64>, now: Timestamp) -> Result<bool, Error> {
    let NewRepository { name, kind, url, source_url, description, order } = new;
    let (priority, ordered) = (priority(order), order.is_some());
    let mut args = args![name.as_str(), kind.as_str(), url, source_url, description, priority, ordered, now];
    let sql = if num.is_some() { INSERT_NUMBERED } else { INSERT };
    args.extend(num.map(Into::into));
    Ok(txn.run(sql, args).await? > 0)
}

/// An event about a repository, with its name in the data.
pub(crate) fn told(
    kind: &str,
    name: &RepositoryName,
    provenance: &Provenance,
    mut data: serde_json::Value,
) -> NewEvent {
    data["repository"] = serde_json::json!(name);
    NewEvent {
        kind: kind.to_owned(),
        tenant: None,
        release: None,
        revision: None,
        rollout: None,
        provenance: provenance.clone(),
        data,
    }
}

/// One repository, within a transaction.
pub(crate) async fn get_in_txn(txn: &mut Txn, name: &RepositoryName) -> Result<Option<Repository>, Error> {
    txn.one(GET, args![name.as_str()]).await?.as_ref().map(read).transpose()
}

fn read(row: &Row) -> Result<Repository, Error> {
    Ok(Repository {
        numeric: numeric(row)?,
        name: row.parse("name")?,
        kind: row.word("kind", RepositoryKind::read)?,
        url: row.maybe_text("url")?,
        source_url: row.maybe_text("source_url")?,
        description: row.maybe_text("description")?,
        order: if row.flag("ordered")? { Some(flipped(row.int("priority")?)) } else { None },
        created_at: row.time("created_at")?,
        refresh: RefreshState {
            refreshed_at: row.maybe_time("refreshed_at")?,
            failures: row.count("failures")?,
            problem: row.maybe_text("problem")?,
            due_at: row.time("due_at")?,
            etag: row.maybe_text("etag")?,
            digest: row.maybe_text("digest")?,
        },
    })
}
