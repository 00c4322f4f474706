//! Resources: tenants and services as people wrote them, nodes, and what is known of each.

use serde_json::{Value, json};
use skipper_core::{
    name::{NodeName, ReleaseName, TenantName},
    policy::Action,
    release::RevisionState,
};
use skipper_source::{fleet::NodeResource, tenant};
use skipper_store::{Resource, ResourceFilter};

use super::{Caller, nodes};
use crate::{
    app::App,
    error::{Code, Error, package_faults},
};

/// Most resources in one answer.
const MAX_LIST: u32 = 1000;

/// What a resource describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A host.
    Node,
    /// Whose services these are.
    Tenant,
    /// One that is kept in a document of its own.
    Service,
}

impl Kind {
    /// Singular and plural are understood.
    ///
    /// # Errors
    ///
    /// It is neither.
    pub fn parse(word: &str) -> Result<Self, Error> {
        match word {
            "node" | "nodes" => Ok(Self::Node),
            "tenant" | "tenants" => Ok(Self::Tenant),
            "service" | "services" => Ok(Self::Service),
            _ => {
                let word: String = word.chars().take(40).collect();
                Err(Error::new(Code::ResourceNotFound, format!("there are no resources of kind `{word}`"))
                    .hint("kinds are `node`, `tenant` and `service`"))
            }
        }
    }

    /// The word in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Tenant => "tenant",
            Self::Service => "service",
        }
    }
}

/// A resource's document.
///
/// # Errors
///
/// There is none, or none that the caller may know of.
pub async fn get(app: &App, caller: &Caller, kind: Kind, id: &str) -> Result<Value, Error> {
    if kind == Kind::Node {
        let name = NodeName::new(id).map_err(|_| unknown(kind, id))?;
        return match nodes::get(app, caller, &name).await {
            Ok(node) => Ok(nodes::document(&node)),
            Err(error) if error.code() == Code::NodeNotFound => Err(unknown(kind, id)),
            Err(error) => Err(error),
        };
    }
    let resource = app.store.resource_get(kind.as_str(), id).await?.ok_or_else(|| unknown(kind, id))?;
    caller.may(Action::Read, &resource.tenant).map_err(|error| hidden(error, kind, id))?;
    document(app, &resource).await
}

/// Documents of a kind, by id; only those that the caller may know of.
///
/// # Errors
///
/// Only the policy's and the store's.
pub async fn list(
    app: &App,
    caller: &Caller,
    kind: Kind,
    after: &str,
    limit: Option<u32>,
) -> Result<Vec<Value>, Error> {
    let limit = limit.unwrap_or(MAX_LIST).clamp(1, MAX_LIST);
    if kind == Kind::Node {
        let after = NodeName::new(after).ok();
        let all = nodes::list(app, caller, after.as_ref(), limit).await?;
        return Ok(all.iter().map(nodes::document).collect());
    }
    let tenant = caller.actor().tenant();
    match tenant {
        Some(tenant) => caller.may(Action::Read, tenant)?,
        None => caller.may_all(Action::Read)?,
    }
    let found = app.store.resource_list(ResourceFilter { kind: kind.as_str(), tenant, after, limit }).await?;
    let mut documents = Vec::with_capacity(found.len());
    for resource in &found {
        documents.push(document(app, resource).await?);
    }
    Ok(documents)
}

/// Stores a resource's document, and answers it with whether it is new or changed anything.
///
/// # Errors
///
/// It is no such document, or another one's; the caller may not write it.
///
/// # Cancel safety
///
/// Safe to drop: one transaction.
pub async fn put(app: &App, caller: &Caller, kind: Kind, id: &str, bytes: &[u8]) -> Result<(Value, bool), Error> {
    let file = format!("{id}.json");
    let faults = |faults: skipper_source::Faults| {
        let what = format!("the resource {}/{id} is not what is read here", kind.as_str());
        package_faults(Code::Invalid, &what, &faults)
    };
    let (tenant, spec) = match kind {
        Kind::Node => {
            caller.may_all(Action::Administer)?;
            let node: NodeResource =
                serde_json::from_slice(bytes).map_err(|cause| Error::new(Code::Invalid, format!("{file}: {cause}")))?;
            if node.kind != "node" || node.id.as_str() != id {
                let message = format!("{file}: `kind` is to be `node`, and `id` is to be `{id}`");
                return Err(Error::new(Code::Invalid, message));
            }
            let is_new = app.store.node_get(&node.id).await?.is_none();
            let node = nodes::put(app, caller, &node.id, &node.spec).await?;
            return Ok((nodes::document(&node), is_new));
        }
        Kind::Tenant => {
            let read = tenant::tenant(&file, bytes).map_err(faults)?.resource;
            (read.id.clone(), json!(read.spec))
        }
        Kind::Service => {
            let read = tenant::service(&file, bytes).map_err(faults)?.resource;
            (read.spec.tenant.clone(), json!(read.spec))
        }
    };
    caller.may(Action::Deploy, &tenant).map_err(|error| hidden(error, kind, id))?;
    if let Some(there) = app.store.resource_get(kind.as_str(), id).await? {
        caller.may(Action::Deploy, &there.tenant).map_err(|error| hidden(error, kind, id))?;
    }
    let (resource, changed) = app.store.resource_put(kind.as_str(), id, &tenant, &spec, &caller.provenance).await?;
    Ok((document(app, &resource).await?, changed && resource.row_version == 1))
}

/// Forgets a resource's document. What was applied of it goes on running.
///
/// # Errors
///
/// There is none, or none that the caller may know of.
///
/// # Cancel safety
///
/// Safe to drop: one transaction.
pub async fn remove(app: &App, caller: &Caller, kind: Kind, id: &str) -> Result<(), Error> {
    if kind == Kind::Node {
        let name = NodeName::new(id).map_err(|_| unknown(kind, id))?;
        return nodes::remove(app, caller, &name).await;
    }
    let there = app.store.resource_get(kind.as_str(), id).await?.ok_or_else(|| unknown(kind, id))?;
    caller.may(Action::Deploy, &there.tenant).map_err(|error| hidden(error, kind, id))?;
    app.store.resource_remove(kind.as_str(), id, &caller.provenance).await?;
    Ok(())
}

pub(super) fn unknown(kind: Kind, id: &str) -> Error {
    let id: String = id.chars().take(80).collect();
    Error::new(Code::ResourceNotFound, format!("there is no {} `{id}`", kind.as_str()))
        .hint(format!("`GET /v1/resources/{}` lists what is there", kind.as_str()))
}

fn hidden(error: Error, kind: Kind, id: &str) -> Error {
    if error.code() == Code::TenantNotFound { unknown(kind, id) } else { error }
}

/// A resource as it is shown: what people wrote, and what is known.
///
/// # Errors
///
/// Only the store's.
pub async fn document(app: &App, resource: &Resource) -> Result<Value, Error> {
    let mut status = match &resource.status {
        Some(Value::Object(known)) => known.clone(),
        _ => serde_json::Map::new(),
    };
    if resource.kind == Kind::Tenant.as_str() {
        status.extend(of_tenant(app, &resource.tenant).await?);
    }
    let kind = Kind::parse(&resource.kind)?;
    match app.fleet.wrong_files().of(kind, &resource.name) {
        Some(what) => status.insert("trouble".to_owned(), json!(what)),
        None => status.remove("trouble"),
    };
    Ok(json!({"kind": resource.kind, "id": resource.name, "spec": resource.spec, "status": status}))
}

/// What is known of a tenant: the revision that runs, or that is wanted where none does, and how far it is.
async fn of_tenant(app: &App, tenant: &TenantName) -> Result<serde_json::Map<String, Value>, Error> {
    let mut status = serde_json::Map::new();
    let last = app.store.order_last(tenant).await?;
    let name = ReleaseName::new(tenant.as_str()).map_err(|wrong| Error::new(Code::Invalid, wrong.to_string()))?;
    let release = app.store.release_get(tenant, &name).await?;
    let (revision, state) = match &release {
        None => (0, "registered"),
        Some(release) => {
            let open = app.store.rollout_open(release.id).await?.is_some();
            let newest = app.store.revision_list(release.id, None, 1).await?.into_iter().next();
            let failed = newest.as_ref().is_some_and(|newest| newest.state == RevisionState::Failed);
            let state = match (open, release.deleted, failed) {
                (true, ..) => "deploying",
                (_, true, _) => "deleted",
                (_, _, true) => "failed",
                _ => "deployed",
            };
            (release.serving.unwrap_or(release.last_revision), state)
        }
    };
    status.insert("revision".to_owned(), json!(revision));
    status.insert("state".to_owned(), json!(state));
    status.insert("last_order".to_owned(), json!(last));
    Ok(status)
}
