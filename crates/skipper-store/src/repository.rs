//! Table `repository`: where packages come from.

use skipper_core::{
    actor::Provenance,
    event::NewEvent,
    name::{RepositoryName, TenantName},
    time::Timestamp,
};

use crate::{
    Error, Numeric, Store,
    db::{Row, args, statements},
    release::numeric,
};

statements! {
    LIST = "SELECT * FROM repository ORDER BY priority, name LIMIT 1000";
    GET = "SELECT * FROM repository WHERE name = $1";
    INSERT = "INSERT INTO repository (name, tenant, kind, url, description, priority, created_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
    DELETE = "DELETE FROM repository WHERE name = $1";
    HAS_PACKAGES = "SELECT 1 AS found WHERE EXISTS (SELECT 1 FROM package WHERE repository = $1)";
}

/// The repository that uploads go to; there from the first day.
pub(crate) const LOCAL: &str = "local";

/// A repository to add.
#[derive(Debug, Clone)]
pub struct NewRepository {
    /// Unique.
    pub name: RepositoryName,
    /// The only tenant that sees it; `None` for every tenant.
    pub tenant: Option<TenantName>,
    /// How it is read.
    pub kind: String,
    /// Where it is.
    pub url: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// Repositories are searched lowest first.
    pub priority: i64,
}

/// A repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Its numeric id and row version.
    pub numeric: Numeric,
    /// Unique.
    pub name: RepositoryName,
    /// The only tenant that sees it; `None` for every tenant.
    pub tenant: Option<TenantName>,
    /// `local` for the built-in one.
    pub kind: String,
    /// Where it is.
    pub url: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// Repositories are searched lowest first.
    pub priority: i64,
    /// When it was added.
    pub created_at: Timestamp,
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
        let added = txn
            .run(
                INSERT,
                args![
                    new.name.as_str(),
                    new.tenant.clone().map(String::from),
                    new.kind,
                    new.url,
                    new.description,
                    new.priority,
                    now,
                ],
            )
            .await?;
        if added == 0 {
            return Err(Error::Exists { kind: "repository", name: new.name.to_string() });
        }
        let repository = read(&txn.row(GET, args![new.name.as_str()]).await?)?;
        txn.tell([told("repository.added", &new.name, new.tenant, provenance)]);
        txn.commit().await?;
        Ok(repository)
    }

    /// Removes a repository.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`]; [`Error::StillNeeded`] for the built-in one and for one that holds packages.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn repository_remove(&self, name: &RepositoryName, provenance: &Provenance) -> Result<(), Error> {
        let needed =
            |reason: &str| Error::StillNeeded { kind: "repository", name: name.to_string(), reason: reason.to_owned() };
        if name.as_str() == LOCAL {
            return Err(needed("it is where uploads go"));
        }
        let mut txn = self.txn("remove the repository").await?;
        if txn.one(HAS_PACKAGES, args![name.as_str()]).await?.is_some() {
            return Err(needed("it holds packages; remove them first"));
        }
        if txn.run(DELETE, args![name.as_str()]).await? == 0 {
            return Err(Error::not_found("repository", name));
        }
        txn.tell([told("repository.removed", name, None, provenance)]);
        txn.commit().await
    }
}

fn told(kind: &str, name: &RepositoryName, tenant: Option<TenantName>, provenance: &Provenance) -> NewEvent {
    NewEvent {
        kind: kind.to_owned(),
        tenant,
        release: None,
        revision: None,
        rollout: None,
        provenance: provenance.clone(),
        data: serde_json::json!({"repository": name}),
    }
}

fn read(row: &Row) -> Result<Repository, Error> {
    Ok(Repository {
        numeric: numeric(row)?,
        name: row.parse("name")?,
        tenant: row.maybe_parse("tenant")?,
        kind: row.text("kind")?,
        url: row.maybe_text("url")?,
        description: row.maybe_text("description")?,
        priority: row.int("priority")?,
        created_at: row.time("created_at")?,
    })
}
