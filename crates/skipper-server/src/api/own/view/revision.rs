use skipper_core::{
    release::{RevisionState, Source},
    rollout::Phase,
};
use skipper_store::HistoryEntry;

use super::{cause, millis, rollout, time};
use crate::{
    api::own::wire::{DiffView, PlanStep, PlanView, RevisionView, RolloutSummary, SourceView},
    verb::{diff::Difference, plan::Planned},
};

/// What a revision was made of.
pub(crate) fn source(source: &Source) -> SourceView {
    match source {
        Source::Package { repository, name, version, sha256, values, .. } => SourceView::Package {
            repository: repository.clone(),
            name: name.clone(),
            version: version.clone(),
            sha256: sha256.to_string(),
            values: values.clone(),
        },
        Source::App { image, tag, .. } => SourceView::App { image: image.clone(), tag: tag.clone() },
        Source::Revision { number } => SourceView::Revision { revision: *number },
        Source::Scale { number, replicas } => SourceView::Scale { revision: *number, replicas: replicas.clone() },
    }
}

/// A revision by itself, without what brought it about.
pub(crate) fn revision(revision: &skipper_core::release::Revision) -> RevisionView {
    RevisionView {
        revision: revision.number,
        version: None,
        verb: String::new(),
        state: revision.state.as_str().to_owned(),
        source: source(&revision.source),
        actor: revision.provenance.actor.to_string(),
        trigger: revision.provenance.trigger.clone(),
        description: revision.description.clone(),
        created_at: time(revision.created_at),
        rollout: None,
        duration_ms: None,
    }
}

/// One line of the history.
pub(crate) fn history(entry: &HistoryEntry) -> RevisionView {
    let of_delete = SourceView::Delete { purge: entry.purge };
    RevisionView {
        revision: entry.to.or(entry.from).unwrap_or(0),
        version: entry.version,
        verb: entry.verb.as_str().to_owned(),
        state: state(entry).to_owned(),
        source: entry.source.as_ref().map_or(of_delete, source),
        actor: entry.provenance.actor.to_string(),
        trigger: entry.provenance.trigger.clone(),
        description: entry.description.clone(),
        created_at: time(entry.created_at),
        rollout: Some(RolloutSummary {
            id: entry.rollout.to_string(),
            verb: entry.verb.as_str().to_owned(),
            phase: entry.phase.name().to_owned(),
            finished: entry.phase.is_final(),
            from: entry.from,
            to: entry.to,
            cause: entry.phase.cause().map(cause),
            created_at: time(entry.created_at),
            finished_at: entry.finished_at.map(time),
        }),
        duration_ms: entry.took().map(millis),
    }
}

/// A delete has no revision of its own whose state could be told.
fn state(entry: &HistoryEntry) -> &'static str {
    match (entry.state, &entry.phase) {
        (Some(state), _) => state.as_str(),
        (None, Phase::Succeeded) => RevisionState::Deleted.as_str(),
        (None, phase) if phase.is_final() => phase.name(),
        (None, _) => RevisionState::Pending.as_str(),
    }
}

/// What a verb would do.
pub(crate) fn plan(planned: &Planned) -> PlanView {
    let plan = &planned.plan;
    let prepared = &planned.prepared;
    let steps = (0_u32..).zip(&plan.steps).map(|(index, step)| PlanStep {
        index,
        app: step.app.to_string(),
        platform: step.target.to_string(),
        action: step.action.name().to_owned(),
        text: step.action.to_string(),
        after_commit: index >= plan.commit,
        bound_ms: step.bound.0,
    });
    let forgets = plan
        .purge
        .then(|| "its revisions, manifests and failure bundles are removed as well; only events stay".to_owned());
    let notices = plan.notices.iter().map(rollout::notice).chain(prepared.warnings.iter().cloned()).chain(forgets);
    PlanView {
        hash: plan.hash().to_string(),
        verb: prepared.verb.as_str().to_owned(),
        release: prepared.name.to_string(),
        from: prepared.release.as_ref().and_then(|release| release.serving),
        to: prepared.source.as_ref().map(|_| prepared.number()),
        steps: steps.collect(),
        commit: plan.commit,
        notices: notices.collect(),
        manifest: planned.manifest.clone(),
        diff: planned.diff.clone(),
    }
}

/// The difference of two manifests.
pub(crate) fn diff(difference: Difference) -> DiffView {
    DiffView { from: difference.from, to: difference.to, equal: difference.diff.is_empty(), diff: difference.diff }
}
