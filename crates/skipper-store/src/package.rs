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
    release::{like, numeric},
    store::page,
};

statements! {
    GET = "SELECT * FROM package WHERE repository = $1 AND name = $2 AND version = $3";
    BY_NUM = "SELECT * FROM package WHERE num = $1";
    VERSIONS = "SELECT * FROM package WHERE repository = $1 AND name = $2 ORDER BY num DESC LIMIT 1000";
    LIST = "SELECT * FROM package WHERE (name, num) > ($1, $2) ORDER BY name, num LIMIT $3";
    SEARCH = "SELECT * FROM package WHERE (name, num) > ($1, $2) AND search LIKE $4 ESCAPE '!' ORDER BY name, num LIMIT $3";
    INSERT = "INSERT INTO package (repository, name, version, sha256, size, metadata, search, created_by, created_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING";
    INSERT_ARCHIVE = "INSERT INTO package_archive (package_num, bytes) VALUES ($1, $2)";
    ARCHIVE = "SELECT package_archive.bytes AS bytes FROM package_archive JOIN package ON package.num = package_archive.package_num \
        WHERE package.repository = $1 AND package.name = $2 AND package.version = $3";
    REPOSITORY = "SELECT 1 AS found FROM repository WHERE name = $1";
    USER = "SELECT release.tenant AS tenant, release.name AS name FROM revision JOIN release ON release.id = revision.release_id \
        WHERE revision.package_repository = $1 AND revision.package_name = $2 AND revision.package_version = $3 \
            AND revision.state IN ('pending', 'live') LIMIT 1";
    USERS = "SELECT release.tenant AS tenant, release.name AS name, revision.package_repository AS repository, \
            revision.package_version AS version \
        FROM revision JOIN release ON release.id = revision.release_id \
        WHERE revision.package_name = $1 AND revision.state IN ('pending', 'live') LIMIT 1000";
    DELETE_ARCHIVE = "DELETE FROM package_archive WHERE package_num = $1";
    DELETE = "DELETE FROM package WHERE num = $1";
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
    /// Its metadata, for people and APIs.
    pub metadata: Value,
    /// Words to be found by: description, tags, maintainer.
    pub search: String,
    /// The archive.
    pub archive: Vec<u8>,
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
    /// Digest of the archive.
    pub sha256: Sha256,
    /// Length of the archive in bytes.
    pub size: u64,
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
        let search = format!("{name} {}", new.search).to_lowercase().replace('\0', " ");
        let size = u64::try_from(new.archive.len()).unwrap_or(u64::MAX);
        let added = txn
            .run(
                INSERT,
                args![
                    repository,
                    name,
                    version,
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
        txn.run(INSERT_ARCHIVE, args![package.numeric.num, new.archive]).await?;
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

    /// All versions of a package, the one published last first. Which is the newest is for the caller to say.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn package_versions(
        &self,
        repository: &RepositoryName,
        name: &PackageName,
    ) -> Result<Vec<Package>, Error> {
        let rows = self.all("list versions", VERSIONS, args![repository.as_str(), name.as_str()]).await?;
        rows.iter().map(read).collect()
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

    /// Packages of all repositories by name, then in the order they were published; with `q` only those that are found by
    /// that text. At most `limit` (and never more than 1000).
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn package_list(
        &self,
        q: Option<&str>,
        after: Option<&PackageCursor>,
        limit: u32,
    ) -> Result<Vec<Package>, Error> {
        let (name, num) = after.map_or(("", 0), |cursor| (cursor.name.as_str(), cursor.num));
        let mut args = args![name, num, page(limit)];
        let sql = match q.map(str::trim).filter(|q| !q.is_empty()) {
            None => LIST,
            Some(q) => {
                args.push(like(q).into());
                SEARCH
            }
        };
        self.all("list packages", sql, args).await?.iter().map(read).collect()
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
        txn.run(DELETE_ARCHIVE, args![package.numeric.num]).await?;
        txn.run(DELETE, args![package.numeric.num]).await?;
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
    Ok(Package {
        numeric: numeric(row)?,
        repository: row.parse("repository")?,
        name: row.parse("name")?,
        version: row.text("version")?,
        sha256: row.parse("sha256")?,
        size: row.count("size")?,
        metadata: row.json("metadata")?,
        created_by: row.json("created_by")?,
        created_at: row.time("created_at")?,
    })
}
