//! The node's side: real platforms and a real edge, asked by path and body.

mod platform;
mod router;
mod streams;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::join_all;
use serde::Serialize;
use skipper_core::{
    name::PlatformName,
    port::{Clock, Description, Error, ErrorKind, Platform, Router},
};

use super::{
    Greeting, OLDEST, Reply, VERSION, fault,
    message::{self, Ask, Nothing},
};

/// Longest that one account may take to say what it is when the node is greeted.
const DESCRIBE: Duration = Duration::from_secs(2);
/// How much longer than its deadline a driver may take before it is given up: what it says itself is better.
const GRACE: Duration = Duration::from_millis(100);

/// Answers a server's calls with the platforms of this machine, and with its edge.
///
/// Answers of a call may be dropped at any time: what was begun goes on, as it does for every caller of a platform, and streams
/// end. Holds nothing of any call.
pub struct Desk {
    release: String,
    clock: Arc<dyn Clock>,
    platforms: BTreeMap<PlatformName, Arc<dyn Platform>>,
    router: Option<Arc<dyn Router>>,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("platforms", &self.platforms.keys()).finish_non_exhaustive()
    }
}

impl Desk {
    /// For these accounts, by the names that they have here, and for this machine's edge, if there is one. `release` is that of this
    /// program.
    #[must_use]
    pub fn new(
        release: impl Into<String>,
        clock: Arc<dyn Clock>,
        platforms: BTreeMap<PlatformName, Arc<dyn Platform>>,
        router: Option<Arc<dyn Router>>,
    ) -> Self {
        Self { release: release.into(), clock, platforms, router }
    }

    /// Answers one call. `path` is without host and query; of `body` no more than [`super::MAX_REQUEST`] and a byte need to be read.
    ///
    /// Never fails: what goes wrong is said in the reply.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop, as is the reply: see [`Desk`].
    pub async fn answer(&self, path: &str, body: Bytes) -> Reply {
        let words: Vec<&str> = path.split('/').collect();
        match *words {
            ["", "platforms"] => match message::read::<Nothing>(&body) {
                Ok(_) => Reply::done(&self.greeting().await),
                Err(error) => Reply::with(Reply::MALFORMED, &error),
            },
            ["", "changes"] => streams::changes(&self.platforms),
            ["", "platforms", account, method] => match self.platforms.get(account) {
                Some(platform) => match Box::pin(platform::answer(platform.as_ref(), method, &body)).await {
                    Ok(Some(reply)) => reply,
                    Ok(None) => fault::unknown_path(path, &self.release),
                    Err(error) => Reply::with(Reply::MALFORMED, &error),
                },
                None => Reply::with(Reply::UNKNOWN, &self.no_account(account)),
            },
            ["", "router", method] => match &self.router {
                Some(router) => match Box::pin(router::answer(router.as_ref(), method, &body)).await {
                    Ok(Some(reply)) => reply,
                    Ok(None) => fault::unknown_path(path, &self.release),
                    Err(error) => Reply::with(Reply::MALFORMED, &error),
                },
                None => Reply::refused(&no_edge()),
            },
            _ => fault::unknown_path(path, &self.release),
        }
    }

    async fn greeting(&self) -> Greeting {
        let told = self.platforms.iter().map(|(name, platform)| async move {
            let said = tokio::time::timeout(DESCRIBE, platform.describe()).await;
            let said = said.unwrap_or_else(|_| Description {
                name: name.to_string(),
                kind: name.to_string(),
                summary: "does not say what it is".to_owned(),
                deployer: None,
                reachable: false,
                capabilities: platform.capabilities(),
            });
            (name.clone(), said)
        });
        Greeting {
            oldest: OLDEST,
            newest: VERSION,
            release: self.release.clone(),
            at: self.clock.now(),
            platforms: join_all(told).await.into_iter().collect(),
            edge: self.router.is_some(),
        }
    }

    fn no_account(&self, account: &str) -> Error {
        let shown: String = account.chars().take(80).collect();
        let known: Vec<&str> = self.platforms.keys().map(PlatformName::as_str).collect();
        let known = if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) };
        Error::new(
            ErrorKind::Permanent,
            "platform-unknown",
            format!("there is no platform `{shown}` on this node: {known}"),
        )
        .hint("start what the platform needs (a container engine) on the node, or choose another one")
    }
}

fn no_edge() -> Error {
    Error::new(ErrorKind::Permanent, "no-edge", "this node has no edge, so nothing that runs on it can be routed to")
        .hint("let the agent start its edge, or take the routes out")
}

/// Does the work within the deadline of the request, and writes down what came of it.
async fn within<T, A: Serialize>(ask: &Ask<T>, work: impl Future<Output = Result<A, Error>>) -> Reply {
    let deadline = ask.deadline();
    match tokio::time::timeout(deadline.saturating_add(GRACE), work).await {
        Ok(Ok(answer)) => Reply::done(&answer),
        Ok(Err(error)) => Reply::refused(&error),
        Err(_) => {
            let message = format!("not done after {} ms; it may go on", deadline.as_millis());
            Reply::refused(&Error::new(ErrorKind::Unknown, "deadline", message))
        }
    }
}
