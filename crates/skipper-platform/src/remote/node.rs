use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use skipper_core::{
    name::{NodeName, PlatformName},
    port::{Clock, Error},
    time::Timestamp,
};

use super::{
    MAX_ANSWER, MAX_FAULT, OLDEST, Reply, VERSION, Wire,
    changes::Changes,
    fault,
    message::{self, Greeting, Nothing},
};

/// Most of a caller's deadline that is kept back from the node, so that its answer still arrives in time.
const WAY_BACK: Duration = Duration::from_millis(500);

/// A node as the server sees it: its wire, what it last said of itself, and who waits for news of it.
///
/// One for each node, whether or not it is connected. At rest it costs no task, no timer and no call: see
/// [`RemoteNode::greet`] for what a connection costs, and `changes` for what waiting does.
pub struct RemoteNode {
    name: NodeName,
    wire: Arc<dyn Wire>,
    clock: Arc<dyn Clock>,
    known: RwLock<Option<Arc<Greeting>>>,
    /// By how many microseconds the node's clock is ahead of ours.
    ahead: AtomicI64,
    changes: Changes,
}

impl fmt::Debug for RemoteNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteNode").field("name", &self.name).field("wire", &self.wire).finish_non_exhaustive()
    }
}

impl RemoteNode {
    /// A node behind that wire. `known` is what it said when it was last greeted, perhaps by another run of this server.
    #[must_use]
    pub fn new(name: NodeName, wire: Arc<dyn Wire>, clock: Arc<dyn Clock>, known: Option<Greeting>) -> Self {
        let known = RwLock::new(known.map(Arc::new));
        Self { name, wire, clock, known, ahead: AtomicI64::new(0), changes: Changes::default() }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &NodeName {
        &self.name
    }

    /// What it last said of itself; `None` where it never was heard.
    #[must_use]
    pub fn known(&self) -> Option<Arc<Greeting>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks who is there and what it can do, and remembers it. To be done whenever a connection has come up.
    ///
    /// # Errors
    ///
    /// Those of the wire; permanent, where the agent and this server have no schema in common.
    pub async fn greet(&self, deadline: Duration) -> Result<Arc<Greeting>, Error> {
        let path = "/platforms";
        let greeting: Greeting = self.ask(path, Nothing {}, deadline, MAX_FAULT).await?;
        if greeting.newest < OLDEST || greeting.oldest > VERSION {
            return Err(fault::foreign_version(&self.name, greeting.oldest, greeting.newest));
        }
        let ahead = greeting.at.as_micros().saturating_sub(self.clock.now().as_micros());
        self.ahead.store(ahead, Ordering::Relaxed);
        let greeting = Arc::new(greeting);
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&greeting));
        Ok(greeting)
    }

    /// What the node's clock shows now, as far as that is known.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.clock.now().as_micros().saturating_add(self.ahead.load(Ordering::Relaxed)))
    }

    /// Resolves when something may have changed on that account, or the node was connected or lost.
    pub(super) async fn changed(&self, account: &PlatformName) {
        self.changes.next(account, self.wire.as_ref()).await;
    }

    /// A call that is answered in one piece of at most `limit` bytes: for what is asked of a node beside its platforms and its edge.
    ///
    /// # Errors
    ///
    /// Those of the wire, and what the node says; an answer that is no `T`.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        with: impl Serialize,
        deadline: Duration,
        limit: usize,
    ) -> Result<T, Error> {
        let body = message::write(path, Some(on_the_way(deadline)), with)?;
        let exchange = async {
            let reply = self.wire.ask(path, body, deadline).await?;
            let answer = self.accepted(path, reply).await?.collect(limit).await?;
            serde_json::from_slice(&answer).map_err(|error| fault::nonsense(&self.name, path, error))
        };
        let late = |_| fault::late(&self.name, path, deadline);
        tokio::time::timeout(deadline, exchange).await.map_err(late)?
    }

    /// A call whose answer goes on: what is returned has begun.
    ///
    /// # Errors
    ///
    /// Those of the wire, and what the node says.
    pub async fn open(&self, path: &str, with: impl Serialize, deadline: Duration) -> Result<Reply, Error> {
        let body = message::write(path, Some(on_the_way(deadline)), with)?;
        let exchange = async {
            let reply = self.wire.ask(path, body, deadline).await?;
            self.accepted(path, reply).await
        };
        let late = |_| fault::late(&self.name, path, deadline);
        tokio::time::timeout(deadline, exchange).await.map_err(late)?
    }

    /// The reply, unless it says why it is none.
    async fn accepted(&self, path: &str, reply: Reply) -> Result<Reply, Error> {
        if reply.status == Reply::DONE {
            return Ok(reply);
        }
        let status = reply.status;
        let body = reply.collect(MAX_FAULT).await?;
        Err(fault::refusal(&self.name, path, status, &body))
    }
}

/// What is left of a deadline when the way back has been taken off.
fn on_the_way(deadline: Duration) -> Duration {
    deadline - (deadline / 10).min(WAY_BACK)
}

/// Most bytes of an answer that says something about each of so many things.
pub(super) fn at_most(many: usize, each: usize) -> usize {
    many.saturating_mul(each).saturating_add(64 << 10).min(MAX_ANSWER * 8)
}
