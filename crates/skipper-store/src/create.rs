//! New SQLite databases: made aside without a flush, flushed once, then given their name. A crash at any moment leaves either
//! no database or a whole one, and an empty data folder costs two flushes instead of ten.

use std::{fs::Permissions, io::ErrorKind, os::unix::fs::PermissionsExt as _, path::Path};

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, SqliteConnection,
    sqlite::{SqliteJournalMode, SqliteSynchronous},
};

use crate::{
    Error, StoreConfig,
    backup::{beside, remove, sync_folder},
    open,
    schema::TABLES,
};

/// Makes the database of a new data folder. Fine when another process is faster.
pub(crate) async fn create(path: &Path, config: &StoreConfig) -> Result<(), Error> {
    let aside = beside(path, &format!("new-{}", config.ids.next()));
    let made = fill(&aside, config).await;
    let named = made.and_then(|()| match name(&aside, path) {
        Err(source) if source.kind() != ErrorKind::AlreadyExists => Err(Error::CannotOpen {
            doing: "make the database",
            location: path.display().to_string(),
            source: source.into(),
        }),
        _ => Ok(()),
    });
    remove(&aside)?;
    named
}

async fn fill(aside: &Path, config: &StoreConfig) -> Result<(), Error> {
    let broke = |e| open::placed(Error::from_sqlx("make the database", e), &aside.display().to_string());
    let mut conn = begin(aside, config).await?;
    sqlx::query("PRAGMA journal_mode = WAL").execute(&mut conn).await.map_err(broke)?;
    conn.close().await.map_err(broke)
}

/// Flushes a file, gives it its name, and flushes the name. A link, not a rename: what somebody else has put there meanwhile
/// stays, and that is [`ErrorKind::AlreadyExists`]. Only its owner may read it: it holds environments and arguments.
pub(crate) fn name(aside: &Path, path: &Path) -> std::io::Result<()> {
    let file = std::fs::File::open(aside)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.sync_all()?;
    match std::fs::hard_link(aside, path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(error),
        // A file system without links.
        Err(_) => std::fs::rename(aside, path)?,
    }
    sync_folder(path)
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
