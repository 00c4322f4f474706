//! Calls the management of a running application, in place of whoever cannot reach it.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use skipper_core::{
    name::{ReleaseName, TenantName},
    policy::Action,
};
use tokio::net::TcpStream;

use super::{
    Caller,
    versions::{Look, Status, deployed, one},
};
use crate::{
    app::App,
    error::{Code, Error},
};

/// Longest a call may take.
const BOUND: Duration = Duration::from_secs(10);
/// Longest answer.
const BYTES: usize = 8 << 20;
/// Longest path.
const PATH: usize = 2000;

/// What to call.
#[derive(Debug, Clone)]
pub struct Call {
    /// Whose release.
    pub tenant: TenantName,
    /// Which release.
    pub release: ReleaseName,
    /// A deployment id of its newest version or of the one that serves, or the name of an application.
    pub app: String,
    /// The id of an instance.
    pub instance: String,
    /// The path below the application's own management.
    pub endpoint: String,
    /// What to send; a GET without.
    pub body: Option<Vec<u8>>,
    /// What to send as Authorization: what lets the caller in at the application, and never what let them in here.
    pub authorization: Option<HeaderValue>,
}

/// What the application answered.
#[derive(Debug, Clone)]
pub struct Answered {
    /// With which status.
    pub status: StatusCode,
    /// What.
    pub body: Bytes,
}

/// Calls it. Needs the right to deploy: what an application tells there, its environment for one, is not for everybody.
///
/// # Errors
///
/// There is no such release, application ([`Code::ApplicationNotFound`]) or instance; the path is none; it cannot be reached.
pub async fn call(app: &App, caller: &Caller, call: Call) -> Result<Answered, Error> {
    caller.may(Action::Deploy, &call.tenant)?;
    let newest = one(app, caller, &call.tenant, &call.release, None, Look::Alive).await?;
    let serves = newest.status == Status::Deployed;
    let mut apps = newest.apps.unwrap_or_default();
    // While an upgrade goes on, and after one that failed, another version serves.
    if !serves && let Ok(serving) = deployed(app, caller, &call.tenant, &call.release).await {
        apps.extend(serving.apps.unwrap_or_default());
    }
    let found: Vec<_> = apps.iter().filter(|one| one.id == call.app || one.name == call.app).collect();
    if found.is_empty() {
        let what = format!("app {} is not found in release {}", call.app, call.release);
        return Err(Error::new(Code::ApplicationNotFound, what));
    }
    let instances = || found.iter().flat_map(|app| &app.instances);
    let instance = instances().find(|one| one.id == call.instance).ok_or_else(|| {
        let known: Vec<&str> = instances().map(|one| one.id.as_str()).collect();
        let there = if known.is_empty() { "none runs".to_owned() } else { format!("there is {}", known.join(", ")) };
        let what = format!("instance {} is not found in app {}; {there}", call.instance, call.app);
        Error::new(Code::ApplicationNotFound, what)
    })?;
    let address = instance.address.ok_or_else(|| {
        Error::new(Code::Conflict, format!("instance {} has no address that is known", call.instance))
    })?;
    let path = path(instance.attributes.get(ACTUATOR_PATH).map(String::as_str), &call.endpoint)?;
    match tokio::time::timeout(BOUND, ask(address, &path, &call)).await {
        Ok(answered) => answered,
        Err(_) => Err(Error::new(Code::PlatformFailed, format!("{address}{path} did not answer within {BOUND:?}"))),
    }
}

/// The attribute by which an instance says that its management is elsewhere.
const ACTUATOR_PATH: &str = "actuator.path";

/// The whole path. It stays below the management: nothing in it leads out.
fn path(base: Option<&str>, endpoint: &str) -> Result<String, Error> {
    let wrong = |why: &str| Error::new(Code::Invalid, format!("`endpoint` {why}"));
    let endpoint = endpoint.trim().trim_start_matches('/');
    if endpoint.len() > PATH {
        return Err(wrong("is too long"));
    }
    if !endpoint.bytes().all(|b| b.is_ascii_graphic()) || endpoint.contains(['#', '\\']) {
        return Err(wrong("is no path"));
    }
    let parts = endpoint.split('?').next().unwrap_or_default().split('/');
    if parts.into_iter().any(|part| matches!(part.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")) {
        return Err(wrong("leads out of the management"));
    }
    let base = base.unwrap_or("/actuator").trim_end_matches('/');
    Ok(if endpoint.is_empty() { base.to_owned() } else { format!("{base}/{endpoint}") })
}

async fn ask(address: SocketAddr, path: &str, call: &Call) -> Result<Answered, Error> {
    let failed = |what: String| Error::new(Code::PlatformFailed, format!("{address}{path} cannot be asked: {what}"));
    let stream = TcpStream::connect(address).await.map_err(|cause| failed(cause.to_string()))?;
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|cause| failed(cause.to_string()))?;
    let method = if call.body.is_some() { Method::POST } else { Method::GET };
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, address.to_string())
        .header(header::ACCEPT, "application/vnd.spring-boot.actuator.v3+json, application/json, text/plain, */*")
        .header(header::CONNECTION, "close");
    if let Some(authorization) = &call.authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    if call.body.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    let body = Full::new(Bytes::from(call.body.clone().unwrap_or_default()));
    let request = request.body(body).map_err(|cause| failed(cause.to_string()))?;
    let talk = async {
        let answer = sender.send_request(request).await.map_err(|cause| failed(cause.to_string()))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), BYTES).collect().await;
        let body = body.map_err(|cause| failed(cause.to_string()))?.to_bytes();
        Ok(Answered { status, body })
    };
    // Nobody else drives the connection.
    let mut connection = std::pin::pin!(connection);
    let mut talk = std::pin::pin!(talk);
    tokio::select! {
        answered = &mut talk => answered,
        _ = &mut connection => talk.await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_path_below_the_management_and_leads_nowhere_else() {
        for (endpoint, expected) in [
            ("/info", "/actuator/info"),
            ("info", "/actuator/info"),
            ("bindings/input?x=1", "/actuator/bindings/input?x=1"),
            ("", "/actuator"),
            ("health/../", "-"),
            ("/../admin", "-"),
            ("%2e%2E/admin", "-"),
            ("a b", "-"),
            ("x\r\nHost: evil", "-"),
        ] {
            let path = path(None, endpoint).unwrap_or_else(|_| "-".to_owned());
            assert_eq!(path, expected, "{endpoint}");
        }
        assert_eq!(path(Some("/manage/"), "info").expect("a path"), "/manage/info");
        assert!(path(None, &"x".repeat(3000)).is_err());
    }
}
