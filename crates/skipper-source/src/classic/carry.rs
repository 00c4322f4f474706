//! What an upgrade carries over from before: values, and how many instances there are.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Package,
    merge::{self, merge, user_map},
    value::{Key, Map, Value},
    yaml::{self, Generation, Layout},
};
use crate::{
    finding::Faults,
    front::{Renderer, UserValues},
};

/// The property that says how many instances there are to be.
const COUNT: &str = "spring.cloud.deployer.count";

/// Values put over those of before, both as text: what the second generation adds up on an upgrade.
///
/// # Errors
///
/// The fault in either, where it cannot be read or is no map.
pub fn added_values(before: &str, now: &str) -> Result<String, Faults> {
    let of = |raw| user_map(UserValues { tree: &serde_json::Value::Null, raw: Some(raw) }, Generation::Two);
    let mut all = of(before)?;
    merge(&mut all, of(now)?);
    Ok(yaml::dump(&Value::Map(all), Layout::Block, Generation::Two))
}

/// How many instances there are to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    /// The values with the numbers; `None` where there is no place for any.
    pub values: Option<String>,
    /// Applications whose number the request itself names.
    pub named: BTreeSet<String>,
}

/// A user's values with the number of instances that run now, by application. As the original has it, a number's place is
/// the end of `spec.deploymentProperties`, where the values have such a map. One that `given` names, which is what was sent
/// with the request, stays; one that only was in the values of before gives way.
///
/// # Errors
///
/// The fault in the values.
pub fn counted_values(
    package: &Package,
    user: UserValues<'_>,
    given: UserValues<'_>,
    running: &BTreeMap<String, u32>,
    renderer: Renderer,
) -> Result<Counted, Faults> {
    let generation = if renderer == Renderer::Classic1 { Generation::One } else { Generation::Two };
    let model = Value::Map(merge::model(package, user, generation)?);
    let mut values = user_map(user, generation)?;
    let given = Value::Map(user_map(given, generation)?);
    let (mut placed, mut named) = (false, BTreeSet::new());
    if package.packages().is_empty() {
        if names_count(Some(&given)) {
            named.extend(running.keys().cloned());
        } else if has_place(&model)
            && let Some(count) = running.values().next()
        {
            placed |= place(&mut values, *count);
        }
    } else {
        for (name, _) in merge::names_within(package)? {
            let Some((app, count)) = running.iter().find(|(app, _)| app.contains(&name)) else { continue };
            if names_count(given.get(&name)) {
                named.insert(app.clone());
            } else if model.get(&name).is_some_and(has_place)
                && let Value::Map(inner) = values.entry(Key::text(&name)).or_insert_with(|| Value::Map(Map::new()))
            {
                placed |= place(inner, *count);
            }
        }
    }
    Ok(Counted { values: placed.then(|| yaml::dump(&Value::Map(values), Layout::Block, generation)), named })
}

fn options_of(values: &Value) -> Option<&Map> {
    values.get("spec")?.get("deploymentProperties")?.as_map()
}

fn has_place(model: &Value) -> bool {
    options_of(model).is_some()
}

fn names_count(values: Option<&Value>) -> bool {
    values.and_then(options_of).is_some_and(|options| options.contains_key(&Key::text(COUNT)))
}

fn place(values: &mut Map, count: u32) -> bool {
    let mut at = values;
    for part in ["spec", "deploymentProperties"] {
        match at.entry(Key::text(part)).or_insert_with(|| Value::Map(Map::new())) {
            Value::Map(inner) => at = inner,
            _ => return false,
        }
    }
    at.shift_remove(&Key::text(COUNT));
    at.insert(Key::text(COUNT), Value::Text(count.to_string()));
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::File;

    #[test]
    fn values_are_put_over_those_of_before_and_written_in_blocks() {
        let before = "spec:\n  applicationProperties:\n    tiny.start-delay: 60000\n";
        let now = "spec:\n  applicationProperties:\n    tiny.kill-delay: 0\n";
        let both = added_values(before, now).expect("both can be read");
        assert_eq!(both, "spec:\n  applicationProperties:\n    tiny.start-delay: 60000\n    tiny.kill-delay: 0\n");
        assert!(added_values(before, "just text").is_err());
    }

    fn package(values: &str) -> Package {
        let file = |path: &str, text: &str| File { path: path.to_owned(), bytes: text.as_bytes().to_vec() };
        let metadata = "apiVersion: v1\nkind: skipper\nname: log\nversion: 1.0.0\n";
        Package::from_files(vec![file("package.yml", metadata), file("values.yml", values)]).expect("a package")
    }

    #[track_caller]
    fn check(values: &str, before: &str, given: &str, expected: Option<&str>) {
        let running = BTreeMap::from([("log".to_owned(), 3)]);
        let of = |raw| UserValues { tree: &serde_json::Value::Null, raw: Some(raw) };
        let user = added_values(before, given).expect("values");
        let counted = counted_values(&package(values), of(&user), of(given), &running, Renderer::Classic1);
        let counted = counted.expect("values");
        assert_eq!(counted.values.as_deref(), expected, "{values} {user:?}");
        assert_eq!(counted.named.contains("log"), given.contains(COUNT));
    }

    #[test]
    fn a_count_has_its_place_at_the_end_of_the_deployment_properties_if_there_are_any() {
        let own = "spec:\n  deploymentProperties:\n    memory: 1\n";
        let counted = "spec:\n  deploymentProperties:\n    spring.cloud.deployer.count: '3'\n";
        let both = "spec:\n  deploymentProperties:\n    memory: 1\n    spring.cloud.deployer.count: '3'\n";
        check(own, "", "", Some(counted));
        check("a: 1\n", "", "", None);
        check("a: 1\n", "", own, Some(both));
        check(own, "", "spec: 1\n", None);
        let named = "spec:\n  deploymentProperties:\n    spring.cloud.deployer.count: 1\n    memory: 1\n";
        check(own, "", named, None);
        check(own, named, "", Some(both));
    }
}
