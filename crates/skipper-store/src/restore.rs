//! Bringing a backup back, into either database. The epoch is raised, so that edges and agents that have seen generations of
//! the lost days accept the restored server.

use std::path::Path;

use skipper_core::{
    actor::{Actor, Provenance},
    event::NewEvent,
    id::RequestId,
    port::Clock,
};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use crate::{
    ChainReport, Error, Location, Store, StoreConfig,
    aside::Aside,
    copy,
    db::{args, pg_query},
    home, meta, open,
    schema::TABLES,
};

/// What a restore may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Restore {
    /// Replace a database that is there.
    pub overwrite: bool,
    /// Take a backup whose event chain is broken.
    pub accept_broken_chain: bool,
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// What the database is known by.
    pub store_id: String,
    /// The epoch from now on.
    pub epoch: u64,
    /// Releases in it.
    pub releases: u64,
    /// What the check of the event chain found.
    pub chain: ChainReport,
}

impl Store {
    /// Checks a backup and puts it in the place of the configured database, which nobody may have open. The server that
    /// opens it afterwards goes on with the rollouts that were open.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`] when a database is there and may not be replaced; what [`Store::open`] says of the backup;
    /// [`Error::Corrupt`] when it is damaged or its chain is broken. The old database stays as it was in all these cases.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: the backup is prepared aside, and takes the place of the database at the very end.
    pub async fn restore(from: &Path, config: &StoreConfig, how: Restore) -> Result<Restored, Error> {
        let file = |path: &Path, doing| {
            let path = path.to_owned();
            move |source| Error::file(doing, path, source)
        };
        if !from.try_exists().map_err(file(from, "look for"))? {
            return Err(Error::not_found("backup", from.display()));
        }
        open::inspect_sqlite(from).await?;
        let old = old_epoch(config, how.overwrite).await?;
        let aside = match &config.location {
            Location::Sqlite(path) => {
                if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
                    std::fs::create_dir_all(folder).map_err(file(folder, "make"))?;
                }
                Aside::beside(path)?
            }
            Location::Postgres(_) => Aside::temporary()?,
        };
        tokio::fs::copy(from, aside.file()).await.map_err(file(from, "copy"))?;
        let restored = prepare(&aside.file(), config, how, old).await?;
        match &config.location {
            Location::Sqlite(path) => place(aside, path).await?,
            Location::Postgres(url) => fill(&aside.file(), url, config).await?,
        }
        Ok(restored)
    }
}

/// The epoch of the database that is to be replaced; 0 where there is none, or none that can be read.
async fn old_epoch(config: &StoreConfig, overwrite: bool) -> Result<u64, Error> {
    let there = match &config.location {
        Location::Sqlite(path) => path.try_exists().unwrap_or(true),
        // Opening makes the tables; whether anything is in them is what counts.
        Location::Postgres(_) => {
            let store = Store::open(config.clone()).await?;
            let (meta, events) = (store.meta_get().await?, store.events_head().await?);
            store.close().await;
            if events == 0 || overwrite {
                return Ok(meta.epoch);
            }
            true
        }
    };
    if there && !overwrite {
        return Err(Error::Exists { kind: "database", name: config.location.to_string() });
    }
    if !there {
        return Ok(0);
    }
    // It may be what the backup is needed for: damaged. Then the time alone keeps epochs apart.
    let Ok(store) = Store::open(StoreConfig { exclusive: false, ..config.clone() }).await else { return Ok(0) };
    let epoch = store.meta_get().await.map_or(0, |meta| meta.epoch);
    store.close().await;
    Ok(epoch)
}

/// Checks the copy, migrates it, and makes it the beginning of a new life.
async fn prepare(path: &Path, config: &StoreConfig, how: Restore, old_epoch: u64) -> Result<Restored, Error> {
    check(path).await?;
    let of_copy = StoreConfig {
        location: Location::Sqlite(path.to_owned()),
        // Whoever held a lease when the backup was made does not hold it on the copy.
        exclusive: true,
        ..config.clone()
    };
    let store = Store::open(of_copy).await?;
    let prepared = begin_life(&store, config, how, old_epoch).await;
    store.close().await;
    prepared
}

async fn begin_life(store: &Store, config: &StoreConfig, how: Restore, old_epoch: u64) -> Result<Restored, Error> {
    let chain = store.events_verify().await?;
    if let Some(broken) = &chain.broken
        && !how.accept_broken_chain
    {
        return Err(Error::corrupt(format!(
            "the event chain of the backup is broken at event {}: {}",
            broken.seq, broken.reason
        )));
    }
    let meta = store.meta_get().await?;
    let epoch = next_epoch(meta.epoch.max(old_epoch), &*config.clock);
    let mut txn = store.txn("raise the epoch").await?;
    txn.later(meta::SET_EPOCH, args![epoch]).await?;
    // Whoever tended it tends the other one still.
    txn.later(home::CLEAR, args![]).await?;
    txn.tell([NewEvent {
        kind: "store.restored".to_owned(),
        tenant: None,
        release: None,
        revision: None,
        rollout: None,
        provenance: Provenance {
            actor: Actor::System,
            trigger: "restore".to_owned(),
            request: RequestId::from_uuid(config.ids.next()),
            correlation: "restore".to_owned(),
        },
        data: serde_json::json!({"epoch": epoch}),
    }]);
    txn.commit().await?;
    Ok(Restored { store_id: meta.store_id, epoch, releases: store.counts().await?.releases, chain })
}

/// Higher than every epoch there was. The time in seconds keeps it so where the old database is lost and the same backup is
/// restored a second time.
fn next_epoch(highest: u64, clock: &dyn Clock) -> u64 {
    let seconds = u64::try_from(clock.now().as_micros() / 1_000_000).unwrap_or(0);
    highest.saturating_add(1).max(seconds)
}

/// SQLite's own check of every page, index and constraint.
async fn check(path: &Path) -> Result<(), Error> {
    let broke = |e| open::placed(Error::from_sqlx("check the backup", e), &path.display().to_string());
    let mut conn = open::sqlite_options(path).create_if_missing(false).connect().await.map_err(broke)?;
    let found: Vec<String> =
        sqlx::query_scalar("PRAGMA integrity_check(5)").fetch_all(&mut conn).await.map_err(broke)?;
    conn.close().await.map_err(broke)?;
    if found == ["ok"] { Ok(()) } else { Err(Error::corrupt(format!("the backup: {}", found.join("; ")))) }
}

/// Takes the place of the database. The old one's log goes first: a log that does not belong to its file destroys it.
async fn place(aside: Aside, path: &Path) -> Result<(), Error> {
    let path = path.to_owned();
    let placed = tokio::task::spawn_blocking(move || {
        let done = remove_log(&path).and_then(|()| aside.replace(&path));
        done.map_err(|source| Error::file("replace", path, source))
    });
    placed.await.map_err(|e| Error::corrupt_because("the task that places the restored database ended early", e))?
}

/// Removes what SQLite keeps beside a database file.
fn remove_log(path: &Path) -> std::io::Result<()> {
    for suffix in ["-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match std::fs::remove_file(&name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Replaces everything in the PostgreSQL database, in one transaction.
async fn fill(aside: &Path, url: &str, config: &StoreConfig) -> Result<(), Error> {
    let broke = |e| open::placed(Error::from_sqlx("fill the database", e), &config.location.to_string());
    let mut source = open::sqlite_options(aside).create_if_missing(false).connect().await.map_err(broke)?;
    let options: sqlx::postgres::PgConnectOptions = url.parse().map_err(broke)?;
    let mut target = options.disable_statement_logging().connect().await.map_err(broke)?;
    let mut txn = target.begin().await.map_err(broke)?;
    let all = format!("TRUNCATE {}", TABLES.join(", "));
    pg_query(AssertSqlSafe(all), Vec::new()).execute(&mut *txn).await.map_err(broke)?;
    copy::into_postgres(&mut source, &mut txn).await?;
    txn.commit().await.map_err(broke)?;
    target.close().await.map_err(broke)?;
    source.close().await.map_err(broke)
}
