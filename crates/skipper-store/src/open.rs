//! Opening: is it ours, is it of a schema we know, does it need one more migration, who held leases before us.

use std::{
    path::Path,
    str::FromStr as _,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, AtomicI64, AtomicU64},
    },
    time::Duration,
};

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _,
    postgres::{PgConnectOptions, PgConnection, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteConnection, SqliteSynchronous},
};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Error, Location, SCHEMA_VERSION, Store, StoreConfig,
    agents::Agents,
    create,
    db::{Connections, Db, Line, SqlitePools, args, pg_query, sqlite_query},
    event, listen, meta,
    schema::{APPLICATION_ID, MIGRATIONS, Migration},
    seal::KeyRing,
    store::Shared,
};

/// Longest that PostgreSQL may take to answer, or to have a connection free.
const ANSWER: Duration = Duration::from_secs(10);
/// An idle reader costs about a megabyte; a busy server needs it again at once, a resting one never.
const IDLE: Duration = Duration::from_secs(60);
/// What a reader keeps of the file, in KiB after the minus sign. A search looks through all of an index, which takes 15 MB for a
/// hundred thousand packages, and twice the time where it does not fit. Filled by what is read, and gone with the reader.
const READER_CACHE: &str = "-16384";

/// How many texts the writer keeps prepared: what is sent at once is a text of its own.
const WRITER_STATEMENTS: usize = 300;

impl Store {
    /// Opens the database, making or migrating it where needed. An up-to-date one is neither written nor searched.
    ///
    /// # Errors
    ///
    /// [`Error::NewerSchema`], [`Error::NotOurs`], [`Error::NotADatabase`], [`Error::CannotOpen`], [`Error::Locked`] and
    /// [`Error::Corrupt`] say what is wrong with it. Nothing is changed in any of these cases.
    pub async fn open(config: StoreConfig) -> Result<Self, Error> {
        let location = config.location.to_string();
        let exclusive = config.exclusive && matches!(config.location, Location::Sqlite(_));
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let db = match &config.location {
            Location::Sqlite(path) => open_sqlite(path, &location, &config, &tasks, &stop).await?,
            Location::Postgres(url) => open_postgres(url, &location, &config).await?,
        };
        let head = event::head(&db).await?;
        let shared = Arc::new(Shared {
            db,
            line: Line::default(),
            clock: config.clock,
            ids: config.ids,
            keys: KeyRing::new(config.key),
            location,
            events: watch::Sender::new(head),
            work: watch::Sender::new(0),
            tasks,
            stop,
            unwritable: AtomicBool::new(false),
            commits: AtomicU64::new(0),
            expired: AtomicI64::new(0),
            agents: Agents::default(),
            any_token: Mutex::new(None),
        });
        listen::start(&shared);
        let store = Self { shared };
        if exclusive {
            // SQLite opens a file that may not be written all the same, and says so at the first write.
            drop(store.txn("open the database for writing").await?);
            store.break_leases().await?;
        }
        Ok(store)
    }

    /// Ends what processes of the past still held.
    async fn break_leases(&self) -> Result<(), Error> {
        let doing = "break the leases of the last run";
        if self.one(doing, meta::HELD, args![]).await?.is_none() {
            return Ok(());
        }
        let mut txn = self.txn(doing).await?;
        txn.later(meta::BREAK_LEASES, args![]).await?;
        txn.later(meta::FORGET_UNFINISHED, args![]).await?;
        txn.commit().await
    }
}

/// What a file says of itself before anything is done to it.
struct Header {
    application: i64,
    version: i64,
    tables: i64,
}

async fn open_sqlite(
    path: &Path,
    location: &str,
    config: &StoreConfig,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<Db, Error> {
    let doing = "open the database";
    if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|source| Error::CannotOpen {
            doing: "make the folder of the database",
            location: folder.display().to_string(),
            source: source.into(),
        })?;
    }
    if matches!(path.try_exists(), Ok(false)) {
        create::create(path, config).await.map_err(|e| placed(e, location))?;
    }
    let options = sqlite_options(path).busy_timeout(config.patience);
    let writing = options.clone().statement_cache_capacity(WRITER_STATEMENTS);
    let write = Connections::new(writing, 1, tasks.clone());
    let mut conn = write.lend().await.map_err(|e| placed(Error::from_sqlx(doing, e), location))?;
    let header = sqlite_header(&mut conn).await.map_err(|e| placed(Error::from_sqlx(doing, e), location))?;
    judge(&header, location)?;
    // Persistent in the file, and what lets readers and the writer work at the same time.
    sqlx::query("PRAGMA journal_mode = WAL")
        .execute(&mut *conn)
        .await
        .map_err(|e| placed(Error::from_sqlx(doing, e), location))?;
    if header.version < SCHEMA_VERSION {
        migrate_sqlite(&mut conn, config).await.map_err(|e| placed(e, location))?;
    }
    drop(conn);
    let reading = options.pragma("query_only", "ON").pragma("cache_size", READER_CACHE);
    let read = Connections::new(reading, config.connections.max(1), tasks.clone());
    tasks.spawn(close_idle(Arc::downgrade(&read), stop.clone()));
    Ok(Db::Sqlite(SqlitePools { write, read }))
}

/// Lets go of readers that nobody wants, as long as there is a store.
async fn close_idle(read: Weak<Connections>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(IDLE / 2)).await.is_some() {
        let Some(read) = read.upgrade() else { return };
        read.close_idle(IDLE);
    }
}

/// The journal mode is not among these: it would be written into a file that may turn out not to be ours.
pub(crate) fn sqlite_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .disable_statement_logging()
}

async fn sqlite_header(conn: &mut SqliteConnection) -> Result<Header, sqlx::Error> {
    let row = sqlx::query(
        "SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version), \
         (SELECT COUNT(*) FROM sqlite_schema)",
    )
    .fetch_one(conn)
    .await?;
    Ok(Header { application: row.try_get(0)?, version: row.try_get(1)?, tables: row.try_get(2)? })
}

fn judge(header: &Header, location: &str) -> Result<(), Error> {
    let empty = header.application == 0 && header.version == 0 && header.tables == 0;
    if header.application != APPLICATION_ID && !empty {
        return Err(Error::NotOurs { location: location.to_owned() });
    }
    if header.version > SCHEMA_VERSION {
        return Err(Error::NewerSchema { location: location.to_owned(), found: header.version, known: SCHEMA_VERSION });
    }
    Ok(())
}

/// Says whether a file is a database of ours, without changing it; returns its schema version.
pub(crate) async fn inspect_sqlite(path: &Path) -> Result<i64, Error> {
    let (doing, location) = ("look at the database", path.display().to_string());
    let options = sqlite_options(path).create_if_missing(false).read_only(true);
    let read = async {
        let mut conn = options.connect().await?;
        let header = sqlite_header(&mut conn).await?;
        conn.close().await?;
        Ok(header)
    };
    let header = read.await.map_err(|e| placed(Error::from_sqlx(doing, e), &location))?;
    judge(&header, &location)?;
    if header.application != APPLICATION_ID {
        return Err(Error::NotOurs { location });
    }
    Ok(header.version)
}

/// All missing migrations in one transaction.
pub(crate) async fn migrate_sqlite(conn: &mut SqliteConnection, config: &StoreConfig) -> Result<(), Error> {
    let doing = "migrate the database";
    let broke = |e| Error::from_sqlx(doing, e);
    let mut txn = conn.begin_with("BEGIN IMMEDIATE").await.map_err(broke)?;
    // Another process may have been faster.
    let header = sqlite_header(&mut txn).await.map_err(broke)?;
    for Migration { version, sqlite, .. } in MIGRATIONS.iter().filter(|m| m.version > header.version) {
        sqlx::raw_sql(*sqlite).execute(&mut *txn).await.map_err(broke)?;
        if *version == 1 {
            let (sql, args) = meta::first(config);
            sqlite_query(sql, args).execute(&mut *txn).await.map_err(broke)?;
        }
    }
    sqlite_query(meta::SET_VERSION, args![SCHEMA_VERSION]).execute(&mut *txn).await.map_err(broke)?;
    let marks = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION}");
    sqlx::raw_sql(AssertSqlSafe(marks)).execute(&mut *txn).await.map_err(broke)?;
    txn.commit().await.map_err(broke)
}

async fn open_postgres(url: &str, location: &str, config: &StoreConfig) -> Result<Db, Error> {
    let doing = "open the database";
    let refused = |e: sqlx::Error| Error::CannotOpen { doing, location: location.to_owned(), source: e.into() };
    let options =
        PgConnectOptions::from_str(url).map_err(refused)?.application_name("skipper").disable_statement_logging();
    // Not through the pool, which would ask a server that refuses again and again until its patience ends.
    let mut conn = tokio::time::timeout(ANSWER, options.connect())
        .await
        .map_err(|_| sqlx::Error::PoolTimedOut)
        .flatten()
        .map_err(refused)?;
    let version = postgres_version(&mut conn).await?;
    if version > SCHEMA_VERSION {
        return Err(Error::NewerSchema { location: location.to_owned(), found: version, known: SCHEMA_VERSION });
    }
    if version < SCHEMA_VERSION {
        migrate_postgres(&mut conn, location, config).await?;
    }
    conn.close().await.map_err(refused)?;
    Ok(Db::Pg(
        PgPoolOptions::new()
            // One more than asked for: the listener holds one.
            .max_connections(config.connections.max(1).saturating_add(1))
            .acquire_timeout(ANSWER)
            .idle_timeout(IDLE)
            .connect_lazy_with(options),
    ))
}

/// Not `to_regclass`, which answers from a cache: after waiting for the lock it did not see the tables that whoever held it
/// had just made.
const OURS: &str = "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace \
    ON pg_namespace.oid = pg_class.relnamespace WHERE relname = 'store_meta' AND nspname = current_schema())";

/// 0 where there is no schema yet.
async fn postgres_version(conn: &mut PgConnection) -> Result<i64, Error> {
    let broke = |e| Error::from_sqlx("read the schema's version", e);
    let ours: bool = sqlx::query_scalar(OURS).fetch_one(&mut *conn).await.map_err(broke)?;
    if !ours {
        return Ok(0);
    }
    Ok(sqlx::query_scalar(meta::VERSION).fetch_optional(conn).await.map_err(broke)?.unwrap_or(0))
}

async fn migrate_postgres(conn: &mut PgConnection, location: &str, config: &StoreConfig) -> Result<(), Error> {
    let broke = |e: sqlx::Error| match &e {
        // A table of ours is there without our mark.
        sqlx::Error::Database(cause) if cause.code().is_some_and(|c| c == "42P07") => {
            Error::NotOurs { location: location.to_owned() }
        }
        _ => placed(Error::from_sqlx("migrate the database", e), location),
    };
    let mut txn = conn.begin().await.map_err(broke)?;
    // Two servers that start at once: the second waits here and then finds nothing to do.
    pg_query("SELECT pg_advisory_xact_lock($1)", args![APPLICATION_ID]).execute(&mut *txn).await.map_err(broke)?;
    let version = postgres_version(&mut txn).await?;
    for Migration { version, postgres, .. } in MIGRATIONS.iter().filter(|m| m.version > version) {
        sqlx::raw_sql(*postgres).execute(&mut *txn).await.map_err(broke)?;
        if *version == 1 {
            let (sql, args) = meta::first(config);
            pg_query(sql, args).execute(&mut *txn).await.map_err(broke)?;
        }
    }
    pg_query(meta::SET_VERSION, args![SCHEMA_VERSION]).execute(&mut *txn).await.map_err(broke)?;
    txn.commit().await.map_err(broke)
}

/// Adds where, to errors that do not know it.
pub(crate) fn placed(error: Error, place: &str) -> Error {
    match error {
        Error::NotADatabase { .. } => Error::NotADatabase { location: place.to_owned() },
        Error::CannotOpen { doing, source, .. } => Error::CannotOpen { doing, location: place.to_owned(), source },
        other => other,
    }
}
