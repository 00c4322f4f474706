//! A store in surroundings that tests can move: the time, the ids, the database behind its back.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use skipper_core::{
    port::{Clock, Ids},
    time::Timestamp,
};
use skipper_store::{KeySource, Location, Store, StoreConfig};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};
use uuid::Uuid;

use crate::postgres;

static SCHEMAS: AtomicU64 = AtomicU64::new(0);

#[derive(Debug)]
pub(crate) struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        // Each look takes a microsecond, so that an order in time is an order.
        Timestamp::from_micros(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

#[derive(Debug)]
pub(crate) struct TestIds(AtomicU64);

impl Ids for TestIds {
    fn next(&self) -> Uuid {
        Uuid::from_u128((0x0190_0000_0000_7000_8000 << 48) | u128::from(self.0.fetch_add(1, Ordering::SeqCst)))
    }
}

pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) config: StoreConfig,
    pub(crate) dir: tempfile::TempDir,
}

impl World {
    pub(crate) async fn sqlite() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let location = Location::Sqlite(dir.path().join("skipper.db"));
        Self::at(location, dir).await
    }

    pub(crate) async fn postgres() -> Option<Self> {
        let n = SCHEMAS.fetch_add(1, Ordering::SeqCst);
        let url = postgres::schema(&format!("skipper_test_{}_{n}", std::process::id())).await?;
        Some(Self::at(Location::Postgres(url), tempfile::tempdir().expect("a folder")).await)
    }

    async fn at(location: Location, dir: tempfile::TempDir) -> Self {
        let clock = Arc::new(TestClock(AtomicI64::new(1_700_000_000_000_000)));
        let ids = Arc::new(TestIds(AtomicU64::new(1)));
        let key = KeySource::File(dir.path().join("keys/secret.key"));
        let config = StoreConfig::new(location, key, clock.clone(), ids);
        let store = Store::open(config.clone()).await.expect("open the store");
        Self { store, clock, config, dir }
    }

    /// One more server on the same database.
    pub(crate) async fn another(&self) -> Store {
        Store::open(self.config.clone()).await.expect("open the store again")
    }

    /// An empty world of the same kind.
    pub(crate) async fn fresh(&self) -> Self {
        match &self.config.location {
            Location::Sqlite(_) => Self::sqlite().await,
            Location::Postgres(_) => Self::postgres().await.expect("it was there a moment ago"),
        }
    }

    pub(crate) fn is_sqlite(&self) -> bool {
        matches!(self.config.location, Location::Sqlite(_))
    }

    /// The database's file.
    pub(crate) fn file(&self) -> PathBuf {
        match &self.config.location {
            Location::Sqlite(path) => path.clone(),
            Location::Postgres(_) => panic!("PostgreSQL has no file"),
        }
    }

    /// Lets time pass, also for the database's own clock, by which PostgreSQL judges leases.
    pub(crate) async fn pass(&self, span: Duration) {
        let micros = i64::try_from(span.as_micros()).expect("short");
        self.clock.0.fetch_add(micros, Ordering::SeqCst);
        if !self.is_sqlite() {
            self.raw(&format!("UPDATE rollout SET lease_expires_at = lease_expires_at - {micros}")).await;
        }
    }

    /// Does something to the database behind the store's back; returns the number of rows it changed.
    pub(crate) async fn raw(&self, sql: &str) -> u64 {
        let sql = AssertSqlSafe(sql.to_owned());
        match &self.config.location {
            Location::Sqlite(path) => {
                let mut conn = SqliteConnectOptions::new()
                    .filename(path)
                    .foreign_keys(false)
                    .busy_timeout(Duration::from_secs(5))
                    .disable_statement_logging()
                    .connect()
                    .await
                    .expect("connect");
                let done = sqlx::query(sql).execute(&mut conn).await.expect("raw SQL").rows_affected();
                conn.close().await.expect("close");
                done
            }
            Location::Postgres(url) => {
                let options: sqlx::postgres::PgConnectOptions = url.parse().expect("a URL");
                let mut conn = options.disable_statement_logging().connect().await.expect("connect");
                let done = sqlx::query(sql).execute(&mut conn).await.expect("raw SQL").rows_affected();
                conn.close().await.expect("close");
                done
            }
        }
    }

    /// A number from the database.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let sql = AssertSqlSafe(sql.to_owned());
        match &self.config.location {
            Location::Sqlite(path) => {
                let mut conn = SqliteConnectOptions::new().filename(path).connect().await.expect("connect");
                let n = sqlx::query_scalar(sql).fetch_one(&mut conn).await.expect("a number");
                conn.close().await.expect("close");
                n
            }
            Location::Postgres(url) => {
                let options: sqlx::postgres::PgConnectOptions = url.parse().expect("a URL");
                let mut conn = options.connect().await.expect("connect");
                let n = sqlx::query_scalar(sql).fetch_one(&mut conn).await.expect("a number");
                conn.close().await.expect("close");
                n
            }
        }
    }

    /// Whatever a test did, the chain of events must be whole at its end.
    pub(crate) async fn done(&self) {
        if let Ok(report) = self.store.events_verify().await {
            assert_eq!(report.broken, None, "the chain of events after the test");
        }
        self.gone().await;
    }

    /// Leaves nothing behind.
    pub(crate) async fn gone(&self) {
        self.store.close().await;
        if let Location::Postgres(url) = &self.config.location {
            postgres::remove(url).await;
        }
    }
}
