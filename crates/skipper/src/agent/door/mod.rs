//! The calls to the server. Each has its bound, names the protocol, and tells apart what is to be done about what went wrong.

mod fault;
mod protocol;
mod tls;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url, header};
use serde::Deserialize;
use serde_json::Value;
use skipper_core::{id::OrderId, name::NodeName, secret::SecretValue};
use skipper_server::fleet::UPGRADE;
use skipper_source::fleet::{Heartbeat, LINK_WANTED, PROTOCOL, PROTOCOL_HEADER, Report, WorkOrder};

use super::{settings::Settings, token::Token};
use crate::failure::chain;

pub(super) use fault::Fault;

/// Header in which a server names all versions of the protocol that it speaks.
const PROTOCOLS: &str = "x-skipper-protocols";
/// Time to reach the server.
const CONNECT: Duration = Duration::from_secs(10);
/// Time for an answer that nobody has to wait for; a result of 64 KiB may go over a slow line.
const ANSWER: Duration = Duration::from_secs(30);
/// What a question that waits may take longer than it asked for.
const GRACE: Duration = Duration::from_secs(15);
/// A connection without a sign of life is given up after about three of these.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Time to look the server's name up, to tell by which address it is reached.
const LOOK_UP: Duration = Duration::from_secs(1);
/// Largest order that is read.
const LARGEST: usize = 16 << 20;
/// How long a lease lasts where nobody says otherwise.
const LEASE_MS: u64 = 60_000;
/// Longest that a server may send somebody away.
const LONGEST_AWAY: Duration = Duration::from_secs(60);

/// The way to the server.
#[derive(Debug)]
pub(super) struct Door {
    http: reqwest::Client,
    base: Url,
    node: NodeName,
    token: Arc<Token>,
    instance: String,
    lease_ms: AtomicU64,
    /// Where the edge of this node listens, if it has one.
    edge: Option<IpAddr>,
}

/// An order that was handed out, with its times as spans from now: the clocks of server and node may differ.
#[derive(Debug, Clone)]
pub(super) struct Handed {
    /// What is to be done.
    pub(super) order: WorkOrder,
    /// How long it is this node's.
    pub(super) lease: Duration,
    /// How long there is to do it.
    pub(super) budget: Duration,
}

/// The answer to a question for work.
#[derive(Debug)]
pub(super) enum Next {
    /// There is some.
    Order(Box<Handed>),
    /// There is none.
    Nothing,
    /// There is none, and the server wants to ask this node something: a link is to be opened.
    Link,
    /// There is some that this agent cannot read: which, under which generation, and why.
    Unreadable {
        /// The order.
        id: OrderId,
        /// Under which it was handed out.
        generation: Option<u64>,
        /// What is wrong.
        why: String,
    },
}

/// What the server makes of a heartbeat. Everything may be missing.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Heard {
    /// Orders that are not this node's any more.
    #[serde(default)]
    pub(super) lost: Vec<OrderId>,
    /// The server wants to ask this node something: a link is to be opened.
    #[serde(default)]
    pub(super) link: bool,
    /// How long the others are from now on.
    #[serde(default)]
    lease_ms: Option<u64>,
}

/// Health of the server, as `--check` looks at it.
#[derive(Debug)]
pub(super) struct Health {
    /// Of HTTP.
    pub(super) status: u16,
    /// The server's clock.
    pub(super) date: Option<Timestamp>,
}

impl Door {
    /// For this server, node and token. Reaches for nothing yet.
    ///
    /// # Errors
    ///
    /// A file of TLS that cannot be used.
    pub(super) fn new(settings: &Settings, token: Arc<Token>, instance: String) -> Result<Self, String> {
        let is_tls = settings.url.scheme() == "https";
        let builder = reqwest::Client::builder()
            .user_agent(concat!("skipper-agent/", env!("CARGO_PKG_VERSION")))
            // One connection for each call under way: one that hangs holds up nothing else.
            .http1_only()
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .tcp_keepalive(KEEP_ALIVE)
            .tcp_keepalive_interval(KEEP_ALIVE)
            .tcp_keepalive_retries(2)
            .tcp_user_timeout(KEEP_ALIVE * 3)
            .pool_max_idle_per_host(2)
            .pool_idle_timeout(KEEP_ALIVE * 6)
            .redirect(reqwest::redirect::Policy::none())
            .tls_backend_preconfigured(tls::config(is_tls, &settings.tls)?);
        // A proxy of the company is not asked for what runs on this machine.
        let builder = if crate::cmd::is_loopback(settings.url.as_str()) { builder.no_proxy() } else { builder };
        let http = builder.build().map_err(|error| format!("set connections up: {}", chain(&error)))?;
        let (base, node) = (settings.url.clone(), settings.node.clone());
        Ok(Self {
            http,
            base,
            node,
            token,
            instance,
            lease_ms: AtomicU64::new(LEASE_MS),
            edge: settings.edge.as_ref().map(|edge| edge.bind),
        })
    }

    /// This run of the agent.
    pub(super) fn instance(&self) -> &str {
        &self.instance
    }

    /// Asks for work; the server is to keep the question for `wait` if there is none.
    ///
    /// # Cancel safety
    ///
    /// An order that was handed out and not heard of is handed out again when its lease has run out.
    pub(super) async fn next(&self, wait: Option<Duration>) -> Result<Next, Fault> {
        let mut url = self.url(&["v1", "nodes", self.node.as_str(), "work-orders", "next"]);
        if let Some(wait) = wait {
            url.query_pairs_mut().append_pair("wait", &wait.as_secs().to_string());
        }
        url.query_pairs_mut().append_pair("instance", &self.instance);
        let within = wait.map_or(ANSWER, |wait| wait + GRACE);
        let response = self.send(self.http.request(Method::GET, url), within).await?;
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(if response.headers().contains_key(LINK_WANTED) { Next::Link } else { Next::Nothing });
        }
        let date = date(&response);
        let bytes = read(response, LARGEST).await?;
        let value: Value = serde_json::from_slice(&bytes)
            .map_err(|error| Fault::Unreadable(format!("the answer to a question for work is no JSON: {error}")))?;
        let id = value["id"].as_str().and_then(|id| id.parse().ok());
        let generation = value["generation"].as_u64();
        match (serde_json::from_value::<WorkOrder>(value), id) {
            (Ok(WorkOrder { id, generation, node, .. }), _) if node != self.node => {
                let why = format!("it is for node {node}, and this is {}", self.node);
                Ok(Next::Unreadable { id, generation: Some(generation), why })
            }
            (Ok(order), _) => Ok(Next::Order(Box::new(with_spans(order, self.lease(), date)))),
            (Err(error), Some(id)) => Ok(Next::Unreadable { id, generation, why: error.to_string() }),
            (Err(error), None) => Err(Fault::Unreadable(format!("it is no work order: {error}"))),
        }
    }

    /// Tells that the agent lives.
    pub(super) async fn beat(&self, heartbeat: &Heartbeat) -> Result<Heard, Fault> {
        let url = self.url(&["v1", "nodes", self.node.as_str(), "heartbeat"]);
        let response = self.send(self.http.request(Method::POST, url).json(heartbeat), ANSWER).await?;
        let bytes = read(response, 1 << 20).await?;
        // The first servers answered with anything.
        let heard: Heard = serde_json::from_slice(&bytes).unwrap_or_default();
        if let Some(lease_ms) = heard.lease_ms.filter(|lease_ms| *lease_ms > 0) {
            self.lease_ms.store(lease_ms, Ordering::Relaxed);
        }
        Ok(heard)
    }

    /// How long leases last, as far as the server has said.
    pub(super) fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms.load(Ordering::Relaxed))
    }

    /// Asks for a connection by which the server may ask this node. What comes back is the raw one, right after the server has agreed.
    pub(super) async fn link(&self) -> Result<reqwest::Upgraded, Fault> {
        let mut url = self.url(&["v1", "nodes", self.node.as_str(), "link"]);
        url.query_pairs_mut().append_pair("instance", &self.instance);
        let build =
            self.http.request(Method::GET, url).header(header::CONNECTION, "Upgrade").header(header::UPGRADE, UPGRADE);
        let response = self.heard(build, ANSWER).await?;
        let becomes = response.headers().get(header::UPGRADE).and_then(|value| value.to_str().ok());
        match response.status() {
            StatusCode::SWITCHING_PROTOCOLS if becomes.is_some_and(|becomes| becomes.eq_ignore_ascii_case(UPGRADE)) => {
                response.upgrade().await.map_err(|error| lost(&error))
            }
            status if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS => {
                Err(Fault::Unreadable(format!("it answers {status} where a connection was to become a link")))
            }
            _ => Err(refused(response).await),
        }
    }

    /// Tells what became of an order, by the ids of whoever asked for it.
    pub(super) async fn report(&self, order: OrderId, report: &Report, ids: (&str, &str)) -> Result<(), Fault> {
        let url = self.url(&["v1", "work-orders", &order.to_string(), "result"]);
        let mut build = self.http.request(Method::POST, url).json(report);
        for (name, value) in [("x-request-id", ids.0), ("x-correlation-id", ids.1)] {
            if let Ok(value) = header::HeaderValue::from_str(value) {
                build = build.header(name, value);
            }
        }
        self.send(build, ANSWER).await.map(drop)
    }

    /// Exchanges a token for enrolment for one of the node's own, under an idempotency key.
    pub(super) async fn enrol(&self, key: &str) -> Result<SecretValue, Fault> {
        #[derive(Deserialize)]
        struct Enrolled {
            token: String,
        }
        let url = self.url(&["v1", "nodes", self.node.as_str(), "enrol"]);
        let body = serde_json::json!({});
        let build = self.http.request(Method::POST, url).header("idempotency-key", key).json(&body);
        let response = self.send(build, ANSWER).await?;
        let bytes = read(response, 64 << 10).await?;
        serde_json::from_slice(&bytes)
            .map(|Enrolled { token }| SecretValue::new(token))
            .map_err(|_| Fault::Unreadable("the answer to an enrolment holds no token".to_owned()))
    }

    /// Looks whether anybody is there.
    pub(super) async fn health(&self) -> Result<Health, Fault> {
        let response = self
            .http
            .request(Method::GET, self.url(&["v1", "health"]))
            .timeout(CONNECT)
            .send()
            .await
            .map_err(|error| lost(&error))?;
        Ok(Health { status: response.status().as_u16(), date: date(&response) })
    }

    /// The address of this host by which it reaches the server; nothing is sent for that.
    pub(super) async fn address(&self) -> Option<IpAddr> {
        if self.edge.is_some_and(|bind| !bind.is_unspecified()) {
            return self.edge;
        }
        let (host, port) = (self.base.host_str()?, self.base.port_or_known_default()?);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let found = async {
            let server = tokio::net::lookup_host((host, port)).await.ok()?.next()?;
            let any = if server.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
            let socket = tokio::net::UdpSocket::bind((any, 0)).await.ok()?;
            socket.connect(server).await.ok()?;
            Some(socket.local_addr().ok()?.ip())
        };
        tokio::time::timeout(LOOK_UP, found).await.ok().flatten()
    }

    fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    async fn send(&self, build: RequestBuilder, within: Duration) -> Result<Response, Fault> {
        let response = self.heard(build, within).await?;
        if response.status().is_success() { Ok(response) } else { Err(refused(response).await) }
    }

    /// The answer, whatever it is, of a server that speaks our protocol.
    async fn heard(&self, build: RequestBuilder, within: Duration) -> Result<Response, Fault> {
        let response = build
            .bearer_auth(self.token.current().expose())
            .header(PROTOCOL_HEADER, PROTOCOL)
            .timeout(within)
            .send()
            .await
            .map_err(|error| lost(&error))?;
        let said = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        if let Some(message) = said(PROTOCOLS).or_else(|| said(PROTOCOL_HEADER)).and_then(protocol::mismatch) {
            return Err(Fault::Protocol(message));
        }
        Ok(response)
    }
}

/// Why no answer came.
fn lost(error: &reqwest::Error) -> Fault {
    // The address is known, and would only make the line long.
    let why = std::error::Error::source(error).map_or_else(|| error.to_string(), chain);
    match (error.is_connect(), error.is_timeout()) {
        (true, true) => Fault::Unreachable("it did not accept the connection in time".to_owned()),
        (true, false) => Fault::Unreachable(why),
        (false, true) => Fault::Cut("it did not answer in time".to_owned()),
        (false, false) => Fault::Cut(why),
    }
}

async fn refused(response: Response) -> Fault {
    #[derive(Deserialize)]
    struct Body {
        error: Told,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Told {
        code: String,
        message: String,
    }
    let status = response.status();
    let after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let bytes = read(response, 64 << 10).await.unwrap_or_default();
    let told = serde_json::from_slice(&bytes).map(|Body { error }| error);
    // Somebody in between, who speaks HTML, says nothing about nodes and orders.
    let is_ours = told.is_ok();
    let Told { code, message } = told.unwrap_or_else(|_| Told { message: status.to_string(), ..Told::default() });
    let message: String = message.chars().take(500).collect();
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Fault::Denied(message),
        StatusCode::UPGRADE_REQUIRED => Fault::Protocol(message),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => busy(status, after, message),
        status if status.is_server_error() => busy(status, after, message),
        StatusCode::PAYLOAD_TOO_LARGE => Fault::Refused { status: status.as_u16(), code, message },
        _ if !is_ours => Fault::Unreadable(format!("it answers {status}")),
        StatusCode::NOT_FOUND => Fault::Absent(message),
        status => Fault::Refused { status: status.as_u16(), code, message },
    }
}

fn busy(status: StatusCode, after: Option<u64>, message: String) -> Fault {
    let after = after.map(|secs| Duration::from_secs(secs).min(LONGEST_AWAY));
    Fault::Busy { status: status.as_u16(), after, message }
}

async fn read(mut response: Response, most: usize) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| lost(&error))? {
        if bytes.len() + chunk.len() > most {
            return Err(Fault::Unreadable(format!("the answer is longer than {} KiB", most >> 10)));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// The server's clock, in whole seconds.
fn date(response: &Response) -> Option<Timestamp> {
    let text = response.headers().get(header::DATE)?.to_str().ok()?;
    jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp())
}

/// Reckons how much time there is. The lease was given just now, so where it ends tells what time it is at the server, which is what its
/// deadline is to be held against; no other clock is asked, be it this node's or that of a proxy.
fn with_spans(order: WorkOrder, lease: Duration, date: Option<Timestamp>) -> Handed {
    let leased_at = order.lease.as_ref().and_then(|given| given.expires_at.checked_sub(lease).ok());
    let now = leased_at.or(date).unwrap_or(order.created_at);
    let budget = Duration::try_from(order.deadline.duration_since(now)).unwrap_or_default();
    Handed { lease, budget, order }
}

#[cfg(test)]
mod tests;
