//! What slip deployed, as revisions that are over.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;
use skipper_core::{
    name::{ReleaseName, TenantName},
    release::{Door, RevisionState, Source},
    time::Timestamp,
};
use skipper_store::{PastRevision, SlipDeploy, read_slip};
use tracing::{info, warn};

use super::super::{Apps, previews};
use crate::{api, app::App};

/// Most deploys of an app that are taken, the newest ones.
const MOST: usize = 1000;
/// Largest file of an app's state; a real one has 300 bytes.
const LARGEST: u64 = 64 << 10;

/// Stores the history of each configured app that has no release yet. Says whether all went well.
pub(super) async fn take(app: &App, apps: &Apps, storage: &Path) -> bool {
    let (mut by_app, mut well) = (BTreeMap::<String, Vec<SlipDeploy>>::new(), true);
    let database = storage.join("slip.db");
    if database.is_file() {
        match read_slip(&database).await {
            Ok(all) => all.into_iter().for_each(|one| by_app.entry(one.app.clone()).or_default().push(one)),
            Err(error) => {
                warn!(%error, "the history in slip's database cannot be read");
                well = false;
            }
        }
    }
    for name in apps.names() {
        let Ok(release) = ReleaseName::new(name) else { continue };
        let image =
            apps.get(name).and_then(|read| read.as_ref().ok()).map(|file| file.image.clone()).unwrap_or_default();
        let deploys = by_app.remove(name).unwrap_or_else(|| of_state(storage, name, &image));
        let past = revisions(&deploys);
        if past.is_empty() {
            continue;
        }
        let (tenant, by) = (TenantName::default_tenant(), previews::system("takeover", &*app.ids));
        match app.store.release_take_over(&tenant, &release, Door::Deploys, &past, &by).await {
            Ok(_) => info!(app = name, deploys = past.len(), "what slip deployed is the app's history"),
            // Taken already, or deployed since.
            Err(skipper_store::Error::Exists { .. }) => {}
            Err(error) => {
                warn!(app = name, %error, "the history of an app could not be taken over");
                well = false;
            }
        }
    }
    well
}

fn revisions(deploys: &[SlipDeploy]) -> Vec<PastRevision> {
    let newest = &deploys[deploys.len().saturating_sub(MOST)..];
    let known = newest.iter().filter_map(|one| Some((one, time(&one.started_at)?)));
    let numbered = known.zip(1..).map(|((one, created_at), number)| PastRevision {
        number,
        state: match one.status.as_str() {
            "completed" => RevisionState::Superseded,
            "failed" => RevisionState::Failed,
            _ => RevisionState::Cancelled,
        },
        source: Source::App {
            image: one.image.clone(),
            tag: one.tag.clone(),
            images: BTreeMap::new(),
            preview: None,
            signed_at: None,
        },
        manifest: None,
        spec: None,
        // Of one that failed it is told as the reason.
        description: Some(one.error.clone().unwrap_or_else(|| "deployed by slip".to_owned())),
        trigger: one.triggered_by.clone(),
        kept: None,
        created_at,
        rollout: api::deploys::rollout_of(&one.id),
    });
    numbered.collect()
}

pub(super) fn time(text: &str) -> Option<Timestamp> {
    text.parse::<jiff::Timestamp>().ok().map(|at| Timestamp::from_micros(at.as_microsecond()))
}

/// Before there was a database, only the tag that serves and the one before it were written down.
fn of_state(storage: &Path, name: &str, image: &str) -> Vec<SlipDeploy> {
    let path = storage.join("state").join(format!("{name}.json"));
    let fits = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() <= LARGEST);
    let read = fits.then(|| fs::read(&path).ok()).flatten();
    let Some(state) = read.and_then(|text| serde_json::from_slice::<Value>(&text).ok()) else { return Vec::new() };
    let at = state["deployed_at"].as_str().unwrap_or_default();
    let tags = ["previous_tag", "current_tag"].into_iter().filter_map(|key| state[key].as_str());
    let deploys = tags.filter(|tag| !tag.is_empty()).map(|tag| SlipDeploy {
        id: String::new(),
        app: name.to_owned(),
        image: image.to_owned(),
        tag: tag.to_owned(),
        status: "completed".to_owned(),
        started_at: at.to_owned(),
        error: None,
        triggered_by: None,
    });
    deploys.collect()
}
