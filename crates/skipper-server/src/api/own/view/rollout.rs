use skipper_core::{
    deployment::Exit,
    release::Release,
    rollout::{
        Cause, FailureBundle, Plan, Rollout, StepRecord, StepState,
        plan::{Notice, Step},
    },
    time::Timestamp,
};
use skipper_engine::Activity;
use skipper_store::IntentAccepted;

use super::{millis, time};
use crate::{
    api::own::wire::{
        Accepted, AppEvidenceView, BundleView, CauseView, ExitView, ProbeView, RolloutSummary, RolloutView, StepView,
    },
    verb::rollout::Seen,
};

/// A rollout in short.
pub(crate) fn summary(rollout: &Rollout) -> RolloutSummary {
    RolloutSummary {
        id: rollout.id.to_string(),
        verb: rollout.verb.as_str().to_owned(),
        phase: rollout.phase.name().to_owned(),
        finished: rollout.phase.is_final(),
        from: rollout.from,
        to: rollout.to,
        cause: rollout.phase.cause().map(cause),
        created_at: time(rollout.created_at),
        finished_at: rollout.finished_at.map(time),
    }
}

/// The answer to a verb that starts a rollout.
pub(crate) fn accepted(accepted: &IntentAccepted) -> Accepted {
    of(&accepted.release, &accepted.rollout)
}

/// The same of a rollout that was found.
pub(crate) fn of(release: &Release, rollout: &Rollout) -> Accepted {
    Accepted {
        release: release.name.to_string(),
        tenant: release.tenant.to_string(),
        revision: rollout.to,
        rollout: summary(rollout),
        warnings: Vec::new(),
    }
}

/// What broke.
pub(crate) fn cause(cause: &Cause) -> CauseView {
    CauseView {
        code: cause.code.clone(),
        message: cause.message.clone(),
        hint: cause.hint.clone(),
        step: cause.step,
        at: time(cause.at),
    }
}

/// A rollout with its steps.
pub(crate) fn rollout(seen: &Seen, now: Timestamp) -> RolloutView {
    let rollout = &seen.loaded.rollout;
    let release = &seen.loaded.release;
    let provenance = &rollout.provenance;
    let end = rollout.finished_at.unwrap_or(now);
    RolloutView {
        id: rollout.id.to_string(),
        release: release.name.to_string(),
        tenant: release.tenant.to_string(),
        verb: rollout.verb.as_str().to_owned(),
        phase: rollout.phase.name().to_owned(),
        finished: rollout.phase.is_final(),
        cancel_requested: rollout.cancel_requested,
        from: rollout.from,
        to: rollout.to,
        actor: provenance.actor.to_string(),
        trigger: provenance.trigger.clone(),
        request_id: provenance.request.to_string(),
        correlation_id: provenance.correlation.clone(),
        plan_hash: rollout.plan.as_ref().map(|plan| plan.hash().to_string()),
        commit: rollout.plan.as_ref().map(|plan| plan.commit),
        steps: rollout.plan.as_ref().map(|plan| steps(plan, seen, now)).unwrap_or_default(),
        notices: rollout.plan.iter().flat_map(|plan| &plan.notices).map(notice).collect(),
        secrets: rollout.secrets.0.iter().map(|(name, version)| (name.to_string(), *version)).collect(),
        cause: rollout.phase.cause().map(cause),
        bundle: seen.bundle.as_ref().map(bundle),
        created_at: time(rollout.created_at),
        started_at: rollout.started_at.map(time),
        finished_at: rollout.finished_at.map(time),
        duration_ms: millis(end.since(rollout.created_at)),
    }
}

/// What was decided against the letter of the source.
pub(crate) fn notice(notice: &Notice) -> String {
    format!("application `{}` is recreated: {}", notice.app, notice.recreate)
}

fn steps(plan: &Plan, seen: &Seen, now: Timestamp) -> Vec<StepView> {
    (0_u32..)
        .zip(&plan.steps)
        .map(|(index, step)| {
            let record = seen.loaded.steps.iter().find(|record| record.index == index);
            let activity = seen.activity.as_ref().filter(|activity| activity.step == Some(index));
            self::step(plan, index, step, record, activity, now)
        })
        .collect()
}

fn step(
    plan: &Plan,
    index: u32,
    step: &Step,
    record: Option<&StepRecord>,
    activity: Option<&Activity>,
    now: Timestamp,
) -> StepView {
    let ended = record.filter(|r| matches!(r.state, StepState::Done | StepState::Failed | StepState::Undone));
    let logged = record.and_then(|record| record.outcome.message.clone());
    StepView {
        index,
        app: step.app.to_string(),
        platform: step.target.to_string(),
        action: step.action.name().to_owned(),
        text: step.action.to_string(),
        state: record.map_or("pending", |record| record.state.as_str()).to_owned(),
        after_commit: index >= plan.commit,
        bound_ms: step.bound.0,
        message: logged.or_else(|| activity.and_then(|activity| activity.detail.clone())),
        started_at: record.map(|record| time(record.started_at)),
        finished_at: ended.map(|record| time(record.updated_at)),
        duration_ms: record.map(|record| millis(ended.map_or(now, |ended| ended.updated_at).since(record.started_at))),
    }
}

/// What is kept of a failed rollout.
pub(crate) fn bundle(bundle: &FailureBundle) -> BundleView {
    let applications = bundle.applications.iter().map(|evidence| AppEvidenceView {
        app: evidence.app.to_string(),
        logs: evidence.logs.clone(),
        probes: evidence
            .probes
            .iter()
            .map(|probe| ProbeView {
                at: time(probe.at),
                instance: probe.instance,
                ok: probe.ok,
                detail: probe.detail.clone(),
            })
            .collect(),
        exits: evidence.exits.iter().map(|(instance, exit)| self::exit(*instance, exit)).collect(),
    });
    BundleView { at: time(bundle.at), cause: cause(&bundle.cause), applications: applications.collect() }
}

fn exit(instance: u32, exit: &Exit) -> ExitView {
    ExitView {
        instance,
        code: exit.code,
        signal: exit.signal,
        out_of_memory: exit.out_of_memory,
        text: exit.to_string(),
        at: time(exit.at),
    }
}
