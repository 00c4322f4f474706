//! Takes in what people wrote.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use skipper_core::{
    Sha256,
    actor::{Actor, Provenance},
    id::RequestId,
    name::NodeName,
};
use tracing::{info, warn};

use super::place::{Found, Place};
use crate::{
    app::App,
    verb::{
        Caller, nodes,
        resources::{self, Kind},
    },
};

/// The key of a status under which the server leaves the digest of the spec that it wrote.
pub(super) const WRITTEN: &str = "written";

/// What was last seen of each file, right or wrong.
#[derive(Debug, Default)]
pub(super) struct Taken(HashMap<std::path::PathBuf, (u64, i64, i64)>);

impl Taken {
    /// The file is as the server wrote it.
    pub(super) fn wrote(&mut self, place: &Place, folder: &str, id: &str) {
        let path = place.path(folder, id);
        if let Some(stamp) = Place::stamp(&path) {
            self.0.insert(path, stamp);
        }
    }

    /// Whether somebody has written the file since it was looked at: then it is not to be written over.
    pub(super) fn is_unread(&self, place: &Place, folder: &str, id: &str) -> bool {
        let path = place.path(folder, id);
        Place::stamp(&path).is_some_and(|stamp| self.0.get(&path) != Some(&stamp))
    }

    fn is_news(&mut self, found: &Found) -> bool {
        self.0.insert(found.path.clone(), found.stamp) != Some(found.stamp)
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

/// Everything that has changed since it was looked at last. Nodes come before what names them.
pub(super) async fn all(app: &App, place: &Place, taken: &mut Taken) {
    for (kind, folder) in
        [(Kind::Node, "resources/nodes"), (Kind::Tenant, "resources/tenants"), (Kind::Service, "resources/services")]
    {
        for found in place.list(folder) {
            if taken.is_news(&found)
                && let Err(what) = resource(app, kind, &found).await
            {
                warn!("{}: {what}; what was read before holds", found.path.display());
            }
        }
    }
    for found in place.list("auth/nodes") {
        if taken.is_news(&found)
            && let Err(what) = auth(app, &found).await
        {
            warn!("{}: {what}; what was read before holds", found.path.display());
        }
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
