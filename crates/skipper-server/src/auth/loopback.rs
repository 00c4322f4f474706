//! The rule under which no token is needed: none is configured, and the request can only come from this machine itself.
//!
//! The address of the peer alone would not do: a reverse proxy on this machine is a loopback peer for the whole world,
//! and a web page can make a browser on this machine send requests (with a foreign Origin), or reach it through a name
//! that resolves to 127.0.0.1 (with a foreign Host).

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, Uri, header};

/// Why a request without a token was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotLocal {
    /// The peer is another machine.
    Peer,
    /// The Host is not a name of this machine, is missing, or there are several.
    Host,
    /// It came through a proxy.
    Proxied,
    /// A web page of another origin sent it.
    Origin,
}

impl NotLocal {
    /// The reason as part of a sentence.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Peer => "the request comes from another machine",
            Self::Host => "its Host is not this machine's own name (localhost, 127.0.0.1, [::1])",
            Self::Proxied => "it came through a proxy (Forwarded, X-Forwarded-* or Via)",
            Self::Origin => "it was sent by a web page of another origin",
        }
    }
}

/// Judges a request. Pure.
///
/// # Errors
///
/// The first condition that does not hold.
pub fn judge(peer: Option<SocketAddr>, uri: &Uri, headers: &HeaderMap) -> Result<(), NotLocal> {
    if !peer.is_some_and(|peer| is_loopback(peer.ip())) {
        return Err(NotLocal::Peer);
    }
    let authority = authority(uri, headers).ok_or(NotLocal::Host)?;
    if !is_loopback_name(host_of(&authority)) {
        return Err(NotLocal::Host);
    }
    let proxied = |name: &header::HeaderName| {
        matches!(name.as_str(), "forwarded" | "via") || name.as_str().starts_with("x-forwarded-")
    };
    if headers.keys().any(proxied) {
        return Err(NotLocal::Proxied);
    }
    if is_of_another_origin(&authority, headers) { Err(NotLocal::Origin) } else { Ok(()) }
}

/// Whether a web page of another origin sent it: browsers add a password that they remember to its requests.
pub(super) fn is_foreign(uri: &Uri, headers: &HeaderMap) -> bool {
    headers.contains_key(header::ORIGIN)
        && authority(uri, headers).is_none_or(|authority| is_of_another_origin(&authority, headers))
}

fn is_of_another_origin(authority: &str, headers: &HeaderMap) -> bool {
    headers.get_all(header::ORIGIN).iter().any(|origin| {
        let own = origin.to_str().ok().and_then(|text| text.strip_prefix("http://").or(text.strip_prefix("https://")));
        !own.is_some_and(|own| own.eq_ignore_ascii_case(authority))
    })
}

fn is_loopback(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback(),
        // A dual-stack listener sees 127.0.0.1 as ::ffff:127.0.0.1.
        IpAddr::V6(v6) => v6.is_loopback() || v6.to_ipv4_mapped().is_some_and(|v4| v4.is_loopback()),
    }
}

/// The one authority that the request names: in HTTP/2 the URI's, in HTTP/1.1 the Host header's.
fn authority(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let header = hosts.next().map(|value| value.to_str().ok().map(str::to_owned));
    if hosts.next().is_some() {
        return None;
    }
    match (uri.authority(), header) {
        (Some(uri), Some(host)) => host.filter(|host| host.eq_ignore_ascii_case(uri.as_str())),
        (Some(uri), None) => Some(uri.as_str().to_owned()),
        (None, host) => host?,
    }
}

/// Without port and brackets.
fn host_of(authority: &str) -> &str {
    if let Some(v6) = authority.strip_prefix('[') {
        return v6.split_once(']').map_or("", |(inner, _)| inner);
    }
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

fn is_loopback_name(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(peer: &str, lines: &[(&str, &str)], expected: Result<(), NotLocal>) {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers
                .append(header::HeaderName::from_bytes(name.as_bytes()).expect("name"), value.parse().expect("value"));
        }
        let peer = peer.parse().expect("address");
        assert_eq!(judge(Some(peer), &Uri::from_static("/v1/releases"), &headers), expected, "{peer} {lines:?}");
    }

    #[test]
    fn loopback_peers_with_a_loopback_host_are_let_in() {
        for host in ["localhost", "localhost:7577", "LOCALHOST:1", "127.0.0.1:7577", "127.1.2.3", "[::1]:7577", "[::1]"]
        {
            check("127.0.0.1:5", &[("host", host)], Ok(()));
        }
        check("[::1]:5", &[("host", "[::1]:7577")], Ok(()));
        check("[::ffff:127.0.0.1]:5", &[("host", "localhost")], Ok(()));
        check("127.0.0.1:5", &[("host", "localhost:7577"), ("origin", "http://localhost:7577")], Ok(()));
    }

    #[test]
    fn other_peers_and_other_hosts_are_not() {
        check("10.0.0.1:5", &[("host", "localhost")], Err(NotLocal::Peer));
        for host in
            ["example.org", "localhost.example.org", "127.0.0.1.nip.io", "10.0.0.1", "", "[::2]", "localhost@evil"]
        {
            check("127.0.0.1:5", &[("host", host)], Err(NotLocal::Host));
        }
        check("127.0.0.1:5", &[], Err(NotLocal::Host));
        check("127.0.0.1:5", &[("host", "localhost"), ("host", "evil")], Err(NotLocal::Host));
        assert_eq!(judge(None, &Uri::from_static("/"), &HeaderMap::new()), Err(NotLocal::Peer));
    }

    #[test]
    fn anything_a_proxy_adds_gives_it_away() {
        for name in ["forwarded", "via", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-x"] {
            check("127.0.0.1:5", &[("host", "localhost"), (name, "x")], Err(NotLocal::Proxied));
        }
    }

    #[test]
    fn pages_of_other_origins_are_kept_out() {
        for origin in ["https://evil.example", "null", "http://localhost:3000", "http://localhost:7577.evil", "file://"]
        {
            check("127.0.0.1:5", &[("host", "localhost:7577"), ("origin", origin)], Err(NotLocal::Origin));
        }
    }
}
