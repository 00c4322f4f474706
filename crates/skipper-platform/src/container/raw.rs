//! Questions whose answers the client's types do not take, since Podman has states of its own between those of Docker, and
//! requests that the client does not know.

use std::io;

use bollard::{
    errors::Error as Said,
    models::{ContainerInspectResponse, ContainerSummary},
};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Method, Request, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use url::form_urlencoded::byte_serialize;

use super::account::Account;

/// Largest answer: some thousand containers.
const ANSWER_BYTES: usize = 64 << 20;

/// A container by name or id.
pub(crate) async fn inspect(account: &Account, name: &str) -> Result<ContainerInspectResponse, Said> {
    let name: String = byte_serialize(name.as_bytes()).collect();
    let mut answer = ask(account, &format!("/containers/{name}/json")).await?;
    if let Some(status) = answer.pointer_mut("/State/Status") {
        known(status);
    }
    read(answer)
}

/// Containers by the filters, in whatever state.
pub(crate) async fn list(
    account: &Account,
    filters: &std::collections::HashMap<String, Vec<String>>,
) -> Result<Vec<ContainerSummary>, Said> {
    let filters = serde_json::to_string(filters)?;
    let filters: String = byte_serialize(filters.as_bytes()).collect();
    let mut answer = ask(account, &format!("/containers/json?all=true&filters={filters}")).await?;
    for one in answer.as_array_mut().into_iter().flatten() {
        if let Some(state) = one.get_mut("State") {
            known(state);
        }
    }
    read(answer)
}

/// Gives a state the nearest name that Docker has.
fn known(state: &mut Value) {
    let name = match state.as_str().unwrap_or_default() {
        "stopped" => "exited",
        "configured" | "initialized" | "unknown" => "created",
        "stopping" => "running",
        _ => return,
    };
    *state = name.into();
}

fn read<T: DeserializeOwned>(answer: Value) -> Result<T, Said> {
    serde_json::from_value(answer).map_err(Said::from)
}

/// A request of libpod's own API, which the client does not know; the answer's body.
pub(super) async fn libpod(account: &Account, method: Method, path: &str, body: Option<String>) -> Result<Value, Said> {
    exchange(account, method, &format!("/v4.0.0/libpod{path}"), body).await
}

async fn ask(account: &Account, path: &str) -> Result<Value, Said> {
    // The oldest version that knows all that is read here; engines answer older ones than their own.
    exchange(account, Method::GET, &format!("/v1.41{path}"), None).await
}

async fn exchange(account: &Account, method: Method, path: &str, body: Option<String>) -> Result<Value, Said> {
    let request = Request::builder().method(method).uri(path).header(header::HOST, "engine");
    let request = match body {
        None => request.body(Full::default()),
        Some(text) => request.header(header::CONTENT_TYPE, "application/yaml").body(Full::from(text)),
    }?;
    let host = &account.config.host;
    if let Some(socket) = host.strip_prefix("unix://") {
        let stream = match UnixStream::connect(socket).await {
            Ok(stream) => stream,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Said::SocketNotFoundError(socket.to_owned()));
            }
            Err(error) => return Err(error.into()),
        };
        return send(stream, request).await;
    }
    let address = host.split_once("://").map_or(host.as_str(), |(_, address)| address);
    send(TcpStream::connect(address).await?, request).await
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Value, Said> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let asking = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await.map_err(io::Error::other)?.to_bytes();
        Ok::<_, Said>((status, body))
    };
    let asking = std::pin::pin!(asking);
    let connection = std::pin::pin!(async {
        let ended = connection.await;
        // Whoever asks hears of it by the answer that does not come.
        drop(ended);
        std::future::pending::<()>().await;
    });
    let (status, body) = match futures::future::select(asking, connection).await {
        futures::future::Either::Left((answer, _)) => answer?,
        futures::future::Either::Right(((), asking)) => asking.await?,
    };
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    if status.is_success() {
        return Ok(answer);
    }
    let told = answer.get("message").and_then(Value::as_str);
    let message = told.map_or_else(|| String::from_utf8_lossy(&body).into_owned(), str::to_owned);
    Err(Said::DockerResponseServerError { status_code: status.as_u16(), message })
}
