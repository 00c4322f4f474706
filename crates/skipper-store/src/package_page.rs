//! Table `package` as lists with numbered pages, for APIs that have those. What is built in has numbers below zero, and
//! comes last where they decide.

use crate::{
    Error, Package, Store,
    db::{Reading, args, statements},
    package::read,
    release::like,
    store::page,
};

/// The sub-query is answered by an index alone; only the rows of the page are read. `+num` keeps SQLite from walking through
/// the rows themselves in the order of their numbers.
macro_rules! sorted {
    ($by:literal) => {
        concat!(
            "SELECT * FROM package WHERE num IN (SELECT num FROM package WHERE +num >= $3 ORDER BY ",
            $by,
            " LIMIT $1 OFFSET $2) ORDER BY ",
            $by
        )
    };
}

/// What is read of a package: without the texts that are only searched.
macro_rules! packages {
    ($which:literal) => {
        concat!(
            "SELECT num, repository, name, version, sha256, size, archived, metadata, created_by, created_at, row_version \
            FROM package WHERE ",
            $which
        )
    };
}

statements! {
    BY_NUM = "SELECT * FROM package WHERE num = $1";
    ADDED = "SELECT * FROM package WHERE num > 0 ORDER BY num LIMIT $1 OFFSET $2";
    BUILT_IN = "SELECT * FROM package WHERE num < 0 ORDER BY num LIMIT 1000";
    NAME_UP = sorted!("name, num");
    NAME_DOWN = sorted!("name DESC, num DESC");
    VERSION_UP = sorted!("version_key, num");
    VERSION_DOWN = sorted!("version_key DESC, num DESC");
    COUNT = "SELECT COUNT(*) AS count FROM package";
    COUNT_BUILT_IN = "SELECT COUNT(*) AS count FROM package WHERE num < 0";
    NAMED = packages!("name = $1 ORDER BY num LIMIT $2");
    NAMED_VERSION = packages!("name = $1 AND version = $2 ORDER BY num LIMIT $3");
    CONTAINING = packages!("num IN \
        (SELECT num FROM package WHERE lower(name) LIKE $1 ESCAPE '!' ORDER BY +num LIMIT $2) ORDER BY num");
    /// For SQLite, whose `LIKE` knows no case by itself: the same in half the time.
    CONTAINING_CASELESS = packages!("num IN \
        (SELECT num FROM package WHERE name LIKE $1 ESCAPE '!' ORDER BY +num LIMIT $2) ORDER BY num");
}

/// In which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackageOrder {
    /// As they were added.
    Added,
    /// By name.
    Name {
        /// From the last one on.
        descending: bool,
    },
    /// By version, as versions are compared.
    Version {
        /// From the last one on.
        descending: bool,
    },
}

/// Which packages.
#[derive(Debug, Clone, Copy)]
pub enum PackageMatch<'a> {
    /// Those of exactly this name.
    Named(&'a str),
    /// Those of exactly this name and version.
    Version(&'a str, &'a str),
    /// Those whose name holds this text, in any case.
    Containing(&'a str),
}

/// A page of packages, and how many there are on all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackagePage {
    /// Those of the page.
    pub packages: Vec<Package>,
    /// The number of all.
    pub total: u64,
}

impl Store {
    /// At most `limit` (and never more than 1000) packages of all repositories without the first `offset`, and how many
    /// there are. What is built in counts only where it is asked for. Costs what it costs to count them, and to skip over
    /// those before.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn package_page(
        &self,
        order: PackageOrder,
        built_in: bool,
        limit: u32,
        offset: u64,
    ) -> Result<PackagePage, Error> {
        let least = if built_in { i64::MIN } else { 0 };
        let mut reading = Reading::begin(&self.shared, "list packages").await?;
        let mut total = reading.one(COUNT, args![]).await?.map_or(Ok(0), |row| row.count("count"))?;
        if !built_in {
            let hidden = reading.one(COUNT_BUILT_IN, args![]).await?.map_or(Ok(0), |row| row.count("count"))?;
            total = total.saturating_sub(hidden);
        }
        let sql = match order {
            PackageOrder::Added => ADDED,
            PackageOrder::Name { descending: false } => NAME_UP,
            PackageOrder::Name { descending: true } => NAME_DOWN,
            PackageOrder::Version { descending: false } => VERSION_UP,
            PackageOrder::Version { descending: true } => VERSION_DOWN,
        };
        let mut args = args![page(limit), offset];
        if order != PackageOrder::Added {
            args.push(least.into());
        }
        let rows = reading.all(sql, args).await?;
        let mut packages = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let room = usize::try_from(page(limit)).unwrap_or_default().saturating_sub(packages.len());
        if order == PackageOrder::Added && built_in && room > 0 {
            let rows = reading.all(BUILT_IN, args![]).await?;
            let before = offset.saturating_sub(total.saturating_sub(rows.len() as u64));
            let skipped = usize::try_from(before).unwrap_or(usize::MAX);
            for row in rows.iter().skip(skipped).take(room) {
                packages.push(read(row)?);
            }
        }
        reading.end().await?;
        Ok(PackagePage { packages, total })
    }

    /// The package of that number.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn package_by_num(&self, num: i64) -> Result<Option<Package>, Error> {
        self.one("read the package", BY_NUM, args![num]).await?.as_ref().map(read).transpose()
    }

    /// The packages that fit, in the order of their numbers, at most `limit` (and never more than 1000).
    ///
    /// # Errors
    ///
    /// Only those of the database.
    pub async fn package_find(&self, filter: PackageMatch<'_>, limit: u32) -> Result<Vec<Package>, Error> {
        let clean = |text: &str| text.replace('\0', "");
        let limit = page(limit);
        let (sql, args) = match filter {
            PackageMatch::Named(name) => (NAMED, args![clean(name), limit]),
            PackageMatch::Version(name, version) => (NAMED_VERSION, args![clean(name), clean(version), limit]),
            PackageMatch::Containing(text) => (self.of_both(CONTAINING_CASELESS, CONTAINING), args![like(text), limit]),
        };
        self.all("find packages", sql, args).await?.iter().map(read).collect()
    }
}
