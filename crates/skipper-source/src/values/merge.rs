//! One set of values on top of another.

use serde_json::{Map, Value};

/// Puts `over` on top of `base`; keys whose value is null are gone afterwards.
#[must_use]
pub fn merge(base: &Value, over: &Value) -> Value {
    without_nulls(&combine(base, over))
}

/// Puts `over` on top of `base` and keeps nulls.
///
/// For the layers of what a user set (files, then `--set`, on top of what is reused from the last revision): a null must
/// still be there when they meet the package's values. If `over` is null itself, it says nothing.
#[must_use]
pub fn combine(base: &Value, over: &Value) -> Value {
    if over.is_null() { base.clone() } else { put_over(base, over) }
}

fn put_over(base: &Value, over: &Value) -> Value {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            let mut map = base.clone();
            for (key, value) in over {
                let value = match map.get(key) {
                    Some(below) => put_over(below, value),
                    None => value.clone(),
                };
                map.insert(key.clone(), value);
            }
            Value::Object(map)
        }
        (_, over) => over.clone(),
    }
}

/// The same without the keys whose value is null, at any depth. Nulls in lists stay.
#[must_use]
pub fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key.clone(), without_nulls(value)))
                .collect::<Map<_, _>>(),
        ),
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        scalar => scalar.clone(),
    }
}

/// What a package sets in the package `name` within it: what stands under its name, and `global`. Nulls are kept.
pub(crate) fn for_sub_package(outer: &Value, name: &str) -> Value {
    let mut values = match outer.get(name) {
        Some(Value::Object(map)) => map.clone(),
        _ => Map::new(),
    };
    if let Some(global @ Value::Object(_)) = outer.get("global") {
        let global = values.get("global").map_or_else(|| global.clone(), |below| combine(below, global));
        values.insert("global".to_owned(), global);
    }
    Value::Object(values)
}
