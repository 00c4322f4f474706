//! Moving a rollout to its next phase, and what a final one settles: revisions, the serving one, claims, whoever waited,
//! and a purge.

use skipper_core::{
    generation::Generation,
    id::RolloutId,
    port::Lease,
    release::{Release, RevisionState},
    rollout::{Cause, Phase, Plan, Rollout, Verb},
    time::Timestamp,
};

use crate::{
    Error, branch,
    db::{Txn, args, statements},
    json, lease, mode, port_claim, resolved, revision, rollout, route_claim,
};

statements! {
    MOVE = "UPDATE rollout SET phase_name = $4, phase = $5, started_at = COALESCE(started_at, $6), row_version = row_version + 1 \
        WHERE id = $1 AND slot = 'open' AND lease_owner IS NOT NULL AND gen_epoch = $2 AND gen_counter = $3";
    END = "UPDATE rollout SET phase_name = $4, phase = $5, started_at = COALESCE(started_at, $6), finished_at = $6, slot = NULL, \
            lease_owner = NULL, lease_expires_at = NULL, row_version = row_version + 1 \
        WHERE id = $1 AND slot = 'open' AND lease_owner IS NOT NULL AND gen_epoch = $2 AND gen_counter = $3";
    END_WAITING = "UPDATE rollout SET phase_name = $2, phase = $3, finished_at = $4, slot = NULL, row_version = row_version + 1 \
        WHERE id = $1 AND slot = 'waiting'";
    ADMIT = "UPDATE rollout SET phase_name = $2, phase = $3, from_revision = $4, slot = 'open', row_version = row_version + 1 \
        WHERE id = $1 AND slot = 'waiting'";
    ENDED_SO = "SELECT id FROM rollout WHERE id = $1 AND gen_epoch = $2 AND gen_counter = $3 AND slot IS NULL AND phase = $4";
    SET_RELEASE = "UPDATE release SET serving = $2, deleted = $3, purged = $4 WHERE id = $1";
    SET_PLAN = "UPDATE rollout SET plan = $2 WHERE id = $1";
    PURGE_BUNDLES = "DELETE FROM bundle WHERE rollout_id IN (SELECT id FROM rollout WHERE release_id = $1)";
    PURGE_STEPS = "DELETE FROM step WHERE rollout_id IN (SELECT id FROM rollout WHERE release_id = $1 AND id <> $2 AND slot IS NULL)";
    PURGE_DEPLOYMENTS = "DELETE FROM plan_deployment \
        WHERE rollout_id IN (SELECT id FROM rollout WHERE release_id = $1 AND id <> $2 AND slot IS NULL)";
    PURGE_ROLLOUTS = "DELETE FROM rollout WHERE release_id = $1 AND id <> $2 AND slot IS NULL";
    PURGE_KEPT = "DELETE FROM kept_package WHERE NOT EXISTS (SELECT 1 FROM revision WHERE revision.kept = kept_package.digest)";
    PURGE_REVISIONS = "DELETE FROM revision WHERE release_id = $1 AND state <> 'pending'";
    PURGE_METADATA = "DELETE FROM release_metadata WHERE release_id = $1";
}

/// Moves the rollout to a phase that is not its last.
pub(crate) async fn move_in_txn(txn: &mut Txn, held: &Lease, phase: &Phase) -> Result<(), Error> {
    let Generation { epoch, counter } = held.generation;
    let now = txn.shared().clock.now();
    if txn.run(MOVE, args![held.rollout, epoch, counter, phase.name(), json::text(phase)?, now]).await? == 0 {
        return Err(lease::refusal_in_txn(txn, held.rollout).await?);
    }
    Ok(())
}

/// Whether the rollout has already ended so, under the same lease: the answer may have been lost.
pub(crate) async fn has_ended_in_txn(txn: &mut Txn, held: &Lease, phase: &Phase) -> Result<bool, Error> {
    let Generation { epoch, counter } = held.generation;
    Ok(txn.one(ENDED_SO, args![held.rollout, epoch, counter, json::text(phase)?]).await?.is_some())
}

/// Ends a rollout that never began, with its revision.
pub(crate) async fn end_waiting_in_txn(
    txn: &mut Txn,
    release: &Release,
    waiting: &Rollout,
    phase: Phase,
) -> Result<(), Error> {
    let now = txn.shared().clock.now();
    txn.later(END_WAITING, args![waiting.id, phase.name(), json::text(&phase)?, now]).await?;
    if let Some(number) = waiting.to {
        let state =
            if matches!(phase, Phase::Failed { .. }) { RevisionState::Failed } else { RevisionState::Cancelled };
        txn.later(revision::SET_STATE, args![release.id, number, state.as_str(), now]).await?;
    }
    Ok(())
}

/// Ends an open rollout in that phase, whatever it was in, and settles what follows from it.
pub(crate) async fn end_in_txn(
    txn: &mut Txn,
    held: &Lease,
    release: Release,
    ended: &Rollout,
    phase: &Phase,
) -> Result<(), Error> {
    let Generation { epoch, counter } = held.generation;
    let now = txn.shared().clock.now();
    if txn.run(END, args![held.rollout, epoch, counter, phase.name(), json::text(phase)?, now]).await? == 0 {
        return Err(lease::refusal_in_txn(txn, held.rollout).await?);
    }
    settle_in_txn(txn, release, ended, phase, now).await
}

async fn settle_in_txn(
    txn: &mut Txn,
    mut release: Release,
    ended: &Rollout,
    phase: &Phase,
    now: Timestamp,
) -> Result<(), Error> {
    txn.later(resolved::FORGET_DEPLOYMENTS, args![ended.id]).await?;
    let deleted = settle_revisions_in_txn(txn, &mut release, ended, phase, now).await?;
    let admitted = admit_in_txn(txn, &mut release, now).await?;
    let purged = deleted && ended.purge;
    if purged {
        purge_in_txn(txn, &release, ended).await?;
    }
    if deleted {
        port_claim::clear_in_txn(txn, release.id).await?;
        mode::clear_in_txn(txn, release.id).await?;
        branch::leave_in_txn(txn, release.id).await?;
    }
    route_claim::settle_in_txn(txn, release.id).await?;
    let forgotten = purged && admitted.is_none();
    txn.later(SET_RELEASE, args![release.id, release.serving, release.deleted, forgotten]).await
}

/// Says whether the release has just been deleted.
async fn settle_revisions_in_txn(
    txn: &mut Txn,
    release: &mut Release,
    ended: &Rollout,
    phase: &Phase,
    now: Timestamp,
) -> Result<bool, Error> {
    let target = match phase {
        Phase::Succeeded => RevisionState::Live,
        Phase::Failed { .. } => RevisionState::Failed,
        _ => RevisionState::Cancelled,
    };
    let succeeded = *phase == Phase::Succeeded;
    let (live, before) = (RevisionState::Live.as_str(), RevisionState::Superseded.as_str());
    match ended.to {
        Some(number) => {
            if succeeded {
                txn.later(revision::RETIRE_STATE, args![release.id, live, before, now]).await?;
                release.serving = Some(number);
            }
            txn.later(revision::SET_STATE, args![release.id, number, target.as_str(), now]).await?;
            Ok(false)
        }
        None if succeeded => {
            let gone = RevisionState::Deleted.as_str();
            txn.later(revision::RETIRE_STATE, args![release.id, live, gone, now]).await?;
            release.serving = None;
            release.deleted = true;
            Ok(true)
        }
        None => Ok(false),
    }
}

/// Lets the rollout begin that waited, or ends it where there is nothing left for it to change.
async fn admit_in_txn(txn: &mut Txn, release: &mut Release, now: Timestamp) -> Result<Option<RolloutId>, Error> {
    let Some(waiting) = rollout::waiting_in_txn(txn, release.id).await? else { return Ok(None) };
    let sensible = match waiting.verb {
        Verb::Install | Verb::Upgrade => true,
        Verb::Rollback | Verb::Scale => !release.deleted,
        Verb::Delete => !release.deleted || waiting.purge,
    };
    if !sensible {
        let cause = Cause {
            code: "release-deleted".to_owned(),
            message: format!("release `{}` was deleted while this {} waited", release.name, waiting.verb.as_str()),
            hint: None,
            step: None,
            at: now,
        };
        end_waiting_in_txn(txn, release, &waiting, Phase::Failed { cause }).await?;
        txn.tell([rollout::told("rollout.failed", release, &waiting, &waiting.provenance)]);
        return Ok(None);
    }
    let phase = Phase::Accepted;
    txn.later(ADMIT, args![waiting.id, phase.name(), json::text(&phase)?, release.serving]).await?;
    release.deleted &= waiting.to.is_none();
    txn.tell([rollout::told("rollout.admitted", release, &waiting, &waiting.provenance)]);
    Ok(Some(waiting.id))
}

/// Removes what the release was: revisions with their manifests, bundles, and the logs of its rollouts. Events stay, and of
/// the rollout that did it as much as its caller still wants to read.
async fn purge_in_txn(txn: &mut Txn, release: &Release, by: &Rollout) -> Result<(), Error> {
    txn.later(PURGE_BUNDLES, args![release.id]).await?;
    for sql in [PURGE_STEPS, PURGE_DEPLOYMENTS, PURGE_ROLLOUTS] {
        txn.later(sql, args![release.id, by.id]).await?;
    }
    for sql in [PURGE_METADATA, PURGE_REVISIONS] {
        txn.later(sql, args![release.id]).await?;
    }
    txn.later(PURGE_KEPT, args![]).await?;
    // Its deployments hold environments and arguments of what was removed.
    let plan = by.plan.clone().map(|plan| json::text(&Plan { deployments: Vec::new(), ..plan })).transpose()?;
    txn.later(SET_PLAN, args![by.id, plan]).await
}
