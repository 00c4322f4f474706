//! What Resolve leaves behind: manifest, spec, secret versions and plan, and the claims that come with them.

use skipper_core::{
    port::{Lease, ResolvedNote},
    rollout::Step,
    spec::Spec,
};

use crate::{
    Error,
    db::{Txn, args, statements},
    json,
    lease::Fenced,
    release_metadata, revision, route_claim,
};

statements! {
    SET_ROLLOUT = "UPDATE rollout SET plan = $2, plan_hash = $3, plan_index = $4, secrets = $5, phase_name = $6, phase = $7, \
        started_at = COALESCE(started_at, $8) WHERE id = $1";
    SET_REVISION = "UPDATE revision SET manifest = $3, spec_version = $4, spec = $5, resolved = 1, updated_at = $6, \
        row_version = row_version + 1 WHERE release_id = $1 AND number = $2 AND resolved = 0";
    SEAL_REVISION = "UPDATE revision SET resolved = 1, updated_at = $3, row_version = row_version + 1 \
        WHERE release_id = $1 AND number = $2 AND resolved = 0";
    FORGET_DEPLOYMENTS = "DELETE FROM plan_deployment WHERE rollout_id = $1";
    ADD_DEPLOYMENT = "INSERT INTO plan_deployment (deployment_id, rollout_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
}

/// See [`skipper_core::port::RolloutStore::resolved`]. What a caller rendered within its request is replaced by what
/// Resolve made of it; from then on both are final.
pub(crate) async fn put_in_txn(
    txn: &mut Txn,
    lease: &Lease,
    fenced: &mut Fenced,
    note: ResolvedNote,
) -> Result<(), Error> {
    let ResolvedNote { resolved, plan, secrets, phase, events } = note;
    if phase.is_final() {
        return Err(Error::Invalid(format!("a rollout is not resolved into {}; move it there", phase.name())));
    }
    let now = txn.shared().clock.now();
    let index = |step: &Step| (step.app.to_string(), step.target.0.to_string(), step.action.name().to_owned());
    fenced.steps = plan.steps.iter().map(index).collect();
    txn.later(
        SET_ROLLOUT,
        args![
            lease.rollout,
            json::text(&plan)?,
            plan.hash(),
            json::text(&fenced.steps)?,
            json::text(&secrets)?,
            phase.name(),
            json::text(&phase)?,
            now,
        ],
    )
    .await?;
    txn.later(FORGET_DEPLOYMENTS, args![lease.rollout]).await?;
    for deployment in &plan.deployments {
        txn.later(ADD_DEPLOYMENT, args![deployment.id.as_str(), lease.rollout]).await?;
    }
    if let Some(number) = fenced.to {
        match resolved {
            None => txn.run(SEAL_REVISION, args![fenced.release, number, now]).await?,
            Some((manifest, spec)) => {
                let version = i64::from(spec.version);
                let spec = json::text(&spec)?;
                txn.run(SET_REVISION, args![fenced.release, number, manifest, version, spec, now]).await?
            }
        };
        // Whatever is stored now is what will be routed, and found.
        if let Some(spec) = spec_in_txn(txn, fenced, number).await? {
            route_claim::add_in_txn(txn, fenced.release, &spec).await?;
            release_metadata::set_in_txn(txn, fenced.release, number, &spec).await?;
        }
    }
    txn.tell(events);
    Ok(())
}

async fn spec_in_txn(txn: &mut Txn, fenced: &Fenced, number: u64) -> Result<Option<Spec>, Error> {
    match txn.one(revision::GET, args![fenced.release, number]).await? {
        None => Ok(None),
        Some(row) => row.maybe_json("spec"),
    }
}
