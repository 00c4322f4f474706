use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
    header::{CONNECTION, HOST},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, time};

use super::{LATE, Run, Target};

/// An open connection for requests without a body.
pub(super) enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// What the sender of a request may do about its failure.
pub(super) enum Failure {
    /// The connection had been closed before the request went out: nothing is lost by asking again.
    NotSent,
    /// It counts.
    Failed(String),
}

impl Sender {
    pub(super) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failure> {
        let sent = match self {
            Self::Http1(sender) => {
                if sender.ready().await.is_err() {
                    return Err(Failure::NotSent);
                }
                sender.try_send_request(request).await
            }
            Self::Http2(sender) => {
                if sender.ready().await.is_err() {
                    return Err(Failure::NotSent);
                }
                sender.try_send_request(request).await
            }
        };
        sent.map_err(|mut error: TrySendError<_>| match error.take_message() {
            Some(_) => Failure::NotSent,
            None => Failure::Failed(chain(error.error())),
        })
    }
}

/// An error with its causes in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

pub(super) async fn dial(target: &Target) -> Result<TcpStream, String> {
    let stream = time::timeout(LATE, TcpStream::connect(target.address))
        .await
        .map_err(|_| "connect: late".to_owned())?
        .map_err(|error| format!("connect: {error}"))?;
    // Requests are small and leave at once; without the option they still leave.
    stream.set_nodelay(true).ok();
    Ok(stream)
}

pub(super) async fn http1(run: &Run) -> Result<Sender, String> {
    let stream = dial(&run.target).await?;
    let (sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| format!("connect: {}", chain(&error)))?;
    run.connections.spawn(async move {
        // Whatever ends it, its user sees it with the next request.
        connection.await.ok();
    });
    Ok(Sender::Http1(sender))
}

pub(super) async fn http2(run: &Run) -> Result<Sender, String> {
    let stream = dial(&run.target).await?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .map_err(|error| format!("connect: {}", chain(&error)))?;
    run.connections.spawn(async move {
        // As above.
        connection.await.ok();
    });
    Ok(Sender::Http2(sender))
}

/// A GET; over HTTP/2 the address is absolute, over HTTP/1.1 there is a `Host`.
pub(super) fn get(target: &Target, path: &str, http2: bool, close: bool) -> Request<Full<Bytes>> {
    let uri = if http2 { format!("http://{}{path}", target.host) } else { path.to_owned() };
    let mut request = Request::get(uri);
    if !http2 {
        request = request.header(HOST, &target.host);
    }
    if close {
        request = request.header(CONNECTION, "close");
    }
    request.body(Full::default()).expect("host and path were checked when the load was made")
}
