//! The line of SQLite's writers: one at a time, and one flush for many.
//!
//! A flush takes longer than most transactions. So whoever is done while others wait does not commit: it hands the connection
//! on, and all that were done in the meantime, a *batch*, are committed at once. Each has a savepoint of its own, so that one that
//! is given up takes nothing of its neighbours with it; and none is answered before the batch is on disk. Where nobody waits,
//! a batch has one member, and nothing is different from a transaction.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use skipper_core::Sha256;
use tokio::{
    sync::{Mutex as AsyncMutex, OwnedMutexGuard, oneshot, watch},
    time::Instant,
};

use super::{Lent, SqlitePools, args, sqlite_query};
use crate::{Error, event, store::Shared};

/// Longest that a writer waits for its turn: more than one slow flush for each of a hundred batches.
const TURN: Duration = Duration::from_secs(30);
/// Most members of a batch, and the time after which it takes no more: the first one waits for the last one.
const MEMBERS: usize = 128;
const GATHERS: Duration = Duration::from_millis(10);

/// Whose savepoint it is: two names in turn, so that nobody can go back to the one of the member before.
#[derive(Debug, Clone, Copy)]
enum Savepoint {
    Even,
    Odd,
}

impl Savepoint {
    /// The next member's savepoint, which takes the place of the last one's, and how it is said.
    const fn after(last: Option<Self>) -> (Self, &'static str) {
        match last {
            None => (Self::Even, "SAVEPOINT even"),
            Some(Self::Even) => (Self::Odd, "RELEASE even; SAVEPOINT odd"),
            Some(Self::Odd) => (Self::Even, "RELEASE odd; SAVEPOINT even"),
        }
    }

    /// Leaves the savepoint where it is.
    const fn undo(self) -> &'static str {
        match self {
            Self::Even => "ROLLBACK TO even",
            Self::Odd => "ROLLBACK TO odd",
        }
    }
}

/// Takes the place of a writer at once: a transaction that reads first would be refused it later.
const BEGIN: &str = "BEGIN IMMEDIATE";
const COMMIT: &str = "COMMIT";

/// Where one who waits is given the connection.
type Turn = oneshot::Sender<Result<Seat, sqlx::Error>>;

/// Who waits, and how far things are.
#[derive(Debug)]
pub(crate) struct Line {
    state: Mutex<State>,
    /// Somebody was refused, and may have been because of what is in doubt.
    is_suspected: AtomicBool,
    /// How many batches have ended.
    ended: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Turn>,
    /// A task serves whoever waits.
    is_served: bool,
    /// The batch has members that are done and not on disk.
    is_in_doubt: bool,
}

impl State {
    /// Who is next of those who still want it.
    fn first(&mut self) -> Option<Turn> {
        std::iter::from_fn(|| self.waiting.pop_front()).find(|turn| !turn.is_closed())
    }
}

impl Default for Line {
    fn default() -> Self {
        Self { state: Mutex::default(), is_suspected: AtomicBool::new(false), ended: watch::Sender::new(0) }
    }
}

/// Number and hash of the newest event.
pub(crate) type Head = (u64, Sha256);

/// The writing connection, for one member of a batch. Dropped, what it did is undone.
#[derive(Debug)]
pub(crate) struct Seat {
    // First the connection is free, then the others hear of it: fields are dropped in this order.
    pub(crate) conn: OwnedMutexGuard<Lent>,
    /// The head of the chain of events, where the batch knows it: it is written once for all of them.
    pub(crate) head: Option<Head>,
    /// What goes ahead of the member's first statement, at once with it: every statement is a way to the connection's thread and back.
    pub(crate) savepoint: Option<&'static str>,
    /// Set before the first statement is sent.
    pub(crate) is_used: Arc<AtomicBool>,
    saw: Saw,
    verdict: oneshot::Sender<Verdict>,
}

/// What a member may have seen of members before it. Dropped with it, everybody who reads waits for the batch: what its caller
/// was refused because of is there to be found when the caller looks for it.
#[derive(Debug)]
struct Saw(Option<Arc<Shared>>);

impl Drop for Saw {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            shared.line.is_suspected.store(true, Ordering::Release);
        }
    }
}

/// Who hears of what a member did.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Told {
    /// Those who follow events; the number of the last one.
    pub(crate) seq: Option<u64>,
    /// The engine.
    pub(crate) wakes: bool,
    /// Those who let agents in.
    pub(crate) agents: bool,
}

/// What becomes of what a member did.
#[derive(Debug)]
enum Verdict {
    /// It is committed with the batch, and told.
    Keep { done: Done, told: Told, head: Option<Head> },
    /// It is undone; but its caller wants to answer by what it saw, which may be of members before it.
    Leave(Done),
}

/// A member that waits until the batch is on disk.
#[derive(Debug)]
struct Done {
    doing: &'static str,
    answer: oneshot::Sender<Result<(), Error>>,
}

impl Line {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn.
    pub(crate) async fn seat(shared: &Arc<Shared>, doing: &'static str) -> Result<Seat, Error> {
        let (turn, mine) = oneshot::channel();
        let serves = {
            let mut state = shared.line.state();
            state.waiting.push_back(turn);
            !std::mem::replace(&mut state.is_served, true)
        };
        if serves {
            let served = Served { shared: shared.clone(), is_over: false };
            shared.tasks.spawn(served.all());
        }
        match tokio::time::timeout(TURN, mine).await {
            Ok(Ok(seat)) => seat.map_err(|e| Error::from_sqlx(doing, e)),
            // Whoever served was ended with its runtime.
            Ok(Err(_)) => Err(Error::Unavailable { doing, source: sqlx::Error::WorkerCrashed }),
            Err(_) => Err(Error::Unavailable { doing, source: sqlx::Error::PoolTimedOut }),
        }
    }

    /// Waits while what is in doubt may have been seen.
    pub(crate) async fn calm(&self) {
        if self.is_suspected.load(Ordering::Acquire) {
            self.settled().await;
        }
    }

    /// Nothing is in doubt any more.
    fn settle(&self) {
        self.state().is_in_doubt = false;
        self.is_suspected.store(false, Ordering::Release);
        self.ended.send_modify(|ended| *ended += 1);
    }

    /// Waits until nothing is in doubt of what has been seen so far.
    pub(crate) async fn settled(&self) {
        let mut ended = self.ended.subscribe();
        let seen = {
            let state = self.state();
            if !state.is_in_doubt {
                return;
            }
            *ended.borrow_and_update()
        };
        // Fails when there is no line any more, and so nothing in doubt.
        let _ = ended.wait_for(|ended| *ended != seen).await;
    }
}

impl Seat {
    /// Leaves what was done to the batch; returns when it is on disk, and readers have been told.
    ///
    /// # Cancel safety
    ///
    /// Kept from the first poll on, whether anybody waits or not.
    pub(crate) async fn keep(self, doing: &'static str, told: Told) -> Result<(), Error> {
        let head = self.head;
        self.end(doing, |done| Verdict::Keep { done, told, head }).await
    }

    /// Undoes what was done; returns when everything that was seen is on disk.
    pub(crate) async fn leave(self, doing: &'static str) -> Result<(), Error> {
        self.end(doing, Verdict::Leave).await
    }

    async fn end(self, doing: &'static str, verdict: impl FnOnce(Done) -> Verdict) -> Result<(), Error> {
        let (answer, told) = oneshot::channel();
        let Self { conn, mut saw, verdict: says, .. } = self;
        drop(conn);
        saw.0 = None;
        drop(says.send(verdict(Done { doing, answer })));
        told.await.unwrap_or(Err(Error::Unavailable { doing, source: sqlx::Error::WorkerCrashed }))
    }
}

/// The right to serve the line. Lost by a crash, or with the runtime, whoever waits is sent away.
struct Served {
    shared: Arc<Shared>,
    is_over: bool,
}

impl Drop for Served {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        *self.shared.line.state() = State::default();
        self.shared.line.settle();
    }
}

impl Served {
    /// Serves until nobody waits.
    async fn all(mut self) {
        while let Some(first) = self.next() {
            let crate::db::Db::Sqlite(db) = &self.shared.db else { continue };
            match Batch::begun(db).await {
                Ok(conn) => Batch::new(&self.shared, conn).run(first).await,
                Err(error) => drop(first.send(Err(error))),
            }
            self.shared.line.settle();
        }
    }

    /// Whoever is first in line; where nobody is, whoever comes next serves.
    fn next(&mut self) -> Option<Turn> {
        let mut state = self.shared.line.state();
        let first = state.first();
        if first.is_none() {
            state.is_served = false;
            self.is_over = true;
        }
        first
    }
}

struct Batch<'a> {
    shared: &'a Arc<Shared>,
    conn: Arc<AsyncMutex<Lent>>,
    began: Instant,
    kept: Vec<Done>,
    left: Vec<Done>,
    told: Told,
    /// Where the chain of events ends, where somebody has added to it.
    head: Option<Head>,
    /// The last one that was set.
    savepoint: Option<Savepoint>,
}

impl<'a> Batch<'a> {
    async fn begun(db: &SqlitePools) -> Result<Lent, sqlx::Error> {
        let mut conn = db.write.lend().await?;
        conn.begin(BEGIN).await?;
        Ok(conn)
    }

    fn new(shared: &'a Arc<Shared>, conn: Lent) -> Self {
        let (kept, left) = (Vec::new(), Vec::new());
        let conn = Arc::new(AsyncMutex::new(conn));
        let began = Instant::now();
        Self { shared, conn, began, kept, left, told: Told::default(), head: None, savepoint: None }
    }

    async fn run(mut self, first: Turn) {
        let mut next = Some(first);
        while let Some(turn) = next {
            match self.member(turn).await {
                Ok(true) => {}
                // Nothing was done, and there is nothing to commit.
                Ok(false) => return,
                Err(error) => return self.lost(error),
            }
            let takes_more = self.kept.len() < MEMBERS && self.began.elapsed() < GATHERS;
            next = if takes_more { self.shared.line.state().first() } else { None };
        }
        self.commit().await;
    }

    /// Lets one of those who wait do what it wants to; `false` where the transaction is as empty as before.
    async fn member(&mut self, turn: Turn) -> Result<bool, sqlx::Error> {
        // What comes first is undone with the transaction.
        let is_nested = !self.kept.is_empty();
        let (own, ahead) = Savepoint::after(self.savepoint);
        let is_used = Arc::new(AtomicBool::new(false));
        let (verdict, told) = oneshot::channel();
        let conn = self.conn.clone().lock_owned().await;
        let saw = Saw(is_nested.then(|| self.shared.clone()));
        let savepoint = is_nested.then_some(ahead);
        drop(turn.send(Ok(Seat { conn, head: self.head, savepoint, is_used: is_used.clone(), saw, verdict })));
        let said = told.await;
        let is_set = is_nested && is_used.load(Ordering::Acquire);
        if is_set {
            self.savepoint = Some(own);
        }
        match said {
            Ok(Verdict::Keep { done, told, head }) => {
                self.kept.push(done);
                self.told.seq = self.told.seq.max(told.seq);
                self.told.wakes |= told.wakes;
                self.told.agents |= told.agents;
                self.head = head;
                self.shared.line.state().is_in_doubt = true;
                return Ok(true);
            }
            Ok(Verdict::Leave(done)) if is_nested => self.left.push(done),
            Ok(Verdict::Leave(done)) => drop(done.answer.send(Ok(()))),
            Err(_) => {}
        }
        if is_set && !self.undo(own).await? {
            // It was dropped right after the savepoint before its own had been released.
            self.savepoint = None;
        }
        Ok(is_nested)
    }

    /// Undoes what a member did; `false` where it had not come to set its savepoint, and so to nothing.
    async fn undo(&self, own: Savepoint) -> Result<bool, sqlx::Error> {
        match self.say(own.undo()).await {
            Ok(()) => Ok(true),
            Err(sqlx::Error::Database(error)) if error.message().starts_with("no such savepoint") => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn say(&self, sql: &'static str) -> Result<(), sqlx::Error> {
        let mut conn = self.conn.lock().await;
        sqlite_query(sql, args![]).execute(&mut **conn).await.map(drop)
    }

    /// Writes where the chain of events ends now, and commits.
    async fn end(conn: Arc<AsyncMutex<Lent>>, head: Option<Head>) -> Result<(), sqlx::Error> {
        // All seats were given back.
        let mut conn = Arc::into_inner(conn).ok_or(sqlx::Error::WorkerCrashed)?.into_inner();
        let before = head.map(|(seq, hash)| (event::SET_END, args![seq, hash]));
        conn.end(before.into_iter().collect(), COMMIT).await.map(drop)
    }

    async fn commit(mut self) {
        let committed = Self::end(self.conn, self.head).await;
        // Also when it failed: how far it got is not known then.
        self.shared.commits.fetch_add(1, Ordering::Release);
        if self.told.agents {
            self.shared.agents.forget();
        }
        let all = self.kept.drain(..).chain(self.left.drain(..));
        match committed {
            Ok(()) => {
                self.shared.unwritable.store(false, Ordering::Relaxed);
                self.shared.published(self.told.seq, self.told.wakes);
                all.for_each(|done| drop(done.answer.send(Ok(()))));
            }
            Err(error) => failed(self.shared, all, error),
        }
    }

    /// SQLite gave the transaction up by itself, as it does when there is no room for what one member wants.
    fn lost(mut self, error: sqlx::Error) {
        failed(self.shared, self.kept.drain(..).chain(self.left.drain(..)), error);
    }
}

/// Tells all of them; an error of the driver cannot be had twice, so that it is the first one's.
fn failed(shared: &Shared, all: impl Iterator<Item = Done>, error: sqlx::Error) {
    let text = error.to_string();
    let mut original = Some(error);
    for Done { doing, answer } in all {
        let error = match original.take() {
            Some(error) => shared.broke(Error::from_sqlx(doing, error)),
            None if shared.unwritable.load(Ordering::Relaxed) => Error::Full { doing },
            None => Error::Unavailable { doing, source: sqlx::Error::Protocol(text.clone()) },
        };
        drop(answer.send(Err(error)));
    }
}
