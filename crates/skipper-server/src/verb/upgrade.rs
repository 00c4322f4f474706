//! Upgrade, with the rule for values that Helm's users expect: values that are given replace those of before, no values
//! keep them; `reuse_values` puts the given ones over those of before, `reset_values` forgets those of before.

use serde_json::Value;
use skipper_core::{
    name::{PlatformName, ReleaseName, TenantName},
    policy::Action,
    release::Source,
    rollout::Verb,
};

use super::{
    Caller, Prepared, Wanted, difference, find, packages,
    render::{checked_values, render},
};
use crate::{
    app::App,
    error::{Code, Error},
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
    /// Also when nothing differs.
    pub force: bool,
    /// The platform of applications that name none; that of before when absent.
    pub platform: Option<PlatformName>,
}

/// Finds what serves, and renders what is to follow it.
///
/// # Errors
///
/// Nothing serves; the package is not there, or cannot be rendered; nothing differs and `force` is not set.
pub async fn prepare(app: &App, caller: &Caller, wanted: Upgrade) -> Result<Prepared, Error> {
    caller.may(Action::Deploy, &wanted.tenant)?;
    let Upgrade { tenant, name, package, values, reuse_values, reset_values, force, platform } = wanted;
    if reuse_values && reset_values {
        return Err(Error::new(Code::Invalid, "`reuse_values` and `reset_values` contradict each other"));
    }
    let (release, serving) = find::serving(app, &tenant, &name).await?;
    let before = Before::of(find::package_of(app, release.id, &serving.source).await?);
    packages::known_platform(app, platform.as_ref())?;
    let platform = platform.or(before.platform);
    let values = checked_values(values)?;
    let package = match (package, before.package) {
        (Some(package), _) | (None, Some(package)) => packages::choose(app, &package).await?,
        (None, None) => {
            return Err(Error::new(Code::Invalid, format!("release `{name}` was not made of a package; name one")));
        }
    };
    let values = merge_values(before.values, values, reuse_values, reset_values);
    let number = release.last_revision + 1;
    let rendered = render(app, &package, &values, None, &name, number, platform.as_ref()).await?;
    if !force && let Some(current) = &serving.spec {
        let fresh = difference::pinned_like(app, &rendered.spec, current).await;
        if fresh.is_some_and(|fresh| fresh == *current) {
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
    let mut warnings: Vec<String> = rendered.warnings.iter().map(ToString::to_string).collect();
    warnings.extend(app.resolver.review(&rendered.spec).await?);
    Ok(Prepared {
        tenant,
        name,
        verb: Verb::Upgrade,
        source: Some(package.source(values, platform, None)),
        warnings,
        rendered: Some((rendered.manifest, rendered.spec)),
        expect_serving: release.serving,
        release: Some(release),
        purge: false,
    })
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
