//! Changes how many instances run.

use std::collections::BTreeMap;

use skipper_core::{
    name::{AppName, ReleaseName, TenantName},
    policy::Action,
    release::Source,
    rollout::Verb,
};

use super::{Caller, Prepared, find};
use crate::{
    app::App,
    error::{Code, Error},
};

/// More than one host runs; keeps a slip of the finger from starting a million processes.
pub(crate) const MAX_REPLICAS: u32 = 1000;

/// How many instances are wanted.
#[derive(Debug, Clone)]
pub struct Scale {
    /// Whose release.
    pub tenant: TenantName,
    /// Which release.
    pub name: ReleaseName,
    /// New count by application.
    pub replicas: BTreeMap<AppName, u32>,
}

/// Takes the serving spec with other counts.
///
/// # Errors
///
/// Nothing serves; an application is not there; a count is too high; nothing differs.
pub async fn prepare(app: &App, caller: &Caller, wanted: Scale) -> Result<Prepared, Error> {
    caller.may(Action::Deploy, &wanted.tenant)?;
    let Scale { tenant, name, replicas } = wanted;
    let (release, serving) = find::serving(app, &tenant, &name).await?;
    let (Some(mut spec), Some(manifest)) = (serving.spec, serving.manifest) else {
        return Err(Error::internal(format!("revision {} serves without a spec", serving.number)));
    };
    if replicas.is_empty() {
        return Err(
            Error::new(Code::Invalid, "`replicas` names no application").hint("write {\"replicas\": {\"web\": 2}}")
        );
    }
    spec.health_bound = None;
    let before = spec.clone();
    for (wanted, count) in &replicas {
        if *count > MAX_REPLICAS {
            return Err(Error::new(Code::Invalid, format!("`replicas.{wanted}` = {count}: at most {MAX_REPLICAS}")));
        }
        let known: Vec<String> = spec.applications.iter().map(|app| app.name.to_string()).collect();
        let Some(found) = spec.applications.iter_mut().find(|app| app.name == *wanted) else {
            return Err(Error::new(
                Code::ApplicationNotFound,
                format!("release `{name}` has no application `{wanted}`"),
            )
            .hint(format!("its applications: {}", known.join(", "))));
        };
        found.replicas = *count;
    }
    if spec == before {
        let refusal = Error::new(Code::NoDifference, format!("release `{name}` has these counts already"));
        return Err(find::unless_busy(app, &release, refusal).await);
    }
    let replicas = replicas.into_iter().map(|(app, count)| (app.to_string(), count)).collect();
    Ok(Prepared {
        tenant,
        name,
        verb: Verb::Scale,
        source: Some(Source::Scale { number: serving.number, replicas }),
        rendered: Some((skipper_source::manifest::of(&spec, manifest), spec)),
        kept: None,
        warnings: Vec::new(),
        expect_serving: release.serving,
        release: Some(release),
        purge: false,
    })
}
