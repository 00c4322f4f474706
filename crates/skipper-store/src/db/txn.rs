use std::sync::{Arc, atomic::Ordering};

use skipper_core::event::NewEvent;
use sqlx::{Postgres, Sqlite, Transaction};

use super::{
    Arg, Db, Either, Head, Line, Row, args,
    line::{Seat, Told},
    on, pg_query, sqlite_query,
};
use crate::{Error, event, store::Shared};

/// A writing transaction, with the events that tell of it.
///
/// On SQLite it is a member of a batch (see [`Line`]) that begins with `BEGIN IMMEDIATE`: a transaction that reads first and
/// writes later would be refused when another process wrote in between, whatever the busy timeout. On PostgreSQL rows are
/// locked by an `UPDATE`, in this order everywhere: release, counter of the store, rollout, the rest, head of the event chain.
///
/// Dropped without [`Txn::commit`] it is rolled back.
pub(crate) struct Txn {
    conn: Either<Seat, Transaction<'static, Postgres>>,
    shared: Arc<Shared>,
    doing: &'static str,
    events: Vec<NewEvent>,
    wakes: bool,
    agents: bool,
}

impl Txn {
    pub(crate) async fn begin(shared: &Arc<Shared>, doing: &'static str) -> Result<Self, Error> {
        let conn = match &shared.db {
            Db::Sqlite(_) => Line::seat(shared, doing).await.map(Either::Sqlite),
            Db::Pg(db) => db.begin().await.map(Either::Pg).map_err(|e| Error::from_sqlx(doing, e)),
        }
        .map_err(|error| shared.broke(error))?;
        Ok(Self { conn, shared: shared.clone(), doing, events: Vec::new(), wakes: false, agents: false })
    }

    /// Number of rows that were changed.
    pub(crate) async fn run(&mut self, sql: &'static str, args: Vec<Arg>) -> Result<u64, Error> {
        on!(&mut self.conn, conn =>
            sqlite_query(sql, args).execute(&mut **conn.conn).await.map(|done| done.rows_affected()),
            pg_query(sql, args).execute(&mut **conn).await.map(|done| done.rows_affected()))
        .map_err(|e| self.shared.broke(Error::from_sqlx(self.doing, e)))
    }

    pub(crate) async fn all(&mut self, sql: &'static str, args: Vec<Arg>) -> Result<Vec<Row>, Error> {
        on!(&mut self.conn, conn =>
            sqlite_query(sql, args).fetch_all(&mut **conn.conn).await.map(|rows| rows.into_iter().map(Row::Sqlite).collect()),
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

    /// The head of the chain of events, locked until the transaction ends so that numbers follow the order of commits. On SQLite
    /// nobody else writes, and it is read once for a whole batch.
    pub(crate) async fn chain_head(&mut self) -> Result<Head, Error> {
        if let Either::Sqlite(Seat { head: Some(head), .. }) = &self.conn {
            return Ok(*head);
        }
        let sql = match &self.conn {
            Either::Sqlite(_) => event::HEAD,
            Either::Pg(_) => event::LOCK_HEAD,
        };
        let row = self.row(sql, args![]).await?;
        Ok((row.count("seq")?, row.parse("hash")?))
    }

    /// Moves the head of the chain of events; on SQLite it is written when the batch is committed.
    pub(crate) async fn chain_move(&mut self, head: Head) -> Result<(), Error> {
        match &mut self.conn {
            Either::Sqlite(seat) => {
                seat.head = Some(head);
                Ok(())
            }
            Either::Pg(_) => self.run(event::SET_END, args![head.0, head.1]).await.map(drop),
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

    /// Other agents are let in than before.
    pub(crate) const fn agents_changed(&mut self) {
        self.agents = true;
    }

    /// Appends the events, commits, and tells those who wait for events and work.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: the commit and the telling run in a tracked task, so either both happen or (when dropped before) neither.
    pub(crate) async fn commit(mut self) -> Result<(), Error> {
        let events = std::mem::take(&mut self.events);
        let seq = if events.is_empty() { None } else { Some(event::append_in_txn(&mut self, events).await?) };
        let Self { conn, shared, doing, wakes, agents, .. } = self;
        let mut conn = match conn {
            Either::Sqlite(seat) => return seat.keep(doing, Told { seq, wakes, agents }).await,
            Either::Pg(conn) => conn,
        };
        let tasks = shared.tasks.clone();
        tasks
            .spawn(async move {
                if wakes || seq.is_some() {
                    shared.notify_in_txn(&mut conn, seq, wakes).await.map_err(|e| Error::from_sqlx(doing, e))?;
                }
                conn.commit().await.map_err(|e| shared.broke(Error::from_sqlx(doing, e)))?;
                shared.unwritable.store(false, Ordering::Relaxed);
                shared.published(seq, wakes);
                Ok(())
            })
            .await
            .map_err(|e| Error::corrupt_because("the task that commits ended early", e))?
    }

    /// Undoes it, for a caller that wants to answer by what it saw: that may be of a neighbour whose change is not on disk
    /// yet, and is when this returns.
    pub(crate) async fn leave(self) -> Result<(), Error> {
        match self.conn {
            Either::Sqlite(seat) => seat.leave(self.doing).await,
            Either::Pg(conn) => conn.rollback().await.map_err(|e| Error::from_sqlx(self.doing, e)),
        }
    }
}

/// A reading transaction: everything it sees is from one moment.
pub(crate) struct Reading {
    conn: Either<Transaction<'static, Sqlite>, Transaction<'static, Postgres>>,
    doing: &'static str,
}

impl Reading {
    pub(crate) async fn begin(shared: &Shared, doing: &'static str) -> Result<Self, Error> {
        shared.line.calm().await;
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
