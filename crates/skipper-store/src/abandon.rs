//! Ending a rollout whose record cannot be read. It must reach a final phase like every other: left open it would be taken
//! up for ever, and nothing else could be done with its release.

use std::collections::BTreeSet;

use serde_json::json;
use skipper_core::{
    actor::{Actor, Provenance},
    deployment::Live,
    id::RequestId,
    name::AppName,
    port::{Abandoned, Lease},
    release::Release,
    rollout::{Phase, Rollout, Verb, abandoned, settle_abandoned},
    spec::Spec,
};

use crate::{
    Error, Store,
    db::{Row, Txn, args, statements},
    json, lease, live, release, revision, rollout, settle, step,
};

statements! {
    MEND = "UPDATE rollout SET phase_name = $2, phase = $3, plan = $4, plan_index = NULL, secrets = $5, provenance = $6, required_plan = $7 WHERE id = $1";
    FORGET_STEPS = "DELETE FROM step WHERE rollout_id = $1";
}

impl Store {
    /// See [`skipper_core::port::RolloutStore::abandon`]. What can still be read of the rollout stays.
    pub(crate) async fn rollout_abandon(&self, held: &Lease, why: &str) -> Result<Abandoned, Error> {
        let mut txn = self.txn("give the rollout up").await?;
        let fenced = lease::fence_in_txn(&mut txn, held).await?;
        let release = release::lock_in_txn(&mut txn, fenced.release).await?;
        let row = txn.row(rollout::GET, args![held.rollout]).await?;
        let now = txn.shared().clock.now();
        let phase = abandoned(&row.text("phase_name")?, why, now);
        let rollout = salvage(&row, &release, &phase)?;
        let (plan, secrets) = (rollout.plan.as_ref().map(json::text).transpose()?, json::text(&rollout.secrets)?);
        let provenance = json::text(&rollout.provenance)?;
        let required = rollout.required_plan.as_ref().map(ToString::to_string);
        txn.later(MEND, args![rollout.id, phase.name(), json::text(&phase)?, plan, secrets, provenance, required])
            .await?;
        if txn.all(step::LIST, args![rollout.id]).await?.iter().map(step::read).any(|read| read.is_err()) {
            txn.later(FORGET_STEPS, args![rollout.id]).await?;
        }
        let apps = settle_lives_in_txn(&mut txn, held, &release, &rollout, phase == Phase::Succeeded).await?;
        let mut told = rollout::told("rollout.abandoned", &release, &rollout, &rollout.provenance);
        told.data["message"] = json!(why);
        txn.tell([told]);
        settle::end_in_txn(&mut txn, held, release, &rollout, &phase).await?;
        txn.wake();
        txn.commit().await?;
        Ok(Abandoned { release: rollout.release, apps })
    }
}

/// What can be read of a rollout, and what stands for the rest.
fn salvage(row: &Row, release: &Release, phase: &Phase) -> Result<Rollout, Error> {
    let id = row.parse("id")?;
    Ok(Rollout {
        id,
        release: release.id,
        verb: row.word("verb", Verb::parse)?,
        from: row.maybe_count("from_revision")?,
        to: row.maybe_count("to_revision")?,
        phase: phase.clone(),
        plan: row.maybe_json("plan").unwrap_or_default(),
        required_plan: row.maybe_parse("required_plan").unwrap_or_default(),
        purge: row.flag("purge")?,
        cancel_requested: row.flag("cancel_requested")?,
        secrets: row.json("secrets").unwrap_or_default(),
        provenance: row.json("provenance").unwrap_or_else(|_| Provenance {
            actor: Actor::System,
            trigger: "unreadable".to_owned(),
            request: RequestId::from_uuid(uuid::Uuid::nil()),
            correlation: String::new(),
        }),
        created_at: row.time("created_at")?,
        started_at: row.maybe_time("started_at")?,
        finished_at: row.maybe_time("finished_at")?,
    })
}

async fn settle_lives_in_txn(
    txn: &mut Txn,
    held: &Lease,
    release: &Release,
    rollout: &Rollout,
    succeeded: bool,
) -> Result<BTreeSet<AppName>, Error> {
    let (before, wanted) =
        (apps_in_txn(txn, release, release.serving).await?, apps_in_txn(txn, release, rollout.to).await?);
    let serve = if succeeded { &wanted } else { &before };
    // One that cannot be read is left as it is.
    let rows = txn.all(live::OF_RELEASE, args![release.id]).await?;
    let mut lives: Vec<Live> = rows.iter().filter_map(|row| live::read(row).ok()).collect();
    settle_abandoned(&mut lives, rollout.verb, rollout.to, succeeded, serve.as_ref());
    for live in &lives {
        live::put_in_txn(txn, live, held.generation).await?;
    }
    let running = lives.into_iter().map(|live| live.deployment.app.name);
    Ok(running.chain(before.into_iter().flatten()).chain(wanted.into_iter().flatten()).collect())
}

/// The applications of a revision; `None` when they cannot be read.
async fn apps_in_txn(
    txn: &mut Txn,
    release: &Release,
    revision: Option<u64>,
) -> Result<Option<BTreeSet<AppName>>, Error> {
    let Some(number) = revision else { return Ok(Some(BTreeSet::new())) };
    let row = txn.one(revision::GET, args![release.id, number]).await?;
    let spec: Option<Spec> = row.and_then(|row| row.maybe_json("spec").ok().flatten());
    Ok(spec.map(|spec| spec.applications.into_iter().map(|app| app.name).collect()))
}
