use skipper_core::event::Event;
use skipper_store::ChainReport;

use super::time;
use crate::api::own::wire::{EventView, VerifyView};

/// One thing that happened.
pub(crate) fn event(event: &Event) -> EventView {
    EventView {
        seq: event.seq,
        at: time(event.at),
        kind: event.kind.clone(),
        tenant: event.tenant.as_ref().map(ToString::to_string),
        release: event.release.as_ref().map(ToString::to_string),
        revision: event.revision,
        rollout: event.rollout.map(|id| id.to_string()),
        actor: event.provenance.actor.to_string(),
        trigger: event.provenance.trigger.clone(),
        request_id: event.provenance.request.to_string(),
        correlation_id: event.provenance.correlation.clone(),
        data: event.data.clone(),
        previous: event.previous.to_string(),
        hash: event.hash.to_string(),
    }
}

/// Whether the chain is whole.
pub(crate) fn verify(report: ChainReport) -> VerifyView {
    VerifyView {
        intact: report.broken.is_none(),
        events: report.checked,
        broken_at: report.broken.as_ref().map(|broken| broken.seq),
        reason: report.broken.map(|broken| broken.reason),
        head: report.holds_to,
    }
}
