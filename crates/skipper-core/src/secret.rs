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

/// Replaces secrets in lines of output. Made once for all lines of an application.
#[derive(Clone, Default)]
pub struct Blackener {
    /// The longest first: one that is the beginning of another would leave that one's end to be read.
    forms: Vec<String>,
}

impl fmt::Debug for Blackener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blackener")
    }
}

impl Blackener {
    /// For these secrets: one of several lines is looked for line by line, as it is and as it would stand in a JSON string.
    #[must_use]
    pub fn new(secrets: &SecretValues) -> Self {
        let parts = secrets.values().flat_map(|value| value.expose().lines()).map(str::trim);
        let mut forms: Vec<String> = parts.filter(|part| part.len() >= SHORTEST).flat_map(forms).collect();
        forms.sort_unstable_by_key(|form| std::cmp::Reverse(form.len()));
        Self { forms }
    }

    /// The line without them.
    #[must_use]
    pub fn line(&self, line: String) -> String {
        let held = self.forms.iter().filter(|form| line.contains(form.as_str()));
        let blackened = held
            .fold(None, |text: Option<String>, form| Some(text.as_deref().unwrap_or(&line).replace(form, "[secret]")));
        blackened.unwrap_or(line)
    }
}

/// As it is, and within the quotes of a JSON string.
fn forms(part: &str) -> [String; 2] {
    let quoted = serde_json::Value::from(part).to_string();
    let escaped = quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(&quoted);
    [part.to_owned(), escaped.to_owned()]
}

/// Which version of each secret a rollout took. Holds no value.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretVersions(pub BTreeMap<SecretName, u64>);

#[cfg(test)]
mod tests {
    use super::*;

    fn blacken(line: &str, secrets: &SecretValues) -> String {
        Blackener::new(secrets).line(line.to_owned())
    }

    #[test]
    fn a_secret_that_begins_as_another_one_does_not_show_its_end() {
        let named =
            |name: &str, value: &str| (SecretName::new(name).expect("valid"), SecretValue::new(value.to_owned()));
        let both = SecretValues::from([named("a", "hunter"), named("b", "hunter-2024-prod")]);
        assert_eq!(blacken("k=hunter-2024-prod h=hunter!", &both), "k=[secret] h=[secret]!");
        assert_eq!(blacken(r#"{"k":"say \"hi\""}"#, &secrets(r#"say "hi""#)), r#"{"k":"[secret]"}"#);
    }

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
