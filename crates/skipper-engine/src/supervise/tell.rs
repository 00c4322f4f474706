//! Events of supervision.

use serde_json::Value;
use skipper_core::{
    actor::{Actor, Provenance},
    deployment::Deployment,
    event::NewEvent,
    id::RequestId,
};

use crate::engine::Shared;

/// An event about a deployment, or about the installation where there is none.
pub(super) fn event(shared: &Shared, kind: &str, about: Option<&Deployment>, data: Value) -> NewEvent {
    let request = RequestId::from_uuid(shared.config.ids.next());
    NewEvent {
        kind: kind.to_owned(),
        tenant: about.map(|deployment| deployment.tenant.clone()),
        release: about.map(|deployment| deployment.release_name.clone()),
        revision: about.map(|deployment| deployment.revision),
        rollout: None,
        provenance: Provenance {
            actor: Actor::System,
            trigger: "supervision".to_owned(),
            request,
            correlation: request.to_string(),
        },
        data,
    }
}
