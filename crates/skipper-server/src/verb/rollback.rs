//! Goes back to an earlier revision.

use skipper_core::{
    name::{ReleaseName, TenantName},
    policy::Action,
    release::{Release, Revision, Source},
    rollout::Verb,
    time::Millis,
};

use super::{Caller, Prepared, difference, find, versions};
use crate::{
    app::App,
    error::{Code, Error},
};

/// Most revisions that are looked through for one that differs.
const MOST_COPIES: u32 = 100;

/// Where a release is to go back to.
#[derive(Debug, Clone)]
pub struct Rollback {
    /// Whose release.
    pub tenant: TenantName,
    /// Which release.
    pub name: ReleaseName,
    /// The revision; the one before that which serves, or served last, when absent.
    pub to: Option<u64>,
    /// How long it waits for health, in place of each application's own bound.
    pub health: Option<Millis>,
}

impl Rollback {
    /// To that revision, within the bounds of its own.
    #[must_use]
    pub const fn of(tenant: TenantName, name: ReleaseName, to: Option<u64>) -> Self {
        Self { tenant, name, to, health: None }
    }
}

/// Takes manifest and spec of the earlier revision as they are stored: nothing is rendered or asked for anew. Where nothing
/// serves and nothing is on its way, that revision is installed again.
///
/// # Errors
///
/// There is no such release or revision; it was never resolved; it serves already.
pub async fn prepare(app: &App, caller: &Caller, wanted: Rollback) -> Result<Prepared, Error> {
    caller.may(Action::Deploy, &wanted.tenant)?;
    let Rollback { tenant, name, to, health } = wanted;
    let release = find::release(app, &tenant, &name).await?;
    let serving = if find::at_rest(app, &release).await? { None } else { Some(find::serving_of(app, &release).await?) };
    // Where its last rollout stopped half way, there is a way to what serves.
    let lives = app.store.live_for_release(release.id).await?;
    let now = serving.as_ref().and_then(|serving| serving.spec.as_ref());
    let in_between = now.is_some_and(|now| !difference::runs_everywhere(now, &lives));
    let target = match (to, &serving) {
        (Some(number), Some(serving)) if number == serving.number && !in_between => {
            let refusal = Error::new(Code::NoDifference, format!("revision {number} of `{name}` serves already"))
                .hint(format!("`skipper history {name}` lists the others"));
            return Err(find::unless_busy(app, &release, refusal).await);
        }
        (Some(number), _) => find::revision(app, &release, number).await?,
        (None, None) => {
            let before = versions::way_back(app, caller, &tenant, &name, None).await;
            let before = before.map_err(|error| match error.code() {
                Code::ReleaseNotFound => Error::new(Code::RevisionNotFound, error.detail().to_owned()).hint(format!(
                    "`skipper history {name}` lists its revisions; `skipper rollback {name} REVISION` installs one again"
                )),
                _ => error,
            })?;
            find::revision(app, &release, before).await?
        }
        (None, Some(serving)) => another_before(app, &release, serving).await?,
    };
    let (Some(manifest), Some(mut spec)) = (target.manifest, target.spec) else {
        let what =
            format!("revision {} of `{name}` was never resolved, so there is nothing to go back to", target.number);
        let refusal = Error::new(Code::Conflict, what);
        return Err(match &target.source {
            // Also of what slip deployed before us no more is known than its tag.
            Source::App { tag, preview: None, .. } => {
                refusal.hint(format!("`slip deploy {name} {tag} --force` deploys what it was made of"))
            }
            _ => refusal,
        });
    };
    if now.is_some_and(|now| difference::takes_after(&mut spec, now)) && !in_between {
        let refusal =
            Error::new(Code::NoDifference, format!("revision {} of `{name}` is what serves already", target.number));
        return Err(find::unless_busy(app, &release, refusal).await);
    }
    spec.health_bound = health;
    Ok(Prepared {
        tenant,
        name,
        verb: if serving.is_some() { Verb::Rollback } else { Verb::Install },
        source: Some(Source::Revision { number: target.number }),
        rendered: Some((manifest, spec)),
        kept: None,
        warnings: Vec::new(),
        expect_serving: release.serving,
        release: Some(release),
        purge: false,
    })
}

/// The last revision that served before and is not the same as what serves: of one that was deployed again, nobody wants the copy.
pub(super) async fn another_before(app: &App, release: &Release, serving: &Revision) -> Result<Revision, Error> {
    let (name, mut below) = (&release.name, serving.number);
    let mut copies = 0;
    while let Some(before) = app.store.revision_previous(release.id, below).await? {
        let is_copy = match (before.spec.clone(), &serving.spec) {
            (Some(mut spec), Some(now)) => difference::takes_after(&mut spec, now),
            _ => false,
        };
        if !is_copy {
            return Ok(before);
        }
        below = before.number;
        copies += 1;
        if copies == MOST_COPIES {
            break;
        }
    }
    let message = if copies == 0 {
        format!("release `{name}` has no revision that served before revision {}", serving.number)
    } else {
        format!("all that served before revision {} of `{name}` is the same as it", serving.number)
    };
    Err(Error::new(Code::RevisionNotFound, message)
        .hint(format!("`skipper history {name}` lists its revisions; `skipper rollback {name} REVISION` names one")))
}
