use std::{error::Error as _, io, net::SocketAddr, pin::pin, time::Duration};

use futures::future::{Either, select};
use http_body_util::Empty;
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::Instant};

use super::{Outcome, io_words, timed_out};

/// Longest head of an answer that is read.
const HEAD_BYTES: usize = 64 << 10;

/// Whether GET of `path` (with its query) is answered with a status in one of the inclusive ranges within `timeout`. A
/// new connection each time, redirects are answers like any other, the body is not read.
pub async fn check(address: SocketAddr, path: &str, status: &[(u16, u16)], timeout: Duration) -> Outcome {
    let begun = Instant::now();
    match get(address, path, timeout).await {
        Err(outcome) => outcome,
        Ok(got) => judge(got, status, begun),
    }
}

/// The status that GET of `path` is answered with, or the failed attempt.
pub(super) async fn get(address: SocketAddr, path: &str, timeout: Duration) -> Result<StatusCode, Outcome> {
    match tokio::time::timeout(timeout, ask(address, path)).await {
        Err(_) => Err(timed_out(timeout)),
        Ok(answer) => answer.map_err(Outcome::bad),
    }
}

/// What an answer is worth that was asked for at `begun`.
pub(super) fn judge(got: StatusCode, expected: &[(u16, u16)], begun: Instant) -> Outcome {
    let took = begun.elapsed().as_millis();
    if expected.iter().any(|(from, to)| (*from..=*to).contains(&got.as_u16())) {
        Outcome::good(format!("{got} in {took} ms"))
    } else {
        Outcome::bad(format!("{got} in {took} ms, expected {}", ranges(expected)))
    }
}

fn ranges(status: &[(u16, u16)]) -> String {
    let range = |(from, to): &(u16, u16)| if from == to { from.to_string() } else { format!("{from}-{to}") };
    status.iter().map(range).collect::<Vec<_>>().join(", ")
}

async fn ask(address: SocketAddr, path: &str) -> Result<StatusCode, String> {
    let stream = TcpStream::connect(address).await.map_err(|error| io_words(&error))?;
    let handshake = http1::Builder::new().max_buf_size(HEAD_BYTES).handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(|error| words(&error))?;
    let request = Request::get(path)
        .header(header::HOST, address.to_string())
        .header(header::USER_AGENT, concat!("skipper-probe/", env!("CARGO_PKG_VERSION")))
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| format!("the probe's path {path:?} cannot be asked for: {error}"))?;
    // Nobody else drives the connection: asking ends when the head is here, and dropping it closes it.
    let answer = match select(pin!(sender.send_request(request)), pin!(connection)).await {
        Either::Left((answer, _)) => answer,
        Either::Right((_, answer)) => answer.await,
    };
    answer.map(|answer| answer.status()).map_err(|error| words(&error))
}

fn words(error: &hyper::Error) -> String {
    if error.is_parse() {
        return format!("the answer is not HTTP: {error}");
    }
    if error.is_incomplete_message() || error.is_canceled() {
        return "connection closed without an answer".to_owned();
    }
    match error.source().and_then(|cause| cause.downcast_ref::<io::Error>()) {
        Some(cause) => io_words(cause),
        None => error.to_string(),
    }
}
