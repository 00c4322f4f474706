use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

/// A SHA-256 digest; printed as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256([u8; 32]);

/// Text that is not 64 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a sha256 is 64 hexadecimal digits; `{given}` is not")]
pub struct Sha256ParseError {
    given: String,
}

impl Sha256 {
    /// Digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// Wraps a digest that was computed elsewhere, for example while a body streamed by.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Digest of a document, the same for equal documents whatever the order of their keys.
    #[must_use]
    pub fn of_json(value: &serde_json::Value) -> Self {
        Self::of(canonical_json(value).as_bytes())
    }

    /// The first eight hex digits, for names.
    #[must_use]
    pub fn short(&self) -> String {
        self.to_string()[..8].to_owned()
    }
}

/// JSON with sorted keys and no white space: the form that is hashed.
#[must_use]
pub fn canonical_json(value: &serde_json::Value) -> String {
    fn sorted(value: &serde_json::Value) -> serde_json::Value {
        match value {
            serde_json::Value::Object(map) => {
                let mut entries: Vec<_> = map.iter().collect();
                entries.sort_by(|a, b| a.0.cmp(b.0));
                entries.into_iter().map(|(k, v)| (k.clone(), sorted(v))).collect::<serde_json::Map<_, _>>().into()
            }
            serde_json::Value::Array(items) => items.iter().map(sorted).collect::<Vec<_>>().into(),
            plain => plain.clone(),
        }
    }
    sorted(value).to_string()
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}
impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for Sha256 {
    type Err = Sha256ParseError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || Sha256ParseError { given: text.chars().take(80).collect() };
        let hex = text.strip_prefix("sha256:").unwrap_or(text);
        if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}
impl TryFrom<String> for Sha256 {
    type Error = Sha256ParseError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}
impl From<Sha256> for String {
    fn from(digest: Sha256) -> String {
        digest.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_documents_have_one_digest_whatever_the_order_of_keys() {
        let a = serde_json::json!({"a": 1, "b": {"x": [1, {"p": 1, "q": 2}], "y": 2}});
        let b = serde_json::json!({"b": {"y": 2, "x": [1, {"q": 2, "p": 1}]}, "a": 1});
        assert_eq!(Sha256::of_json(&a), Sha256::of_json(&b));
    }

    #[test]
    fn a_digest_reads_back_with_and_without_its_prefix() {
        let digest = Sha256::of(b"x");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(format!("sha256:{digest}").parse(), Ok(digest));
        assert!("sha256:12".parse::<Sha256>().is_err());
        assert!("é".repeat(32).parse::<Sha256>().is_err());
    }
}
