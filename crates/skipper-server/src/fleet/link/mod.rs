//! The connections that agents keep open, so that their nodes can be asked something.
//!
//! An agent asks for `GET /v1/nodes/{node}/link` and for its connection to become another: from then on it speaks HTTP/2 with the
//! parts exchanged. The server calls, and the agent answers for the platforms and the edge of its node
//! ([`skipper_platform::remote`]). A node has one link at a time, and the newest wins. Nothing is kept of a link that has ended but what its
//! node offered.
//!
//! It is there while it is used: whoever asks a node that has none waits for it, the agent is told by the question for orders that it
//! keeps waiting here, and a link that nobody uses is ended. So a fleet that is idle costs what it did without.

mod call;
mod registry;
mod wire;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use skipper_core::{
    name::{NodeName, PlatformName},
    secret::SecretValue,
};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

pub use call::{Farewell, Link};
pub use registry::Links;
pub(super) use wire::NodeWire;

use super::Fleet;
use crate::app::App;
use call::told;

/// What a connection becomes, as it is asked for in `Upgrade`.
pub const UPGRADE: &str = "skipper-link/1";
/// Time for a connection to become a link.
const BECOMES: Duration = Duration::from_secs(20);
/// How long nothing may be heard of a link before it is asked, and how long it then has.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Time for an agent to be told that its link ends.
const GOODBYE: Duration = Duration::from_secs(1);
/// How often it is looked whether anybody uses a link, and whether the token that opened it still lets its agent in.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// A link that nobody uses for so long is ended: what a connection costs is paid where something runs, and not for a whole fleet.
const IDLE: Duration = Duration::from_secs(120);
/// Time for a node to say what it offers, and pauses before it is asked again.
const GREET: Duration = Duration::from_secs(10);
const GREET_AGAIN: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
/// Least time between two words that something has changed on a node.
const SETTLE: Duration = Duration::from_millis(50);
/// Credit for what one stream, and all of them together, may have on the way.
const WINDOWS: (u32, u32) = (256 << 10, 1 << 20);

/// An agent that asked for a link.
#[derive(Debug)]
pub struct Asked {
    /// Its node.
    pub node: NodeName,
    /// Its run, as it calls itself.
    pub instance: Option<String>,
    /// What let it in.
    pub token: SecretValue,
}

/// Serves a link from the moment at which its connection becomes one until it ends.
///
/// # Cancel safety
///
/// Dropping it cuts the link.
pub async fn serve(app: App, asked: Asked, upgrade: OnUpgrade) {
    let node = asked.node.clone();
    let upgraded = match timeout(BECOMES, upgrade).await {
        Ok(Ok(upgraded)) => upgraded,
        Ok(Err(error)) => return debug!(%node, "the agent's connection did not become a link: {}", told(&error)),
        Err(_) => return debug!(%node, "the agent's connection did not become a link in time"),
    };
    if let Err(error) = Box::pin(keep(&app, asked, upgraded)).await {
        debug!(%node, "the link ended: {}", told(&error));
    }
}

async fn keep(app: &App, asked: Asked, upgraded: Upgraded) -> Result<(), hyper::Error> {
    let links = app.fleet.links();
    let Asked { node, instance, token } = asked;
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1);
    let (send, connection) = builder.handshake(upgraded).await?;
    let link = Arc::new(Link::new((links.number(), node.clone()), instance, app.clock.now(), send));
    let mut connection = std::pin::pin!(connection);
    let work = async {
        if let Some(why) = Box::pin(attend(app, &link, &token)).await {
            link.close(why);
        }
        let why = link.farewell().unwrap_or(Farewell::Leaving);
        links.leave(&link);
        goodbye(&link, why).await;
        why
    };
    // The connection is driven by this task as well: a link costs one.
    let ended = tokio::select! {
        ended = &mut connection => ended.map(|()| None),
        why = work => Ok(Some(why)),
    };
    links.leave(&link);
    link.end.cancel();
    match &ended {
        Ok(Some(why)) => info!(%node, why = why.as_str(), "the link to a node was ended"),
        Ok(None) => info!(%node, "the link to a node ended"),
        Err(error) => info!(%node, "the link to a node broke: {}", told(error)),
    }
    ended.map(drop)
}

/// Takes the link in, and watches over it. Returns why it is to be ended.
async fn attend(app: &App, link: &Arc<Link>, token: &SecretValue) -> Option<Farewell> {
    let fleet = &app.fleet;
    let node = &link.node;
    let entered = fleet.links().enter(link);
    if let Some(older) = entered.older {
        older.close(Farewell::Replaced);
    }
    if let Some((one, other)) = entered.doubled {
        warn!(
            %node,
            runs = %format!("{one}, {other}"),
            "two agents use the token of this node, and take its link from each other; `skipper node rotate-token` locks one of them out"
        );
    }
    // It was let in before it was entered: a node that was removed in between has nobody who ends its link.
    if !lets_in(app, node, token).await {
        return Some(Farewell::Refused);
    }
    info!(%node, instance = link.instance.as_deref().unwrap_or_default(), "a node has a link to this server");
    tokio::select! {
        why = until_over(app, link, token) => why,
        () = listen(fleet, link) => None,
    }
}

/// Why the server is to end the link, if it is the server that does.
async fn until_over(app: &App, link: &Link, token: &SecretValue) -> Option<Farewell> {
    let mut elsewhere = app.tended_by.subscribe();
    loop {
        tokio::select! {
            () = link.end.cancelled() => return None,
            () = app.stop.cancelled() => return Some(Farewell::Leaving),
            _ = async { elsewhere.wait_for(Option::is_some).await.is_ok() } => return Some(Farewell::Leaving),
            () = sleep(LOOK_AGAIN) => {
                if link.is_idle(IDLE) {
                    return Some(Farewell::Idle);
                }
                if !lets_in(app, &link.node, token).await {
                    return Some(Farewell::Refused);
                }
            }
        }
    }
}

/// Asks the node what it offers, and then hears of its changes. Never returns.
async fn listen(fleet: &Fleet, link: &Link) {
    let node = &link.node;
    let reached = fleet.reached(node);
    // What it missed while it was away it is told anew.
    reached.router.missed_something();
    let mut pause = GREET_AGAIN.0;
    loop {
        match reached.node.greet(GREET).await {
            Ok(greeting) => {
                let accounts: Vec<&str> = greeting.platforms.keys().map(PlatformName::as_str).collect();
                info!(%node, platforms = accounts.join(","), edge = greeting.edge, agent = greeting.release, "what a node offers");
                break;
            }
            Err(error) => warn!(%node, error = error.chain(), "what a node offers is not known"),
        }
        link.greeted.cancel();
        sleep(pause).await;
        pause = (pause * 2).min(GREET_AGAIN.1);
    }
    link.greeted.cancel();
    fleet.tell_news();
    loop {
        fleet.news_of(&reached.node).await;
        fleet.tell_news();
        // One that reports all the time costs no more than that.
        sleep(SETTLE).await;
    }
}

/// Whether the token is still that of the node. A store that does not answer is no reason to end anything.
async fn lets_in(app: &App, node: &NodeName, token: &SecretValue) -> bool {
    match app.store.node_authenticate(token.expose()).await {
        Ok(whose) => whose.is_some_and(|whose| whose == *node),
        Err(error) => {
            warn!(%node, %error, "whether the node may keep its link is looked at again later");
            true
        }
    }
}

/// Tells the agent why its link ends, so that it knows what to do next.
async fn goodbye(link: &Link, why: Farewell) {
    let body = serde_json::json!({"reason": why.as_str()}).to_string();
    // The link's own calls are over; this one is not.
    let told = link.last_word("/goodbye", Bytes::from(body));
    if timeout(GOODBYE, told).await.is_err() {
        debug!(node = %link.node, "the agent was not told why its link ends");
    }
}
