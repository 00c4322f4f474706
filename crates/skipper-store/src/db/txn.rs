use std::sync::{Arc, atomic::Ordering};

use skipper_core::event::NewEvent;
use sqlx::{Postgres, Sqlite, Transaction};

use super::{Arg, Db, Either, Row, on, pg_query, sqlite_query};
use crate::{Error, event, store::Shared};

type Conn = Either<Transaction<'static, Sqlite>, Transaction<'static, Postgres>>;

/// A writing transaction, with the events that tell of it.
///
/// On SQLite it begins with `BEGIN IMMEDIATE`: a transaction that reads first and writes later would be refused when
/// another process wrote in between, whatever the busy timeout. On PostgreSQL rows are locked by an `UPDATE`, in this
/// order everywhere: release, counter of the store, rollout, the rest, head of the event chain.
///
/// Dropped without [`Txn::commit`] it is rolled back.
pub(crate) struct Txn {
    conn: Conn,
    shared: Arc<Shared>,
    doing: &'static str,
    events: Vec<NewEvent>,
    wakes: bool,
}

impl Txn {
    pub(crate) async fn begin(shared: &Arc<Shared>, doing: &'static str) -> Result<Self, Error> {
        let conn = match &shared.db {
            Db::Sqlite(db) => db.write.begin_with("BEGIN IMMEDIATE").await.map(Either::Sqlite),
            Db::Pg(db) => db.begin().await.map(Either::Pg),
        }
        .map_err(|e| shared.broke(Error::from_sqlx(doing, e)))?;
        Ok(Self { conn, shared: shared.clone(), doing, events: Vec::new(), wakes: false })
    }

    /// Number of rows that were changed.
    pub(crate) async fn run(&mut self, sql: &'static str, args: Vec<Arg>) -> Result<u64, Error> {
        on!(&mut self.conn, conn =>
            sqlite_query(sql, args).execute(&mut **conn).await.map(|done| done.rows_affected()),
            pg_query(sql, args).execute(&mut **conn).await.map(|done| done.rows_affected()))
        .map_err(|e| self.shared.broke(Error::from_sqlx(self.doing, e)))
    }

    pub(crate) async fn all(&mut self, sql: &'static str, args: Vec<Arg>) -> Result<Vec<Row>, Error> {
        on!(&mut self.conn, conn =>
            sqlite_query(sql, args).fetch_all(&mut **conn).await.map(|rows| rows.into_iter().map(Row::Sqlite).collect()),
            pg_query(sql, args).fetch_all(&mut **conn).await.map(|rows| rows.into_iter().map(Row::Pg).collect()))
        .map_err(|e| self.shared.broke(Error::from_sqlx(self.doing, e)))
    }

    pub(crate) async fn one(&mut self, sql: &'static str, args: Vec<Arg>) -> Result<Option<Row>, Error> {
        // Not `fetch_optional`: it leaves a statement unfinished that returns several rows, or one that writes.
        Ok(self.all(sql, args).await?.into_iter().next())
    }

    /// A row that must be there.
    pub(crate) async fn row(&mut self, sql: &'static str, args: Vec<Arg>) -> Result<Row, Error> {
        let doing = self.doing;
        self.one(sql, args)
            .await?
            .ok_or_else(|| Error::corrupt(format!("{doing}: a row that is always there is missing")))
    }

    /// Now, by the clock that leases are judged by. Several servers on one PostgreSQL have several clocks, so there it
    /// is the database's.
    pub(crate) async fn lease_now(&mut self) -> Result<i64, Error> {
        match &mut self.conn {
            Either::Sqlite(_) => Ok(self.shared.clock.now().as_micros()),
            Either::Pg(conn) => sqlx::query_scalar::<_, i64>(super::PG_NOW)
                .fetch_one(&mut **conn)
                .await
                .map_err(|e| Error::from_sqlx(self.doing, e)),
        }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Appends to the chain when the transaction commits, so that the lock on its head is held as short as possible.
    pub(crate) fn tell(&mut self, events: impl IntoIterator<Item = NewEvent>) {
        self.events.extend(events);
    }

    /// There will be something to do for the engine.
    pub(crate) const fn wake(&mut self) {
        self.wakes = true;
    }

    /// Appends the events, commits, and tells those who wait for events and work.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: the commit and the telling run in a tracked task, so either both happen or (when dropped before) neither.
    pub(crate) async fn commit(mut self) -> Result<(), Error> {
        let events = std::mem::take(&mut self.events);
        let seq = if events.is_empty() { None } else { Some(event::append_in_txn(&mut self, events).await?) };
        let Self { mut conn, shared, doing, wakes, .. } = self;
        let tasks = shared.tasks.clone();
        tasks
            .spawn(async move {
                if let Either::Pg(conn) = &mut conn
                    && (wakes || seq.is_some())
                {
                    shared.notify_in_txn(conn, seq, wakes).await.map_err(|e| Error::from_sqlx(doing, e))?;
                }
                let committed = on!(conn, conn => conn.commit().await, conn.commit().await);
                // Also when it failed: how far it got is not known then.
                shared.commits.fetch_add(1, Ordering::Release);
                committed.map_err(|e| shared.broke(Error::from_sqlx(doing, e)))?;
                shared.unwritable.store(false, Ordering::Relaxed);
                shared.published(seq, wakes);
                Ok(())
            })
            .await
            .map_err(|e| Error::corrupt_because("the task that commits ended early", e))?
    }
}

/// A reading transaction: everything it sees is from one moment.
pub(crate) struct Reading {
    conn: Conn,
    doing: &'static str,
}

impl Reading {
    pub(crate) async fn begin(shared: &Shared, doing: &'static str) -> Result<Self, Error> {
        let conn = match &shared.db {
            Db::Sqlite(db) => db.read.begin().await.map(Either::Sqlite),
            Db::Pg(db) => db.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await.map(Either::Pg),
        }
        .map_err(|e| Error::from_sqlx(doing, e))?;
        Ok(Self { conn, doing })
    }

    pub(crate) async fn all(&mut self, sql: &'static str, args: Vec<Arg>) -> Result<Vec<Row>, Error> {
        on!(&mut self.conn, conn =>
            sqlite_query(sql, args).fetch_all(&mut **conn).await.map(|rows| rows.into_iter().map(Row::Sqlite).collect()),
            pg_query(sql, args).fetch_all(&mut **conn).await.map(|rows| rows.into_iter().map(Row::Pg).collect()))
        .map_err(|e| Error::from_sqlx(self.doing, e))
    }

    pub(crate) async fn one(&mut self, sql: &'static str, args: Vec<Arg>) -> Result<Option<Row>, Error> {
        Ok(self.all(sql, args).await?.into_iter().next())
    }

    /// Ends it; there is nothing to commit.
    pub(crate) async fn end(self) -> Result<(), Error> {
        on!(self.conn, conn => conn.rollback().await, conn.rollback().await)
            .map_err(|e| Error::from_sqlx(self.doing, e))
    }
}
