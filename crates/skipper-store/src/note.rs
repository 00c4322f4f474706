//! What the holder of a rollout's lease notes of it: one transaction for everything that is noted at once.

use std::collections::BTreeMap;

use skipper_core::{
    deployment::{DeploymentId, Live},
    port::{Lease, Note, StepNote},
    release::Release,
    rollout::Rollout,
};

use crate::{
    Error, Store,
    db::{Txn, args},
    lease, live, release, resolved, rollout, settle, step,
};

impl Store {
    /// See [`skipper_core::port::RolloutStore::record`]. The same final phase again, under the same lease, is fine: the answer to
    /// the first may have been lost.
    pub(crate) async fn notes_put(&self, held: &Lease, notes: Vec<Note>) -> Result<(), Error> {
        let mut txn = self.txn("write the rollout's notes").await?;
        let last = notes.iter().find_map(|note| match note {
            Note::Phase { phase, .. } => phase.is_final().then(|| phase.clone()),
            _ => None,
        });
        let ends = match last {
            None => None,
            Some(phase) => Some((lock_ended_in_txn(&mut txn, held).await?, phase)),
        };
        let mut fenced = match lease::fence_in_txn(&mut txn, held).await {
            Ok(fenced) => fenced,
            Err(refused @ Error::Fenced { .. }) => {
                return match &ends {
                    Some((_, phase)) if settle::has_ended_in_txn(&mut txn, held, phase).await? => txn.leave().await,
                    _ => Err(refused),
                };
            }
            Err(refused) => return Err(refused),
        };
        let mut ends = ends.map(|(locked, _)| locked);
        // Only what becomes of each deployment is written, not every way there.
        let mut lives: BTreeMap<DeploymentId, Option<Live>> = BTreeMap::new();
        for note in notes {
            match note {
                Note::Resolved(note) => {
                    if let Some((_, ended)) = &mut ends {
                        ended.plan = Some(note.plan.clone());
                    }
                    resolved::put_in_txn(&mut txn, held, &mut fenced, *note).await?;
                }
                Note::Step(note) => {
                    let StepNote { record, live, gone, events } = *note;
                    step::put_in_txn(&mut txn, held, &fenced, &record).await?;
                    lives.extend(live.into_iter().map(|live| (live.deployment.id.clone(), Some(live))));
                    lives.extend(gone.into_iter().map(|id| (id, None)));
                    txn.tell(events);
                }
                Note::Live { changed, gone } => {
                    lives.extend(changed.into_iter().map(|live| (live.deployment.id.clone(), Some(live))));
                    lives.extend(gone.into_iter().map(|id| (id, None)));
                }
                Note::Phase { phase, events } => {
                    txn.tell(events);
                    if phase.is_final() {
                        live::change_in_txn(&mut txn, held, std::mem::take(&mut lives)).await?;
                    }
                    match ends.take_if(|_| phase.is_final()) {
                        None => settle::move_in_txn(&mut txn, held, &phase).await?,
                        Some((release, ended)) => {
                            settle::end_in_txn(&mut txn, held, release, &ended, &phase).await?;
                            txn.wake();
                        }
                    }
                }
            }
        }
        live::change_in_txn(&mut txn, held, lives).await?;
        txn.commit().await
    }
}

/// The release first, as everywhere, then the rollout.
async fn lock_ended_in_txn(txn: &mut Txn, held: &Lease) -> Result<(Release, Rollout), Error> {
    let seen = txn.one(rollout::GET, args![held.rollout]).await?.as_ref().map(rollout::read).transpose()?;
    let ended = seen.ok_or_else(|| Error::not_found("rollout", held.rollout))?;
    Ok((release::lock_in_txn(txn, ended.release).await?, ended))
}
