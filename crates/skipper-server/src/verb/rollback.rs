//! Goes back to an earlier revision.

use skipper_core::{
    name::{ReleaseName, TenantName},
    policy::Action,
    release::Source,
    rollout::Verb,
};

use super::{Caller, Prepared, find};
use crate::{
    app::App,
    error::{Code, Error},
};

/// Where a release is to go back to.
#[derive(Debug, Clone)]
pub struct Rollback {
    /// Whose release.
    pub tenant: TenantName,
    /// Which release.
    pub name: ReleaseName,
    /// The revision; the one that served before when absent.
    pub to: Option<u64>,
}

/// Takes manifest and spec of the earlier revision as they are stored: nothing is rendered or asked for anew.
///
/// # Errors
///
/// Nothing serves; there is no such revision, or it was never resolved; it serves already.
pub async fn prepare(app: &App, caller: &Caller, wanted: Rollback) -> Result<Prepared, Error> {
    caller.may(Action::Deploy, &wanted.tenant)?;
    let Rollback { tenant, name, to } = wanted;
    let (release, serving) = find::serving(app, &tenant, &name).await?;
    let target = match to {
        Some(number) if number == serving.number => {
            let refusal = Error::new(Code::NoDifference, format!("revision {number} of `{name}` serves already"))
                .hint(format!("`skipper history {name}` lists the others"));
            return Err(find::unless_busy(app, &release, refusal).await);
        }
        Some(number) => find::revision(app, &release, number).await?,
        None => app.store.revision_previous(release.id, serving.number).await?.ok_or_else(|| {
            Error::new(
                Code::RevisionNotFound,
                format!("release `{name}` has no revision that served before revision {}", serving.number),
            )
            .hint(format!("`skipper history {name}` lists its revisions; `skipper rollback {name} REVISION` names one"))
        })?,
    };
    let (Some(manifest), Some(spec)) = (target.manifest, target.spec) else {
        return Err(Error::new(
            Code::Conflict,
            format!("revision {} of `{name}` was never resolved, so there is nothing to go back to", target.number),
        ));
    };
    Ok(Prepared {
        tenant,
        name,
        verb: Verb::Rollback,
        source: Some(Source::Revision { number: target.number }),
        rendered: Some((manifest, spec)),
        warnings: Vec::new(),
        expect_serving: release.serving,
        release: Some(release),
        purge: false,
    })
}
