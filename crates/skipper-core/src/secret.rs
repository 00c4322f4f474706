//! Secret values in memory: shown to nobody, wiped when dropped.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::name::SecretName;

/// A secret's clear value. Neither `Debug` nor `Serialize` shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(Zeroizing<String>);

impl SecretValue {
    /// Wraps a clear value.
    #[must_use]
    pub fn new(value: String) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The clear value; call it only where the value is handed to its one consumer.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Clear values by name, for one launch.
pub type SecretValues = BTreeMap<SecretName, SecretValue>;

/// Secrets shorter than this would blacken half of every log.
const SHORTEST: usize = 4;

/// Replaces every secret in a line of output; one of several lines is looked for line by line, as it is and as it would
/// stand in a JSON string.
#[must_use]
pub fn blacken(line: &str, secrets: &SecretValues) -> String {
    let mut text = line.to_owned();
    for part in secrets.values().flat_map(|value| value.expose().lines()) {
        let part = part.trim();
        if part.len() < SHORTEST {
            continue;
        }
        if text.contains(part) {
            text = text.replace(part, "[secret]");
        }
        let quoted = serde_json::Value::from(part).to_string();
        let escaped = quoted.trim_matches('"');
        if escaped != part && text.contains(escaped) {
            text = text.replace(escaped, "[secret]");
        }
    }
    text
}

/// Which version of each secret a rollout took. Holds no value.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretVersions(pub BTreeMap<SecretName, u64>);

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(value: &str) -> SecretValues {
        SecretValues::from([(SecretName::new("key").expect("valid"), SecretValue::new(value.to_owned()))])
    }

    #[test]
    fn secrets_are_blackened_line_by_line_and_in_json_too() {
        let several = secrets("-----BEGIN-----\nabcdef\n");
        assert_eq!(blacken("read abcdef from disk", &several), "read [secret] from disk");
        let odd = secrets("a\"b\\c");
        assert_eq!(blacken(r#"{"pw":"a\"b\\c"} and a"b\c"#, &odd), r#"{"pw":"[secret]"} and [secret]"#);
        assert_eq!(blacken("abc", &secrets("abc")), "abc", "too short to tell from words");
    }
}
