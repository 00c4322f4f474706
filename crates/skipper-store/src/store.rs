use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
};

use skipper_core::{
    port::{Clock, Ids},
    time::Timestamp,
};
use sqlx::{Postgres, Transaction};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Error,
    agents::Agents,
    db::{Arg, Db, Line, Row, Txn, args},
    listen, meta,
    seal::KeyRing,
    token::AnyToken,
};

const EXPIRE_EVERY_MICROS: i64 = 30_000_000;

/// The store: cheap to clone, every clone is the same one.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) db: Db,
    /// Those who want to write to SQLite.
    pub(crate) line: Line,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) keys: KeyRing,
    pub(crate) location: String,
    pub(crate) events: watch::Sender<u64>,
    pub(crate) work: watch::Sender<u64>,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
    /// The last write was refused because nothing can be written now.
    pub(crate) unwritable: AtomicBool,
    /// Counts what this process commits.
    pub(crate) commits: AtomicU64,
    /// When answers that nobody asks for any more were removed last, in microseconds.
    pub(crate) expired: AtomicI64,
    /// Whose agents are let in.
    pub(crate) agents: Agents,
    /// What [`Store::token_any`] said last.
    pub(crate) any_token: Mutex<Option<AnyToken>>,
}

impl Shared {
    /// Notes whether the database can be written, as far as this error tells.
    pub(crate) fn broke(&self, error: Error) -> Error {
        if matches!(error, Error::Full { .. } | Error::ReadOnly { .. }) {
            self.unwritable.store(true, Ordering::Relaxed);
        }
        error
    }

    /// Whether answers of the past are to be removed, by whoever asks first: twice a minute is plenty.
    pub(crate) fn is_time_to_expire(&self, now: Timestamp) -> bool {
        let (now, last) = (now.as_micros(), self.expired.load(Ordering::Relaxed));
        let is_time = now.saturating_sub(last) >= EXPIRE_EVERY_MICROS;
        is_time && self.expired.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Tells those who wait in this process.
    pub(crate) fn published(&self, seq: Option<u64>, wakes: bool) {
        if let Some(seq) = seq {
            self.events.send_if_modified(|last| {
                let newer = seq > *last;
                *last = seq.max(*last);
                newer
            });
        }
        if wakes {
            self.work.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// Tells those who wait in other processes on the same PostgreSQL; delivered when the transaction commits.
    pub(crate) async fn notify_in_txn(
        &self,
        conn: &mut Transaction<'static, Postgres>,
        seq: Option<u64>,
        wakes: bool,
    ) -> Result<(), sqlx::Error> {
        listen::notify(conn, seq, wakes).await
    }
}

impl Store {
    /// The newest event's number, each time it changes. Events themselves are read by [`Store::events_list`], so a slow
    /// reader loses nothing.
    #[must_use]
    pub fn events_subscribe(&self) -> watch::Receiver<u64> {
        self.shared.events.subscribe()
    }

    /// Changes whenever there may be work for the engine: an intent was accepted, a waiting rollout was admitted, a
    /// cancellation was asked for. The number means nothing.
    #[must_use]
    pub fn work_subscribe(&self) -> watch::Receiver<u64> {
        self.shared.work.subscribe()
    }

    /// Where the database is, for people; a URL without its password.
    #[must_use]
    pub fn location(&self) -> &str {
        &self.shared.location
    }

    /// Whether it can be written. Asks the database only after a write was refused for want of room or rights.
    ///
    /// # Errors
    ///
    /// [`Error::Full`] and [`Error::ReadOnly`] while that lasts.
    pub async fn writable(&self) -> Result<(), Error> {
        if !self.shared.unwritable.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut txn = self.txn("see whether the database can be written").await?;
        txn.later(meta::TOUCH, args![]).await?;
        txn.commit().await
    }

    /// Waits until everything is on disk that callers can know of by now. What was accepted is before its caller is told, but
    /// somebody who was refused may have been so because of a change that is only just being flushed.
    pub async fn settled(&self) {
        self.shared.line.settled().await;
    }

    /// Whether it is PostgreSQL, which several servers may share.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self.shared.db, Db::Pg(_))
    }

    /// Changes with everything that this process commits, before whoever asked for it is answered: what was read while it was
    /// the same is what would be read now. `None` on PostgreSQL, where other processes commit as well.
    #[must_use]
    pub fn commits(&self) -> Option<u64> {
        (!self.is_shared()).then(|| self.shared.commits.load(Ordering::Acquire))
    }

    /// Finishes what is being committed, and closes every connection. Later calls fail as unavailable.
    pub async fn close(&self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
        match &self.shared.db {
            Db::Sqlite(db) => {
                db.read.close().await;
                db.write.close().await;
            }
            Db::Pg(db) => db.close().await,
        }
    }

    pub(crate) async fn txn(&self, doing: &'static str) -> Result<Txn, Error> {
        Txn::begin(&self.shared, doing).await
    }

    pub(crate) async fn all(&self, doing: &'static str, sql: &'static str, args: Vec<Arg>) -> Result<Vec<Row>, Error> {
        self.shared.line.calm().await;
        self.shared.db.all(doing, sql, args).await
    }

    pub(crate) async fn one(
        &self,
        doing: &'static str,
        sql: &'static str,
        args: Vec<Arg>,
    ) -> Result<Option<Row>, Error> {
        self.shared.line.calm().await;
        self.shared.db.one(doing, sql, args).await
    }

    /// The statement for the database that this is. Few need one of their own.
    pub(crate) fn of_both(&self, sqlite: &'static str, postgres: &'static str) -> &'static str {
        match self.shared.db {
            Db::Sqlite(_) => sqlite,
            Db::Pg(_) => postgres,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }
}

/// Most rows that one call returns, whatever was asked for.
pub(crate) const PAGE: u32 = 1000;

/// What was asked for, within what is allowed.
pub(crate) fn page(limit: u32) -> i64 {
    i64::from(limit.clamp(1, PAGE))
}
