//! Takes in what people wrote.

use std::{
    collections::HashMap,
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
    id::RequestId,
    name::NodeName,
};
use tracing::{info, warn};

use super::{
    place::{Found, Place},
    watch::{News, Watch},
};
use crate::{
    app::App,
    fleet::Farewell,
    verb::{
        Caller,
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

type Stamps = HashMap<PathBuf, (u64, i64, i64)>;

/// What was last seen of each file, right or wrong, and what was heard of since.
#[derive(Debug)]
pub(crate) struct Taken {
    place: Place,
    seen: Mutex<Stamps>,
    watch: Mutex<Watch>,
    /// What was heard of is being taken in.
    busy: AtomicBool,
}

impl Taken {
    /// Nothing was looked at yet.
    pub(super) fn new(place: &Place) -> Self {
        let folders = FOLDERS.iter().map(|(_, folder)| place.root().join(folder)).collect();
        Self {
            place: place.clone(),
            seen: Mutex::default(),
            watch: Mutex::new(Watch::new(folders)),
            busy: AtomicBool::new(false),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Stamps> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file is as the server wrote it.
    pub(super) fn wrote(&self, place: &Place, folder: &str, id: &str) {
        let path = place.path(folder, id);
        if let Some(stamp) = Place::stamp(&path) {
            self.seen().insert(path, stamp);
        }
    }

    /// Whether somebody has written the file since it was looked at: then it is not to be written over.
    pub(super) fn is_unread(&self, place: &Place, folder: &str, id: &str) -> bool {
        let path = place.path(folder, id);
        Place::stamp(&path).is_some_and(|stamp| self.seen().get(&path) != Some(&stamp))
    }

    fn is_news(&self, found: &Found) -> bool {
        self.seen().insert(found.path.clone(), found.stamp) != Some(found.stamp)
    }

    fn is_wanted(&self, folder: usize, id: &str) -> bool {
        FOLDERS.get(folder).is_some_and(|(_, folder)| self.is_unread(&self.place, folder, id))
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
            for found in taken.place.list(folder) {
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
            }
        }
    }
    taken.end();
}

async fn one(app: &App, taken: &Taken, kind: Option<Kind>, found: &Found) {
    if !taken.is_news(found) {
        return;
    }
    let read = match kind {
        Some(kind) => resource(app, kind, found).await,
        None => auth(app, found).await,
    };
    if let Err(what) = read {
        warn!("{}: {what}; what was read before holds", found.path.display());
    }
}

async fn resource(app: &App, kind: Kind, found: &Found) -> Result<(), String> {
    let bytes = Place::read(&found.path).map_err(|cause| cause.to_string())?;
    let document: Value = serde_json::from_slice(&bytes).map_err(|cause| cause.to_string())?;
    let spec = document.get("spec").cloned().unwrap_or(json!({}));
    let by_server = document.pointer(&format!("/status/{WRITTEN}")).and_then(Value::as_str);
    if by_server == Some(digest(&spec).as_str()) {
        // Nobody has touched it; the database may be further.
        return Ok(());
    }
    let stored = resources::put(app, &caller(app), kind, &found.id, &bytes).await;
    stored.map_err(|error| error.chain())?;
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
