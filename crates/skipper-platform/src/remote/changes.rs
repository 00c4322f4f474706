//! Hearing of changes on a node, for as long as somebody waits for them.
//!
//! There is one call to `/changes` for each node, for all of its accounts, and none while nobody waits: it is begun by the first who
//! does and kept between two waits. There is no task either: of those who wait, one reads for all. So a node on which
//! nothing runs costs nothing, and any other one an open stream over which nothing is sent until there is news.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use futures::FutureExt as _;
use skipper_core::{
    name::PlatformName,
    port::{Error, ErrorKind},
};
use tokio::sync::watch;
use tracing::debug;

use super::{
    PROMPT, Reply, Wire,
    lines::Lines,
    message::{self, Change, Nothing},
};

/// First and longest pause before a stream that broke is opened again. That the node is connected again ends it.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_LONGEST: Duration = Duration::from_secs(60);
/// Most bytes of a line.
const LINE: usize = 4 << 10;

/// Who waits, and the stream that tells.
#[derive(Default)]
pub(super) struct Changes {
    accounts: Mutex<HashMap<PlatformName, Arc<Told>>>,
    stream: tokio::sync::Mutex<Option<Lines>>,
}

/// What was told of one account.
#[derive(Default)]
struct Told {
    /// How often it was told of.
    times: watch::Sender<u64>,
    /// How often when somebody last heard of it: what came since then is news for whoever waits next.
    heard: AtomicU64,
}

impl Changes {
    /// Resolves when something may have changed on that account since it last resolved.
    pub(super) async fn next(&self, account: &PlatformName, wire: &dyn Wire) {
        let told = self.of(account);
        let mut times = told.times.subscribe();
        let now = *times.borrow_and_update();
        if told.heard.swap(now, Ordering::Relaxed) != now {
            return;
        }
        tokio::select! {
            // The sender lives as long as this does, so it never fails.
            _ = times.changed() => {}
            () = self.read(wire) => {}
        }
        told.heard.fetch_max(*times.borrow_and_update(), Ordering::Relaxed);
    }

    fn of(&self, account: &PlatformName) -> Arc<Told> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(accounts.entry(account.clone()).or_default())
    }

    /// Tells everybody who waits for that account, or for any.
    fn tell(&self, account: Option<&str>) {
        let accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, told) in accounts.iter().filter(|(name, _)| account.is_none_or(|account| name.as_str() == account)) {
            told.times.send_modify(|times| *times += 1);
        }
    }

    /// Reads for all, and never returns.
    async fn read(&self, wire: &dyn Wire) {
        let mut stream = self.stream.lock().await;
        let mut pause = AGAIN;
        loop {
            // A connection that comes up while it is found out that there is none is heard of too.
            let mut news = wire.changed().fuse();
            let _ = (&mut news).now_or_never();
            let ended = match stream.as_mut() {
                None => match open(wire).await {
                    Ok(lines) => {
                        *stream = Some(lines);
                        // What was missed meanwhile is found by looking.
                        self.tell(None);
                        continue;
                    }
                    Err(error) => Some(error),
                },
                Some(lines) => match lines.next().await {
                    Ok(Some(line)) => {
                        pause = AGAIN;
                        // A line that is not understood is of a newer agent: something changed.
                        let change = serde_json::from_slice::<Change>(&line).ok();
                        self.tell(change.as_ref().map(|change| change.platform.as_str()));
                        continue;
                    }
                    ended => {
                        *stream = None;
                        self.tell(None);
                        ended.err()
                    }
                },
            };
            debug!(error = ended.map(|error| error.chain()), "no changes of a node are heard");
            tokio::select! {
                () = news => pause = AGAIN,
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(AGAIN_LONGEST),
            }
        }
    }
}

async fn open(wire: &dyn Wire) -> Result<Lines, Error> {
    let path = "/changes";
    let body = message::write(path, None, Nothing {})?;
    let late = |_| Error::new(ErrorKind::Unknown, "deadline", "the node did not say whether it tells of changes");
    let reply = tokio::time::timeout(PROMPT, wire.ask(path, body, PROMPT)).await.map_err(late)??;
    if reply.status != Reply::DONE {
        let message = format!("the node does not tell of changes (status {})", reply.status);
        return Err(Error::new(ErrorKind::Permanent, "unknown-method", message));
    }
    Ok(Lines::new(reply.body, BytesMut::new(), LINE))
}
