//! Values that a user set and the package does not know: most often a slip of the finger.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{finding::Finding, nearest::suggestion};

/// Most names that are warned of.
const MAX_WARNINGS: usize = 50;

/// A warning for each name in `user` that neither the package's values nor its templates know.
pub(crate) fn unknown_values(user: &Value, own: &Value, names: &[String]) -> Vec<Finding> {
    let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let mut found = Vec::new();
    walk(user, own, &names, "", &mut found);
    found
}

fn walk(user: &Value, own: &Value, names: &BTreeSet<&str>, prefix: &str, found: &mut Vec<Finding>) {
    let (Value::Object(user), Value::Object(own)) = (user, own) else { return };
    // An empty map in the package's values is an invitation to put anything there.
    if own.is_empty() && !prefix.is_empty() {
        return;
    }
    for (key, value) in user {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        if (prefix.is_empty() && key == "global") || found.len() == MAX_WARNINGS {
            continue;
        }
        if let Some(own) = own.get(key) {
            walk(value, own, names, &path, found);
        } else if !is_used(&path, names) {
            let hint = suggestion(key, own.keys().map(String::as_str));
            found.push(Finding::warning("value-unknown", "the package does not know this value").path(path).hint(hint));
        }
    }
}

/// Whether a template names the value, something in it, or something around it.
fn is_used(path: &str, names: &BTreeSet<&str>) -> bool {
    let within = format!("{path}.");
    let around = path.match_indices('.').map(|(dot, _)| &path[..dot]);
    names.contains(path)
        || around.into_iter().any(|outer| names.contains(outer))
        || names.range(within.as_str()..).next().is_some_and(|name| name.starts_with(&within))
}
