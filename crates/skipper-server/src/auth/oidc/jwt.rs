//! The compact form of a JWT: three parts in base64.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use serde::Deserialize;

use super::Claims;

/// A token that can be read; nobody has verified it yet.
#[derive(Debug)]
pub(super) struct Token<'a> {
    pub(super) header: Header,
    pub(super) claims: Claims,
    /// What is signed.
    pub(super) signed: &'a [u8],
    pub(super) signature: Vec<u8>,
}

/// Its first part.
#[derive(Debug, Deserialize)]
pub(super) struct Header {
    pub(super) alg: String,
    #[serde(default)]
    pub(super) kid: Option<String>,
    /// What must be understood, and is not.
    #[serde(default)]
    crit: Option<serde_json::Value>,
}

impl<'a> Token<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, String> {
        let wrong = || "the token is no JWT".to_owned();
        let (signed, signature) = text.rsplit_once('.').ok_or_else(wrong)?;
        let (header, claims) = signed.split_once('.').ok_or_else(wrong)?;
        let part = |text: &str| BASE64.decode(text).map_err(|_| wrong());
        let header: Header = serde_json::from_slice(&part(header)?).map_err(|_| wrong())?;
        if header.crit.is_some() {
            return Err("the token asks for extensions (`crit`) that are not known here".to_owned());
        }
        let claims = serde_json::from_slice(&part(claims)?).map_err(|_| wrong())?;
        Ok(Self { header, claims: Claims::new(claims), signed: signed.as_bytes(), signature: part(signature)? })
    }
}
