//! What others are told of a deploy.

use serde_json::{Value, json};
use skipper_core::{port::Loaded, release::Source};
use skipper_store::Told;

use super::{id, read};
use crate::{api::own, app::App};

/// One thing that is told, in the words that all of them share.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    /// The same each time it is told.
    pub(crate) id: String,
    /// The deploy's id.
    pub(crate) deploy: String,
    /// What is deployed.
    pub(crate) tag: String,
    /// The commit, where it is known.
    pub(crate) commit: Option<String>,
    /// Why it did not reach its version.
    pub(crate) error: Option<String>,
    /// The whole document.
    pub(crate) document: Value,
}

/// Puts it into words.
pub(crate) fn heard(app: &App, loaded: &Loaded, told: &Told) -> Heard {
    let view = read::view(app, loaded);
    let deploy = id::of(loaded.rollout.id);
    let commit = loaded.target.as_ref().and_then(|revision| match &revision.source {
        Source::App { preview: Some(preview), .. } => preview.sha.clone(),
        _ => None,
    });
    let data = json!({
        "deploy_id": deploy,
        "app": view.app,
        "tag": view.tag,
        "commit": commit,
        "state": told.state,
        "revision": view.revision,
        "started_at": view.started_at,
        "finished_at": view.finished_at,
        "error": view.error,
        "triggered_by": view.triggered_by,
    });
    let document = json!({"type": format!("deploy.{}", told.state), "timestamp": own::time(told.at), "data": data});
    Heard {
        id: format!("{deploy}_{}_{}", told.state, told.seq),
        deploy,
        tag: view.tag.unwrap_or_default(),
        commit,
        error: view.error,
        document,
    }
}
