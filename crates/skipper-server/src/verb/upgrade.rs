//! Upgrade, with the rule for values that Helm's users expect: values that are given replace those of before, no values
//! keep them; `reuse_values` puts the given ones over those of before, `reset_values` forgets those of before. A release of
//! which nothing serves is installed.

use std::collections::BTreeSet;

use serde_json::Value;
use skipper_core::{
    name::{PlatformName, ReleaseName, TenantName},
    policy::Action,
    release::{Release, Revision, Source},
    rollout::Verb,
    spec::Spec,
    time::Millis,
};
use skipper_source::classic::Counted;
use skipper_store::VersionFilter;

use super::{
    Caller, Prepared, Wanted, difference, find, kept, packages,
    render::{checked_values, counted, raw_values, render},
};
use crate::{
    app::App,
    error::{Code, Error, package_faults},
};

/// What a release is to become.
#[derive(Debug, Clone)]
pub struct Upgrade {
    /// Whose release.
    pub tenant: TenantName,
    /// Which release.
    pub name: ReleaseName,
    /// The package; that of before when absent.
    pub package: Option<Wanted>,
    /// Values over the package's own.
    pub values: Option<Value>,
    /// Put them over those of before.
    pub reuse_values: bool,
    /// Forget those of before.
    pub reset_values: bool,
    /// The given values as the text they came as, where a door has to show them so.
    pub raw: Option<String>,
    /// Put them, as text, over the text of the newest revision, whatever has become of that; only where both say something.
    pub additive: bool,
    /// Also when nothing differs.
    pub force: bool,
    /// Which applications to launch anew although nothing about them changed.
    pub again: Again,
    /// How long the rollout waits for health, in place of each application's own bound.
    pub health: Option<Millis>,
    /// The platform of applications that name none; that of before when absent.
    pub platform: Option<PlatformName>,
}

/// Which applications are launched anew although nothing about them changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Again {
    /// None.
    #[default]
    No,
    /// All of them.
    All,
    /// Those of these names.
    These(Vec<String>),
}

impl Upgrade {
    /// An upgrade that changes nothing yet.
    #[must_use]
    pub const fn of(tenant: TenantName, name: ReleaseName) -> Self {
        Self {
            tenant,
            name,
            package: None,
            values: None,
            reuse_values: false,
            reset_values: false,
            raw: None,
            additive: false,
            force: false,
            again: Again::No,
            health: None,
            platform: None,
        }
    }
}

/// Finds what serves, and renders what is to follow it; where nothing does and nothing is on its way, that is an install.
///
/// # Errors
///
/// There is no such release; the package is not there, or cannot be rendered; nothing differs and `force` is not set.
pub async fn prepare(app: &App, caller: &Caller, wanted: Upgrade) -> Result<Prepared, Error> {
    caller.may(Action::Deploy, &wanted.tenant)?;
    if wanted.reuse_values && wanted.reset_values {
        return Err(Error::new(Code::Invalid, "`reuse_values` and `reset_values` contradict each other"));
    }
    let (release, current) = current(app, &wanted).await?;
    let Upgrade { tenant, name, package, values, raw, force, again, health, platform, .. } = wanted.clone();
    let before = match &current {
        Current::Serves(serving) => Before::of(find::package_of(app, release.id, &serving.source).await?),
        Current::Rests(newest) => Before::of(newest.as_ref().clone()),
    };
    packages::known_platform(app, platform.as_ref())?;
    let platform = platform.or(before.platform);
    let (values, raw) = if wanted.additive { added(app, &wanted).await? } else { (checked_values(values)?, raw) };
    let package = match (package, before.package) {
        (Some(package), _) | (None, Some(package)) => packages::choose(app, &package).await?,
        (None, None) => {
            return Err(Error::new(Code::Invalid, format!("release `{name}` was not made of a package; name one")));
        }
    };
    let values = merge_values(before.values, values, wanted.reuse_values, wanted.reset_values);
    let number = release.last_revision + 1;
    let running = match &current {
        Current::Serves(serving) => serving.spec.as_ref(),
        Current::Rests(_) => None,
    };
    let counted = match running {
        Some(running) => {
            let given = (checked_values(wanted.values)?, wanted.raw);
            counted(&package, (&values, raw.as_deref()), given, running).await?
        }
        None => Counted::default(),
    };
    let text = counted.values.as_ref().or(raw.as_ref()).map(String::as_str);
    let mut rendered = render(app, &package, &values, text, &name, number, platform.as_ref()).await?;
    if let Some(running) = running {
        keep_counts(&mut rendered.spec, running, &counted.named);
    }
    if let Current::Serves(serving) = &current
        && let Some(now) = &serving.spec
    {
        difference::keep_launches(&mut rendered.spec, now);
        if !force && again == Again::No {
            let fresh = difference::pinned_like(app, &rendered.spec, now).await;
            if fresh.is_some_and(|fresh| fresh == *now) {
                let refusal = Error::new(
                    Code::NoDifference,
                    format!(
                        "{} with these values is what revision {} of `{name}` runs already",
                        package.label(),
                        serving.number
                    ),
                )
                .hint("add --force to roll it out all the same")
                // A value that no template reads is the likely reason.
                .faults(rendered.warnings.iter().map(ToString::to_string));
                return Err(find::unless_busy(app, &release, refusal).await);
            }
        }
    }
    launch_again(&mut rendered.spec, &again, number)?;
    rendered.spec.health_bound = health;
    let mut warnings: Vec<String> = rendered.warnings.iter().map(ToString::to_string).collect();
    warnings.extend(app.resolver.review(&rendered.spec).await?);
    Ok(Prepared {
        tenant,
        name,
        verb: if matches!(current, Current::Serves(_)) { Verb::Upgrade } else { Verb::Install },
        source: Some(package.source(values, platform, raw)),
        kept: Some(kept::document(app, &package).await?),
        warnings,
        rendered: Some((rendered.manifest, rendered.spec)),
        expect_serving: release.serving,
        release: Some(release),
        purge: false,
    })
}

/// What an upgrade starts from.
enum Current {
    /// A revision that serves.
    Serves(Box<Revision>),
    /// Nothing; the newest revision was made of that.
    Rests(Box<Option<Source>>),
}

async fn current(app: &App, wanted: &Upgrade) -> Result<(Release, Current), Error> {
    let Upgrade { tenant, name, .. } = wanted;
    let release = find::release(app, tenant, name).await?;
    if find::at_rest(app, &release).await? {
        let newest = app.store.revision_list(release.id, None, 1).await?.pop();
        let source = match newest {
            Some(newest) => find::package_of(app, release.id, &newest.source).await?,
            None => None,
        };
        return Ok((release, Current::Rests(Box::new(source))));
    }
    let serving = find::serving_of(app, &release).await?;
    Ok((release, Current::Serves(Box::new(serving))))
}

/// The given values over those of the newest version, whatever has become of it, as text and as what it says: the clients of
/// `/api` were promised so, and correct what made an upgrade fail by naming it again.
async fn added(app: &App, wanted: &Upgrade) -> Result<(Option<Value>, Option<String>), Error> {
    let given = || Ok((checked_values(wanted.values.clone())?, wanted.raw.clone()));
    let Some(raw) = wanted.raw.as_ref().filter(|raw| !raw.trim().is_empty()) else { return given() };
    let newest = app.store.version_list(&wanted.tenant, VersionFilter::Newest(&wanted.name)).await?.pop();
    let before = newest.and_then(|newest| super::versions::raw_of(&newest));
    let Some(before) = before.filter(|before| !before.trim().is_empty()) else { return given() };
    let text = skipper_source::classic::added_values(&before, raw)
        .map_err(|faults| package_faults(Code::Invalid, "the values cannot be read", &faults))?;
    Ok((raw_values(Some(&text))?, Some(text)))
}

/// As many instances as before of what was written for Spring's deployers, where nobody says how many.
fn keep_counts(spec: &mut Spec, running: &Spec, named: &BTreeSet<String>) {
    for app in spec.applications.iter_mut().filter(|app| app.deployer.is_some() && app.replicas == 1) {
        if let Some(before) = running.application(&app.name).filter(|app| !named.contains(app.name.as_str())) {
            app.replicas = before.replicas;
        }
    }
}

/// Marks what is to be launched anew: a mark of its own makes it another one.
fn launch_again(spec: &mut Spec, again: &Again, number: u64) -> Result<(), Error> {
    if let Again::These(names) = again {
        let missing = names.iter().find(|name| !spec.applications.iter().any(|app| app.name.as_str() == name.as_str()));
        if let Some(missing) = missing {
            return Err(Error::new(
                Code::ApplicationNotFound,
                format!("there is no application `{missing}` to launch"),
            ));
        }
    }
    for app in &mut spec.applications {
        let meant = match again {
            Again::No => false,
            Again::All => true,
            Again::These(names) => names.iter().any(|name| name == app.name.as_str()),
        };
        if meant {
            app.relaunched = Some(number);
        }
    }
    Ok(())
}

/// What the serving revision was made of.
struct Before {
    package: Option<Wanted>,
    values: Value,
    platform: Option<PlatformName>,
}

impl Before {
    fn of(source: Option<Source>) -> Self {
        match source {
            Some(Source::Package { repository, name, version, values, platform, .. }) => {
                Self { package: Some(Wanted::stored(Some(repository), name, Some(version))), values, platform }
            }
            _ => Self { package: None, values: Value::Object(serde_json::Map::new()), platform: None },
        }
    }
}

fn merge_values(before: Value, given: Option<Value>, reuse: bool, reset: bool) -> Value {
    let empty = || Value::Object(serde_json::Map::new());
    match given {
        None if reset => empty(),
        None => before,
        Some(given) if reuse => skipper_source::values::combine(&before, &given),
        Some(given) => given,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_follow_the_rule_of_the_module() {
        let before = || json!({"a": 1, "b": {"c": 2}});
        let given = || Some(json!({"b": {"d": 3}}));
        assert_eq!(merge_values(before(), None, false, false), before(), "none given: kept");
        assert_eq!(merge_values(before(), given(), false, false), json!({"b": {"d": 3}}), "given: replaced");
        assert_eq!(merge_values(before(), given(), true, false), json!({"a": 1, "b": {"c": 2, "d": 3}}));
        assert_eq!(merge_values(before(), None, true, false), before());
        assert_eq!(merge_values(before(), None, false, true), json!({}));
        assert_eq!(merge_values(before(), given(), false, true), json!({"b": {"d": 3}}));
    }
}
