//! Takes over the history of a release that another server kept. Nothing of it runs until somebody goes back to a revision.

use std::{collections::HashMap, sync::Arc};

use skipper_core::{
    Sha256,
    name::{PlatformName, ReleaseName, TenantName},
    policy::Action,
    release::{Door, Release, RevisionState, Source},
    time::Timestamp,
};
use skipper_source::RenderOptions;
use skipper_store::PastRevision;

use super::{Caller, Wanted, kept, packages};
use crate::{
    app::App,
    error::{Code, Error},
};

/// One revision of before.
#[derive(Debug, Clone)]
pub struct Past {
    /// Its number.
    pub number: u64,
    /// What had become of it.
    pub state: RevisionState,
    /// Its package, by name and version.
    pub package: Wanted,
    /// Where among the zips that came along its package is.
    pub kept: Option<usize>,
    /// What the user had set, as YAML.
    pub values: Option<String>,
    /// The text that was deployed.
    pub manifest: Option<String>,
    /// Its platform account.
    pub platform: Option<PlatformName>,
    /// Free text.
    pub description: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Stores the release as a deleted one with this history.
///
/// # Errors
///
/// There is a release of that name; the numbers do not rise; a revision is live.
pub async fn take_over(
    app: &App,
    caller: &Caller,
    tenant: &TenantName,
    name: &ReleaseName,
    past: Vec<Past>,
    packages: Vec<Vec<u8>>,
) -> Result<(Release, Vec<String>), Error> {
    caller.may(Action::Deploy, tenant)?;
    let mut warnings = Vec::new();
    let mut revisions = Vec::with_capacity(past.len());
    let packages: Vec<Arc<Vec<u8>>> = packages.into_iter().map(Arc::new).collect();
    let mut documents = HashMap::new();
    for one in past {
        let kept = match one.kept {
            None => None,
            Some(at) => {
                let bytes = packages.get(at).ok_or_else(|| {
                    Error::new(Code::Invalid, format!("revision {}: there is no `packages[{at}]`", one.number))
                })?;
                let place = (at, one.package.repository.clone());
                if let Some(document) = documents.get(&place) {
                    Some(String::clone(document))
                } else {
                    let read = kept::document_of_zip(app, place.1.as_deref(), Arc::clone(bytes)).await;
                    match read {
                        Ok(document) => {
                            documents.insert(place, document.clone());
                            Some(document)
                        }
                        Err(error) => {
                            warnings.push(format!("revision {}: its package is not remembered: {error}", one.number));
                            None
                        }
                    }
                }
            }
        };
        revisions.push(revision(app, name, one, kept, &mut warnings).await?);
    }
    let release = app.store.release_take_over(tenant, name, Door::Releases, &revisions, &caller.provenance).await?;
    Ok((release, warnings))
}

async fn revision(
    app: &App,
    name: &ReleaseName,
    past: Past,
    kept: Option<String>,
    warnings: &mut Vec<String>,
) -> Result<PastRevision, Error> {
    let platform = past.platform.unwrap_or_else(|| app.default_platform.clone());
    let mut spec = None;
    if let Some(manifest) = &past.manifest {
        let options = RenderOptions { release: name.clone(), revision: past.number, platform: platform.clone() };
        match skipper_source::classic::spec_of(manifest, &options) {
            Ok(read) => spec = Some(read),
            Err(faults) => {
                warnings.push(format!("revision {}: nobody can go back to it: {faults}", past.number));
            }
        }
    }
    // A package that is not here any more leaves its name behind.
    let chosen = packages::choose(app, &past.package).await.ok();
    let kept = match (kept, &chosen) {
        (None, Some(chosen)) => Some(kept::document(app, chosen).await?),
        (kept, _) => kept,
    };
    let sha256 = chosen.map_or(Sha256::from_bytes([0; 32]), |chosen| chosen.sha256);
    let values = past.values.as_deref().map(skipper_source::classic::values_tree);
    Ok(PastRevision {
        trigger: None,
        number: past.number,
        state: past.state,
        source: Source::Package {
            repository: past.package.repository.unwrap_or_else(|| "local".to_owned()),
            name: past.package.name,
            version: past.package.version.unwrap_or_default(),
            sha256,
            values: values.unwrap_or_else(|| serde_json::Value::Object(serde_json::Map::new())),
            platform: Some(platform),
            raw: past.values,
        },
        manifest: past.manifest,
        spec,
        description: past.description.filter(|text| !text.is_empty()),
        kept,
        created_at: past.created_at,
        rollout: None,
    })
}
