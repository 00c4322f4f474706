//! Tables `package` and `package_archive`: published versions, which never change.

use serde_json::Value;
use skipper_core::{
    Sha256,
    actor::Provenance,
    event::NewEvent,
    name::{PackageName, ReleaseName, RepositoryName, TenantName},
    time::Timestamp,
};

use crate::{
    Error, Numeric, Store,
    db::{Row, args, statements},
    json,
    release::numeric,
};

statements! {
    GET = "SELECT * FROM package WHERE repository = $1 AND name = $2 AND version = $3";
    BY_NUM = "SELECT * FROM package WHERE num = $1";
    INSERT = "INSERT INTO package (repository, name, version, version_key, sha256, size, metadata, search, created_by, created_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING";
    INSERT_ARCHIVE = "INSERT INTO package_archive (package_num, bytes) VALUES ($1, $2)";
    /// The digest is compared once more where it is written: another server may have been faster.
    KEEP = "UPDATE package SET archived = 1, sha256 = $2, size = $3, row_version = row_version + 1 \
        WHERE num = $1 AND archived = 0 AND sha256 IN ('', $2)";
    ARCHIVE = "SELECT package_archive.bytes AS bytes FROM package_archive JOIN package ON package.num = package_archive.package_num \
        WHERE package.repository = $1 AND package.name = $2 AND package.version = $3";
    REPOSITORY = "SELECT 1 AS found FROM repository WHERE name = $1 AND kind <> 'removed'";
    USER = "SELECT release.tenant AS tenant, release.name AS name FROM revision JOIN release ON release.id = revision.release_id \
        WHERE revision.package_repository = $1 AND revision.package_name = $2 AND revision.package_version = $3 \
            AND revision.state IN ('pending', 'live') LIMIT 1";
    USERS = "SELECT release.tenant AS tenant, release.name AS name, revision.package_repository AS repository, \
            revision.package_version AS version \
        FROM revision JOIN release ON release.id = revision.release_id \
        WHERE revision.package_name = $1 AND revision.state IN ('pending', 'live') LIMIT 1000";
    DELETE_ARCHIVE = "DELETE FROM package_archive WHERE package_num = $1";
    DELETE = "DELETE FROM package WHERE num = $1";
    /// Rows of an older Skipper, which knew no order of versions.
    UNKEYED = "SELECT * FROM package WHERE version_key = '' ORDER BY num LIMIT 500";
    REKEY = "UPDATE package SET version_key = $2, search = $3 WHERE num = $1";
}

/// Largest archive; whoever parses it has its own, tighter bounds.
const ARCHIVE_MAX: usize = 64 << 20;

/// A package to publish.
#[derive(Debug, Clone)]
pub struct NewPackage {
    /// Where to.
    pub repository: RepositoryName,
    /// Its name.
    pub name: PackageName,
    /// Its version; never published twice.
    pub version: String,
    /// Sorts as its version does among versions; not empty.
    pub version_key: String,
    /// Its metadata, for people and APIs.
    pub metadata: Value,
    /// What it is found by beside its name.
    pub words: Words,
    /// The archive.
    pub archive: Vec<u8>,
}

/// What a package is found by beside its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    /// Description, maintainer and the like.
    pub text: String,
    /// Tags: found as text, and as what they are.
    pub tags: Vec<String>,
}

/// What stands around a tag in [`Words::column`], and nowhere else.
pub(crate) const MARK: char = '\u{1f}';

impl Words {
    /// The text that a search looks at: the name, the words, then the tags between marks, in lower case. Bounded, because it
    /// is part of an index.
    pub(crate) fn column(&self, name: &str) -> String {
        const MAX_TAGS: usize = 500;
        const MAX: usize = 1400;
        let plain =
            |text: &str| text.to_lowercase().chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
        let mut tags = String::new();
        for tag in &self.tags {
            let tag = plain(tag.trim());
            if !tag.is_empty() && tags.len() + tag.len() < MAX_TAGS {
                tags.push(MARK);
                tags.push_str(&tag);
            }
        }
        if !tags.is_empty() {
            tags.push(MARK);
        }
        let mut column = plain(&format!("{name} {}", self.text));
        column.truncate(column.floor_char_boundary(MAX - tags.len()));
        column + &tags
    }
}

/// A release whose live or coming revision is made of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageUser {
    /// Whose release.
    pub tenant: TenantName,
    /// Which release.
    pub release: ReleaseName,
    /// Repository of the package.
    pub repository: String,
    /// Version of the package.
    pub version: String,
}

/// A published package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its numeric id and row version.
    pub numeric: Numeric,
    /// Where it is.
    pub repository: RepositoryName,
    /// Its name.
    pub name: PackageName,
    /// Its version.
    pub version: String,
    /// Digest of the archive. Of one that is not here yet it is what the index says, if that says anything.
    pub sha256: Option<Sha256>,
    /// Length of the archive in bytes; `None` while it is not here.
    pub size: Option<u64>,
    /// Its metadata.
    pub metadata: Value,
    /// Who published it.
    pub created_by: Provenance,
    /// When.
    pub created_at: Timestamp,
}

/// Where a page of packages ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageCursor {
    /// Name of the last one.
    pub name: String,
    /// Numeric id of the last one.
    pub num: i64,
}

impl Package {
    /// Where a page ends whose last package this is.
    #[must_use]
    pub fn cursor(&self) -> PackageCursor {
        PackageCursor { name: self.name.to_string(), num: self.numeric.num }
    }
}

impl Store {
    /// Publishes a package.
    ///
    /// # Errors
    ///
    /// [`Error::PackageExists`]: a version is published once. [`Error::NotFound`] for an unknown repository,
    /// [`Error::Invalid`] for an archive above 64 MiB or a version that is empty or longer than 255 bytes.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn package_upload(&self, new: NewPackage, provenance: &Provenance) -> Result<Package, Error> {
        check(&new)?;
        let sha256 = Sha256::of(&new.archive);
        let (repository, name, version) = (new.repository.as_str(), new.name.as_str(), new.version.as_str());
        let mut txn = self.txn("publish the package").await?;
        if txn.one(REPOSITORY, args![repository]).await?.is_none() {
            return Err(Error::not_found("repository", repository));
        }
        let now = txn.shared().clock.now();
        let search = new.words.column(name);
        let size = u64::try_from(new.archive.len()).unwrap_or(u64::MAX);
        let added = txn
            .run(
                INSERT,
                args![
                    repository,
                    name,
                    version,
                    new.version_key,
                    sha256,
                    size,
                    new.metadata.to_string(),
                    search,
                    json::text(provenance)?,
                    now,
                ],
            )
            .await?;
        if added == 0 {
            return Err(Error::PackageExists {
                repository: repository.to_owned(),
                name: name.to_owned(),
                version: version.to_owned(),
            });
        }
        let package = read(&txn.row(GET, args![repository, name, version]).await?)?;
        txn.later(INSERT_ARCHIVE, args![package.numeric.num, new.archive]).await?;
        txn.tell([told("package.uploaded", &package, provenance)]);
        txn.commit().await?;
        Ok(package)
    }

    /// One package, without its archive.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn package_get(
        &self,
        repository: &RepositoryName,
        name: &PackageName,
        version: &str,
    ) -> Result<Option<Package>, Error> {
        let args = args![repository.as_str(), name.as_str(), version.replace('\0', "")];
        self.one("read the package", GET, args).await?.as_ref().map(read).transpose()
    }

    /// The bytes of a package.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn package_archive(
        &self,
        repository: &RepositoryName,
        name: &PackageName,
        version: &str,
    ) -> Result<Option<Vec<u8>>, Error> {
        let args = args![repository.as_str(), name.as_str(), version.replace('\0', "")];
        self.one("read the archive", ARCHIVE, args).await?.map(|row| row.bytes("bytes")).transpose()
    }

    /// Keeps the archive of a package that was only listed until now.
    ///
    /// # Errors
    ///
    /// [`Error::PackageChanged`] when another digest is known already, from the index or from the first time; nothing is changed then.
    /// [`Error::NotFound`] when the package is gone.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn package_keep(&self, num: i64, archive: Vec<u8>) -> Result<Package, Error> {
        let sha256 = Sha256::of(&archive);
        let size = u64::try_from(archive.len()).unwrap_or(u64::MAX);
        let mut txn = self.txn("keep the package").await?;
        if txn.run(KEEP, args![num, sha256, size]).await? > 0 {
            txn.later(INSERT_ARCHIVE, args![num, archive]).await?;
        }
        let row = txn.one(BY_NUM, args![num]).await?;
        let package = read(&row.ok_or_else(|| Error::not_found("package", num))?)?;
        if package.sha256 != Some(sha256) {
            return Err(Error::PackageChanged {
                name: package.name.to_string(),
                version: package.version,
                known: package.sha256.map_or_else(String::new, |known| known.to_string()),
                found: sha256.to_string(),
            });
        }
        txn.commit().await?;
        Ok(package)
    }

    /// Gives rows of an older Skipper what versions are ordered by and packages are found by. Costs one small read where
    /// nothing is to be done.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: what is not done is done the next time.
    pub async fn packages_rekey(&self, key: impl Fn(&Package) -> (String, Words) + Send) -> Result<(), Error> {
        loop {
            let rows = self.all("read packages without an order", UNKEYED, args![]).await?;
            if rows.is_empty() {
                return Ok(());
            }
            let mut txn = self.txn("order packages").await?;
            for row in &rows {
                let package = read(row)?;
                let (key, words) = key(&package);
                let search = words.column(package.name.as_str());
                txn.later(REKEY, args![package.numeric.num, key, search]).await?;
            }
            txn.commit().await?;
        }
    }

    /// Releases whose live or coming revision is made of any version of a package, by name; at most 1000.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn package_users(&self, name: &str) -> Result<Vec<PackageUser>, Error> {
        let rows = self.all("look for users of the package", USERS, args![name.replace('\0', "")]).await?;
        let read = |row: &Row| {
            Ok(PackageUser {
                tenant: row.parse("tenant")?,
                release: row.parse("name")?,
                repository: row.text("repository")?,
                version: row.text("version")?,
            })
        };
        let mut users: Vec<PackageUser> = rows.iter().map(read).collect::<Result<_, Error>>()?;
        users.sort_by(|a, b| (&a.release, &a.tenant, &a.version).cmp(&(&b.release, &b.tenant, &b.version)));
        users.dedup();
        Ok(users)
    }

    /// Removes a package.
    ///
    /// # Errors
    ///
    /// [`Error::PackageInUse`] names a release whose live or coming revision is made of it. [`Error::NotFound`].
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn package_remove(
        &self,
        repository: &RepositoryName,
        name: &PackageName,
        version: &str,
        provenance: &Provenance,
    ) -> Result<(), Error> {
        let of = || args![repository.as_str(), name.as_str(), version.replace('\0', "")];
        let mut txn = self.txn("remove the package").await?;
        let package = txn.one(GET, of()).await?.as_ref().map(read).transpose()?;
        let package = package.ok_or_else(|| Error::not_found("package", format!("{repository}/{name}/{version}")))?;
        if let Some(user) = txn.one(USER, of()).await? {
            return Err(Error::PackageInUse {
                name: name.to_string(),
                version: version.to_owned(),
                release: format!("{}/{}", user.text("tenant")?, user.text("name")?),
            });
        }
        txn.later(DELETE_ARCHIVE, args![package.numeric.num]).await?;
        txn.later(DELETE, args![package.numeric.num]).await?;
        txn.tell([told("package.removed", &package, provenance)]);
        txn.commit().await
    }
}

fn check(new: &NewPackage) -> Result<(), Error> {
    if new.archive.len() > ARCHIVE_MAX {
        return Err(Error::Invalid(format!("package `{}` is larger than 64 MiB", new.name)));
    }
    if new.version.is_empty() || new.version.len() > 255 || new.version.contains('\0') {
        return Err(Error::Invalid(format!("the version of package `{}` has 1 to 255 bytes", new.name)));
    }
    if new.version_key.is_empty() {
        return Err(Error::Invalid(format!("the version of package `{}` has no order", new.name)));
    }
    Ok(())
}

fn told(kind: &str, package: &Package, provenance: &Provenance) -> NewEvent {
    NewEvent {
        kind: kind.to_owned(),
        tenant: None,
        release: None,
        revision: None,
        rollout: None,
        provenance: provenance.clone(),
        data: serde_json::json!({
            "repository": package.repository,
            "package": package.name,
            "version": package.version,
            "sha256": package.sha256,
        }),
    }
}

pub(crate) fn read(row: &Row) -> Result<Package, Error> {
    let known = row.text("sha256")?;
    Ok(Package {
        numeric: numeric(row)?,
        repository: row.parse("repository")?,
        name: row.parse("name")?,
        version: row.text("version")?,
        sha256: if known.is_empty() { None } else { Some(row.parse("sha256")?) },
        size: if row.flag("archived")? { Some(row.count("size")?) } else { None },
        metadata: row.json("metadata")?,
        created_by: row.json("created_by")?,
        created_at: row.time("created_at")?,
    })
}
