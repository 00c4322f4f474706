//! Shows what is stored.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use skipper_core::{
    event::Event,
    fleet::OrderStatus,
    id::{OrderId, ReleaseId},
    name::{NodeName, ReleaseName, TenantName},
    release::{Door, Source},
};
use skipper_store::{Order, OrderFilter, Resource, ResourceFilter};
use tracing::{info, warn};

use super::{
    place::Place,
    take::{NodeAuth, Taken, WRITTEN, digest, folder},
};
use crate::{
    app::App,
    error::Error,
    fleet::{shown, stamp},
    verb::{
        nodes,
        resources::{self, Kind},
    },
};

/// Most documents of a kind that are written anew at the start.
const MAX: u32 = 1000;
/// How far back a revision is followed to what people wrote.
const MAX_HOPS: usize = 100;

/// Writes every document as the database has it.
pub(super) async fn everything(app: &App, place: &Place, taken: &Taken) {
    if let Err(error) = try_everything(app, place, taken).await {
        warn!("the data folder is not written yet: {}", error.chain());
    }
}

/// Writes files again that somebody took away: what they show is stored, and is removed by the API alone.
pub(super) async fn again(app: &App, place: &Place, taken: &Taken, gone: &[(Kind, String)]) {
    for (kind, id) in gone {
        let written = match (kind, NodeName::new(id.clone())) {
            (Kind::Node, Ok(name)) => node(app, place, taken, &name).await,
            (Kind::Node, Err(_)) => continue,
            _ => resource(app, place, taken, *kind, id, false).await,
        };
        match written {
            Ok(()) if place.is_there(folder(*kind), id) => info!(
                "{}/{id}.json was gone and is written again: what is stored holds until the {} is removed by command or API",
                folder(*kind),
                kind.as_str()
            ),
            Ok(()) => {}
            Err(error) => warn!("{}/{id}.json is not written again: {}", folder(*kind), error.chain()),
        }
    }
}

/// Shows when nodes were seen, of the first of them.
pub(super) async fn nodes(app: &App, place: &Place, taken: &Taken) {
    let Ok(all) = app.store.node_list(None, MAX).await else { return };
    for one in all {
        if let Err(error) = node(app, place, taken, &one.name).await {
            warn!(node = %one.name, "the node's file is not written: {}", error.chain());
        }
    }
}

async fn try_everything(app: &App, place: &Place, taken: &Taken) -> Result<(), Error> {
    for node in app.store.node_list(None, MAX).await? {
        self::node(app, place, taken, &node.name).await?;
    }
    for kind in [Kind::Tenant, Kind::Service] {
        let filter = ResourceFilter { kind: kind.as_str(), tenant: None, after: "", limit: MAX };
        for resource in app.store.resource_list(filter).await? {
            write_resource(app, place, taken, kind, &resource).await?;
        }
    }
    let orders = OrderFilter { limit: MAX, ..OrderFilter::default() };
    for order in app.store.order_list(orders).await? {
        write_order(place, &order);
    }
    Ok(())
}

/// Tells of events: a line for each.
pub(super) fn lines(place: &Place, events: &[Event]) {
    let mut lines: Vec<(String, String, String)> = Vec::new();
    for event in events {
        let at = stamp(event.at);
        let day = at.strftime("%Y-%m-%d").to_string();
        let line = crate::api::own::event(event);
        let line = format!("{}\n", serde_json::to_string(&line).unwrap_or_default());
        match lines.last_mut().filter(|(last, ..)| *last == day) {
            Some((_, told, logged)) => {
                told.push_str(&line);
                logged.push_str(&log_line(event));
            }
            None => lines.push((day, line, log_line(event))),
        }
    }
    for (day, told, logged) in &lines {
        for (folder, text) in [("events", told), ("logs", logged)] {
            if !text.is_empty()
                && let Err(cause) = place.append(folder, day, text)
            {
                warn!(error = %cause, "the {folder} of {day} cannot be written");
            }
        }
    }
}

/// Tells of what events were about, as it is now.
pub(super) async fn documents(app: &App, place: &Place, taken: &Taken, touched: &Touched) {
    if let Err(error) = try_documents(app, place, taken, touched).await {
        warn!("a document of the data folder is not written: {}", error.chain());
    }
}

/// What events are about, each named once however many tell of it.
#[derive(Debug, Default)]
pub(super) struct Touched {
    orders: BTreeSet<OrderId>,
    nodes: BTreeSet<NodeName>,
    /// Kind, id, and whether it was removed last.
    resources: BTreeMap<(String, String), bool>,
    tenants: BTreeSet<TenantName>,
}

impl Touched {
    /// How many documents are to be written, more or less.
    pub(super) fn count(&self) -> usize {
        self.orders.len() + self.nodes.len() + self.resources.len() + self.tenants.len()
    }

    /// Adds what these events are about.
    pub(super) fn add(&mut self, events: &[Event]) {
        let touched = self;
        for event in events {
            let text = |key: &str| event.data.get(key).and_then(Value::as_str);
            let (group, what) = event.kind.split_once('.').unwrap_or((&event.kind, ""));
            match group {
                "order" => touched.orders.extend(text("order").and_then(|id| id.parse::<OrderId>().ok())),
                "node" => touched.nodes.extend(text("node").and_then(|name| NodeName::new(name).ok())),
                "resource" => {
                    if let (Some(kind), Some(id)) = (text("kind"), text("id")) {
                        touched.resources.insert((kind.to_owned(), id.to_owned()), what == "removed");
                    }
                }
                _ => {}
            }
            if matches!(group, "order" | "release" | "rollout") {
                touched.tenants.extend(event.tenant.clone());
            }
        }
    }
}

/// A line for people with plain tools, of what belongs to the fleet.
fn log_line(event: &Event) -> String {
    let of_fleet = ["order.", "node.", "resource."].iter().any(|kind| event.kind.starts_with(kind));
    if !of_fleet && event.tenant.is_none() {
        return String::new();
    }
    let text = |key: &str| event.data.get(key).cloned().unwrap_or(Value::Null);
    let failed = ["failed", "expired"].iter().any(|word| event.kind.ends_with(word) || text("status") == json!(word));
    let line = json!({
        "ts": stamp(event.at),
        "level": if failed { "warn" } else { "info" },
        "msg": event.kind,
        "request_id": event.provenance.request,
        "correlation_id": event.provenance.correlation,
        "work_order": text("order"),
        "tenant": event.tenant,
        "node": text("node"),
    });
    format!("{line}\n")
}

async fn try_documents(app: &App, place: &Place, taken: &Taken, touched: &Touched) -> Result<(), Error> {
    for id in &touched.orders {
        if let Some(order) = app.store.order_get(*id).await? {
            write_order(place, &order);
        }
    }
    for name in &touched.nodes {
        node(app, place, taken, name).await?;
    }
    for ((kind, id), removed) in &touched.resources {
        resource(app, place, taken, Kind::parse(kind)?, id, *removed).await?;
    }
    for tenant in &touched.tenants {
        resource(app, place, taken, Kind::Tenant, tenant.as_str(), false).await?;
        snapshot(app, place, tenant).await?;
    }
    Ok(())
}

/// Moves orders that ended without an event to where they belong.
pub(super) async fn tidy(app: &App, place: &Place) {
    for status in [OrderStatus::Pending, OrderStatus::Active] {
        for found in place.list(&format!("work-orders/{}", status.folder())) {
            let Ok(id) = found.id.parse::<OrderId>() else { continue };
            match app.store.order_get(id).await {
                Ok(Some(order)) if order.status.folder() != status.folder() => write_order(place, &order),
                Ok(None) => place.remove(&format!("work-orders/{}", status.folder()), &found.id),
                Ok(Some(_)) | Err(_) => {}
            }
        }
    }
}

fn write_order(place: &Place, order: &Order) {
    let document = serde_json::to_value(shown(order)).unwrap_or_default();
    if let Err(cause) = place.order(order.id, order.status, &document) {
        warn!(error = %cause, work_order = %order.id, "the order's file cannot be written");
    }
}

async fn node(app: &App, place: &Place, taken: &Taken, name: &NodeName) -> Result<(), Error> {
    let Some(node) = app.store.node_get(name).await? else {
        place.remove("resources/nodes", name.as_str());
        place.remove("auth/nodes", name.as_str());
        return Ok(());
    };
    let document = nodes::document(&nodes::resource(app, &node));
    write(place, taken, Kind::Node, name.as_str(), document);
    let tokens = app.store.node_tokens(name).await?;
    if let (Some(newest), Some(oldest)) = (tokens.first(), tokens.last()) {
        let auth = NodeAuth {
            node: name.clone(),
            token_hash: newest.sha256.to_string(),
            created_at: Some(stamp(oldest.created_at)),
            rotated_at: (tokens.len() > 1).then(|| stamp(newest.created_at)),
            revoked: newest.revoked_at.is_some(),
        };
        let document = serde_json::to_value(&auth).unwrap_or_default();
        if let Err(cause) = replace(place, taken, "auth/nodes", name.as_str(), &document, true) {
            warn!(error = %cause, node = %name, "the file of the node's token cannot be written");
        }
    }
    Ok(())
}

async fn resource(app: &App, place: &Place, taken: &Taken, kind: Kind, id: &str, removed: bool) -> Result<(), Error> {
    match app.store.resource_get(kind.as_str(), id).await? {
        Some(resource) => write_resource(app, place, taken, kind, &resource).await,
        None if removed => {
            place.remove(folder(kind), id);
            Ok(())
        }
        None => Ok(()),
    }
}

async fn write_resource(app: &App, place: &Place, taken: &Taken, kind: Kind, resource: &Resource) -> Result<(), Error> {
    let document = resources::document(app, resource).await?;
    write(place, taken, kind, &resource.name, document);
    Ok(())
}

fn write(place: &Place, taken: &Taken, kind: Kind, id: &str, mut document: Value) {
    let folder = folder(kind);
    if taken.is_unread(place, folder, id) {
        return;
    }
    let written = digest(document.get("spec").unwrap_or(&Value::Null));
    if !taken.may_write(place, kind, id, &written) {
        return;
    }
    if let Some(status) = document.get_mut("status").and_then(Value::as_object_mut) {
        status.insert(WRITTEN.to_owned(), json!(written));
    }
    if let Err(cause) = replace(place, taken, folder, id, &document, false) {
        warn!(error = %cause, "{folder}/{id}.json cannot be written");
    }
}

/// Writes a document in the place of the one that was seen last; what somebody wrote since is left, and read soon.
fn replace(
    place: &Place,
    taken: &Taken,
    folder: &str,
    id: &str,
    document: &Value,
    private: bool,
) -> std::io::Result<()> {
    if taken.is_unread(place, folder, id) {
        return Ok(());
    }
    // A file that was seen and is gone is written as a new one.
    let before = taken.stamp(place, folder, id).filter(|_| place.is_there(folder, id));
    if let Some(stamp) = place.replace(folder, id, document, before, private)? {
        taken.wrote(place, folder, id, stamp);
    }
    Ok(())
}

/// What people wrote for a revision, by way of the revisions that it went on to or back to.
async fn tenant_spec(app: &App, release: ReleaseId, mut source: Source) -> Result<Value, Error> {
    for _ in 0..MAX_HOPS {
        let number = match source {
            Source::Tenant { spec } => return Ok(spec),
            Source::Revision { number } | Source::Scale { number, .. } => number,
            Source::Package { .. } | Source::App { .. } => break,
        };
        let Some(earlier) = app.store.revision_get(release, number).await? else { break };
        source = earlier.source;
    }
    Ok(Value::Null)
}

/// What a tenant's last revision was, as it was applied. Named after both, since two tenants have revisions of one number.
async fn snapshot(app: &App, place: &Place, tenant: &TenantName) -> Result<(), Error> {
    let Ok(name) = ReleaseName::new(tenant.as_str()) else { return Ok(()) };
    let Some(release) = app.store.release_get(tenant, &name).await? else { return Ok(()) };
    let id = format!("{tenant}-{}", release.last_revision);
    if release.door != Door::Fleet || place.is_there("snapshots", &id) {
        return Ok(());
    }
    let Some(revision) = app.store.revision_get(release.id, release.last_revision).await? else { return Ok(()) };
    let spec = tenant_spec(app, release.id, revision.source).await?;
    let document =
        json!({"tenant": tenant, "revision": revision.number, "applied_at": stamp(revision.created_at), "spec": spec});
    if let Err(cause) = place.write("snapshots", &id, &document) {
        warn!(error = %cause, "snapshots/{id}.json cannot be written");
    }
    Ok(())
}
