//! Values that a user set and the package does not know: most often a slip of the finger.

use serde_json::Value;

use crate::{finding::Finding, nearest::suggestion};

/// A warning for each name in `user` that neither the package's values nor its templates know.
pub(crate) fn unknown_values(user: &Value, declared: &Value, names: &[String]) -> Vec<Finding> {
    let mut found = Vec::new();
    walk(user, declared, names, "", &mut found);
    found
}

fn walk(user: &Value, declared: &Value, names: &[String], prefix: &str, found: &mut Vec<Finding>) {
    let (Value::Object(user), Value::Object(declared)) = (user, declared) else { return };
    // An empty map in the package's values is an invitation to put anything there.
    if declared.is_empty() && !prefix.is_empty() {
        return;
    }
    for (key, value) in user {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        if prefix.is_empty() && key == "global" {
            continue;
        }
        if let Some(declared) = declared.get(key) {
            walk(value, declared, names, &path, found);
        } else if !is_used(&path, names) {
            let hint = suggestion(key, declared.keys().map(String::as_str));
            found.push(Finding::warning("value-unknown", "the package does not know this value").path(path).hint(hint));
        }
    }
}

/// Whether a template names the value, something in it, or something around it.
fn is_used(path: &str, names: &[String]) -> bool {
    let within = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    names.iter().any(|name| within(name, path) || within(path, name))
}
