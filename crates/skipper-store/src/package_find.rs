//! Finding packages: by name, by words, by tag, the newest.

use skipper_core::name::{PackageName, RepositoryName};

use crate::{
    Error, Package, PackageCursor, Store,
    db::{Row, args, statements},
    package::{MARK, read},
    release::like,
    store::page,
};

/// The inner part reads nothing but an index; of what fits, a page is looked up.
macro_rules! search {
    ($fits:literal) => {
        concat!(
            "SELECT package.* FROM (SELECT num AS hit FROM package WHERE (name, num) > ($1, $2) AND ",
            $fits,
            " ORDER BY name, num LIMIT $3) AS found JOIN package ON package.num = found.hit \
            ORDER BY package.name, package.num"
        )
    };
}

statements! {
    VERSIONS = "SELECT package.* FROM package JOIN repository ON repository.name = package.repository \
        WHERE package.name = $1 AND (CAST($2 AS TEXT) IS NULL OR package.repository = $2) \
        ORDER BY package.version_key DESC, repository.priority, package.num DESC LIMIT $3";
    /// Of the highest version: where several repositories have it, the one that is asked first.
    LATEST = "SELECT package.* FROM package JOIN repository ON repository.name = package.repository \
        WHERE package.name = $1 AND package.version_key = (SELECT MAX(version_key) FROM package WHERE name = $1) \
        ORDER BY repository.priority, package.num DESC LIMIT 1";
    LATEST_IN = "SELECT package.* FROM package JOIN repository ON repository.name = package.repository \
        WHERE package.name = $1 AND package.repository = $2 \
        ORDER BY package.version_key DESC, package.num DESC LIMIT 1";
    /// `CROSS` has SQLite ask each repository for its row, rather than look through all versions of the name.
    NAMED = "SELECT package.* FROM repository CROSS JOIN package \
        WHERE package.repository = repository.name AND package.name = $1 AND package.version = $2 \
        ORDER BY repository.priority, package.num DESC LIMIT 1";
    LIST = "SELECT * FROM package WHERE (name, num) > ($1, $2) ORDER BY name, num LIMIT $3";
    SEARCH = search!(
        "(CAST($4 AS TEXT) IS NULL OR search LIKE $4 ESCAPE '!') \
            AND (CAST($5 AS TEXT) IS NULL OR search LIKE $5 ESCAPE '!') \
            AND (CAST($6 AS TEXT) IS NULL OR lower(name) LIKE $6 ESCAPE '!') \
            AND (CAST($7 AS TEXT) IS NULL OR repository = $7)"
    );
    /// The two that people ask most: what is not asked costs nothing for each of a hundred thousand packages.
    SEARCH_TEXT = search!("search LIKE $4 ESCAPE '!'");
    SEARCH_NAME = search!("lower(name) LIKE $4 ESCAPE '!'");
    /// For SQLite, whose `LIKE` knows no case by itself: the same in half the time.
    SEARCH_NAME_CASELESS = search!("name LIKE $4 ESCAPE '!'");
    OF = "SELECT * FROM package WHERE repository = $1 AND (name, version) > ($2, $3) ORDER BY name, version LIMIT $4";
    /// Changes with every package that comes, goes or changes.
    STATE = "SELECT COUNT(*) AS n, COALESCE(MAX(num), 0) AS last, \
        CAST(COALESCE(SUM(row_version), 0) AS BIGINT) AS changes FROM package WHERE repository = $1";
}

/// Which packages; what is absent does not matter.
#[derive(Debug, Clone, Copy, Default)]
pub struct PackageFilter<'a> {
    /// Text in the name, the words or the tags.
    pub q: Option<&'a str>,
    /// Text in the name.
    pub name: Option<&'a str>,
    /// A whole tag.
    pub tag: Option<&'a str>,
    /// The repository.
    pub repository: Option<&'a RepositoryName>,
}

impl Store {
    /// All versions of a package, the highest first, and of equal ones the one whose repository is asked first. At most
    /// `limit` (and never more than 1000).
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn package_versions(
        &self,
        repository: Option<&RepositoryName>,
        name: &PackageName,
        limit: u32,
    ) -> Result<Vec<Package>, Error> {
        let args = args![name.as_str(), repository.map(RepositoryName::as_str), page(limit)];
        self.all("list versions", VERSIONS, args).await?.iter().map(read).collect()
    }

    /// The highest version of a package; where several repositories have it, the one that is asked first.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn package_latest(
        &self,
        repository: Option<&RepositoryName>,
        name: &PackageName,
    ) -> Result<Option<Package>, Error> {
        let (sql, args) = match repository {
            Some(repository) => (LATEST_IN, args![name.as_str(), repository.as_str()]),
            None => (LATEST, args![name.as_str()]),
        };
        first(&self.all("find the newest version", sql, args).await?)
    }

    /// That version of a package; where several repositories have it, the one that is asked first.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn package_named(&self, name: &PackageName, version: &str) -> Result<Option<Package>, Error> {
        let args = args![name.as_str(), version.replace('\0', "")];
        first(&self.all("find the package", NAMED, args).await?)
    }

    /// Packages of all repositories by name, then in the order they were published. At most `limit` (and never more than
    /// 1000).
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn package_list(
        &self,
        filter: PackageFilter<'_>,
        after: Option<&PackageCursor>,
        limit: u32,
    ) -> Result<Vec<Package>, Error> {
        let text = |text: Option<&str>| {
            text.map(str::trim).filter(|text| !text.is_empty()).map(|text| like(&text.replace(char::is_control, " ")))
        };
        let (name, num) = after.map_or(("", i64::MIN), |cursor| (cursor.name.as_str(), cursor.num));
        let mut args = args![name, num, page(limit)];
        let PackageFilter { q, name, tag, repository } = filter;
        let tag = tag.map(str::trim).filter(|tag| !tag.is_empty()).map(|tag| {
            let tag = tag.replace(char::is_control, " ");
            like(&format!("{MARK}{tag}{MARK}"))
        });
        let sql = match [text(q), tag, text(name), repository.map(|name| name.as_str().to_owned())] {
            [None, None, None, None] => LIST,
            [Some(text), None, None, None] | [None, Some(text), None, None] => {
                args.push(text.into());
                SEARCH_TEXT
            }
            [None, None, Some(name), None] => {
                args.push(name.into());
                self.of_both(SEARCH_NAME_CASELESS, SEARCH_NAME)
            }
            wanted => {
                args.extend(wanted.map(Into::into));
                SEARCH
            }
        };
        self.all("search packages", sql, args).await?.iter().map(read).collect()
    }

    /// The packages of one repository by name and version, after those of that name and version. At most `limit` (and never
    /// more than 1000).
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn package_list_of(
        &self,
        repository: &RepositoryName,
        after: Option<(&str, &str)>,
        limit: u32,
    ) -> Result<Vec<Package>, Error> {
        let (name, version) = after.unwrap_or_default();
        let args = args![repository.as_str(), name, version, page(limit)];
        self.all("list the packages of a repository", OF, args).await?.iter().map(read).collect()
    }

    /// A word that changes with every package of the repository that comes, goes or changes.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn packages_state(&self, repository: &RepositoryName) -> Result<String, Error> {
        let row = self.one("look at the repository", STATE, args![repository.as_str()]).await?;
        let row = row.ok_or_else(|| Error::corrupt("an aggregate without a row"))?;
        Ok(format!("{}-{}-{}", row.int("n")?, row.int("last")?, row.int("changes")?))
    }
}

fn first(rows: &[Row]) -> Result<Option<Package>, Error> {
    rows.first().map(read).transpose()
}
