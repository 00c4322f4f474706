//! A consistent copy of everything but the key, while the server goes on: always one SQLite file, so that a backup of either
//! database restores into either.

use std::path::{Path, PathBuf};

use sqlx::{ConnectOptions as _, Connection as _};

use crate::{Error, Store, StoreConfig, aside::Aside, copy, create, db::Db, open};

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
    /// Safe to drop: it goes on in a task of its own, and the file is there when it is complete.
    pub async fn backup(&self, to: &Path) -> Result<Backup, Error> {
        let (store, to) = (self.clone(), to.to_owned());
        let task = self.shared.tasks.spawn(async move { store.backup_now(&to).await });
        task.await.map_err(|e| Error::corrupt_because("the task that writes a backup ended early", e))?
    }

    async fn backup_now(&self, to: &Path) -> Result<Backup, Error> {
        if to.try_exists().unwrap_or(true) {
            return Err(Error::Exists { kind: "file", name: to.display().to_string() });
        }
        let aside = Aside::beside(to)?;
        match &self.shared.db {
            Db::Sqlite(db) => {
                let from = db.write.options().get_filename().to_owned();
                vacuum(&from, &aside.file()).await?;
            }
            Db::Pg(pool) => {
                // The placeholder key is never read: nothing is sealed or opened by copying.
                let config = StoreConfig::new(
                    crate::Location::Sqlite(aside.file()),
                    crate::KeySource::text(""),
                    self.shared.clock.clone(),
                    self.shared.ids.clone(),
                );
                dump(pool, &aside.file(), &config).await?;
            }
        }
        finish(aside, to).await
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

async fn finish(aside: Aside, to: &Path) -> Result<Backup, Error> {
    let to = to.to_owned();
    // A flush of a large file takes seconds.
    let named = tokio::task::spawn_blocking(move || {
        let bytes = aside.name(&to).and_then(|()| std::fs::metadata(&to)).map(|file| file.len());
        (to, bytes)
    });
    let (path, bytes) =
        named.await.map_err(|e| Error::corrupt_because("the task that flushes a backup ended early", e))?;
    match bytes {
        Ok(bytes) => Ok(Backup { path, bytes }),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(Error::Exists { kind: "file", name: path.display().to_string() })
        }
        Err(source) => Err(Error::file("flush", path, source)),
    }
}
