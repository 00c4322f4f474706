//! `X-Slip-Signature: sha256=HEX`: HMAC-SHA256 over the raw body.

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use skipper_core::secret::SecretValue;

/// The header of slip's signatures.
pub(super) const HEADER: &str = "x-slip-signature";
const SCHEME: &str = "sha256=";

/// What a request is signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Signature([u8; 32]);

/// The header of a request; `Ok(None)` where it cannot be a signature.
///
/// # Errors
///
/// There is no such header.
pub(super) fn of(headers: &HeaderMap) -> Result<Option<Signature>, ()> {
    let mut given = headers.get_all(HEADER).iter();
    let first = given.next().ok_or(())?;
    // Of two, one is somebody else's.
    Ok(first.to_str().ok().filter(|_| given.next().is_none()).and_then(parse))
}

fn parse(text: &str) -> Option<Signature> {
    let hex = text.strip_prefix(SCHEME)?.as_bytes();
    let mut bytes = [0; 32];
    if hex.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *byte = digit(0)? << 4 | digit(1)?;
    }
    Some(Signature(bytes))
}

impl Signature {
    /// Whether one of the keys made it over this body. All are tried, each in constant time.
    pub(super) fn is_by<'a>(&self, keys: impl IntoIterator<Item = &'a SecretValue>, body: &[u8]) -> bool {
        let mut found = false;
        for key in keys {
            // An empty key is no key: anybody could sign with it.
            let Ok(mut mac) = Hmac::<sha2::Sha256>::new_from_slice(key.expose().as_bytes()) else { continue };
            mac.update(body);
            found |= mac.verify_slice(&self.0).is_ok() && !key.expose().is_empty();
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_has_its_scheme_and_64_digits_of_either_case() {
        let digits = "aB".repeat(32);
        assert_eq!(parse(&format!("sha256={digits}")), Some(Signature([0xab; 32])));
        for wrong in [
            digits.clone(),
            format!("SHA256={digits}"),
            format!("sha256={digits}0"),
            format!("sha256=+{}", &digits[1..]),
        ] {
            assert_eq!(parse(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_known_signature_verifies_and_an_empty_key_never_does() {
        // RFC 4231, test case 2.
        let known = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let signature = parse(known).expect("well formed");
        let key = |text: &str| SecretValue::new(text.to_owned());
        let body = b"what do ya want for nothing?";
        assert!(signature.is_by([&key("other"), &key("Jefe")], body), "one of several keys");
        assert!(!signature.is_by([&key("Jefe")], b"what do ya want for nothing!"));
        // HMAC of nothing with an empty key.
        let empty =
            parse("sha256=b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad").expect("well formed");
        assert!(!empty.is_by([&key("")], b""));
    }
}
