use std::sync::{Arc, atomic::Ordering};

use futures::TryStreamExt as _;
use skipper_core::event::NewEvent;
use sqlx::{Executor as _, Postgres, Transaction};

use super::{
    Arg, Db, Either, Head, Lent, Line, Row, args, joined,
    line::{Seat, Told},
    on, pg_query, sqlite_query,
};
use crate::{Error, event, store::Shared};

/// Most statements that are sent at once, so that there are not too many texts of them to keep prepared.
const TOGETHER: usize = 16;

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
    /// Statements that are sent with the next one: see [`Txn::later`].
    pending: Vec<(&'static str, Vec<Arg>)>,
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
        let (mut conn, mut pending, events) = (conn, Vec::new(), Vec::new());
        if let Either::Sqlite(seat) = &mut conn {
            pending.extend(seat.savepoint.take().map(|sql| (sql, args![])));
        }
        Ok(Self { conn, shared: shared.clone(), doing, pending, events, wakes: false, agents: false })
    }

    /// A statement of which nothing is wanted but that it is done: whether it could be is told by what comes after it, at the
    /// latest by the commit. SQLite gets several of them at once, since each way to the connection's thread and back costs more
    /// than most of them do.
    pub(crate) async fn later(&mut self, sql: &'static str, args: Vec<Arg>) -> Result<(), Error> {
        if let Either::Pg(_) = self.conn {
            return self.run(sql, args).await.map(drop);
        }
        debug_assert!(!sql.contains("RETURNING"), "what it returned would be taken for what the next one does: {sql}");
        self.pending.push((sql, args));
        if self.pending.len() < TOGETHER { Ok(()) } else { self.send().await }
    }

    /// Carries out what was put off.
    async fn send(&mut self) -> Result<(), Error> {
        match self.pending.pop() {
            Some((sql, args)) => self.run(sql, args).await.map(drop),
            None => Ok(()),
        }
    }

    /// Number of rows that were changed.
    pub(crate) async fn run(&mut self, sql: &'static str, args: Vec<Arg>) -> Result<u64, Error> {
        let pending = std::mem::take(&mut self.pending);
        on!(&mut self.conn, conn => {
            conn.is_used.store(true, Ordering::Release);
            let (sql, args) = joined(pending, sql, args);
            let done = (&mut **conn.conn).fetch_many(sqlite_query(sql, args));
            // Of the last one alone.
            done.try_fold(0, |last, step| async move { Ok(step.left().map_or(last, |done| done.rows_affected())) }).await
        },
            pg_query(sql, args).execute(&mut **conn).await.map(|done| done.rows_affected()))
        .map_err(|e| self.shared.broke(Error::from_sqlx(self.doing, e)))
    }

    pub(crate) async fn all(&mut self, sql: &'static str, args: Vec<Arg>) -> Result<Vec<Row>, Error> {
        let pending = std::mem::take(&mut self.pending);
        on!(&mut self.conn, conn => {
            conn.is_used.store(true, Ordering::Release);
            let (sql, args) = joined(pending, sql, args);
            sqlite_query(sql, args).fetch_all(&mut **conn.conn).await.map(|rows| rows.into_iter().map(Row::Sqlite).collect())
        },
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
        self.send().await?;
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
    conn: Either<Lent, Transaction<'static, Postgres>>,
    doing: &'static str,
    /// Nothing was asked yet: SQLite is told that it begins with the first question.
    is_new: bool,
}

impl Reading {
    pub(crate) async fn begin(shared: &Shared, doing: &'static str) -> Result<Self, Error> {
        shared.line.calm().await;
        let conn = match &shared.db {
            Db::Sqlite(db) => db.read.lend().await.map(Either::Sqlite),
            Db::Pg(db) => db.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await.map(Either::Pg),
        }
        .map_err(|e| Error::from_sqlx(doing, e))?;
        Ok(Self { conn, doing, is_new: true })
    }

    pub(crate) async fn all(&mut self, sql: &'static str, args: Vec<Arg>) -> Result<Vec<Row>, Error> {
        let is_new = std::mem::take(&mut self.is_new);
        on!(&mut self.conn, conn => {
            let begin = is_new.then(|| conn.begins());
            let (sql, args) = joined(begin.into_iter().collect(), sql, args);
            sqlite_query(sql, args).fetch_all(&mut **conn).await.map(|rows| rows.into_iter().map(Row::Sqlite).collect())
        },
            pg_query(sql, args).fetch_all(&mut **conn).await.map(|rows| rows.into_iter().map(Row::Pg).collect()))
        .map_err(|e| Error::from_sqlx(self.doing, e))
    }

    pub(crate) async fn one(&mut self, sql: &'static str, args: Vec<Arg>) -> Result<Option<Row>, Error> {
        Ok(self.all(sql, args).await?.into_iter().next())
    }

    /// Ends it; there is nothing to commit.
    pub(crate) async fn end(self) -> Result<(), Error> {
        match self.conn {
            Either::Sqlite(_) if self.is_new => Ok(()),
            Either::Sqlite(mut conn) => conn.roll_back().await,
            Either::Pg(conn) => conn.rollback().await,
        }
        .map_err(|e| Error::from_sqlx(self.doing, e))
    }
}
