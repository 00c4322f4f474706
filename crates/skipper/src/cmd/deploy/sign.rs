//! `X-Slip-Signature: sha256=HEX`: HMAC-SHA256 over the raw body.

use hmac::{Hmac, KeyInit as _, Mac as _};

/// The header.
pub(in super::super) const HEADER: &str = "x-slip-signature";

/// Its value for these bytes.
pub(in super::super) fn signature(key: &str, bytes: &[u8]) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()).expect("a key of any length will do");
    mac.update(bytes);
    let mut text = String::from("sha256=");
    for byte in mac.finalize().into_bytes() {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_openssl_computes() {
        // RFC 4231, test case 2.
        let known = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signature("Jefe", b"what do ya want for nothing?"), known);
    }
}
