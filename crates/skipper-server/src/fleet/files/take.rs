//! Takes in what people wrote.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
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
    place::{Found, Place, Stamp},
    watch::{News, Watch},
};
use crate::{
    app::App,
    error::Error,
    verb::{
        Caller, nodes,
        resources::{self, Kind},
    },
};

/// The key of a status under which the server leaves the digest of the spec that it wrote.
pub(super) const WRITTEN: &str = "written";

/// The folders that people write into. Nodes come before what names them.
const FOLDERS: [(Option<Kind>, &str); 4] = [
    (Some(Kind::Node), "resources/nodes"),
    (Some(Kind::Tenant), "resources/tenants"),
    (Some(Kind::Service), "resources/services"),
    (None, "auth/nodes"),
];

type Stamps = HashMap<PathBuf, Stamp>;

/// What was last seen of each file, right or wrong, and what was heard of since.
#[derive(Debug)]
pub(crate) struct Taken {
    place: Place,
    seen: Mutex<Stamps>,
    watch: Mutex<Watch>,
    /// What was heard of is being taken in.
    busy: AtomicBool,
    wrong: WrongFiles,
    /// Whose files somebody took away.
    missing: Mutex<Vec<(Kind, String)>>,
}

impl Taken {
    /// Nothing was looked at yet.
    pub(super) fn new(place: &Place, wrong: WrongFiles) -> Self {
        let folders = FOLDERS.iter().map(|(_, folder)| place.root().join(folder)).collect();
        Self {
            place: place.clone(),
            seen: Mutex::default(),
            watch: Mutex::new(Watch::new(folders)),
            busy: AtomicBool::new(false),
            wrong,
            missing: Mutex::default(),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Stamps> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file is as the server wrote it. What somebody wrote since has another stamp.
    pub(super) fn wrote(&self, place: &Place, folder: &str, id: &str, stamp: Stamp) {
        self.seen().insert(place.path(folder, id), stamp);
    }

    /// Whether somebody has written the file since it was looked at: then it is not to be written over.
    pub(super) fn is_unread(&self, place: &Place, folder: &str, id: &str) -> bool {
        let path = place.path(folder, id);
        Place::stamp(&path).is_some_and(|stamp| self.seen().get(&path) != Some(&stamp))
    }

    /// The stamp of the file that was seen last.
    pub(super) fn stamp(&self, place: &Place, folder: &str, id: &str) -> Option<Stamp> {
        self.seen().get(&place.path(folder, id)).copied()
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

    /// Whose files were taken away since it was asked last.
    pub(super) fn missing(&self) -> Vec<(Kind, String)> {
        std::mem::take(&mut *self.missing.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a file was there and is not any more.
    fn is_gone(&self, folder: &str, id: &str) -> bool {
        let path = self.place.path(folder, id);
        self.seen().contains_key(&path) && Place::stamp(&path).is_none()
    }

    /// A document's file is not there any more; without a kind it was one of what lets a node in.
    fn gone(&self, kind: Option<Kind>, folder: &str, id: &str) {
        self.seen().remove(&self.place.path(folder, id));
        if let Some(kind) = kind {
            self.wrong.clear(kind, id);
        }
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        missing.push((kind.unwrap_or(Kind::Node), id.to_owned()));
    }

    /// Ids of a folder's files that were there once and are not in `found`.
    fn all_gone(&self, folder: &str, found: &[Found]) -> Vec<String> {
        let here: HashSet<&PathBuf> = found.iter().map(|one| &one.path).collect();
        let folder = self.place.root().join(folder);
        let seen = self.seen();
        let gone = seen.keys().filter(|path| path.parent() == Some(folder.as_path()) && !here.contains(path));
        gone.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect()
    }

    fn is_news(&self, found: &Found) -> bool {
        self.seen().insert(found.path.clone(), found.stamp) != Some(found.stamp)
    }

    fn is_wanted(&self, folder: usize, id: &str) -> bool {
        let is_wanted = |folder: &str| self.is_unread(&self.place, folder, id) || self.is_gone(folder, id);
        FOLDERS.get(folder).is_some_and(|(_, folder)| is_wanted(folder))
    }

    /// Whether everything that people wrote is taken in for sure.
    pub(crate) fn is_quiet(&self) -> bool {
        let mut watch = self.watch();
        let news = watch.heard(|folder, id| self.is_wanted(folder, id));
        let nothing = !news.everything && news.documents.is_empty();
        nothing && !self.busy.load(Ordering::Acquire) && watch.is_trusted()
    }

    /// What is to be looked at.
    fn begin(&self) -> News {
        let mut watch = self.watch();
        watch.heard(|folder, id| self.is_wanted(folder, id));
        self.busy.store(true, Ordering::Release);
        watch.take()
    }

    fn end(&self) {
        self.busy.store(false, Ordering::Release);
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

/// Everything that has changed since it was looked at last: of what was heard of, or of all there is.
pub(super) async fn changed(app: &App, taken: &Taken, all: bool) {
    let News { everything, documents } = taken.begin();
    if all || everything {
        let mut has_links = false;
        for (kind, folder) in FOLDERS {
            let all = taken.place.list(folder);
            for id in taken.all_gone(folder, &all) {
                // Where there are more files than are listed.
                if taken.is_gone(folder, &id) {
                    taken.gone(kind, folder, &id);
                }
            }
            for found in all {
                has_links |= found.is_link;
                one(app, taken, kind, &found).await;
            }
        }
        taken.watch().links(has_links);
    } else {
        for (folder, id) in documents {
            let Some((kind, folder)) = FOLDERS.get(folder).copied() else { continue };
            if let Some(found) = taken.place.found(folder, &id) {
                if found.is_link {
                    taken.watch().links(true);
                }
                one(app, taken, kind, &found).await;
            } else if taken.is_gone(folder, &id) {
                taken.gone(kind, folder, &id);
            }
        }
    }
    taken.end();
}

async fn one(app: &App, taken: &Taken, kind: Option<Kind>, found: &Found) {
    if !taken.is_news(found) {
        return;
    }
    let Some(kind) = kind else {
        if let Err(what) = auth(app, found).await {
            warn!("{}: {what}; what was read before holds", found.path.display());
        }
        return;
    };
    match resource(app, kind, found).await {
        Err(faults) => refuse(app, taken, kind, found, &faults).await,
        Ok(()) if taken.wrong.clear(kind, &found.id) => {
            info!("{}/{}.json can be read again", folder(kind), found.id);
        }
        Ok(()) => {}
    }
}

/// Where files of a kind are.
pub(super) const fn folder(kind: Kind) -> &'static str {
    match kind {
        Kind::Node => "resources/nodes",
        Kind::Tenant => "resources/tenants",
        Kind::Service => "resources/services",
    }
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
            nodes::shut_out(app, &auth.node);
            info!(node = %auth.node, "its tokens are revoked, as its file says");
        }
        return Ok(());
    }
    if stored.is_some_and(|token| token.revoked_at.is_some()) {
        let file = found.path.display();
        warn!(node = %auth.node, "{file}: a token that was revoked lets nobody in again; `skipper node rotate-token` makes another");
    }
    if stored.is_none() {
        app.store.node_token_adopt(&auth.node, hash, &by).await.map_err(|error| error.to_string())?;
        nodes::shut_out(app, &auth.node);
        info!(node = %auth.node, "took in its token");
    }
    Ok(())
}
