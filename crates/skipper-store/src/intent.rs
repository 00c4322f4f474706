//! Accepting an intent: the revision, the rollout, the claims and the event, in one transaction, before the caller is
//! answered.

use skipper_core::{
    Sha256,
    actor::Provenance,
    id::{ReleaseId, RolloutId},
    name::{ReleaseName, TenantName},
    release::{Door, Release, Revision, RevisionState, Source},
    rollout::{Phase, Rollout, Verb},
    secret::SecretVersions,
    spec::Spec,
    time::Timestamp,
};

use crate::{
    Error, Once, Store,
    db::{Txn, args, statements},
    idempotency, json, kept, release, revision, rollout, route_claim, settle, tenant,
};

statements! {
    INSERT_ROLLOUT = "INSERT INTO rollout (id, release_id, verb, from_revision, to_revision, slot, phase_name, phase, \
            required_plan, purge, secrets, provenance, created_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    SOURCE = "SELECT source FROM revision WHERE release_id = $1 AND number = $2";
}

/// Most revisions that went back to one another, from what serves to what was deployed.
const MOST_HOPS: u32 = 200;

/// Longest description; a paragraph, not a document.
const DESCRIPTION_MAX: usize = 4096;

/// What somebody wants of a release, checked as far as that goes without looking at it.
#[derive(Debug, Clone)]
pub struct NewIntent {
    /// Whose release.
    pub tenant: TenantName,
    /// Which release.
    pub name: ReleaseName,
    /// Through which door: the name belongs to it from the install on.
    pub door: Door,
    /// What is wanted.
    pub verb: Verb,
    /// What the revision is made of; `None` for a delete, and only then.
    pub source: Option<Source>,
    /// Manifest and spec, where the source could be rendered within the request. Resolve pins and completes them.
    pub rendered: Option<(String, Spec)>,
    /// Only if the plan has this hash.
    pub require_plan: Option<Sha256>,
    /// Only if this is what serves: for intents that were made from what served (values reused, counts changed).
    pub expect_serving: Option<u64>,
    /// Of an app: only if nothing newer was accepted before, on whatever server. Which of two is newer is told by when they were
    /// signed; where that is not known, a tag that was deployed before another one is taken for one that was sent again.
    pub in_order: bool,
    /// A delete that removes the history as well.
    pub purge: bool,
    /// Who and through what.
    pub provenance: Provenance,
    /// Free text.
    pub description: Option<String>,
    /// Where a rollout is open: wait behind it, in the place of whatever waited before. Else that is [`Error::Busy`].
    pub wait_behind: bool,
    /// The package as a document that outlives it, where the source is a package. Equal ones are stored once.
    pub kept: Option<String>,
    /// The idempotency key of the request: the rollout is remembered with it in the same transaction, so that not even a crash
    /// before the answer makes a second one.
    pub idempotency: Option<Once>,
}

/// An intent that is on disk.
#[derive(Debug, Clone)]
pub struct IntentAccepted {
    /// The release as it is now.
    pub release: Release,
    /// The new revision; `None` for a delete.
    pub revision: Option<Revision>,
    /// The rollout: accepted, or waiting.
    pub rollout: Rollout,
}

impl Store {
    /// Accepts an intent. When this returns it is on disk, and the engine has been woken.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`], [`Error::NameTaken`], [`Error::AlreadyInstalled`], [`Error::NotFound`], [`Error::Deleted`],
    /// [`Error::Changed`], [`Error::RouteTaken`], [`Error::Repeated`] and [`Error::Invalid`]; nothing is stored then.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: one transaction, which happens or does not.
    pub async fn intent_create(&self, new: NewIntent) -> Result<IntentAccepted, Error> {
        check(&new)?;
        let mut txn = self.txn("accept the intent").await?;
        let release = admit_in_txn(&mut txn, &new).await?;
        if let (true, Some(Source::App { tag, signed_at, .. })) = (new.in_order, &new.source) {
            let judged = refuse_outdated_in_txn(&mut txn, &release, tag, *signed_at).await;
            // What serves by a rollback brings nothing back.
            if judged.is_err() && serving_tag_in_txn(&mut txn, &release).await?.as_ref() != Some(tag) {
                judged?;
            }
        }
        let (open, waiting) = rollout::under_way_in_txn(&mut txn, release.id).await?;
        let waits = open.is_some();
        if let Some((rollout, phase)) = open.filter(|_| !new.wait_behind) {
            return Err(Error::Busy { release: new.name, rollout, phase });
        }
        if let Some(waiting) = waiting {
            settle::end_waiting_in_txn(&mut txn, &release, &waiting, Phase::Superseded).await?;
            txn.tell([rollout::told("rollout.superseded", &release, &waiting, &new.provenance)]);
        }
        let accepted = insert_in_txn(&mut txn, new, release, waits).await?;
        txn.tell([rollout::told(
            "rollout.accepted",
            &accepted.release,
            &accepted.rollout,
            &accepted.rollout.provenance,
        )]);
        txn.wake();
        txn.commit().await?;
        Ok(accepted)
    }

    /// What an accepted intent led to, to repeat an answer.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for an unknown rollout.
    pub async fn intent_get(&self, rollout: RolloutId) -> Result<IntentAccepted, Error> {
        let loaded = self.rollout_load(rollout).await?;
        Ok(IntentAccepted { release: loaded.release, revision: loaded.target, rollout: loaded.rollout })
    }
}

fn check(new: &NewIntent) -> Result<(), Error> {
    if new.source.is_none() != (new.verb == Verb::Delete) {
        return Err(Error::Invalid("a delete has no source, and everything else has one".into()));
    }
    if new.description.as_ref().is_some_and(|text| text.len() > DESCRIPTION_MAX || text.contains('\0')) {
        return Err(Error::Invalid(format!("a description has at most {DESCRIPTION_MAX} bytes and no NUL")));
    }
    Ok(())
}

/// Finds or makes the release, locks it, and says whether the verb fits what it is.
async fn admit_in_txn(txn: &mut Txn, new: &NewIntent) -> Result<Release, Error> {
    let NewIntent { tenant, name, .. } = new;
    let release = match release::lock_by_name_in_txn(txn, tenant, name).await? {
        Some(release) => release,
        None if new.verb == Verb::Install => {
            tenant::ensure_in_txn(txn, tenant).await?;
            let (id, now) = (ReleaseId::from_uuid(txn.shared().ids.next()), txn.shared().clock.now());
            txn.later(release::INSERT, args![id, tenant.as_str(), name.as_str(), new.door.as_str(), now]).await?;
            // On PostgreSQL somebody else may have made it meanwhile; then this locks and judges theirs.
            let made = release::lock_by_name_in_txn(txn, tenant, name).await?;
            made.ok_or_else(|| Error::corrupt(format!("release `{name}` is gone right after it was made")))?
        }
        None => return Err(Error::not_found("release", name)),
    };
    if release.door != new.door && !release.deleted {
        return Err(Error::NameTaken { release: name.clone(), door: release.door });
    }
    match new.verb {
        Verb::Install if !release.deleted => {
            if let Some(revision) = release.serving {
                return Err(Error::AlreadyInstalled { release: name.clone(), revision });
            }
        }
        // A purge of what was deleted with its history kept.
        Verb::Delete if release.deleted && new.purge => {}
        Verb::Install => {}
        Verb::Upgrade | Verb::Rollback | Verb::Scale | Verb::Delete if release.deleted => {
            return Err(Error::Deleted { release: name.clone() });
        }
        Verb::Upgrade | Verb::Rollback | Verb::Scale | Verb::Delete => {}
    }
    if new.expect_serving.is_some() && new.expect_serving != release.serving {
        return Err(Error::Changed { release: name.clone(), serving: release.serving });
    }
    Ok(release)
}

/// An old delivery must not bring its version back. The release is locked: whoever comes at the same time comes before or after.
async fn refuse_outdated_in_txn(
    txn: &mut Txn,
    release: &Release,
    tag: &str,
    signed_at: Option<Timestamp>,
) -> Result<(), Error> {
    let newer = match signed_at {
        Some(at) => txn.one(revision::SIGNED_LATER, args![release.id, at, tag]).await?,
        // The usual case: it is new.
        None if txn.one(revision::TAGGED, args![release.id, tag]).await?.is_none() => None,
        None => {
            let newest = txn.one(revision::NEWEST_TAG, args![release.id]).await?;
            match newest {
                Some(row) if row.text("tag")? != tag => Some(row),
                Some(_) | None => None,
            }
        }
    };
    match newer {
        None => Ok(()),
        Some(row) => {
            let why = if signed_at.is_some() { "signed" } else { "deployed" };
            let (release, tag) = (release.name.clone(), tag.to_owned());
            Err(Error::Outdated { release, tag, why, newer: row.count("number")? })
        }
    }
}

/// The tag that serves, of whichever revision it was deployed by.
async fn serving_tag_in_txn(txn: &mut Txn, release: &Release) -> Result<Option<String>, Error> {
    let mut serving = release.serving;
    for _ in 0..MOST_HOPS {
        let Some(number) = serving else { return Ok(None) };
        let Some(row) = txn.one(SOURCE, args![release.id, number]).await? else { return Ok(None) };
        serving = match row.json("source")? {
            Source::App { tag, .. } => return Ok(Some(tag)),
            Source::Revision { number } | Source::Scale { number, .. } => Some(number),
            Source::Package { .. } | Source::Tenant { .. } => None,
        };
    }
    Ok(None)
}

async fn insert_in_txn(
    txn: &mut Txn,
    new: NewIntent,
    mut release: Release,
    waits: bool,
) -> Result<IntentAccepted, Error> {
    let now = txn.shared().clock.now();
    let provenance = json::text(&new.provenance)?;
    let revision = match new.source {
        None => None,
        Some(source) => {
            release.last_revision += 1;
            release.deleted = false;
            release.door = new.door;
            txn.later(release::SET_REVISION, args![release.id, release.last_revision, false, release.door.as_str()])
                .await?;
            let (manifest, spec) = new.rendered.map_or((None, None), |(manifest, spec)| (Some(manifest), Some(spec)));
            let revision = Revision {
                release: release.id,
                number: release.last_revision,
                state: RevisionState::Pending,
                source,
                manifest,
                spec,
                provenance: new.provenance.clone(),
                description: new.description,
                created_at: now,
            };
            insert_revision_in_txn(txn, &revision, new.kept, &provenance).await?;
            if let Some(spec) = &revision.spec {
                route_claim::add_in_txn(txn, release.id, spec).await?;
            }
            Some(revision)
        }
    };
    let rollout = Rollout {
        id: RolloutId::from_uuid(txn.shared().ids.next()),
        release: release.id,
        verb: new.verb,
        from: release.serving,
        to: revision.as_ref().map(|r| r.number),
        phase: if waits { Phase::Waiting } else { Phase::Accepted },
        plan: None,
        required_plan: new.require_plan,
        purge: new.purge && new.verb == Verb::Delete,
        cancel_requested: false,
        secrets: SecretVersions::default(),
        provenance: new.provenance,
        created_at: now,
        started_at: None,
        finished_at: None,
    };
    insert_rollout_in_txn(txn, &rollout, &provenance, now).await?;
    let accepted = IntentAccepted { release, revision, rollout };
    match &new.idempotency {
        None => {}
        Some(Once::Begun(key)) => idempotency::accepted_in_txn(txn, key, accepted.rollout.id).await?,
        Some(Once::Claim(claim)) => idempotency::claim_in_txn(txn, &new.tenant, claim, &accepted).await?,
    }
    Ok(accepted)
}

async fn insert_revision_in_txn(
    txn: &mut Txn,
    new: &Revision,
    kept: Option<String>,
    provenance: &str,
) -> Result<(), Error> {
    let origin = origin_in_txn(txn, new, kept).await?;
    let (tag, signed_at) = revision::delivery(&new.source);
    let spec = new.spec.as_ref().map(json::text).transpose()?;
    txn.later(
        revision::INSERT,
        args![
            new.release,
            new.number,
            json::text(&new.source)?,
            origin.repository,
            origin.name,
            origin.package_version,
            new.manifest.clone(),
            new.spec.as_ref().map(|spec| i64::from(spec.version)),
            spec,
            provenance,
            new.description.clone(),
            new.created_at,
            origin.version,
            matches!(new.source, Source::Scale { .. }),
            origin.made_of,
            origin.kept,
            tag,
            signed_at,
        ],
    )
    .await
}

/// What a revision comes from, also by way of an earlier one: its package is in use while the revision is.
struct Origin {
    repository: Option<String>,
    name: Option<String>,
    package_version: Option<String>,
    /// The number that scalings do not count in; `None` for the next one.
    version: Option<u64>,
    /// The revision that was made of the package itself.
    made_of: Option<u64>,
    /// Digest of the kept package.
    kept: Option<String>,
}

async fn origin_in_txn(txn: &mut Txn, new: &Revision, kept: Option<String>) -> Result<Origin, Error> {
    match &new.source {
        Source::Package { repository, name, version, .. } => Ok(Origin {
            repository: Some(repository.clone()),
            name: Some(name.clone()),
            package_version: Some(version.clone()),
            version: None,
            made_of: Some(new.number),
            kept: match kept {
                Some(document) => Some(kept::put_in_txn(txn, document).await?),
                None => None,
            },
        }),
        Source::App { .. } | Source::Tenant { .. } => Ok(Origin {
            repository: None,
            name: None,
            package_version: None,
            version: None,
            made_of: Some(new.number),
            kept: None,
        }),
        Source::Revision { number } | Source::Scale { number, .. } => {
            let Some(row) = txn.one(revision::ORIGIN_OF, args![new.release, *number]).await? else {
                return Err(Error::not_found("revision", number));
            };
            let scaled = matches!(new.source, Source::Scale { .. });
            Ok(Origin {
                repository: row.maybe_text("package_repository")?,
                name: row.maybe_text("package_name")?,
                package_version: row.maybe_text("package_version")?,
                version: if scaled { Some(row.count("version")?) } else { None },
                made_of: row.maybe_count("made_of")?,
                kept: row.maybe_text("kept")?,
            })
        }
    }
}

async fn insert_rollout_in_txn(txn: &mut Txn, new: &Rollout, provenance: &str, now: Timestamp) -> Result<(), Error> {
    let slot = if new.phase == Phase::Waiting { "waiting" } else { "open" };
    txn.later(
        INSERT_ROLLOUT,
        args![
            new.id,
            new.release,
            new.verb.as_str(),
            new.from,
            new.to,
            slot,
            new.phase.name(),
            json::text(&new.phase)?,
            new.required_plan.map(|hash| hash.to_string()),
            new.purge,
            json::text(&new.secrets)?,
            provenance,
            now,
        ],
    )
    .await
}
