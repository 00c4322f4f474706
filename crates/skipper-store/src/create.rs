//! New SQLite databases: made aside without a flush, flushed once, then given their name. A crash at any moment leaves either
//! no database or a whole one, and an empty data folder costs two flushes instead of ten.

use std::{io::ErrorKind, path::Path};

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, SqliteConnection,
    sqlite::{SqliteJournalMode, SqliteSynchronous},
};

use crate::{Error, StoreConfig, aside::Aside, open, schema::TABLES};

/// Makes the database of a new data folder. Fine when another process is faster.
pub(crate) async fn create(path: &Path, config: &StoreConfig) -> Result<(), Error> {
    let failed = |source: std::io::Error| Error::CannotOpen {
        doing: "make the database",
        location: path.display().to_string(),
        source: source.into(),
    };
    let aside = Aside::beside(path).map_err(|error| match error {
        Error::File { source, .. } => failed(source),
        other => other,
    })?;
    let broke = |e| Error::from_sqlx("make the database", e);
    let mut conn = begin(&aside.file(), config).await?;
    sqlx::query("PRAGMA journal_mode = WAL").execute(&mut conn).await.map_err(broke)?;
    conn.close().await.map_err(broke)?;
    match aside.name(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(failed(error)),
        _ => Ok(()),
    }
}

/// A new database without any row, to be filled by a copy. Nothing of it is on disk for sure before the file is flushed.
pub(crate) async fn create_empty(path: &Path, config: &StoreConfig) -> Result<SqliteConnection, Error> {
    let broke = |e| open::placed(Error::from_sqlx("make the database", e), &path.display().to_string());
    let mut conn = begin(path, config).await?;
    for table in TABLES.iter().rev() {
        sqlx::query(AssertSqlSafe(format!("DELETE FROM {table}"))).execute(&mut conn).await.map_err(broke)?;
    }
    Ok(conn)
}

async fn begin(path: &Path, config: &StoreConfig) -> Result<SqliteConnection, Error> {
    let broke = |e| open::placed(Error::from_sqlx("make the database", e), &path.display().to_string());
    let options = open::sqlite_options(path).journal_mode(SqliteJournalMode::Off).synchronous(SqliteSynchronous::Off);
    let mut conn = options.connect().await.map_err(broke)?;
    open::migrate_sqlite(&mut conn, config).await?;
    Ok(conn)
}
