//! A consistent copy of everything but the key, while the server goes on: always one SQLite file, so that a backup of either
//! database restores into either.

use std::path::{Path, PathBuf};

use sqlx::{ConnectOptions as _, Connection as _};

use crate::{Error, Store, StoreConfig, copy, create, db::Db, open};

/// A backup that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// The file.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
}

impl Store {
    /// Writes a backup to a new file: of one moment, complete, and on disk when this returns. It holds everything except the
    /// key that secrets are sealed with.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`] when the file is there already; [`Error::File`], [`Error::Full`].
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: what was begun goes on aside and is removed by the next backup to that path.
    pub async fn backup(&self, to: &Path) -> Result<Backup, Error> {
        if to.try_exists().unwrap_or(true) {
            return Err(Error::Exists { kind: "file", name: to.display().to_string() });
        }
        let aside = beside(to, "partial");
        remove(&aside)?;
        let written = match &self.shared.db {
            Db::Sqlite(db) => {
                let from = db.write.connect_options().get_filename().to_owned();
                vacuum(&from, &aside).await
            }
            Db::Pg(pool) => {
                // The placeholder key is never read: nothing is sealed or opened by copying.
                let config = StoreConfig::new(
                    crate::Location::Sqlite(aside.clone()),
                    crate::KeySource::text(""),
                    self.shared.clock.clone(),
                    self.shared.ids.clone(),
                );
                dump(pool, &aside, &config).await
            }
        };
        let finished = match written {
            Ok(()) => finish(&aside, to).await,
            Err(error) => Err(error),
        };
        if finished.is_err() {
            remove(&aside)?;
        }
        finished
    }
}

/// SQLite's own copy: a reading transaction, so writers go on beside it.
async fn vacuum(from: &Path, to: &Path) -> Result<(), Error> {
    let broke = |e| open::placed(Error::from_sqlx("write the backup", e), &to.display().to_string());
    let mut conn = open::sqlite_options(from).create_if_missing(false).connect().await.map_err(broke)?;
    let done = sqlx::query("VACUUM INTO $1").bind(to.to_string_lossy().into_owned()).execute(&mut conn).await;
    conn.close().await.map_err(broke)?;
    done.map(drop).map_err(broke)
}

async fn dump(pool: &sqlx::PgPool, to: &Path, config: &StoreConfig) -> Result<(), Error> {
    let broke = |e| open::placed(Error::from_sqlx("write the backup", e), &to.display().to_string());
    let mut target = create::create_empty(to, config).await?;
    let mut source = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await.map_err(broke)?;
    copy::into_sqlite(&mut source, &mut target).await?;
    source.rollback().await.map_err(broke)?;
    target.close().await.map_err(broke)
}

async fn finish(aside: &Path, to: &Path) -> Result<Backup, Error> {
    let (aside, to) = (aside.to_owned(), to.to_owned());
    // A flush of a large file takes seconds.
    tokio::task::spawn_blocking(move || {
        let failed = |doing| {
            let path = to.clone();
            move |source: std::io::Error| match source.kind() {
                std::io::ErrorKind::AlreadyExists => Error::Exists { kind: "file", name: path.display().to_string() },
                _ => Error::File { doing, path, source },
            }
        };
        create::name(&aside, &to).map_err(failed("flush"))?;
        let bytes = std::fs::metadata(&to).map_err(failed("look at"))?.len();
        remove(&aside)?;
        Ok(Backup { path: to, bytes })
    })
    .await
    .map_err(|e| Error::corrupt_because("the task that flushes a backup ended early", e))?
}

pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

/// Removes a database file and what SQLite keeps beside it; fine when there is none.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    remove_log(path)?;
    remove_each(path, &[""])
}

/// Removes what SQLite keeps beside a database file.
pub(crate) fn remove_log(path: &Path) -> Result<(), Error> {
    remove_each(path, &["-wal", "-shm", "-journal"])
}

fn remove_each(path: &Path, suffixes: &[&str]) -> Result<(), Error> {
    for suffix in suffixes {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match std::fs::remove_file(&name) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::File { doing: "remove", path: PathBuf::from(name), source });
            }
            _ => {}
        }
    }
    Ok(())
}

pub(crate) fn sync_folder(of: &Path) -> std::io::Result<()> {
    let folder = of.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder)?.sync_all()
}
