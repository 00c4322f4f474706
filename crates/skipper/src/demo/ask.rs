//! A user's single request, over a connection of its own.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request,
    client::conn::http1,
    header::{CONNECTION, HOST},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time};
use tokio_util::task::TaskTracker;

/// Longest that one answer may take.
const LATE: Duration = Duration::from_secs(5);

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// What the sample application says it is.
    pub(super) version: String,
    pub(super) body: String,
}

/// GETs `path`.
///
/// # Cancel safety
///
/// Safe to drop: the connection is closed.
pub(super) async fn get(address: SocketAddr, path: &str) -> anyhow::Result<Answer> {
    time::timeout(LATE, get_late(address, path)).await.context("no answer within 5 s")?
}

async fn get_late(address: SocketAddr, path: &str) -> anyhow::Result<Answer> {
    let stream = TcpStream::connect(address).await.with_context(|| format!("connect to {address}"))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let tasks = TaskTracker::new();
    tasks.spawn(async move {
        // Its end is seen by the request.
        connection.await.ok();
    });
    let request = Request::get(path)
        .header(HOST, address.to_string())
        .header(CONNECTION, "close")
        .body(Full::<Bytes>::default())
        .context("make the request")?;
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    let header = response.headers().get("x-sample-version").and_then(|value| value.to_str().ok());
    let version = header.unwrap_or_default().to_owned();
    let body = response.into_body().collect().await?.to_bytes();
    Ok(Answer { status, version, body: String::from_utf8_lossy(&body).into_owned() })
}

/// Asks again and again until an answer has status 200, and tells how long that took.
pub(super) async fn until_ok(address: SocketAddr, path: &str, bound: Duration) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let mut last = String::new();
    while began.elapsed() < bound {
        match get(address, path).await {
            Ok(answer) if answer.status == 200 => return Ok(began.elapsed()),
            Ok(answer) => last = format!("status {}", answer.status),
            Err(error) => last = format!("{error:#}"),
        }
        time::sleep(Duration::from_millis(2)).await;
    }
    anyhow::bail!("http://{address}{path} did not answer within {} s; the last try: {last}", bound.as_secs())
}
