//! Takes in what people wrote.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use skipper_core::{
    Sha256,
    actor::{Actor, Provenance},
    event::NewEvent,
    id::RequestId,
    name::{NodeName, TenantName},
};
use tracing::{info, warn};

use super::{
    WrongFiles,
    place::{Found, Place},
};
use crate::{
    app::App,
    error::Error,
    fleet::Farewell,
    verb::{
        Caller, nodes,
        resources::{self, Kind},
    },
};

/// The key of a status under which the server leaves the digest of the spec that it wrote.
pub(super) const WRITTEN: &str = "written";

/// What was last seen of each file, right or wrong.
#[derive(Debug)]
pub(super) struct Taken {
    seen: HashMap<PathBuf, (u64, i64, i64)>,
    wrong: WrongFiles,
}

impl Taken {
    pub(super) fn new(wrong: WrongFiles) -> Self {
        Self { seen: HashMap::new(), wrong }
    }

    /// The file is as the server wrote it.
    pub(super) fn wrote(&mut self, place: &Place, folder: &str, id: &str) {
        let path = place.path(folder, id);
        if let Some(stamp) = Place::stamp(&path) {
            self.seen.insert(path, stamp);
        }
    }

    /// Whether somebody has written the file since it was looked at: then it is not to be written over.
    pub(super) fn is_unread(&self, place: &Place, folder: &str, id: &str) -> bool {
        let path = place.path(folder, id);
        Place::stamp(&path).is_some_and(|stamp| self.seen.get(&path) != Some(&stamp))
    }

    /// Whether the server may write a resource's file. What somebody wrote there and is wrong is kept while the spec stays as it
    /// was; where another one is stored by now, it is laid aside.
    pub(super) fn may_write(&self, place: &Place, kind: Kind, id: &str, spec: &str) -> bool {
        match self.wrong.stored_since(kind, id, spec) {
            None => true,
            Some(false) => false,
            Some(true) => {
                let aside = place.lay_aside(folder(kind), id);
                match &aside {
                    Ok(to) => warn!(
                        "{}/{id}.json was wrong, and another document is stored now; what was written there is in {}",
                        folder(kind),
                        to.display()
                    ),
                    Err(error) => {
                        warn!(%error, "{}/{id}.json is wrong and cannot be laid aside; it is left", folder(kind));
                    }
                }
                aside.is_ok() && self.wrong.clear(kind, id)
            }
        }
    }

    /// Ids of a folder's files that were there once and are not in `found`.
    fn gone(&mut self, place: &Place, folder: &str, found: &[Found]) -> Vec<String> {
        let here: HashSet<&PathBuf> = found.iter().map(|one| &one.path).collect();
        let folder = place.root().join(folder);
        let gone = |path: &PathBuf| path.parent() == Some(folder.as_path()) && !here.contains(path);
        let paths: Vec<PathBuf> = self.seen.keys().filter(|path| gone(path)).cloned().collect();
        for path in &paths {
            self.seen.remove(path);
        }
        paths.iter().filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect()
    }

    fn is_news(&mut self, found: &Found) -> bool {
        self.seen.insert(found.path.clone(), found.stamp) != Some(found.stamp)
    }
}

/// What is written of what lets a node's agent in.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NodeAuth {
    pub(super) node: NodeName,
    pub(super) token_hash: String,
    #[serde(default)]
    pub(super) created_at: Option<jiff::Timestamp>,
    #[serde(default)]
    pub(super) rotated_at: Option<jiff::Timestamp>,
    #[serde(default)]
    pub(super) revoked: bool,
}

/// The digest of a spec as the server leaves it in files.
pub(super) fn digest(spec: &Value) -> String {
    Sha256::of_json(spec).short()
}

fn caller(app: &App) -> Caller {
    let request = RequestId::from_uuid(app.ids.next());
    let correlation = request.to_string();
    let provenance = Provenance { actor: Actor::System, trigger: "files".to_owned(), request, correlation };
    Caller { provenance, idempotency: None }
}

/// Where files of a kind are.
pub(super) const fn folder(kind: Kind) -> &'static str {
    match kind {
        Kind::Node => "resources/nodes",
        Kind::Tenant => "resources/tenants",
        Kind::Service => "resources/services",
    }
}

/// Everything that has changed since it was looked at last. Nodes come before what names them. Answers whose files are gone.
pub(super) async fn all(app: &App, place: &Place, taken: &mut Taken) -> Vec<(Kind, String)> {
    let mut gone = Vec::new();
    for kind in [Kind::Node, Kind::Tenant, Kind::Service] {
        let all = place.list(folder(kind));
        for id in taken.gone(place, folder(kind), &all) {
            taken.wrong.clear(kind, &id);
            gone.push((kind, id));
        }
        for found in &all {
            if !taken.is_news(found) {
                continue;
            }
            match resource(app, kind, found).await {
                Err(faults) => refuse(app, taken, kind, found, &faults).await,
                Ok(()) if taken.wrong.clear(kind, &found.id) => {
                    info!("{}/{}.json can be read again", folder(kind), found.id);
                }
                Ok(()) => {}
            }
        }
    }
    let all = place.list("auth/nodes");
    gone.extend(taken.gone(place, "auth/nodes", &all).into_iter().map(|id| (Kind::Node, id)));
    for found in &all {
        if taken.is_news(found)
            && let Err(what) = auth(app, found).await
        {
            warn!("{}: {what}; what was read before holds", found.path.display());
        }
    }
    gone
}

/// Tells of a file that cannot be taken in: in the log, as an event, and in the resource's status.
async fn refuse(app: &App, taken: &Taken, kind: Kind, found: &Found, faults: &[String]) {
    let file = format!("{}/{}.json", folder(kind), found.id);
    let what = faults.join("; ");
    warn!("{file}: {what}; what was read before holds");
    taken.wrong.note(kind, &found.id, format!("{file}: {what}"), stored(app, kind, &found.id).await);
    let told = NewEvent {
        kind: "resource.refused".to_owned(),
        tenant: (kind == Kind::Tenant).then(|| TenantName::new(found.id.clone()).ok()).flatten(),
        release: None,
        revision: None,
        rollout: None,
        provenance: caller(app).provenance,
        data: json!({"kind": kind.as_str(), "id": found.id, "file": file, "faults": faults}),
    };
    if let Err(error) = app.store.events_tell(vec![told]).await {
        warn!(%error, "that a file is wrong cannot be told as an event");
    }
}

/// The digest of what is stored.
async fn stored(app: &App, kind: Kind, id: &str) -> Option<String> {
    if kind == Kind::Node {
        let node = app.store.node_get(&NodeName::new(id).ok()?).await.ok()??;
        return Some(digest(nodes::document(&nodes::resource(app, &node)).get("spec")?));
    }
    Some(digest(&app.store.resource_get(kind.as_str(), id).await.ok()??.spec))
}

/// Everything that is wrong, each with its line and key where these are known.
fn faults(error: &Error) -> Vec<String> {
    match error.all_faults() {
        [] => vec![error.chain()],
        all => all.to_vec(),
    }
}

async fn resource(app: &App, kind: Kind, found: &Found) -> Result<(), Vec<String>> {
    let bytes = Place::read(&found.path).map_err(|cause| vec![cause.to_string()])?;
    let document: Value = serde_json::from_slice(&bytes).map_err(|cause| vec![cause.to_string()])?;
    let spec = document.get("spec").cloned().unwrap_or(json!({}));
    let by_server = document.pointer(&format!("/status/{WRITTEN}")).and_then(Value::as_str);
    if by_server == Some(digest(&spec).as_str()) {
        // Nobody has touched it; the database may be further.
        return Ok(());
    }
    let stored = resources::put(app, &caller(app), kind, &found.id, &bytes).await;
    stored.map_err(|error| faults(&error))?;
    info!(file = %found.path.display(), "took in {} `{}`", kind.as_str(), found.id);
    Ok(())
}

async fn auth(app: &App, found: &Found) -> Result<(), String> {
    let bytes = Place::read(&found.path).map_err(|cause| cause.to_string())?;
    let auth: NodeAuth = serde_json::from_slice(&bytes).map_err(|cause| cause.to_string())?;
    if auth.node.as_str() != found.id {
        return Err(format!("`node` is `{}`, and the file is called `{}`", auth.node, found.id));
    }
    let hash = auth.token_hash.strip_prefix("sha256:").unwrap_or(&auth.token_hash);
    let hash: Sha256 =
        hash.parse().map_err(|_| "`token_hash` is the SHA-256 of the token in 64 hex digits".to_owned())?;
    let by = caller(app).provenance;
    let known = app.store.node_tokens(&auth.node).await.map_err(|error| error.to_string())?;
    let stored = known.iter().find(|token| token.sha256 == hash);
    if auth.revoked {
        if known.iter().any(|token| token.revoked_at.is_none()) {
            app.store.node_tokens_revoke(&auth.node, &by).await.map_err(|error| error.to_string())?;
            app.fleet.links().close(&auth.node, Farewell::Refused);
            info!(node = %auth.node, "its tokens are revoked, as its file says");
        }
        return Ok(());
    }
    if stored.is_none() {
        app.store.node_token_adopt(&auth.node, hash, &by).await.map_err(|error| error.to_string())?;
        info!(node = %auth.node, "took in its token");
    }
    Ok(())
}
