//! How much work a JSON Schema can make, before it is used.
//!
//! The schema comes with the package, from outside, and a small one can make a validator work for years: two references
//! to a definition that holds two references to another one, thirty times over. Nor does a validator stop at a chain of
//! references that is longer than its stack. So the work is bounded here, from the schema and the depth of the values.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

/// Most checks of schemas against values, all in all. A large schema of a real package makes some ten thousand.
const MAX_CHECKS: u64 = 5_000_000;
/// Longest chain of schemas within schemas and references.
const MAX_CHAIN: usize = 200;

/// Keywords that hold schemas for the same value.
const SAME: [&str; 7] = ["allOf", "anyOf", "oneOf", "not", "if", "then", "else"];
/// Keywords that hold schemas for the same value, by name.
const SAME_BY_NAME: [&str; 2] = ["dependentSchemas", "dependencies"];
/// Keywords that hold schemas for what is within the value.
const INNER: [&str; 8] = [
    "additionalProperties",
    "items",
    "prefixItems",
    "additionalItems",
    "contains",
    "propertyNames",
    "unevaluatedProperties",
    "unevaluatedItems",
];
/// Keywords that hold schemas for what is within the value, by name.
const INNER_BY_NAME: [&str; 2] = ["properties", "patternProperties"];

/// Refuses a schema whose references lead away, nowhere, or through too many others.
///
/// # Errors
///
/// A sentence that says what about it.
pub(super) fn check_references(schema: &Value) -> Result<(), String> {
    let walk = Walk { root: schema, known: HashMap::new() };
    walk.reach(schema, 0, &mut HashSet::new())
}

/// Refuses a schema that could run away on these values. Its references were checked.
///
/// # Errors
///
/// A sentence that says what about it.
pub(super) fn check_work(schema: &Value, values: &Value) -> Result<(), String> {
    let mut walk = Walk { root: schema, known: HashMap::new() };
    let checks = walk.cost(schema, crate::yaml::depth_of(values), 0)?;
    let nodes = u64::try_from(count(values)).unwrap_or(u64::MAX);
    if checks.saturating_mul(nodes) > MAX_CHECKS {
        return Err("it would take too long to check: references and alternatives multiply".to_owned());
    }
    Ok(())
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(map) => map.values().map(count).sum(),
        _ => 0,
    }
}

/// The schemas directly within a schema.
#[derive(Default)]
struct Within<'a> {
    /// For the same value.
    same: Vec<&'a Value>,
    /// For what is within the value.
    inner: Vec<&'a Value>,
}

struct Walk<'a> {
    root: &'a Value,
    /// By address of the schema and depth of the value; `None` while it is being computed.
    known: HashMap<(*const Value, usize), Option<u64>>,
}

impl<'a> Walk<'a> {
    /// How many schemas are checked for one value that is nested `depth` deep.
    fn cost(&mut self, schema: &'a Value, depth: usize, chain: usize) -> Result<u64, String> {
        let Value::Object(map) = schema else { return Ok(1) };
        if chain > MAX_CHAIN {
            return Err(format!("schemas and references are chained longer than {MAX_CHAIN}"));
        }
        let key = (std::ptr::from_ref(schema), depth);
        match self.known.get(&key) {
            Some(Some(cost)) => return Ok(*cost),
            Some(None) => return Err("a reference leads back to itself without going into the value".to_owned()),
            None => self.known.insert(key, None),
        };
        let Within { same, inner } = self.within(map)?;
        let mut cost = 1_u64;
        for schema in same {
            cost = cost.saturating_add(self.cost(schema, depth, chain + 1)?);
        }
        // To know what is not evaluated, everything that applies is gone through once more.
        if map.contains_key("unevaluatedProperties") || map.contains_key("unevaluatedItems") {
            cost = cost.saturating_mul(2);
        }
        if depth > 0 {
            for schema in inner {
                cost = cost.saturating_add(self.cost(schema, depth - 1, chain + 1)?);
            }
        }
        self.known.insert(key, Some(cost));
        Ok(cost)
    }

    /// Goes through every schema that can be reached, as a compiler does, and no deeper than it may.
    fn reach(&self, schema: &'a Value, chain: usize, seen: &mut HashSet<*const Value>) -> Result<(), String> {
        let Value::Object(map) = schema else { return Ok(()) };
        if chain > MAX_CHAIN {
            return Err(format!("schemas and references are chained longer than {MAX_CHAIN}"));
        }
        if !seen.insert(std::ptr::from_ref(schema)) {
            return Ok(());
        }
        // With an address of its own, a schema would give `#/…` another meaning.
        if chain > 0 && (map.contains_key("$id") || map.contains_key("id")) {
            return Err("`$id` is accepted at the top only".to_owned());
        }
        let Within { same, inner } = self.within(map)?;
        same.into_iter().chain(inner).try_for_each(|schema| self.reach(schema, chain + 1, seen))
    }

    fn within(&self, map: &'a Map<String, Value>) -> Result<Within<'a>, String> {
        let mut within = Within::default();
        let by_name = |value: &'a Value| value.as_object().into_iter().flat_map(Map::values);
        for (keyword, value) in map {
            match keyword.as_str() {
                "$ref" => within.same.push(self.target(value)?),
                "$dynamicRef" | "$recursiveRef" => return Err(format!("`{keyword}` is not supported; use `$ref`")),
                name if SAME.contains(&name) => schemas(value, &mut within.same),
                name if INNER.contains(&name) => schemas(value, &mut within.inner),
                name if SAME_BY_NAME.contains(&name) => within.same.extend(by_name(value)),
                name if INNER_BY_NAME.contains(&name) => within.inner.extend(by_name(value)),
                _ => {}
            }
        }
        Ok(within)
    }

    /// The schema that a `$ref` leads to.
    fn target(&self, reference: &Value) -> Result<&'a Value, String> {
        let text = reference.as_str().unwrap_or_default();
        let pointer = text.strip_prefix('#').filter(|pointer| pointer.is_empty() || pointer.starts_with('/'));
        let Some(pointer) = pointer else {
            let shown = crate::yaml::shorten(text);
            return Err(format!(
                "`{shown}`: only references within the schema (`#/…`) are followed, nothing is fetched"
            ));
        };
        let decoded = percent_decoded(pointer);
        self.root.pointer(&decoded).ok_or_else(|| format!("`#{}` leads nowhere", crate::yaml::shorten(&decoded)))
    }
}

/// One schema or a list of them.
fn schemas<'a>(value: &'a Value, into: &mut Vec<&'a Value>) {
    match value {
        Value::Array(items) => into.extend(items),
        other => into.push(other),
    }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = (byte == b'%').then(|| after.get(..2)).flatten().and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(decoded) => {
                bytes.push(decoded);
                rest = &after[2..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(schema: &Value, values: &Value) -> Result<(), String> {
        check_references(schema)?;
        check_work(schema, values)
    }

    #[track_caller]
    fn refused(schema: &Value, values: &Value, words: &str) {
        let error = check(schema, values).expect_err("must be refused");
        assert!(error.contains(words), "{error}");
    }

    #[test]
    fn usual_schemas_pass_also_recursive_ones() {
        let tree = json!({"$defs": {"node": {"properties": {"l": {"$ref": "#/$defs/node"}, "r": {"type": "integer"}}}}, "$ref": "#/$defs/node"});
        assert_eq!(check(&tree, &json!({"l": {"l": {"l": {"r": 1}}}})), Ok(()));
        assert_eq!(check(&json!({"$defs": {"a b": {}}, "$ref": "#/$defs/a%20b"}), &json!({})), Ok(()));
        assert_eq!(check(&json!(true), &json!({})), Ok(()));
    }

    #[test]
    fn work_that_multiplies_is_refused() {
        let mut defs = Map::new();
        for level in 0..40 {
            let next = json!({"$ref": format!("#/$defs/d{}", level + 1)});
            defs.insert(format!("d{level}"), json!({"anyOf": [next, next]}));
        }
        defs.insert("d40".to_owned(), json!({"type": "string"}));
        refused(&json!({"$defs": defs, "$ref": "#/$defs/d0"}), &json!({}), "too long");
        let doubling = json!({"properties": {"a": {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}}});
        let deep = (0..40).fold(json!(1), |inner, _| json!({"a": inner}));
        refused(&doubling, &deep, "too long");
    }

    #[test]
    fn references_that_never_end_or_lead_away_are_refused() {
        refused(&json!({"$ref": "#"}), &json!({}), "leads back to itself");
        refused(&json!({"not": {"allOf": [{"$ref": "#"}]}}), &json!({}), "leads back to itself");
        refused(&json!({"$ref": "#/nope"}), &json!({}), "leads nowhere");
        refused(&json!({"$ref": "https://example.org/x"}), &json!({}), "nothing is fetched");
        refused(&json!({"$dynamicRef": "#x"}), &json!({}), "not supported");
        let mut defs = Map::new();
        for level in 0..1000 {
            defs.insert(format!("d{level}"), json!({"$ref": format!("#/$defs/d{}", level + 1)}));
        }
        defs.insert("d1000".to_owned(), json!({}));
        refused(&json!({"$defs": defs, "$ref": "#/$defs/d0"}), &json!({}), "longer than 200");
        refused(&json!({"properties": {"a": {"$id": "x"}}}), &json!({}), "at the top only");
    }
}
