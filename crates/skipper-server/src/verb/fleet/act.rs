//! What is done to a tenant on all of its nodes: the way on from where a rollout stopped, and the way back.

use skipper_core::{name::TenantName, policy::Action, release::Revision};

use super::known::Known;
use crate::{
    app::App,
    error::{Code, Error},
    verb::{
        Caller,
        apply::{self, Applied, Terms, Wanted},
        delete, difference, find, plan, rollback,
    },
};

/// What an apply would do, wave by wave. `None`: nothing.
///
/// # Errors
///
/// Those of the apply.
pub async fn preview(
    app: &App,
    caller: &Caller,
    tenant: &TenantName,
    terms: &Terms,
) -> Result<Option<plan::Planned>, Error> {
    match apply::prepare(app, caller, tenant, terms).await? {
        Wanted::Unchanged(_) => Ok(None),
        Wanted::Change(prepared) => plan::plan(app, caller, *prepared).await.map(Some),
    }
}

/// Goes on to what was last wanted, with the nodes that are not there yet.
///
/// # Errors
///
/// A rollout is open; the tenant was taken away, or what was wanted was never resolved.
pub async fn converge(app: &App, caller: &Caller, tenant: &TenantName, terms: &Terms) -> Result<Applied, Error> {
    caller.may(Action::Deploy, tenant)?;
    let known = Known::of(app, tenant).await?;
    known.at_rest()?;
    let name = &known.release.name;
    let Some(wanted) = known.target.as_ref().or(known.serving.as_ref()).filter(|_| !known.release.deleted) else {
        return Err(Error::new(Code::NotServing, format!("nothing is wanted of `{name}` any more"))
            .hint(format!("skipper deploy apply --tenant-id {name}")));
    };
    let runs = wanted.spec.as_ref().is_some_and(|spec| difference::runs_everywhere(spec, &known.lives));
    if runs && known.release.serving == Some(wanted.number) {
        return apply::unchanged(app, tenant, wanted.number, &known.lives).await;
    }
    let prepared = known.to(wanted, terms)?;
    apply::ordered(app, caller, prepared, known.release.door, false).await
}

/// Takes every node back: to what serves where the last rollout stopped half way, to the revision before it where it did not, or to the
/// one that is named. What nothing served before is taken away.
///
/// # Errors
///
/// A rollout is open; there is nothing to go back to.
pub async fn roll_back(
    app: &App,
    caller: &Caller,
    tenant: &TenantName,
    to: Option<u64>,
    terms: &Terms,
) -> Result<Applied, Error> {
    caller.may(Action::Deploy, tenant)?;
    let known = Known::of(app, tenant).await?;
    known.at_rest()?;
    let (name, door) = (known.release.name.clone(), known.release.door);
    if known.release.deleted {
        return Err(Error::new(Code::NotServing, format!("`{name}` was taken away"))
            .hint(format!("`skipper rollback {name} REVISION --tenant {tenant}` brings a revision back")));
    }
    let whole = |revision: &Revision| {
        revision.spec.as_ref().is_some_and(|spec| difference::runs_everywhere(spec, &known.lives))
    };
    let target = match (to, &known.serving) {
        (Some(number), _) => find::revision(app, &known.release, number).await?,
        (None, Some(serving)) if !whole(serving) => serving.clone(),
        (None, Some(serving)) => rollback::another_before(app, &known.release, serving).await?,
        (None, None) => {
            let prepared = delete::of(known.release, false);
            return apply::ordered(app, caller, prepared, door, false).await;
        }
    };
    if whole(&target) {
        return apply::unchanged(app, tenant, target.number, &known.lives).await;
    }
    let prepared = known.to(&target, terms)?;
    apply::ordered(app, caller, prepared, door, false).await
}
