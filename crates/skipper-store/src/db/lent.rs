//! Connections to SQLite: lent to one user at a time, and taken back as they are. A pool of the driver's asks each connection
//! that comes back whether it is well, in a task of its own, which costs as much as most of what was wanted of it.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sqlx::{
    ConnectOptions as _, Connection as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteQueryResult},
};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};
use tokio_util::task::TaskTracker;

use super::{Arg, args, joined, sqlite_query};

/// Longest a caller waits for a free connection: more than one slow disk flush for each of a hundred queued writers.
const ACQUIRE: Duration = Duration::from_secs(30);
const ROLLBACK: &str = "ROLLBACK";

/// Some connections to one file.
#[derive(Debug)]
pub(crate) struct Connections {
    options: SqliteConnectOptions,
    most: u32,
    permits: Arc<Semaphore>,
    /// Those that nobody has, the one that was used last at the end, and since when.
    free: Mutex<Vec<(Instant, SqliteConnection)>>,
    tasks: TaskTracker,
}

/// A connection, while somebody has it. Dropped in a transaction, it is rolled back first.
#[derive(Debug)]
pub(crate) struct Lent {
    conn: Option<SqliteConnection>,
    in_transaction: bool,
    of: Arc<Connections>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Connections {
    /// At most so many, each opened when it is wanted.
    pub(crate) fn new(options: SqliteConnectOptions, most: u32, tasks: TaskTracker) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(usize::try_from(most).unwrap_or(Semaphore::MAX_PERMITS)));
        Arc::new(Self { options, most, permits, free: Mutex::default(), tasks })
    }

    pub(crate) const fn options(&self) -> &SqliteConnectOptions {
        &self.options
    }

    fn free(&self) -> MutexGuard<'_, Vec<(Instant, SqliteConnection)>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn lend(self: &Arc<Self>) -> Result<Lent, sqlx::Error> {
        let permit = timeout(ACQUIRE, Arc::clone(&self.permits).acquire_owned()).await;
        let permit = permit.map_err(|_| sqlx::Error::PoolTimedOut)?.map_err(|_| sqlx::Error::PoolClosed)?;
        let known = self.free().pop();
        let conn = match known {
            Some((_, conn)) => conn,
            None => self.options.connect().await?,
        };
        Ok(Lent { conn: Some(conn), in_transaction: false, of: Arc::clone(self), permit: Some(permit) })
    }

    /// Closes those that nobody has wanted for so long.
    pub(crate) fn close_idle(&self, idle: Duration) {
        let old = {
            let mut free = self.free();
            let first = free.iter().position(|(since, _)| since.elapsed() < idle).unwrap_or(free.len());
            free.drain(..first).collect::<Vec<_>>()
        };
        // Each ends with its thread.
        drop(old);
    }

    /// Waits until all are back, and closes them.
    pub(crate) async fn close(&self) {
        let all = self.permits.acquire_many(self.most).await;
        self.permits.close();
        drop(all);
        let free = std::mem::take(&mut *self.free());
        for (_, conn) in free {
            if let Err(error) = conn.close().await {
                tracing::debug!(%error, "a connection to the database was not closed in good order");
            }
        }
    }
}

impl Lent {
    /// A transaction begins with what is sent next: the statement that goes ahead of that.
    pub(crate) fn begins(&mut self) -> (&'static str, Vec<Arg>) {
        self.in_transaction = true;
        ("BEGIN", args![])
    }

    /// Begins a transaction.
    pub(crate) async fn begin(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        // Where it is dropped meanwhile, it may have begun.
        self.in_transaction = true;
        sqlite_query(sql, args![]).execute(&mut **self).await.map(drop)
    }

    /// Ends it by the last of these statements. Where that fails, how far it got is not known, and the connection is given up.
    pub(crate) async fn end(
        &mut self,
        before: Vec<(&'static str, Vec<Arg>)>,
        sql: &'static str,
    ) -> Result<SqliteQueryResult, sqlx::Error> {
        let mut conn = self.conn.take().ok_or(sqlx::Error::WorkerCrashed)?;
        let (sql, args) = joined(before, sql, args![]);
        let done = sqlite_query(sql, args).execute(&mut conn).await?;
        self.in_transaction = false;
        self.conn = Some(conn);
        Ok(done)
    }

    /// Undoes what was done in the transaction.
    pub(crate) async fn roll_back(&mut self) -> Result<(), sqlx::Error> {
        self.end(Vec::new(), ROLLBACK).await.map(drop)
    }
}

impl Deref for Lent {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        self.conn.as_ref().expect("only taken while it is being ended")
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        self.conn.as_mut().expect("only taken while it is being ended")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(mut conn) = self.conn.take() else { return };
        if !self.in_transaction {
            self.of.free().push((Instant::now(), conn));
            return;
        }
        // Without a runtime it is closed, which undoes as much.
        let Ok(runtime) = Handle::try_current() else { return };
        let (of, permit) = (Arc::clone(&self.of), self.permit.take());
        let undo = async move {
            if sqlite_query(ROLLBACK, args![]).execute(&mut conn).await.is_ok() {
                of.free().push((Instant::now(), conn));
            }
            drop(permit);
        };
        self.of.tasks.spawn_on(undo, &runtime);
    }
}
