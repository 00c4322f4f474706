//! Makes a release of a package.

use serde_json::Value;
use skipper_core::{
    name::{PlatformName, ReleaseName, TenantName},
    policy::Action,
    release::Door,
    rollout::Verb,
};

use super::{
    Caller, Prepared, Wanted, find, kept, packages,
    render::{checked_values, render},
};
use crate::{
    app::App,
    error::{Code, Error},
};

/// What is to be installed.
#[derive(Debug, Clone)]
pub struct Install {
    /// Whose release.
    pub tenant: TenantName,
    /// Its name.
    pub name: ReleaseName,
    /// The package.
    pub package: Wanted,
    /// Values over the package's own.
    pub values: Option<Value>,
    /// The same as the text they came as, where a door has to show them so.
    pub raw: Option<String>,
    /// The platform of applications that name none.
    pub platform: Option<PlatformName>,
}

/// Finds and renders the package. Also of a release that was deleted, or whose first rollout failed.
///
/// # Errors
///
/// The name is in use; the package is not there, or cannot be rendered.
pub async fn prepare(app: &App, caller: &Caller, wanted: Install) -> Result<Prepared, Error> {
    caller.may(Action::Deploy, &wanted.tenant)?;
    let Install { tenant, name, package, values, raw, platform } = wanted;
    let release = app.store.release_get(&tenant, &name).await?;
    if let Some(there) = release.as_ref().filter(|release| !release.deleted) {
        if there.door != Door::Releases {
            return Err(name_taken(&name, there.door));
        }
        if let Some(revision) = there.serving {
            let refusal = Error::new(
                Code::ReleaseExists,
                format!("release `{name}` is installed already, at revision {revision}"),
            )
            .hint(format!("`skipper upgrade {name} …` changes it; another name makes another release"));
            return Err(find::unless_busy(app, there, refusal).await);
        }
    }
    packages::known_platform(app, platform.as_ref())?;
    let values = checked_values(values)?.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    let package = packages::choose(app, &package).await?;
    let number = release.as_ref().map_or(0, |release| release.last_revision) + 1;
    let rendered = render(app, &package, &values, raw.as_deref(), &name, number, platform.as_ref()).await?;
    let mut warnings: Vec<String> = rendered.warnings.iter().map(ToString::to_string).collect();
    warnings.extend(app.resolver.review(&rendered.spec).await?);
    Ok(Prepared {
        tenant,
        name,
        release,
        verb: Verb::Install,
        source: Some(package.source(values, platform, raw)),
        kept: Some(kept::document(app, &package).await?),
        warnings,
        rendered: Some((rendered.manifest, rendered.spec)),
        expect_serving: None,
        purge: false,
    })
}

/// The name belongs to another door.
pub(super) fn name_taken(name: &ReleaseName, door: Door) -> Error {
    Error::new(Code::NameTaken, format!("the name `{name}` belongs to the door `{}`", door.as_str()))
        .hint("choose another name, or change the release through the door that owns it")
}
