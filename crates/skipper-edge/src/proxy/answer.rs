use skipper_core::route::Listener;

use super::{Origin, Reply, Shared};
use crate::config::Redirect;

/// A request, as far as the edge may have to answer it in the application's place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// Normalised, without port. Empty: none was given.
    pub(crate) host: &'a str,
    /// Without query.
    pub(crate) path: &'a str,
    /// The head for the instance: it begins with method and target.
    pub(crate) head: &'a [u8],
    /// Carries the verify token.
    pub(crate) probe: bool,
    /// A trusted proxy says that the client spoke TLS.
    pub(crate) secure: bool,
}

/// What the edge answers before any route is looked at: a proof that a certificate authority asks for, and where a host is that is
/// only served with TLS.
pub(crate) fn answer(shared: &Shared, origin: &Origin, asked: Asked<'_>) -> Option<Reply> {
    if origin.listener != Listener::Http {
        return None;
    }
    if let Some(proof) = shared.acme.as_ref().and_then(|acme| acme.token_at(asked.path)) {
        return Some(Reply::proof(proof));
    }
    let redirect = shared.redirect?;
    // What the application itself may have been asked by an authority is not for another listener.
    let stays =
        asked.probe || asked.secure || asked.host.is_empty() || asked.path.starts_with("/.well-known/acme-challenge/");
    let tls = shared.tls_port();
    if stays || tls == 0 {
        return None;
    }
    let target = target_of(asked.head).filter(|target| target.starts_with('/'))?;
    let is_routed = || shared.table.load().find(Listener::Https, Some(asked.host), asked.path).is_some();
    if !is_routed() || !shared.certificates.serves(asked.host) {
        return None;
    }
    let port = match redirect {
        Redirect::Listener => tls,
        Redirect::Port(port) => port,
    };
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    Some(Reply::redirect(format!("https://{}{port}{target}", asked.host)))
}

fn target_of(head: &[u8]) -> Option<&str> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    std::str::from_utf8(line.split(|byte| *byte == b' ').nth(1)?).ok()
}
