//! One request to tell one thing.

use std::{sync::OnceLock, time::Duration};

use futures::StreamExt as _;
use http::{StatusCode, header};
use serde::Deserialize;
use serde_json::json;
use skipper_platform::artifact::{self, FetchLimits};
use skipper_source::app::{Github, Hook};

use super::INACTIVE;
use crate::{api::deploys::Heard, app::App, standard_webhook};

/// Longest answer that is read.
const MAX_ANSWER: usize = 256 << 10;
/// Longest description that GitHub takes.
const MAX_DESCRIPTION: usize = 140;

/// Why something was not told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// There is nobody to tell any more.
    Nobody,
    /// Another attempt would not help.
    Never(String),
    /// Another attempt may help, not before the time that was asked for.
    Later(String, Option<Duration>),
}

/// Sends requests. No message of it holds an address, a key or a token.
#[derive(Debug, Default)]
pub(super) struct Sender {
    /// Made when first needed: loading the host's certificates takes longer than the rest of a server's start.
    client: OnceLock<reqwest::Client>,
}

/// What GitHub says of a deployment it made.
#[derive(Deserialize)]
struct Made {
    id: u64,
}

impl Sender {
    /// Posts a webhook.
    pub(super) async fn hook(&self, app: &App, hook: &Hook, heard: &Heard) -> Result<(), Failure> {
        let body = heard.document.to_string();
        let at = app.clock.now().as_micros() / 1_000_000;
        let signature = standard_webhook::sign(&hook.keys, &heard.id, at, body.as_bytes());
        let signature = signature.ok_or_else(|| Failure::Never("its `secret` is empty".to_owned()))?;
        let request = self
            .client()?
            .post(hook.url.expose())
            .header(header::CONTENT_TYPE, "application/json")
            .header(standard_webhook::ID, &heard.id)
            .header(standard_webhook::TIMESTAMP, at.to_string())
            .header(standard_webhook::SIGNATURE, signature)
            .body(body);
        let answer = request.send().await.map_err(unreachable)?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            // By the standard: do not send any more.
            StatusCode::GONE => Err(Failure::Never("the webhook was answered with 410".to_owned())),
            _ => Err(later("the webhook", &answer)),
        }
    }

    /// Sets the state of a deployment of GitHub's, which is made first.
    pub(super) async fn github(
        &self,
        github: &Github,
        remote: &mut Option<String>,
        state: &str,
        heard: &Heard,
        public: Option<&str>,
    ) -> Result<(), Failure> {
        let environment = github.environment.as_str();
        let is_preview = environment.starts_with("preview/");
        let deployments = format!("{}/repos/{}/deployments", github.url, github.repository);
        if remote.is_none() {
            if state == INACTIVE {
                // What never began is not begun to be ended.
                return Ok(());
            }
            let body = json!({
                "ref": heard.commit.as_ref().unwrap_or(&heard.tag),
                "task": "deploy",
                "auto_merge": false,
                "required_contexts": [],
                "environment": environment,
                "transient_environment": is_preview,
                "production_environment": environment == "production",
                "description": shortened(&format!("{} by Skipper", heard.tag)),
                "payload": {"deploy_id": heard.deploy},
            });
            let answer = self.call(github, &deployments, body.to_string()).await?;
            let made: Made = serde_json::from_slice(&read(answer).await?)
                .map_err(|_| Failure::Later("GitHub's answer has no `id` of a deployment".to_owned(), None))?;
            *remote = Some(made.id.to_string());
        }
        let Some(id) = remote.as_deref() else { return Ok(()) };
        let description = heard.error.clone().unwrap_or_else(|| format!("{}: {}", heard.tag, state.replace('_', " ")));
        let mut body = json!({
            "state": state,
            "environment": environment,
            "description": shortened(&description),
            // Told of each, in order.
            "auto_inactive": false,
        });
        if let Some(public) = public {
            body["log_url"] = format!("{public}/v1/deploys/{}", heard.deploy).into();
        }
        self.call(github, &format!("{deployments}/{id}/statuses"), body.to_string()).await.map(drop)
    }

    async fn call(&self, github: &Github, url: &str, body: String) -> Result<reqwest::Response, Failure> {
        let request = self
            .client()?
            .post(url)
            .bearer_auth(github.token.expose())
            .header(header::ACCEPT, "application/vnd.github+json")
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-github-api-version", "2022-11-28")
            .body(body);
        let answer = request.send().await.map_err(unreachable)?;
        match answer.status() {
            status if status.is_success() => Ok(answer),
            StatusCode::UNPROCESSABLE_ENTITY => {
                let why = "GitHub answered with 422: is the tag that is deployed a branch, a tag or a commit there?";
                Err(Failure::Never(why.to_owned()))
            }
            _ => Err(later("GitHub", &answer)),
        }
    }

    fn client(&self) -> Result<&reqwest::Client, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let limits = FetchLimits { max_redirects: 0, ..FetchLimits::default() };
        let client = artifact::http_client(&limits, None).map_err(|error| Failure::Later(error.to_string(), None))?;
        Ok(self.client.get_or_init(|| client))
    }
}

fn later(who: &str, answer: &reqwest::Response) -> Failure {
    let asked = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Failure::Later(format!("{who} answered with {}", answer.status()), asked.map(Duration::from_secs))
}

/// Its own words would hold the address, which may be secret.
fn unreachable(cause: reqwest::Error) -> Failure {
    Failure::Later(cause.without_url().to_string(), None)
}

async fn read(answer: reqwest::Response) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let mut chunks = answer.bytes_stream();
    while let Some(chunk) = chunks.next().await.transpose().map_err(unreachable)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_ANSWER {
            return Err(Failure::Later("the answer is longer than 256 KiB".to_owned(), None));
        }
    }
    Ok(bytes)
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= MAX_DESCRIPTION {
        return text.to_owned();
    }
    text.chars().take(MAX_DESCRIPTION - 1).chain(['…']).collect()
}
