use std::{collections::BTreeSet, time::Duration};

use skipper_core::{
    Sha256,
    deployment::Live,
    name::AppName,
    port::{Clock as _, ErrorKind, Lease, Note, RolloutStore as _, StepNote},
    release::RevisionState,
    rollout::{Phase, StepState, Verb},
    secret::SecretVersions,
    spec::Resource,
    time::Timestamp,
};
use skipper_store::{CancelOutcome, Error, EventFilter, NewIntent};

use crate::{
    contract,
    samples::{
        TTL, begin, carry_out, cause, event, get, intent, note, plan_for, provenance, resolution, serving, spec, tenant,
    },
    world::World,
};

contract! {
    a_rollout_that_cannot_be_read_ends_and_what_served_serves
    a_rollout_that_cannot_be_read_past_the_point_of_no_return_has_succeeded
    a_rollout_whose_steps_cannot_be_named_can_be_given_up_and_is_readable_again
    success_makes_the_target_live_and_supersedes_what_served
    failure_and_cancellation_leave_what_serves
    a_rollout_past_its_end_does_not_move_but_the_same_end_may_be_told_twice
    what_is_noted_at_once_is_written_as_a_whole_or_not_at_all
    a_resolved_revision_never_changes
    what_was_rendered_in_the_request_is_completed_by_resolve
    the_step_log_keeps_the_first_start_and_the_latest_state
    deployments_are_known_from_the_plan_on_until_they_are_gone
    a_loaded_rollout_is_complete
    an_open_rollout_is_asked_to_stop_and_a_waiting_one_is_stopped
    what_waited_for_a_deleted_release_is_settled
    history_tells_who_asked_what_and_how_it_went
    what_may_have_to_run_again_is_needed_and_nothing_else
}

/// A release whose upgrade from 1 to 2 is in `advancing`, with both running, and whose record is then scribbled over.
async fn scribbled(world: &World, phase: &Phase, sql: &str) -> (skipper_store::IntentAccepted, Lease) {
    let (store, spec) = (&world.store, spec(&[], &[]));
    let none = SecretVersions::default();
    let first = store.intent_create(intent("web", Verb::Install)).await.expect("accepted");
    let lease = begin(store, &first, &spec).await;
    let live = |accepted: &skipper_store::IntentAccepted, revision, weight, lease: &Lease| Live {
        deployment: plan_for(&accepted.release, revision, &spec, &none).deployments[0].clone(),
        weight,
        instances: vec![0],
        addresses: Default::default(),
        generation: lease.generation,
    };
    let mut launched = note(0, StepState::Done);
    launched.live = vec![live(&first, 1, 100, &lease)];
    store.step(&lease, launched).await.expect("step");
    store.phase(&lease, &Phase::Finishing, vec![]).await.expect("phase");
    store.phase(&lease, &Phase::Succeeded, vec![]).await.expect("phase");
    let second = store.intent_create(intent("web", Verb::Upgrade)).await.expect("accepted");
    let lease = begin(store, &second, &spec).await;
    let mut shifted = note(0, StepState::Done);
    shifted.live = vec![live(&first, 1, 0, &lease), live(&second, 2, 100, &lease)];
    store.step(&lease, shifted).await.expect("step");
    if *phase != Phase::Advancing {
        store.phase(&lease, phase, vec![]).await.expect("phase");
    }
    let id = second.rollout.id;
    assert_eq!(world.raw(&format!("UPDATE {sql} id = '{id}'")).await, 1);
    let damaged = store.load(id).await.expect_err("unreadable");
    assert_eq!(damaged.kind(), ErrorKind::Damaged, "{damaged}");
    (second, lease)
}

async fn a_rollout_that_cannot_be_read_ends_and_what_served_serves(world: &World) {
    let (store, sql) = (&world.store, "rollout SET plan = '{\"version\":7}', secrets = '?', provenance = '' WHERE");
    let (second, lease) = scribbled(world, &Phase::Advancing, sql).await;
    let abandoned = store.abandon(&lease, "column plan: nonsense").await.expect("given up");
    assert_eq!(abandoned.apps.iter().map(AppName::as_str).collect::<Vec<_>>(), ["web"]);
    let ended = store.rollout_get(second.rollout.id).await.expect("readable again").expect("there");
    let cause = ended.phase.cause().expect("it failed");
    assert_eq!(cause.code, "rollout-unreadable");
    assert!(cause.message.contains("column plan"), "{}", cause.message);
    let weights = store.live_for_release(ended.release).await.expect("live");
    let mut weights: Vec<_> = weights.iter().map(|live| (live.deployment.revision, live.weight)).collect();
    weights.sort_unstable();
    assert_eq!(weights, [(1, 100), (2, 0)]);
    let release = get(store, ended.release).await;
    assert_eq!(release.serving, Some(1));
    assert!(store.supervise(release.id).await.expect("no error").is_some(), "supervision may act again");
    assert_eq!(store.abandon(&lease, "again").await.expect_err("it has ended").kind(), ErrorKind::Fenced);
    let next = store.intent_create(intent("web", Verb::Upgrade)).await.expect("the release is free again");
    carry_out(store, &next, &spec(&[], &[]), &Phase::Succeeded).await;
}

async fn a_rollout_that_cannot_be_read_past_the_point_of_no_return_has_succeeded(world: &World) {
    let store = &world.store;
    let (second, lease) = scribbled(world, &Phase::Finishing, "rollout SET phase = 'x' WHERE").await;
    store.abandon(&lease, "why").await.expect("given up");
    let ended = store.rollout_get(second.rollout.id).await.expect("readable again").expect("there");
    assert_eq!((ended.phase, ended.plan.is_some()), (Phase::Succeeded, true));
    assert_eq!(get(store, ended.release).await.serving, Some(2));
}

async fn a_rollout_whose_steps_cannot_be_named_can_be_given_up_and_is_readable_again(world: &World) {
    let (store, sql) = (&world.store, "rollout SET plan_index = '?' WHERE");
    let (second, lease) = scribbled(world, &Phase::Advancing, sql).await;
    let id = second.rollout.id;
    assert_eq!(world.raw(&format!("UPDATE rollout SET required_plan = '?' WHERE id = '{id}'")).await, 1);
    store.abandon(&lease, "column plan_index").await.expect("given up");
    let ended = store.rollout_get(id).await.expect("readable again").expect("there");
    assert_eq!(ended.phase.cause().expect("it failed").code, "rollout-unreadable");
    assert_eq!(get(store, ended.release).await.serving, Some(1));
}

async fn success_makes_the_target_live_and_supersedes_what_served(world: &World) {
    let store = &world.store;
    let release = serving(store, "web", &spec(&[], &[])).await;
    assert_eq!((release.serving, release.last_revision), (Some(1), 1));
    let second = store.intent_create(intent("web", Verb::Upgrade)).await.expect("accepted");
    assert_eq!(second.rollout.from, Some(1));
    carry_out(store, &second, &spec(&[], &[]), &Phase::Succeeded).await;
    let states: Vec<_> =
        store.revision_list(release.id, None, 10).await.expect("list").iter().map(|r| (r.number, r.state)).collect();
    assert_eq!(states, vec![(2, RevisionState::Live), (1, RevisionState::Superseded)]);
    let now = get(store, release.id).await;
    assert_eq!(now.serving, Some(2));
    assert!(now.row_version > release.row_version && now.updated_at > release.updated_at);
    assert_eq!(store.revision_previous(release.id, 2).await.expect("no error").map(|r| r.number), Some(1));
    let ended = store.rollout_get(second.rollout.id).await.expect("no error").expect("there");
    assert!(ended.started_at.is_some() && ended.finished_at.is_some());
    assert!(store.rollout_open(release.id).await.expect("no error").is_none());
}

async fn failure_and_cancellation_leave_what_serves(world: &World) {
    let store = &world.store;
    let release = serving(store, "web", &spec(&[], &[])).await;
    let ends = [
        (Phase::Failed { cause: cause("unhealthy") }, RevisionState::Failed),
        (Phase::Cancelled { cause: cause("cancelled") }, RevisionState::Cancelled),
    ];
    for (number, (end, state)) in (2..).zip(ends) {
        let bad = store.intent_create(intent("web", Verb::Upgrade)).await.expect("accepted");
        carry_out(store, &bad, &spec(&[], &[]), &end).await;
        assert_eq!(store.revision_get(release.id, number).await.expect("no error").expect("there").state, state);
        assert_eq!(get(store, release.id).await.serving, Some(1));
        assert_eq!(
            store.revision_get(release.id, 1).await.expect("no error").expect("there").state,
            RevisionState::Live
        );
    }
    // A delete that fails deletes nothing.
    let delete = store.intent_create(intent("web", Verb::Delete)).await.expect("accepted");
    carry_out(store, &delete, &spec(&[], &[]), &Phase::Failed { cause: cause("x") }).await;
    assert_eq!((get(store, release.id).await.serving, get(store, release.id).await.deleted), (Some(1), false));
}

async fn a_rollout_past_its_end_does_not_move_but_the_same_end_may_be_told_twice(world: &World) {
    let store = &world.store;
    let accepted = store.intent_create(intent("web", Verb::Install)).await.expect("accepted");
    let lease = carry_out(store, &accepted, &spec(&[], &[]), &Phase::Succeeded).await;
    let head = store.events_head().await.expect("head");
    store.phase(&lease, &Phase::Succeeded, vec![event("never")]).await.expect("the answer to the first may be lost");
    for other in [Phase::Advancing, Phase::Failed { cause: cause("late") }] {
        let refused = store.phase(&lease, &other, vec![event("never")]).await.expect_err("it has ended");
        assert_eq!(refused.kind(), ErrorKind::Fenced);
    }
    assert_eq!(store.lease(lease.rollout, "b", TTL).await.expect("no error"), None);
    assert_eq!(store.events_head().await.expect("head"), head);
}

async fn what_is_noted_at_once_is_written_as_a_whole_or_not_at_all(world: &World) {
    let (store, spec) = (&world.store, spec(&[], &[]));
    let accepted = store.intent_create(intent("web", Verb::Install)).await.expect("accepted");
    let (release, rollout) = (accepted.release.id, accepted.rollout.id);
    let lease = store.lease(rollout, "engine", TTL).await.expect("no error").expect("free");
    let none = SecretVersions::default();
    let plan = plan_for(&accepted.release, 1, &spec, &none);
    let (deployment, last) = (plan.deployments[0].clone(), u32::try_from(plan.steps.len()).expect("few"));
    let resolved =
        resolution(Some(("manifest".into(), spec)), &plan, &none, &Phase::Advancing, vec![event("resolved")]);
    let live = |weight| Live {
        deployment: deployment.clone(),
        weight,
        instances: vec![0],
        addresses: Default::default(),
        generation: lease.generation,
    };
    let step = |index, weight| {
        let told = event(&format!("step-{index}"));
        Note::Step(Box::new(StepNote { live: vec![live(weight)], events: vec![told], ..note(index, StepState::Done) }))
    };
    let phase = |phase: Phase, kind: &str| Note::Phase { phase, events: vec![event(kind)] };
    let notes = |index| {
        vec![
            phase(Phase::Resolving { deadline: Timestamp::from_micros(i64::MAX) }, "started"),
            Note::Resolved(Box::new(resolved.clone())),
            step(0, 0),
            step(index, 100),
        ]
    };
    let head = store.events_head().await.expect("head");
    store.record(&lease, notes(last)).await.expect_err("the plan has no such step");
    let loaded = store.load(rollout).await.expect("loaded");
    assert_eq!((loaded.rollout.phase, loaded.steps.len(), loaded.live.len()), (Phase::Accepted, 0, 0));
    assert_eq!(store.events_head().await.expect("head"), head);

    store.record(&lease, notes(1)).await.expect("noted");
    let loaded = store.load(rollout).await.expect("loaded");
    assert_eq!((loaded.rollout.phase, loaded.steps.len()), (Phase::Advancing, 2));
    assert_eq!(loaded.live.iter().map(|live| live.weight).collect::<Vec<_>>(), [100], "as it was noted last");
    let end = || {
        let gone = vec![deployment.id.clone()];
        vec![
            phase(Phase::Finishing, "committed"),
            Note::Live { changed: vec![live(50)], gone },
            phase(Phase::Succeeded, "installed"),
        ]
    };
    store.record(&lease, end()).await.expect("ended");
    let told = store.events_list(head, 100, &EventFilter::default()).await.expect("listed");
    let told: Vec<_> = told.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(told, ["started", "resolved", "step-0", "step-1", "committed", "installed"], "in their order");
    assert_eq!(get(store, release).await.serving, Some(1));
    assert_eq!(store.live_for_release(release).await.expect("listed"), []);
    store.record(&lease, end()).await.expect("the answer to the first may be lost");
    assert_eq!(store.events_head().await.expect("head"), head + 6);
    assert!(store.events_verify().await.expect("walked").broken.is_none());
    let refused = store.record(&lease, notes(1)).await.expect_err("it has ended");
    assert_eq!(refused.kind(), ErrorKind::Fenced);
}

async fn a_resolved_revision_never_changes(world: &World) {
    let store = &world.store;
    let accepted = store.intent_create(intent("web", Verb::Install)).await.expect("accepted");
    let lease = begin(store, &accepted, &spec(&[], &[])).await;
    let before = store.revision_get(accepted.release.id, 1).await.expect("no error");
    let other = spec(&[("http", Some("other.example.org"))], &[]);
    let (none, plan) = (SecretVersions::default(), plan_for(&accepted.release, 1, &other, &SecretVersions::default()));
    store
        .resolved(&lease, resolution(Some(("other".into(), other)), &plan, &none, &Phase::Advancing, vec![]))
        .await
        .expect("stored");
    assert_eq!(store.revision_get(accepted.release.id, 1).await.expect("no error"), before);
    assert!(store.route_claims_list(accepted.release.id).await.expect("claims").is_empty());
}

async fn what_was_rendered_in_the_request_is_completed_by_resolve(world: &World) {
    let store = &world.store;
    let rendered = NewIntent { rendered: Some(("draft".into(), spec(&[], &[]))), ..intent("web", Verb::Install) };
    let accepted = store.intent_create(rendered).await.expect("accepted");
    let mut pinned = spec(&[], &[]);
    pinned.applications[0].resource.sha256 = Some(skipper_core::Sha256::of(b"bytes"));
    begin(store, &accepted, &pinned).await;
    let revision = store.revision_get(accepted.release.id, 1).await.expect("no error").expect("there");
    assert_eq!((revision.manifest.as_deref(), revision.spec), (Some("manifest"), Some(pinned)));

    let early = NewIntent { rendered: Some(("final".into(), spec(&[], &[]))), ..intent("early", Verb::Install) };
    let accepted = store.intent_create(early).await.expect("accepted");
    let lease = store.lease(accepted.rollout.id, "engine", TTL).await.expect("no error").expect("free");
    let (none, plan) =
        (SecretVersions::default(), plan_for(&accepted.release, 1, &spec(&[], &[]), &SecretVersions::default()));
    store
        .resolved(&lease, resolution(None, &plan, &none, &Phase::Advancing, vec![]))
        .await
        .expect("nothing was left to complete");
    store
        .resolved(&lease, resolution(Some(("late".into(), spec(&[], &[]))), &plan, &none, &Phase::Advancing, vec![]))
        .await
        .expect("stored");
    let revision = store.revision_get(accepted.release.id, 1).await.expect("no error").expect("there");
    assert_eq!(revision.manifest.as_deref(), Some("final"));
}

async fn the_step_log_keeps_the_first_start_and_the_latest_state(world: &World) {
    let store = &world.store;
    let accepted = store.intent_create(intent("web", Verb::Install)).await.expect("accepted");
    let lease = begin(store, &accepted, &spec(&[], &[])).await;
    for (state, at) in
        [(StepState::Started, 10), (StepState::Started, 20), (StepState::Done, 30), (StepState::Undoing, 40)]
    {
        let mut entry = note(0, state);
        (entry.record.started_at, entry.record.updated_at) = (Timestamp::from_micros(at), Timestamp::from_micros(at));
        entry.record.outcome.data = serde_json::json!({"at": at});
        store.step(&lease, entry).await.expect("written");
    }
    store.step(&lease, note(1, StepState::Started)).await.expect("written");
    let steps = store.steps_get(lease.rollout).await.expect("steps");
    assert_eq!(steps.len(), 2);
    assert_eq!((steps[0].index, steps[0].state), (0, StepState::Undoing));
    assert_eq!((steps[0].started_at.as_micros(), steps[0].updated_at.as_micros()), (10, 40));
    assert_eq!(steps[0].outcome.data, serde_json::json!({"at": 40}));
    let target = world.number("SELECT COUNT(*) FROM step WHERE target = 'local' AND app = 'web'").await;
    assert_eq!(target, 2, "each entry knows its target");
    let beyond = store.step(&lease, note(99, StepState::Started)).await.expect_err("the plan is shorter");
    assert_eq!(beyond.kind(), ErrorKind::Permanent);
}

async fn deployments_are_known_from_the_plan_on_until_they_are_gone(world: &World) {
    let store = &world.store;
    let accepted = store.intent_create(intent("web", Verb::Install)).await.expect("accepted");
    let plan = plan_for(&accepted.release, 1, &spec(&[], &[]), &SecretVersions::default());
    let deployment = plan.deployments[0].clone();
    assert!(!store.knows(&deployment.id).await.expect("no error"));
    let lease = begin(store, &accepted, &spec(&[], &[])).await;
    assert!(
        store.knows(&deployment.id).await.expect("no error"),
        "launched before it is stored as live, it is no orphan"
    );
    let live = Live {
        deployment: deployment.clone(),
        weight: 0,
        instances: vec![0],
        addresses: [(0, [("http".to_owned(), "127.0.0.1:9".parse().expect("an address"))].into())].into(),
        generation: lease.generation,
    };
    let mut launched = note(1, StepState::Done);
    launched.live = vec![live.clone()];
    store.step(&lease, launched.clone()).await.expect("written");
    assert_eq!(store.live_for_release(accepted.release.id).await.expect("live"), vec![live.clone()]);
    assert_eq!(store.live(None, 10).await.expect("live"), vec![live.clone()]);
    assert!(store.live(Some(&deployment.id), 10).await.expect("live").is_empty());
    let mut removed = note(1, StepState::Undone);
    removed.gone = vec![deployment.id.clone()];
    store.step(&lease, removed).await.expect("written");
    assert!(store.live_for_release(accepted.release.id).await.expect("live").is_empty());
    assert!(store.knows(&deployment.id).await.expect("no error"), "the rollout is still open");
    store.phase(&lease, &Phase::Failed { cause: cause("x") }, vec![]).await.expect("failed");
    assert!(!store.knows(&deployment.id).await.expect("no error"));
}

async fn a_loaded_rollout_is_complete(world: &World) {
    let store = &world.store;
    let accepted = store.intent_create(intent("web", Verb::Install)).await.expect("accepted");
    let lease = begin(store, &accepted, &spec(&[], &[])).await;
    store.step(&lease, note(0, StepState::Done)).await.expect("written");
    let loaded = store.load(lease.rollout).await.expect("loaded");
    assert_eq!(loaded.rollout.phase, Phase::Advancing);
    assert!(loaded.rollout.plan.as_ref().is_some_and(|plan| !plan.is_empty()));
    assert_eq!(loaded.release.id, accepted.release.id);
    assert_eq!(loaded.target.map(|r| (r.number, r.spec)), Some((1, Some(spec(&[], &[])))));
    assert_eq!(loaded.steps.len(), 1);
}

async fn an_open_rollout_is_asked_to_stop_and_a_waiting_one_is_stopped(world: &World) {
    let store = &world.store;
    let release = serving(store, "web", &spec(&[], &[])).await;
    let wait = || NewIntent { wait_behind: true, ..intent("web", Verb::Upgrade) };
    let open = store.intent_create(wait()).await.expect("accepted");
    let waiting = store.intent_create(wait()).await.expect("accepted");

    assert_eq!(store.rollout_cancel(waiting.rollout.id, &provenance()).await.ok(), Some(CancelOutcome::Cancelled));
    let stopped = store.rollout_get(waiting.rollout.id).await.expect("no error").expect("there");
    assert_eq!(stopped.phase.name(), "cancelled");
    assert!(stopped.phase.cause().is_some_and(|cause| cause.message.contains("local")), "it says by whom");
    assert_eq!(
        store.revision_get(release.id, 3).await.expect("no error").expect("there").state,
        RevisionState::Cancelled
    );

    assert!(!store.cancel_requested(open.rollout.id).await.expect("no error"));
    assert!(store.cancels().await.expect("no error").is_empty());
    for _ in 0..2 {
        assert_eq!(store.rollout_cancel(open.rollout.id, &provenance()).await.ok(), Some(CancelOutcome::Requested));
    }
    assert!(store.cancel_requested(open.rollout.id).await.expect("no error"));
    assert_eq!(store.cancels().await.expect("no error"), BTreeSet::from([open.rollout.id]));
    let lease = begin(store, &open, &spec(&[], &[])).await;
    store.phase(&lease, &Phase::Finishing, vec![]).await.expect("committed after all");
    let late = store.rollout_cancel(open.rollout.id, &provenance()).await;
    assert!(matches!(late, Err(Error::NotCancellable { .. })), "{late:?}");
    store.phase(&lease, &Phase::Succeeded, vec![]).await.expect("ended");
    let late = store.rollout_cancel(open.rollout.id, &provenance()).await;
    assert!(matches!(late, Err(Error::NotCancellable { .. })), "{late:?}");
}

async fn what_waited_for_a_deleted_release_is_settled(world: &World) {
    let store = &world.store;
    for (verb, purge, phase) in [
        (Verb::Upgrade, false, "accepted"),
        (Verb::Install, true, "accepted"),
        (Verb::Scale, false, "failed"),
        (Verb::Delete, false, "failed"),
    ] {
        let name = format!("web-{}-{purge}", verb.as_str());
        let release = serving(store, &name, &spec(&[], &[])).await;
        let delete = store.intent_create(NewIntent { purge, ..intent(&name, Verb::Delete) }).await.expect("accepted");
        if verb == Verb::Install {
            // It still serves, so an install cannot wait behind its delete: that is an upgrade.
            let refused = store.intent_create(NewIntent { wait_behind: true, ..intent(&name, verb) }).await;
            assert!(matches!(refused, Err(Error::AlreadyInstalled { .. })));
        }
        let waits = if verb == Verb::Install { Verb::Upgrade } else { verb };
        let waiting =
            store.intent_create(NewIntent { wait_behind: true, ..intent(&name, waits) }).await.expect("waits");
        carry_out(store, &delete, &spec(&[], &[]), &Phase::Succeeded).await;
        let settled = store.rollout_get(waiting.rollout.id).await.expect("no error").expect("there");
        assert_eq!(
            (settled.phase.name(), settled.from),
            (phase, if phase == "accepted" { None } else { Some(1) }),
            "{name}"
        );
        let now = get(store, release.id).await;
        assert_eq!(now.deleted, phase == "failed", "{name}");
        if phase == "accepted" {
            carry_out(store, &waiting, &spec(&[], &[]), &Phase::Succeeded).await;
            assert_eq!(get(store, release.id).await.serving, Some(2), "{name}");
        }
    }
    assert_eq!(store.release_list(&tenant(), None, None, 10).await.expect("list").len(), 2);
}

async fn history_tells_who_asked_what_and_how_it_went(world: &World) {
    let store = &world.store;
    let release = serving(store, "web", &spec(&[], &[])).await;
    let described = NewIntent { description: Some("a new look".into()), ..intent("web", Verb::Upgrade) };
    let bad = store.intent_create(described).await.expect("accepted");
    carry_out(store, &bad, &spec(&[], &[]), &Phase::Failed { cause: cause("unhealthy") }).await;
    let delete = store.intent_create(intent("web", Verb::Delete)).await.expect("accepted");
    carry_out(store, &delete, &spec(&[], &[]), &Phase::Succeeded).await;
    let history = store.history(release.id, 10, None).await.expect("history");
    let short: Vec<_> = history.iter().map(|h| (h.verb, h.to, h.phase.name(), h.state)).collect();
    assert_eq!(
        short,
        vec![
            (Verb::Delete, None, "succeeded", None),
            (Verb::Upgrade, Some(2), "failed", Some(RevisionState::Failed)),
            (Verb::Install, Some(1), "succeeded", Some(RevisionState::Deleted)),
        ]
    );
    assert_eq!(history[1].description.as_deref(), Some("a new look"));
    assert_eq!(history[1].phase.cause().map(|c| c.code.as_str()), Some("unhealthy"));
    assert_eq!(history[1].provenance, provenance());
    assert!(history.iter().all(|h| h.took().is_some()));
    let rest = store.history(release.id, 10, Some(history[0].cursor)).await.expect("history");
    assert_eq!(rest, history[1..]);
}

async fn what_may_have_to_run_again_is_needed_and_nothing_else(world: &World) {
    let store = &world.store;
    let made_of = |text: &str| {
        let mut spec = spec(&[], &[]);
        spec.applications[0].resource.sha256 = Some(Sha256::of(text.as_bytes()));
        let second = Resource { uri: "docker:x".to_owned(), sha256: Some(Sha256::of(format!("{text}+").as_bytes())) };
        spec.applications[0].images.insert("second".to_owned(), second);
        spec
    };
    let asked = async |release: &str, verb: Verb, text: &str, end: &Phase| {
        let accepted = store.intent_create(intent(release, verb)).await.expect("accepted");
        carry_out(store, &accepted, &made_of(text), end).await;
    };
    let needed = async |revisions: u32, since: Timestamp| -> String {
        let needed = store.needed(revisions, since).await.expect("needed");
        let all = ["a1", "a2", "a3", "a4", "bad", "b1", "c1", "c2", "live"];
        assert!(all.iter().all(|one| {
            needed.contains(&Sha256::of(one.as_bytes())) == needed.contains(&Sha256::of(format!("{one}+").as_bytes()))
        }));
        all.into_iter().filter(|one| needed.contains(&Sha256::of(one.as_bytes()))).collect::<Vec<_>>().join(" ")
    };
    let begun = world.clock.now();
    for text in ["a1", "a2", "a3"] {
        let verb = if text == "a1" { Verb::Install } else { Verb::Upgrade };
        asked("a", verb, text, &Phase::Succeeded).await;
    }
    asked("a", Verb::Upgrade, "bad", &Phase::Failed { cause: cause("unhealthy") }).await;
    asked("a", Verb::Upgrade, "a4", &Phase::Succeeded).await;
    asked("b", Verb::Install, "b1", &Phase::Succeeded).await;
    asked("c", Verb::Install, "c1", &Phase::Succeeded).await;
    asked("c", Verb::Upgrade, "c2", &Phase::Succeeded).await;
    asked("c", Verb::Delete, "", &Phase::Succeeded).await;
    assert_eq!(needed(1, begun).await, "a1 a2 a3 a4 bad b1 c1 c2", "whatever changed since then");
    world.pass(Duration::from_secs(1)).await;
    let later = world.clock.now();
    assert_eq!(needed(1, later).await, "a3 a4 b1");
    assert_eq!(needed(2, later).await, "a2 a3 a4 b1");
    assert_eq!(needed(u32::MAX, later).await, "a1 a2 a3 a4 b1", "a deleted release for its time alone");
    assert_eq!(needed(u32::MAX, Timestamp::default()).await, "a1 a2 a3 a4 bad b1 c1 c2");
    // On its way: resolved, and nothing runs yet. What runs of it counts in its own right.
    let accepted = store.intent_create(intent("b", Verb::Upgrade)).await.expect("accepted");
    let lease = begin(store, &accepted, &made_of("c1")).await;
    let mut note = note(0, StepState::Done);
    let deployment =
        plan_for(&accepted.release, 9, &made_of("live"), &SecretVersions::default()).deployments[0].clone();
    let instances = vec![0];
    note.live =
        vec![Live { deployment, weight: 0, instances, addresses: Default::default(), generation: lease.generation }];
    store.step(&lease, note).await.expect("step");
    assert_eq!(needed(1, later + Duration::from_secs(60)).await, "a3 a4 b1 c1 live");
    let purge = NewIntent { purge: true, ..intent("a", Verb::Delete) };
    let purge = store.intent_create(purge).await.expect("accepted");
    carry_out(store, &purge, &made_of(""), &Phase::Succeeded).await;
    assert_eq!(needed(u32::MAX, Timestamp::default()).await, "b1 c1 c2 live");
}
