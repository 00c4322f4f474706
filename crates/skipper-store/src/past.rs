//! Taking over the history of a release that another system kept: revisions that are over, each with the rollout that made
//! it, as if they had been made here. Nothing of it runs.

use skipper_core::{
    actor::Provenance,
    event::NewEvent,
    id::{ReleaseId, RolloutId},
    name::{ReleaseName, TenantName},
    release::{Door, Release, RevisionState, Source},
    rollout::{Cause, Phase, Verb},
    secret::SecretVersions,
    spec::Spec,
    time::Timestamp,
};

use crate::{
    Error, Store,
    db::{Txn, args, statements},
    event, json, kept, release, release_metadata, revision, tenant,
};

statements! {
    INSERT_ROLLOUT = "INSERT INTO rollout (id, release_id, verb, to_revision, phase_name, phase, purge, secrets, provenance, \
            created_at, started_at, finished_at) \
        VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8, $9, $9, $9)";
    SET_PAST = "UPDATE release SET last_revision = $2, deleted = 1, created_at = $3 WHERE id = $1";
}

/// Most revisions of one release.
const MAX_REVISIONS: usize = 10_000;

/// A revision that was made and ended elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct PastRevision {
    /// Its number; numbers rise, and may have gaps.
    pub number: u64,
    /// What became of it: superseded, failed, cancelled or deleted. Nothing of the past is live.
    pub state: RevisionState,
    /// What it was made of.
    pub source: Source,
    /// The rendered text.
    pub manifest: Option<String>,
    /// Its typed form, where the text could be read; without it nobody can go back to the revision.
    pub spec: Option<Spec>,
    /// Free text. Of one that failed, why it did.
    pub description: Option<String>,
    /// The package as it was, to be remembered with it.
    pub kept: Option<String>,
    /// What it was asked for by (`webhook`), where that is known; else as what takes it over.
    pub trigger: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// What the rollout that made it was called, where that is to be found again.
    pub rollout: Option<RolloutId>,
}

impl Store {
    /// Stores a release that ran elsewhere, as a deleted one whose history can be read and gone back to.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`] when there is a release of that name; [`Error::Invalid`] for no revision, numbers that do
    /// not rise, a live or pending one, and more than ten thousand.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction.
    pub async fn release_take_over(
        &self,
        tenant: &TenantName,
        name: &ReleaseName,
        door: Door,
        past: &[PastRevision],
        provenance: &Provenance,
    ) -> Result<Release, Error> {
        check(past)?;
        let mut txn = self.txn("take over a release").await?;
        if release::lock_by_name_in_txn(&mut txn, tenant, name).await?.is_some() {
            return Err(Error::Exists { kind: "release", name: name.to_string() });
        }
        tenant::ensure_in_txn(&mut txn, tenant).await?;
        let (id, now) = (ReleaseId::from_uuid(txn.shared().ids.next()), txn.shared().clock.now());
        txn.later(release::INSERT, args![id, tenant.as_str(), name.as_str(), door.as_str(), now]).await?;
        for one in past {
            let trigger = one.trigger.clone().unwrap_or_else(|| provenance.trigger.clone());
            let by = json::text(&Provenance { trigger, ..provenance.clone() })?;
            insert_in_txn(&mut txn, id, one, &by).await?;
        }
        let (first, last) = (past.first().map_or(now, |one| one.created_at), past.last().map_or(0, |one| one.number));
        txn.later(SET_PAST, args![id, last, first]).await?;
        if let Some(spec) = past.last().and_then(|one| one.spec.as_ref()) {
            release_metadata::set_in_txn(&mut txn, id, last, spec).await?;
        }
        let taken = NewEvent {
            kind: "release.taken-over".to_owned(),
            tenant: Some(tenant.clone()),
            release: Some(name.clone()),
            revision: Some(last),
            rollout: None,
            provenance: provenance.clone(),
            data: serde_json::json!({"revisions": past.len()}),
        };
        event::append_in_txn(&mut txn, vec![taken]).await?;
        let release = release::lock_by_name_in_txn(&mut txn, tenant, name).await?;
        txn.commit().await?;
        release.ok_or_else(|| Error::corrupt(format!("release `{name}` is gone right after it was made")))
    }
}

fn check(past: &[PastRevision]) -> Result<(), Error> {
    let wrong = |text: String| Err(Error::Invalid(text));
    if past.is_empty() || past.len() > MAX_REVISIONS {
        return wrong(format!("a release that is taken over has 1 to {MAX_REVISIONS} revisions"));
    }
    if past.first().is_some_and(|one| one.number == 0) || past.windows(2).any(|two| two[0].number >= two[1].number) {
        return wrong("revisions are numbered from 1, and each has a higher number than the one before".to_owned());
    }
    if let Some(one) = past.iter().find(|one| matches!(one.state, RevisionState::Live | RevisionState::Pending)) {
        return wrong(format!("revision {} cannot be {}: it does not run here", one.number, one.state.as_str()));
    }
    Ok(())
}

async fn insert_in_txn(txn: &mut Txn, id: ReleaseId, one: &PastRevision, by: &str) -> Result<(), Error> {
    let (repository, package, version) = match &one.source {
        Source::Package { repository, name, version, .. } => {
            (Some(repository.clone()), Some(name.clone()), Some(version.clone()))
        }
        Source::App { .. } | Source::Tenant { .. } | Source::Revision { .. } | Source::Scale { .. } => {
            (None, None, None)
        }
    };
    let kept = match &one.kept {
        Some(document) => Some(kept::put_in_txn(txn, document.clone()).await?),
        None => None,
    };
    let (tag, signed_at) = revision::delivery(&one.source);
    let columns = args![
        id,
        one.number,
        json::text(&one.source)?,
        repository,
        package,
        version,
        one.manifest.clone(),
        one.spec.as_ref().map(|spec| i64::from(spec.version)),
        one.spec.as_ref().map(json::text).transpose()?,
        by,
        one.description.clone(),
        one.created_at,
        // The numbers are those that the other system knew: it did not number scalings.
        one.number,
        false,
        matches!(one.source, Source::Package { .. }).then_some(one.number),
        kept,
        tag,
        signed_at,
    ];
    txn.later(revision::INSERT, columns).await?;
    txn.later(revision::SET_STATE, args![id, one.number, one.state.as_str(), one.created_at]).await?;
    let ended = |code: &str, message: &str| Cause {
        code: code.to_owned(),
        message: message.to_owned(),
        hint: None,
        step: None,
        at: one.created_at,
    };
    let phase = match one.state {
        RevisionState::Failed => {
            let told = one.description.as_deref().filter(|told| !told.trim().is_empty());
            let told = told.unwrap_or("it had failed before the release was taken over");
            Phase::Failed { cause: ended(Cause::ELSEWHERE, told) }
        }
        RevisionState::Cancelled => {
            Phase::Cancelled { cause: ended(Cause::CANCELLED, "it had not ended when the release was taken over") }
        }
        _ => Phase::Succeeded,
    };
    let rollout = one.rollout.unwrap_or_else(|| RolloutId::from_uuid(txn.shared().ids.next()));
    let verb = if one.number == 1 { Verb::Install } else { Verb::Upgrade };
    txn.later(
        INSERT_ROLLOUT,
        args![
            rollout,
            id,
            verb.as_str(),
            one.number,
            phase.name(),
            json::text(&phase)?,
            json::text(&SecretVersions::default())?,
            by,
            one.created_at,
        ],
    )
    .await
}
