//! Previews that slip made: they are listed, closed and ended by their time like those of our own.

use std::collections::BTreeMap;

use skipper_core::{name::ReleaseName, time::Timestamp};
use tracing::{info, warn};

use super::{INFIX, LISTED, MANAGED, OF, STOPPED, remove, written::Written};
use crate::{
    app::App,
    error::{Code, Error},
};

/// A preview that slip runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlipPreview {
    /// What it is a preview of.
    pub app: String,
    /// Its id.
    pub id: String,
    /// What serves.
    pub tag: Option<String>,
    /// The commit.
    pub sha: Option<String>,
    /// Its host name.
    pub domain: Option<String>,
    /// The port of its container.
    pub port: Option<u16>,
    /// Since when.
    pub deployed_at: Option<Timestamp>,
    /// When it goes by itself.
    pub expires_at: Option<Timestamp>,
}

impl SlipPreview {
    /// Of what slip wrote down, or of the label alone where it wrote nothing; `None` for what is no preview.
    pub(super) fn of(app: &str, label: &str, tag: &str, written: Option<&Written>) -> Option<Self> {
        let id = label.strip_prefix(app)?.strip_prefix(INFIX)?;
        Some(Self {
            app: app.to_owned(),
            id: id.to_owned(),
            tag: Some(tag).filter(|tag| !tag.is_empty()).map(str::to_owned),
            sha: written.and_then(|written| written.sha.clone()),
            domain: written.and_then(|written| written.domain.clone()),
            port: written.and_then(|written| written.port),
            deployed_at: written.and_then(|written| written.deployed_at),
            expires_at: written.and_then(|written| written.expires_at),
        })
    }
}

/// Those of an app that slip runs and nothing has taken the place of, by id.
#[must_use]
pub fn list(app: &App, of: &ReleaseName) -> Vec<SlipPreview> {
    let known: BTreeMap<String, SlipPreview> = app.slips.known(|known| known.previews.clone());
    known.into_values().filter(|preview| preview.app == of.as_str()).collect()
}

/// Removes what slip runs of one preview of an app, or of all. The ids of those that were there.
///
/// # Errors
///
/// What was found could not be removed, or an engine does not answer.
pub async fn tear_down(app: &App, of: &ReleaseName, id: Option<&str>) -> Result<Vec<String>, Error> {
    if app.slips.known(|known| known.is_over) {
        return Ok(Vec::new());
    }
    let begin = format!("{of}{INFIX}");
    let is_meant = |label: &str| label.strip_prefix(&begin).is_some_and(|found| id.is_none_or(|id| id == found));
    let pods: Vec<(String, String)> = super::written(app)
        .await
        .into_iter()
        .filter(|one| is_meant(&one.label))
        .filter_map(|one| Some((one.label, one.pod?)))
        .filter(|(_, pod)| !app.slips.known(|known| known.pods_gone.contains(pod)))
        .collect();
    let mut gone: Vec<String> = Vec::new();
    let left = |what: &str, why: &str| {
        Error::new(Code::Conflict, format!("what slip runs of preview `{what}` could not be removed: {why}"))
            .hint("see that the container engine answers, and ask again")
    };
    for (target, platform) in app.platforms.iter() {
        let found = platform.foreign(&[MANAGED], LISTED).await;
        let found = match found {
            Ok(found) => found,
            // Not every account has an engine, and one that is away may have nothing of it.
            Err(error) => {
                warn!(platform = %target.0, error = error.chain(), "cannot be asked for previews of slip's");
                continue;
            }
        };
        for one in found {
            let Some(label) = one.labels.get(OF).filter(|label| is_meant(label)) else { continue };
            if !remove(platform.as_ref(), &one, "the preview is closed").await {
                return Err(left(label, "its container does not go"));
            }
            gone.push(label.clone());
        }
        for (label, pod) in &pods {
            let removed = platform.remove_foreign_pod(pod, STOPPED).await;
            removed.map_err(|error| left(label, &error.chain()))?;
            info!(pod, "the preview is closed: a pod of slip's, if it was there, is removed");
            gone.push(label.clone());
        }
    }
    app.slips.known(|known| known.pods_gone.extend(pods.into_iter().map(|(_, pod)| pod)));
    gone.sort_unstable();
    gone.dedup();
    app.slips.known(|known| {
        for label in &gone {
            known.previews.remove(label);
            known.serving.remove(label);
        }
    });
    let ids = gone.iter().filter_map(|label| label.strip_prefix(&begin).map(str::to_owned)).collect();
    app.caddy.leave(gone);
    Ok(ids)
}
