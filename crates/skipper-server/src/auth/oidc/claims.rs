//! What a token says.

use serde_json::{Map, Value};
use skipper_core::time::Timestamp;
use skipper_source::app::{Oidc, OidcClaims};

use super::{LEEWAY, MAX_LIFE, Verified};

/// Longest id of a token; it becomes part of a key.
const MAX_ID: usize = 200;
/// Longest name that is shown of its bearer.
const MAX_NAME: usize = 120;

/// The claims of a token.
#[derive(Debug, Clone)]
pub(crate) struct Claims(Map<String, Value>);

impl Claims {
    pub(super) const fn new(claims: Map<String, Value>) -> Self {
        Self(claims)
    }

    /// Whether it is a token for us, and for now.
    pub(super) fn judge(&self, oidc: &Oidc, now: Timestamp) -> Result<Verified, String> {
        let issuer = self.text("iss").ok_or("the token names no issuer (`iss`)")?;
        // Some write their own name with a slash at its end, and some without.
        if issuer.trim_end_matches('/') != oidc.issuer.trim_end_matches('/') {
            return Err("the token is of another issuer (`iss`)".to_owned());
        }
        if !self.is_for(&oidc.audiences) {
            return Err("the token is for another audience (`aud`)".to_owned());
        }
        let expires = self.time("exp")?.ok_or("the token does not say when it expires (`exp`)")?;
        let issued = self.time("iat")?.ok_or("the token does not say when it was issued (`iat`)")?;
        if now >= expires + LEEWAY {
            return Err("the token has expired (`exp`)".to_owned());
        }
        let from = self.time("nbf")?.unwrap_or(issued).max(issued);
        if from > now + LEEWAY {
            return Err("the token is not good yet (`nbf`, `iat`): look at the clocks of both machines".to_owned());
        }
        if expires.since(issued) > MAX_LIFE {
            return Err("the token is good for more than a day".to_owned());
        }
        let id = self.text("jti").ok_or("the token has no id (`jti`)")?;
        if id.is_empty() || id.len() > MAX_ID || !id.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(format!("the token's id (`jti`) must have 1 to {MAX_ID} visible ASCII characters"));
        }
        let whose = self.text("repository").or_else(|| self.text("sub")).unwrap_or_default();
        let whose: String = whose.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
        let known = (expires + LEEWAY).since(now);
        Ok(Verified { id: id.to_owned(), by: format!("oidc:{whose}"), at: issued, known })
    }

    /// Whether every claim of a binding is there and matches.
    pub(super) fn are(&self, binding: &OidcClaims) -> bool {
        let is = |name: &str, value: &dyn Fn(&str) -> bool| match self.0.get(name) {
            Some(Value::String(text)) => value(text),
            Some(value_of @ (Value::Bool(_) | Value::Number(_))) => value(&value_of.to_string()),
            Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => false,
        };
        !binding.0.is_empty() && binding.0.iter().all(|(name, pattern)| is(name, &|text| pattern.matches(text)))
    }

    fn is_for(&self, audiences: &[String]) -> bool {
        let ours = |value: &Value| value.as_str().is_some_and(|text| audiences.iter().any(|own| own == text));
        match self.0.get("aud") {
            Some(Value::Array(list)) => list.iter().any(ours),
            Some(one) => ours(one),
            None => false,
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// Seconds since the epoch; some issuers write fractions.
    fn time(&self, name: &str) -> Result<Option<Timestamp>, String> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let seconds = value.as_f64().filter(|seconds| (0.0..1e11).contains(seconds));
        let seconds = seconds.ok_or_else(|| format!("the token's `{name}` is no time"))?;
        #[expect(clippy::cast_possible_truncation, reason = "it was just bounded; fractions of a second do not count")]
        let seconds = seconds as i64;
        Ok(Some(Timestamp::from_micros(seconds * 1_000_000)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;
    use skipper_source::app::JwksAt;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn judge(change: &[(&str, Value)]) -> Result<Verified, String> {
        let mut claims = json!({
            "iss": "https://issuer.test", "aud": "skipper", "iat": NOW - 10, "nbf": NOW - 10, "exp": NOW + 290, "jti": "id-1",
            "repository": "acme/shop", "sub": "repo:acme/shop:ref:refs/heads/main",
        });
        for (name, value) in change {
            claims[*name] = value.clone();
        }
        let oidc = Oidc {
            issuer: "https://issuer.test".to_owned(),
            audiences: vec!["other".to_owned(), "skipper".to_owned()],
            keys: JwksAt::File("/nowhere".to_owned()),
        };
        let Value::Object(claims) = claims else { unreachable!("it is written as one") };
        Claims(claims).judge(&oidc, Timestamp::from_micros(NOW * 1_000_000))
    }

    #[test]
    fn a_token_is_for_us_and_for_now() {
        let good = judge(&[]).expect("good");
        assert_eq!((good.id.as_str(), good.by.as_str()), ("id-1", "oidc:acme/shop"));
        assert_eq!(good.known, Duration::from_secs(350));
        for change in [
            ("aud", json!(["x", "skipper"])),
            ("iss", json!("https://issuer.test/")),
            ("exp", json!(NOW - 59)),
            ("nbf", json!(NOW + 60)),
            ("iat", json!(NOW + 60)),
            ("nbf", Value::Null),
            ("exp", json!(NOW as f64 + 0.5)),
        ] {
            // A claim that is null is no time, and may not be.
            let is_null = change.1.is_null();
            assert_eq!(judge(std::slice::from_ref(&change)).is_ok(), !is_null, "{change:?}");
        }
        for change in [
            ("aud", json!("skipper2")),
            ("aud", json!([])),
            ("aud", json!(null)),
            ("iss", json!("https://issuer.test.evil")),
            ("iss", json!(["https://issuer.test"])),
            ("exp", json!(NOW - 60)),
            ("exp", json!("never")),
            ("exp", json!(NOW + 100_000)),
            ("nbf", json!(NOW + 61)),
            ("iat", json!(NOW + 61)),
            ("iat", json!(-1)),
            ("iat", Value::Null),
            ("jti", Value::Null),
            ("jti", json!("")),
            ("jti", json!("a".repeat(201))),
        ] {
            assert!(judge(std::slice::from_ref(&change)).is_err(), "{change:?}");
        }
    }
}
