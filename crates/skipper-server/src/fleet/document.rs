//! Orders as their users see them, and as the node that takes one does.

use std::collections::BTreeMap;

use jiff::Timestamp as Stamp;
use skipper_core::{compose, secret::SecretValues, time::Timestamp};
use skipper_source::fleet::{Desired, DesiredService, MASK, OrderLease, OrderResult, WorkOrder};
use skipper_store::Order;

/// A time as documents show it.
#[must_use]
pub fn stamp(at: Timestamp) -> Stamp {
    Stamp::from_microsecond(at.as_micros()).unwrap_or(if at.as_micros() < 0 { Stamp::MIN } else { Stamp::MAX })
}

/// An order without its secrets.
#[must_use]
pub fn shown(order: &Order) -> WorkOrder {
    let project = project(order).unwrap_or_default();
    let files = project.masked(MASK);
    document(order, &project, files)
}

/// An order for the node that has taken it.
///
/// # Errors
///
/// A secret has no value any more; what is stored is no order.
pub fn filled(order: &Order, secrets: &SecretValues) -> Result<WorkOrder, String> {
    let project = project(order).map_err(|error| format!("the order cannot be read: {error}"))?;
    let files = project.filled(secrets).map_err(|missing| missing.to_string())?;
    Ok(document(order, &project, files))
}

/// Orders of nothing have no project.
fn project(order: &Order) -> Result<compose::Project, serde_json::Error> {
    serde_json::from_value(order.desired.clone())
}

/// The keys of variables that are secrets.
fn secret_variables(project: &compose::Project) -> Vec<String> {
    let secret = |(key, value): (&String, &compose::EnvValue)| {
        matches!(value, compose::EnvValue::Secret(_)).then(|| key.clone())
    };
    project.env.iter().filter_map(secret).collect()
}

fn document(order: &Order, project: &compose::Project, files: BTreeMap<String, String>) -> WorkOrder {
    let services = project.services.iter().map(|(name, terms)| {
        let digest = terms.digest.map(|digest| format!("sha256:{digest}"));
        let health = terms.health.as_ref().and_then(|health| serde_json::to_value(health).ok());
        (name.clone(), DesiredService { image: terms.image.clone(), digest, health })
    });
    let owner = order.lease_owner.clone();
    WorkOrder {
        id: order.id,
        kind: order.kind,
        tenant: order.tenant.clone(),
        node: order.node.clone(),
        status: order.status,
        generation: order.generation,
        revision: order.revision,
        created_at: stamp(order.created_at),
        deadline: stamp(order.deadline),
        lease: order.lease_until.and_then(|until| Some(OrderLease { owner: owner?, expires_at: stamp(until) })),
        idempotency_key: order.idempotency_key.clone(),
        request_id: order.provenance.request.to_string(),
        correlation_id: order.provenance.correlation.clone(),
        desired: Desired {
            project: compose::project_name(order.tenant.as_str()),
            files: if project.files.is_empty() { BTreeMap::new() } else { files },
            services: services.collect(),
            secrets: Some(secret_variables(project)),
        },
        result: order.result.clone().and_then(|result| serde_json::from_value::<OrderResult>(result).ok()),
    }
}
