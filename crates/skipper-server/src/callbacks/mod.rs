//! Tells others what became of deploys: GitHub's deployments, and webhooks in the form of Standard Webhooks.
//!
//! What is to be told is decided from the events, after a cursor that is stored; it waits in the store until it was told, so
//! that neither a crash nor a receiver that is down loses any of it. What was told just before a crash is told again, under
//! the same id.

mod deliver;
mod follow;
mod send;

use skipper_source::app::{App as File, Callbacks, Github, Hook, split_preview};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    apps::{Apps, LiveApps},
};

/// The words for what becomes of a deploy, as GitHub has them.
const IN_PROGRESS: &str = "in_progress";
const SUCCESS: &str = "success";
const FAILURE: &str = "failure";
const ERROR: &str = "error";
const INACTIVE: &str = "inactive";

/// Tells until `stop`. Only a server with a directory of apps has anybody to tell.
///
/// # Cancel safety
///
/// Dropping it is as a crash: what was being told is told again.
pub async fn run(app: App, stop: CancellationToken) {
    if app.apps.get().is_none() {
        return;
    }
    let news = Notify::new();
    tokio::join!(follow::follow(&app, &stop, &news), deliver::deliver(&app, &stop, &news));
}

/// Who is told.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Github(Github),
    Hook(Hook),
}

impl Target {
    /// Its word in the store. A hook is found again by its address, wherever that stands in the file by then.
    fn word(&self) -> String {
        match self {
            Self::Github(_) => "github".to_owned(),
            Self::Hook(hook) => format!("hook:{}", skipper_core::Sha256::of(hook.url.expose().as_bytes()).short()),
        }
    }
}

/// Everybody who is told of a release.
fn targets(live: &LiveApps, apps: &Apps, release: &str) -> Vec<Target> {
    let (name, preview) = split_preview(release);
    let gone;
    let own = match apps.get(name) {
        Some(Ok(File { callbacks, .. })) => callbacks,
        Some(Err(_)) => return Vec::new(),
        // An app that was removed is told of to whoever heard of its deploys.
        None => {
            gone = live.callbacks_of_gone(name);
            &gone
        }
    };
    let all = &apps.server().callbacks;
    let github = Callbacks::github(all, own).map(|mut github| {
        if let Some(id) = preview {
            github.environment = format!("preview/{id}");
        }
        Target::Github(github)
    });
    let hooks = Callbacks::webhooks(all, own).iter().filter(|hook| !hook.url.expose().is_empty());
    github.into_iter().chain(hooks.cloned().map(Target::Hook)).collect()
}
