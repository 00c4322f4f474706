//! `edge.redirect_https` and `edge.acme.*`: host names with TLS, and where their certificates come from.

use http::Uri;
use skipper_edge::{AcmeConfig, ChallengeKind, ExternalAccount, Redirect};

use super::build::{Taker, parse_bool};

/// Addresses of e-mail that an authority is given.
const CONTACTS: usize = 10;

pub(super) fn redirect(take: &mut Taker<'_>) -> Option<Redirect> {
    let parse = |text: &str| match text {
        "off" | "false" => Ok(None),
        "on" | "true" => Ok(Some(Redirect::Listener)),
        port => match port.parse() {
            Ok(port @ 1..) => Ok(Some(Redirect::Port(port))),
            _ => Err("is not `on`, `off`, or the port by which clients reach the TLS listener".to_owned()),
        },
    };
    take.parse("edge.redirect_https", parse).flatten()
}

/// `None` where it is off. What is wrong in it is told all the same.
pub(super) fn acme(take: &mut Taker<'_>) -> Option<AcmeConfig> {
    let enabled = take.parse("edge.acme.enabled", parse_bool).unwrap_or_default();
    let directory = take.parse("edge.acme.directory", directory);
    let challenges = take.parse("edge.acme.challenges", challenges);
    let contact = take.parse("edge.acme.email", emails);
    let ca_file = take.path("edge.acme.ca_file");
    let key_id = take.text("edge.acme.eab_key_id");
    let key_file = take.path("edge.acme.eab_key_file");
    if key_id.is_some() != key_file.is_some() {
        let (said, missing) = if key_id.is_some() { ("key_id", "key_file") } else { ("key_file", "key_id") };
        let message = format!("`edge.acme.eab_{said}` is nothing without `edge.acme.eab_{missing}`");
        take.fault_at(&format!("edge.acme.eab_{said}"), message);
    }
    let agreed = take.parse("edge.acme.terms_agreed", parse_bool);
    if enabled && agreed == Some(false) {
        let message = "`edge.acme.enabled`: read the terms of the certificate authority, and set \
                       `edge.acme.terms_agreed = true` if you agree";
        take.fault_at("edge.acme.enabled", message.to_owned());
    }
    let external_account = key_id.zip(key_file).map(|(key_id, key_file)| ExternalAccount { key_id, key_file });
    let config =
        AcmeConfig { directory: directory?, contact: contact?, challenges: challenges?, ca_file, external_account };
    enabled.then_some(config)
}

fn directory(text: &str) -> Result<String, String> {
    let url = text.parse::<Uri>().ok().filter(|url| url.scheme_str() == Some("https") && url.host().is_some());
    url.map(|_| text.to_owned()).ok_or_else(|| "is not the https URL of a directory".to_owned())
}

fn challenges(text: &str) -> Result<Vec<ChallengeKind>, String> {
    let mut kinds = Vec::new();
    for word in text.split(',').map(str::trim) {
        let kind = word.parse()?;
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    Ok(kinds)
}

fn emails(text: &str) -> Result<Vec<String>, String> {
    let addresses: Vec<String> =
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect();
    let is_address = |text: &String| {
        let parts = text.split_once('@');
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '&' | '<' | '>' | '"');
        text.len() <= 254
            && text.chars().all(plain)
            && parts.is_some_and(|(user, host)| !user.is_empty() && host.contains('.'))
    };
    match addresses.iter().find(|address| !is_address(address)) {
        Some(wrong) => Err(format!("`{wrong}` is not an address of e-mail")),
        None if addresses.len() > CONTACTS => Err(format!("is more than {CONTACTS} addresses")),
        None => Ok(addresses),
    }
}
