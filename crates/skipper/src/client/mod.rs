//! The way to the server: one address, one token, `/v1` spoken with the wire types.
//!
//! Built on first use, so that commands that never reach for the server pay nothing for it; certificates are loaded only
//! for `https`.

mod body;
mod connect;
mod credentials;
mod problem;
mod retry;
mod sse;
mod stream;

pub(crate) use connect::base_url;
pub(crate) use retry::{Lost, pause};
pub(crate) use sse::SseStream;
pub(crate) use stream::LineStream;

use std::{borrow::Cow, cell::OnceCell, time::Duration};

use reqwest::{Method, RequestBuilder, Response, Url, header};
use serde::{Serialize, de::DeserializeOwned};
use skipper_core::port::Ids;

use crate::{
    failure::{Exit, Failure},
    targets::Target,
    world::RandomIds,
};

/// Longest wait for the head of an answer. Verbs answer when the intent is stored, long before the rollout ends.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// A server to talk to.
#[derive(Debug)]
pub(crate) struct Client {
    target: Target,
    base: Url,
    answer_within: Duration,
    http: OnceCell<reqwest::Client>,
}

/// One request, put together by a verb.
#[derive(Debug)]
pub(crate) struct Call {
    method: Method,
    path: String,
    query: Vec<(Cow<'static, str>, String)>,
    body: Option<(&'static str, bytes::Bytes)>,
    headers: Vec<(&'static str, String)>,
    key: Option<String>,
    is_alone: bool,
}

impl Call {
    /// Of this method, with the segments of the path, which are escaped: `["v1", "releases", name]`.
    pub(crate) fn new(method: Method, segments: &[&str]) -> Self {
        let mut path = String::new();
        for segment in segments {
            path.push('/');
            path.push_str(&escape(segment));
        }
        Self { method, path, query: Vec::new(), body: None, headers: Vec::new(), key: None, is_alone: false }
    }

    /// GET.
    pub(crate) fn get(segments: &[&str]) -> Self {
        Self::new(Method::GET, segments)
    }

    /// POST.
    pub(crate) fn post(segments: &[&str]) -> Self {
        Self::new(Method::POST, segments)
    }

    /// DELETE.
    pub(crate) fn delete(segments: &[&str]) -> Self {
        Self::new(Method::DELETE, segments)
    }

    /// Adds a query parameter.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "most values are literals and numbers")]
    pub(crate) fn query(mut self, name: &'static str, value: impl ToString) -> Self {
        self.query.push((Cow::Borrowed(name), value.to_string()));
        self
    }

    /// Adds a query parameter if there is one.
    #[must_use]
    pub(crate) fn maybe(self, name: &'static str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    /// With this JSON body.
    #[must_use]
    pub(crate) fn json(mut self, body: &impl Serialize) -> Self {
        let bytes = serde_json::to_vec(body).expect("wire types are always representable as JSON");
        self.body = Some(("application/json", bytes.into()));
        self
    }

    /// With this header.
    #[must_use]
    pub(crate) fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Under the caller's own idempotency key, in the header that the fleet's users know.
    #[must_use]
    pub(crate) fn key(mut self, key: String) -> Self {
        self.key = Some(key);
        self
    }

    /// Without what lets us in elsewhere.
    #[must_use]
    pub(crate) fn alone(mut self) -> Self {
        self.is_alone = true;
        self
    }

    /// With these bytes as the body.
    #[must_use]
    pub(crate) fn bytes(mut self, content_type: &'static str, bytes: impl Into<bytes::Bytes>) -> Self {
        self.body = Some((content_type, bytes.into()));
        self
    }
}

impl Client {
    /// Whether it sends something that lets it in.
    pub(crate) const fn has_token(&self) -> bool {
        self.target.credentials.is_some()
    }

    /// For a target. Reaches for nothing yet.
    ///
    /// # Errors
    ///
    /// An address that is none of `http` or `https`.
    pub(crate) fn new(target: Target) -> Result<Self, Failure> {
        let base = connect::base_url(&target.url.value)?;
        Ok(Self { target, base, answer_within: ANSWER_WITHIN, http: OnceCell::new() })
    }

    /// The same with less patience: for completions and diagnosis.
    #[must_use]
    pub(crate) fn answering_within(mut self, patience: Duration) -> Self {
        self.answer_within = patience;
        self
    }

    /// The server's address.
    pub(crate) fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// GET of a link that the server gave: its path and query, at the address by which the server is known here, whatever
    /// it calls itself. What lets us in stays here: such a link brings its own.
    ///
    /// # Errors
    ///
    /// It is no link.
    pub(crate) fn link(&self, given: &str) -> Result<Call, url::ParseError> {
        let link = self.base.join(given)?;
        let prefix = self.base.path().trim_end_matches('/');
        let path = link.path().strip_prefix(prefix).filter(|path| path.starts_with('/')).unwrap_or(link.path());
        let query =
            link.query_pairs().map(|(name, value)| (Cow::Owned(name.into_owned()), value.into_owned())).collect();
        Ok(Call { path: path.to_owned(), query, is_alone: true, ..Call::get(&[]) })
    }

    /// The tenant that requests name.
    pub(crate) fn tenant(&self) -> Option<&str> {
        self.target.tenant.as_ref().map(|tenant| tenant.value.as_str())
    }

    /// Asks, and reads the answer as JSON. Repeats a request that got lost; a changing one carries an idempotency key,
    /// so that it takes effect once however often it is repeated.
    ///
    /// # Errors
    ///
    /// What the server says, or why it cannot be reached.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, call: &Call) -> Result<T, Failure> {
        let bytes = self.ask_bytes(call).await?;
        serde_json::from_slice(&bytes).map_err(|error| self.not_ours(&error.to_string()))
    }

    /// Asks once, telling a lost connection from an answer that is an error.
    pub(crate) async fn ask_once<T: DeserializeOwned>(&self, call: &Call) -> Result<Result<T, Failure>, Lost> {
        let response = match self.checked(self.open_once(call, &[]).await?).await {
            Ok(response) => response,
            Err(failure) => return Ok(Err(failure)),
        };
        let bytes = body::read(response).await.map_err(Lost::Underway)?;
        Ok(serde_json::from_slice(&bytes).map_err(|error| self.not_ours(&error.to_string())))
    }

    /// Asks, and reads the answer as text.
    ///
    /// # Errors
    ///
    /// As [`Client::ask`].
    pub(crate) async fn ask_text(&self, call: &Call) -> Result<String, Failure> {
        let bytes = self.ask_bytes(call).await?;
        String::from_utf8(bytes.into()).map_err(|_| self.not_ours("the text is not UTF-8"))
    }

    /// Asks, and takes the answer as bytes.
    ///
    /// # Errors
    ///
    /// As [`Client::ask`].
    pub(crate) async fn ask_raw(&self, call: &Call) -> Result<bytes::Bytes, Failure> {
        self.ask_bytes(call).await
    }

    /// Asks, and does not look into the answer.
    ///
    /// # Errors
    ///
    /// As [`Client::ask`].
    pub(crate) async fn tell(&self, call: &Call) -> Result<(), Failure> {
        self.ask_bytes(call).await.map(drop)
    }

    async fn ask_bytes(&self, call: &Call) -> Result<bytes::Bytes, Failure> {
        let key = (call.method != Method::GET).then(|| RandomIds.next().to_string());
        let mut attempts = retry::Attempts::new();
        loop {
            let lost = match self.attempt(call, key.as_deref()).await {
                Ok(response) if retry::is_busy(&response) && attempts.may_go_on() => Lost::Busy,
                Ok(response) => match body::read(self.checked(response).await?).await {
                    Ok(bytes) => return Ok(bytes),
                    Err(error) => Lost::Underway(error),
                },
                Err(lost) => lost,
            };
            let Some(pause) = attempts.after(&lost) else { return Err(self.lost(&lost)) };
            tokio::time::sleep(pause).await;
        }
    }

    /// Opens an answer whose body is read as it comes.
    ///
    /// # Errors
    ///
    /// As [`Client::ask`]; a refused connection is not tried again, because only the caller knows how patient to be.
    pub(crate) async fn open(&self, call: &Call, headers: &[(&'static str, String)]) -> Result<Response, Failure> {
        match self.open_once(call, headers).await {
            Ok(response) => self.checked(response).await,
            Err(lost) => Err(self.lost(&lost)),
        }
    }

    /// As [`Client::open`], telling a lost connection from an answer that is an error.
    pub(crate) async fn open_once(&self, call: &Call, headers: &[(&'static str, String)]) -> Result<Response, Lost> {
        let key = (call.method != Method::GET).then(|| RandomIds.next().to_string());
        let build = self.request(call, key.as_deref()).await?;
        let build = headers.iter().fold(build, |build, (name, value)| build.header(*name, value));
        match tokio::time::timeout(self.answer_within, build.send()).await {
            Err(_) => Err(Lost::Late(self.answer_within)),
            Ok(Ok(response)) if retry::is_busy(&response) => Err(Lost::Busy),
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if error.is_connect() => Err(Lost::Unreachable(error)),
            Ok(Err(error)) => Err(Lost::Underway(error)),
        }
    }

    async fn attempt(&self, call: &Call, key: Option<&str>) -> Result<Response, Lost> {
        let build = self.request(call, key).await?;
        build
            .timeout(self.answer_within)
            .send()
            .await
            .map_err(|error| if error.is_connect() { Lost::Unreachable(error) } else { Lost::Underway(error) })
    }

    async fn request(&self, call: &Call, key: Option<&str>) -> Result<RequestBuilder, Lost> {
        let http = match self.http.get() {
            Some(http) => http,
            None => {
                let (ca_file, anybody) = (self.target.ca_file.as_deref(), self.target.trust_anybody);
                let built = connect::http_client(&self.base, ca_file, anybody, self.answer_within);
                let built = built.map_err(Lost::Setup)?;
                self.http.get_or_init(|| built)
            }
        };
        let mut url = self.base.clone();
        url.set_path(&format!("{}{}", self.base.path().trim_end_matches('/'), call.path));
        let mut build = http.request(call.method.clone(), url).query(&call.query);
        if let Some(tenant) = self.tenant().filter(|_| !call.is_alone) {
            build = build.query(&[("tenant", tenant)]);
        }
        if let Some(credentials) = self.target.credentials.as_ref().filter(|_| !call.is_alone) {
            let value = credentials::authorization(&credentials.value).await.map_err(Lost::Credentials)?;
            build = build.header(header::AUTHORIZATION, value);
        }
        build = match (&call.key, key) {
            (Some(own), _) => build.header("x-idempotency-key", own),
            (None, Some(key)) => build.header("idempotency-key", key),
            (None, None) => build,
        };
        for (name, value) in &call.headers {
            build = build.header(*name, value);
        }
        if let Some((content_type, bytes)) = &call.body {
            build = build.header(header::CONTENT_TYPE, *content_type).body(bytes.clone());
        }
        Ok(build.header("x-skipper-trigger", "cli"))
    }

    /// The answer itself, or the problem it tells of.
    pub(crate) async fn checked(&self, response: Response) -> Result<Response, Failure> {
        if response.status().is_success() {
            return Ok(response);
        }
        Err(problem::read(response, self.url(), self.has_token()).await)
    }

    /// Why no answer came, as an error for people.
    pub(crate) fn lost(&self, lost: &Lost) -> Failure {
        connect::explain(lost, self.url(), &self.target.url)
    }

    fn not_ours(&self, detail: &str) -> Failure {
        Failure::new(Exit::Error, format!("the answer of {} is not understood: {detail}", self.url()))
            .hint("is this address a Skipper server, of about this version? compare `skipper version`")
    }
}

fn escape(segment: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    segment.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// What is at the bottom of it: `connection refused`. What stands above it only says that a request was being made.
fn cause_of(error: &reqwest::Error) -> String {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(cause) = deepest.source() {
        deepest = cause;
    }
    let text = deepest.to_string();
    let text = text.split_once(" (os error ").map_or(text.as_str(), |(text, _)| text);
    let mut letters = text.chars();
    match letters.next() {
        Some(first) if !text.chars().nth(1).is_some_and(char::is_uppercase) => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_segment_of_the_path() {
        let call = Call::get(&["v1", "releases", "../x?y#z %"]);
        assert_eq!(call.path, "/v1/releases/..%2Fx%3Fy%23z%20%25");
    }
}
