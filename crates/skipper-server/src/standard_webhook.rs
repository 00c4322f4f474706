//! The form of Standard Webhooks: `webhook-id`, `webhook-timestamp`, and `webhook-signature` with one or more `v1,BASE64`, the
//! HMAC-SHA256 over `ID.TIMESTAMP.BODY`. Received and sent.

use base64::{
    Engine as _,
    alphabet::STANDARD as ALPHABET,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName};
use skipper_core::secret::SecretValue;
use zeroize::Zeroizing;

pub(crate) const ID: HeaderName = HeaderName::from_static("webhook-id");
pub(crate) const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
pub(crate) const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// A key with this in front is the base64 of its bytes.
const KEY_PREFIX: &str = "whsec_";
/// Longest id.
const MAX_ID: usize = 200;
/// Most signatures that are looked at; a sender has one for each of its keys.
const MAX_SIGNATURES: usize = 16;
/// Some write base64 without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The headers of a message, well formed; nobody has looked at the signatures yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signed {
    /// The same for every attempt to deliver the message.
    pub(crate) id: String,
    /// When this attempt was signed: seconds since the epoch.
    pub(crate) at: i64,
    timestamp: String,
    signatures: Vec<[u8; 32]>,
}

impl Signed {
    /// Reads the headers.
    ///
    /// # Errors
    ///
    /// A sentence: which one is missing, there twice, or not what it should be.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, String> {
        let id = one(headers, &ID)?;
        // A body that is signed in slip's form begins with a brace, and must not be taken for an id.
        if id.is_empty() || id.len() > MAX_ID || !id.bytes().all(|b| b.is_ascii_graphic()) || id.starts_with('{') {
            return Err(format!("webhook-id must have 1 to {MAX_ID} visible ASCII characters"));
        }
        let timestamp = one(headers, &TIMESTAMP)?;
        let digits = (1..=12).contains(&timestamp.len()) && timestamp.bytes().all(|b| b.is_ascii_digit());
        let at = timestamp.parse().ok().filter(|_| digits);
        let at = at.ok_or("webhook-timestamp must be the seconds since 1970")?;
        // What has another version is somebody else's to verify.
        let known = one(headers, &SIGNATURE)?.split(' ').filter_map(|one| one.strip_prefix("v1,"));
        let decoded = known.filter_map(|text| BASE64.decode(text).ok()?.try_into().ok());
        let signatures = decoded.take(MAX_SIGNATURES).collect();
        Ok(Self { id: id.to_owned(), at, timestamp: timestamp.to_owned(), signatures })
    }

    /// Whether one of the keys made one of the signatures over this body. All are tried, each in constant time.
    pub(crate) fn is_by<'a>(&self, keys: impl IntoIterator<Item = &'a SecretValue>, body: &[u8]) -> bool {
        let mut found = false;
        for key in keys {
            let Some(mac) = mac(key, &self.id, &self.timestamp, body) else { continue };
            for signature in &self.signatures {
                found |= mac.clone().verify_slice(signature).is_ok();
            }
        }
        found
    }
}

/// The value of `webhook-signature` by all of the keys; `None` without any.
pub(crate) fn sign<'a>(
    keys: impl IntoIterator<Item = &'a SecretValue>,
    id: &str,
    at: i64,
    body: &[u8],
) -> Option<String> {
    let macs = keys.into_iter().filter_map(|key| mac(key, id, &at.to_string(), body));
    let texts: Vec<_> = macs.map(|mac| format!("v1,{}", BASE64.encode(mac.finalize().into_bytes()))).collect();
    (!texts.is_empty()).then(|| texts.join(" "))
}

/// An empty key is no key: anybody could sign with it.
fn mac(key: &SecretValue, id: &str, timestamp: &str, body: &[u8]) -> Option<Hmac<sha2::Sha256>> {
    let text = key.expose();
    let decoded = text.strip_prefix(KEY_PREFIX).and_then(|rest| BASE64.decode(rest).ok()).map(Zeroizing::new);
    let bytes = decoded.as_deref().map_or(text.as_bytes(), Vec::as_slice);
    if bytes.is_empty() {
        return None;
    }
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(bytes).ok()?;
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    Some(mac)
}

/// Of two, one is somebody else's.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str, String> {
    let mut given = headers.get_all(name).iter();
    let first = given.next().ok_or_else(|| format!("missing {name} header"))?;
    if given.next().is_some() {
        return Err(format!("there are several {name} headers"));
    }
    first.to_str().map_err(|_| format!("{name} must be ASCII"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (name.clone(), value.parse().expect("a value"))).collect()
    }

    fn key(text: &str) -> SecretValue {
        SecretValue::new(text.to_owned())
    }

    #[test]
    fn the_known_message_of_the_standard_verifies() {
        // From the standard's own reference libraries.
        let whsec = key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let (id, at, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);
        let known = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        let both = format!("v1a,xyz v1,bm9wZQ== {known}");
        let signed = Signed::of(&headers(&[(ID, id), (TIMESTAMP, at), (SIGNATURE, &both)])).expect("well formed");
        assert!(signed.is_by([&key("other"), &whsec], body));
        assert!(!signed.is_by([&whsec], br#"{"test": 2432232315}"#));
        assert!(
            !signed.is_by([&key("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")], body),
            "without the prefix a key is its text"
        );
        assert_eq!(sign([&whsec], id, 1_614_265_330, body).as_deref(), Some(known));
    }

    #[test]
    fn an_empty_key_signs_nothing() {
        assert_eq!(sign([&key(""), &key("whsec_")], "a", 1, b"x"), None);
    }

    #[test]
    fn headers_that_are_missing_doubled_or_odd_are_told() {
        let good = [(ID, "a"), (TIMESTAMP, "1"), (SIGNATURE, "v1,bm9wZQ==")];
        assert!(Signed::of(&headers(&good)).is_ok());
        for name in [ID, TIMESTAMP, SIGNATURE] {
            let less: Vec<_> = good.iter().filter(|(own, _)| *own != name).cloned().collect();
            assert_eq!(Signed::of(&headers(&less)), Err(format!("missing {name} header")));
            let more: Vec<_> = good.iter().cloned().chain([(name.clone(), "b")]).collect();
            assert_eq!(Signed::of(&headers(&more)), Err(format!("there are several {name} headers")));
        }
        for (name, value) in [(ID, ""), (ID, "{}"), (ID, "a b"), (TIMESTAMP, "-1"), (TIMESTAMP, "1.5"), (TIMESTAMP, "")]
        {
            let odd: Vec<_> =
                good.iter().map(|(own, text)| (own.clone(), if *own == name { value } else { *text })).collect();
            assert!(Signed::of(&headers(&odd)).is_err(), "{name}: {value}");
        }
    }
}
