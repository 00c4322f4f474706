//! Hearing of changes on a node, for as long as somebody waits for them.
//!
//! There is one call to `/changes` for each node, for all of its accounts, and none while nobody waits: it is begun by the first who
//! does and kept between two waits. There is no task either: of those who wait, one reads for all. So a node on which
//! nothing runs costs nothing, and any other one an open stream over which nothing is sent until there is news.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::BytesMut;
use futures::FutureExt as _;
use skipper_core::{
    name::PlatformName,
    port::{Error, ErrorKind},
};
use tokio::sync::Notify;
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
    waiting: Mutex<HashMap<PlatformName, Arc<Notify>>>,
    stream: tokio::sync::Mutex<Option<Lines>>,
}

impl Changes {
    /// Resolves when something may have changed on that account since it last resolved.
    pub(super) async fn next(&self, account: &PlatformName, wire: &dyn Wire) {
        let told = self.of(account);
        tokio::select! {
            // What was told before is told first, so that nobody has to read for it.
            biased;
            () = told.notified() => {}
            () = self.read(wire) => {}
        }
    }

    fn of(&self, account: &PlatformName) -> Arc<Notify> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(waiting.entry(account.clone()).or_default())
    }

    /// Wakes everybody who waits for that account, or for any, and whoever is the next to.
    fn tell(&self, account: Option<&str>) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, notify) in waiting.iter().filter(|(name, _)| account.is_none_or(|account| name.as_str() == account)) {
            notify.notify_waiters();
            notify.notify_one();
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
