use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use skipper_core::port::{Clock, Ids};

use crate::{Error, seal::KeySource};

/// Where the database is.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// A file of SQLite's; made when it is not there, with its folder.
    Sqlite(PathBuf),
    /// `postgres://user:password@host/database`.
    Postgres(String),
}

impl Location {
    /// Reads what people write: a path, `sqlite:PATH`, `postgres://…` or `postgresql://…`.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for the URL of anything else.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(text.to_owned()));
        }
        let path = text.strip_prefix("sqlite://").or_else(|| text.strip_prefix("sqlite:")).unwrap_or(text);
        if path.is_empty() || path.contains("://") {
            let shown: String = text.split("://").next().unwrap_or_default().chars().take(40).collect();
            return Err(Error::Invalid(format!(
                "`{shown}` is no database that Skipper knows: give a path, or postgres://user:password@host/database"
            )));
        }
        Ok(Self::Sqlite(PathBuf::from(path)))
    }
}

/// Shows no password.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            Self::Postgres(url) => {
                let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
                let rest = rest.split('?').next().unwrap_or_default();
                match rest.rsplit_once('@') {
                    Some((user, host)) => {
                        write!(f, "{scheme}://{}@{host}", user.split(':').next().unwrap_or_default())
                    }
                    None => write!(f, "{scheme}://{rest}"),
                }
            }
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a store needs to open.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// Where the database is.
    pub location: Location,
    /// What seals secrets.
    pub key: KeySource,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<dyn Ids>,
    /// Nobody else can have the database open for work: the caller holds the lock of the data folder. Then every lease
    /// found on opening is a dead process's, and is broken at once instead of being waited for. Without effect on
    /// PostgreSQL, which other servers may share.
    pub exclusive: bool,
    /// Longest a writer waits for another process to finish its transaction on SQLite; ours take milliseconds.
    pub patience: Duration,
    /// Most connections to PostgreSQL, or readers of SQLite; at least 1.
    pub connections: u32,
}

impl StoreConfig {
    /// Readers of SQLite: each has a thread and a page cache of its own, so few. Four keep two cores busy.
    const CONNECTIONS: u32 = 4;
    /// Longer than a copy tool or a shell that looks into the file holds it.
    const PATIENCE: Duration = Duration::from_secs(5);

    /// A configuration with the usual number of connections, not exclusive.
    #[must_use]
    pub fn new(location: Location, key: KeySource, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        Self { location, key, clock, ids, exclusive: false, patience: Self::PATIENCE, connections: Self::CONNECTIONS }
    }

    /// The same, with every lease of the past broken on opening.
    #[must_use]
    pub fn exclusive(mut self) -> Self {
        self.exclusive = true;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_a_path_or_a_url_and_never_shows_its_password() {
        assert_eq!(Location::parse("/a/b.db").ok(), Some(Location::Sqlite("/a/b.db".into())));
        assert_eq!(Location::parse("sqlite:x.db").ok(), Some(Location::Sqlite("x.db".into())));
        let pg = Location::parse("postgres://me:secret@host:5/db?options=x").expect("valid");
        assert_eq!(pg.to_string(), "postgres://me@host:5/db");
        assert!(Location::parse("mysql://u:p@h/d").is_err_and(|e| !e.to_string().contains("u:p")));
        assert!(Location::parse("").is_err());
    }
}
