//! Values of a package, of the packages within it and of the user become one model.

use std::collections::HashSet;

use super::{
    Package,
    value::{Key, Map, Value},
    yaml::{self, Generation, Typing},
};
use crate::{
    finding::{Faults, Finding},
    front::UserValues,
};

/// Name of the user's values in messages.
const USER: &str = "values";

/// The model that the templates of the outermost package see.
///
/// A package's own values are the weakest, then those of the package around it under its name, then the user's. Of a package
/// that has others within it, the model holds its values that are no maps, as far as it has them itself, and one map for each
/// of the others; packages further within get what is said to them from outside and not their own values. That is how the
/// original does it.
pub(super) fn model(package: &Package, user: UserValues<'_>, generation: Generation) -> Result<Map, Faults> {
    let user = user_map(user, generation)?;
    let within: Vec<(String, &Package)> = names_within(package)?;
    let own = own_values(package, generation)?;
    let mut whole = own.clone();
    for (name, _) in &within {
        whole.shift_remove(&Key::text(name));
    }
    merge(&mut whole, user);
    if within.is_empty() {
        return Ok(whole);
    }
    let mut model: Map = Map::new();
    for (key, value) in &whole {
        if !matches!(value, Value::Map(_)) && own.contains_key(key) {
            model.insert(key.clone(), value.clone());
        }
    }
    for (name, inner) in within {
        let key = Key::text(&name);
        let mut over = map_for(&name, own.get(&key), package)?;
        merge(&mut over, map_for(&name, whole.get(&key), package)?);
        let mut merged = own_values(inner, generation)?;
        for (name, _) in names_within(inner)? {
            merged.shift_remove(&Key::text(name));
        }
        merge(&mut merged, over);
        model.insert(key, Value::Map(merged));
    }
    model.sort_by(|a, _, b, _| compare(a, b));
    Ok(model)
}

/// As Java compares texts: by their UTF-16 units.
fn compare(a: &Key, b: &Key) -> std::cmp::Ordering {
    a.to_string().encode_utf16().cmp(b.to_string().encode_utf16())
}

/// The packages within one, by what they call themselves.
pub(super) fn names_within(package: &Package) -> Result<Vec<(String, &Package)>, Faults> {
    package.packages().iter().map(|inner| Ok((inner.metadata()?.name.to_string(), inner))).collect()
}

/// The values a user sets, as a map; nothing is an empty one.
pub(crate) fn user_map(user: UserValues<'_>, generation: Generation) -> Result<Map, Faults> {
    let value = match user.raw {
        Some(raw) => yaml::load(USER, raw, Typing::Typed(generation))?,
        None => Value::from_json(user.tree),
    };
    let class = match value {
        Value::Null => return Ok(Map::new()),
        Value::Map(map) => return Ok(map),
        Value::Bool(_) => "java.lang.Boolean",
        Value::Int(number) if i32::try_from(number).is_ok() => "java.lang.Integer",
        Value::Int(_) => "java.lang.Long",
        Value::Big(_) => "java.math.BigInteger",
        Value::Float(_) => "java.lang.Double",
        Value::Date(_) => "java.util.Date",
        Value::Text(_) => "java.lang.String",
        Value::Bytes(_) => "[B",
        Value::List(_) => "java.util.ArrayList",
    };
    let raw = user.raw.map_or_else(|| user.tree.to_string(), str::to_owned);
    // Clients know this sentence, the missing blank included.
    let message = format!(
        "Was expecting override values to produce a Map, instead got class = class {class}overrideValues.getRaw() = {raw}"
    );
    Err(Finding::error("values-kind", message).into())
}

/// What `values.yml` says; nothing but comments is an empty map.
fn own_values(package: &Package, generation: Generation) -> Result<Map, Faults> {
    let Some(file) = package.values_file() else { return Ok(Map::new()) };
    match yaml::load(&file.path, package.values_text(), Typing::Typed(generation))? {
        Value::Null => Ok(Map::new()),
        Value::Map(map) => Ok(map),
        _ => {
            let message = "Config Values that are not a map are not yet supported.";
            Err(Finding::error("values-kind", message).in_file(&file.path).into())
        }
    }
}

/// The values for a package within another one; a key without a value says nothing.
fn map_for(name: &str, value: Option<&Value>, package: &Package) -> Result<Map, Faults> {
    match value {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Map(map)) => Ok(map.clone()),
        Some(_) => {
            let message = format!("these are the values of the package `{name}`, and must be a map");
            let file = package.values_file().map(|file| file.path.clone()).unwrap_or_default();
            Err(Finding::error("values-kind", message).in_file(file).path(name).into())
        }
    }
}

/// Puts `over` into `base`: maps are merged, to a list is added what it does not have, and everything else replaces what was
/// there, null included.
pub(super) fn merge(base: &mut Map, over: Map) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Map(inner)), Value::Map(over)) => merge(inner, over),
            (Some(Value::List(items)), Value::List(more)) => {
                let there: HashSet<String> = items.iter().map(Value::fingerprint).collect();
                items.extend(more.into_iter().filter(|item| !there.contains(&item.fingerprint())));
            }
            (Some(there), value) => *there = value,
            (None, value) => {
                base.insert(key, value);
            }
        }
    }
}
