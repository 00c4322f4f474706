use std::{pin::pin, time::Duration};

use serde::Deserialize;
use serde_json::Value;
use skipper_core::name::ReleaseName;
use skipper_server::api::deploys::wire::{DeployView, Serving};
use tokio::time::Instant;

use super::super::Context;
use crate::{
    client::{Call, Client},
    failure::{Done, Exit, Failure},
    render::{Style, lasted, tame, tame_lines},
};

/// Longest that the server may be away before waiting for it makes no sense. A restart takes a second.
const AWAY: Duration = Duration::from_secs(120);
/// Pauses between questions: at first a deploy may end at once, later it takes its time.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// What was accepted. What else a server says is shown as it is.
#[derive(Debug, Deserialize)]
pub(in super::super) struct Accepted {
    pub(in super::super) deploy_id: String,
    pub(in super::super) app: String,
    #[serde(default)]
    pub(in super::super) tag: String,
    #[serde(default)]
    preview_url: Option<String>,
    /// Where it is looked at with nothing but this address.
    #[serde(default)]
    status_url: Option<String>,
}

/// How a deploy is waited for.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Waiting {
    /// No longer than this.
    pub(in super::super) at_most: Option<Duration>,
}

/// Tells of a deploy that was accepted, and of its end if that is waited for. `what` begins the sentence: `Deploy`.
///
/// # Errors
///
/// The deploy failed, the time passed, Ctrl-C, or the server is gone for good.
pub(in super::super) async fn settle(context: &Context, what: &str, answer: Value, waiting: Option<Waiting>) -> Done {
    let out = &context.out;
    let accepted: Accepted = serde_json::from_value(answer.clone())
        .map_err(|error| Failure::error(format!("the answer is not that of a deploy: {error}")))?;
    let Accepted { deploy_id, app, tag, .. } = &accepted;
    let Some(waiting) = waiting else {
        if out.json {
            return out.json(&answer);
        }
        out.line(&tame(&format!("✓ {what} initiated for '{app}' → tag '{tag}' (deploy_id: {deploy_id})")))?;
        if let Some(url) = &accepted.preview_url {
            out.line(&format!("  {}", tame(url)))?;
        }
        out.next(&format!("`skipper status {}` shows how it goes; --wait waits for its end", tame(app)));
        return Ok(());
    };
    out.note(&tame(&format!("{what} initiated for '{app}' → tag '{tag}' (deploy_id: {deploy_id})")));
    let ended = {
        let mut stop = pin!(stop(waiting.at_most));
        tokio::select! {
            biased;
            exit = &mut stop => Err(exit),
            ended = follow(context, &accepted) => Ok(ended?),
        }
    };
    match ended {
        Ok(view) => told(context, &accepted, &view).await,
        Err(exit) => {
            if out.json {
                out.json(&answer)?;
            }
            let message = tame(&format!("the deploy of {app} has not ended yet; it goes on ({deploy_id})"));
            Err(Failure::new(exit, message).hint(format!("`skipper status {}` shows how it goes", tame(app))))
        }
    }
}

/// Ends when the time is up, or somebody wants to wait no longer.
pub(in super::super) async fn stop(at_most: Option<Duration>) -> Exit {
    let time_up = async {
        match at_most {
            Some(at_most) => tokio::time::sleep(at_most).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        Ok(()) = tokio::signal::ctrl_c() => Exit::Interrupted,
        () = time_up => Exit::Timeout,
    }
}

/// Asks until the deploy has ended, through restarts of the server.
async fn follow(context: &Context, accepted: &Accepted) -> Result<DeployView, Failure> {
    let client = context.client()?;
    let call = question(client, accepted)?;
    let (mut pause, mut last_contact, mut shown) = (PAUSES.0, Instant::now(), String::new());
    loop {
        match client.ask_once::<DeployView>(&call).await {
            Ok(Ok(view)) => {
                last_contact = Instant::now();
                if view.finished_at.is_some() {
                    return Ok(view);
                }
                if shown != view.status {
                    context.out.note(&context.out.paint_err.style(Style::Dim, &format!("  {}", tame(&view.status))));
                    shown = view.status;
                    pause = PAUSES.0;
                }
            }
            Ok(Err(failure)) if failure.exit == Exit::Auth => {
                return Err(Failure::new(
                    Exit::Auth,
                    format!(
                        "the deploy was accepted ({}), and how it goes is not shown to us: {failure}",
                        accepted.deploy_id
                    ),
                )
                .hint("this server gives no `status_url`; waiting needs a token: --token-file or SLIP_TOKEN"));
            }
            Ok(Err(failure)) => return Err(failure),
            Err(lost) if last_contact.elapsed() > AWAY => {
                let failure = client.lost(&lost);
                return Err(Failure::new(
                    failure.exit,
                    format!("{failure}\nthe deploy goes on when the server is back"),
                )
                .hint(format!("`skipper status {}` shows how it went", tame(&accepted.app))));
            }
            Err(_) if shown != AWAY_NOTE => {
                AWAY_NOTE.clone_into(&mut shown);
                context.out.note(AWAY_NOTE);
            }
            Err(_) => {}
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(PAUSES.1);
    }
}

const AWAY_NOTE: &str = "the server does not answer; waiting for it to come back";

/// How a deploy is asked about: by the address that was given for it, else by its id.
fn question(client: &Client, accepted: &Accepted) -> Result<Call, Failure> {
    let Some(given) = &accepted.status_url else {
        return Ok(Call::get(&["v1", "deploys", &accepted.deploy_id]));
    };
    client
        .link(given)
        .map_err(|error| Failure::error(format!("the server gave `{}` as `status_url`: {error}", tame(given))))
}

async fn told(context: &Context, accepted: &Accepted, view: &DeployView) -> Done {
    let out = &context.out;
    if out.json {
        out.json(view)?;
    }
    let (app, release) = named(view);
    let tag = tame(view.tag.as_deref().unwrap_or(&accepted.tag));
    let took = took(view).map_or(String::new(), |took| format!(" after {}", lasted(took)));
    if view.status == "completed" {
        if out.json {
            return Ok(());
        }
        let revision = view.revision.map_or(String::new(), |revision| format!(" (revision {revision})"));
        out.line(&out.paint.style(Style::Good, &format!("✓ '{app}' serves '{tag}'{revision}{took}")))?;
        if let Some(url) = &accepted.preview_url {
            out.line(&format!("  {}", tame(url)))?;
        }
        return Ok(());
    }
    let mut message = format!("the deploy of {app} at {tag} ended as {}{took}", tame(&view.status));
    if let Some(error) = &view.error {
        message.push_str(&format!(": {}", tame_lines(error)));
    }
    if let Some(Serving { revision, tag }) = &view.serving {
        message.push('\n');
        message.push_str(&super::super::app_status::serving(*revision, tag.as_deref()));
    }
    Err(Failure::new(Exit::DeployFailed, message).hint(format!("`skipper why {release}` tells more")))
}

/// What was deployed, for people, and the release that it is.
fn named(view: &DeployView) -> (String, String) {
    let app = tame(&view.app);
    match &view.preview {
        None => (app.clone(), app),
        Some(id) => {
            let release = ReleaseName::new(view.app.clone()).ok();
            let release = release.and_then(|of| skipper_source::app::preview_release(&of, id).ok());
            let release = release.map_or_else(|| app.clone(), |release| release.to_string());
            (format!("{app}, preview {}", tame(id)), release)
        }
    }
}

fn took(view: &DeployView) -> Option<Duration> {
    let at = |text: &str| text.parse::<jiff::Timestamp>().ok();
    at(view.finished_at.as_deref()?)?.duration_since(at(&view.started_at)?).try_into().ok()
}
