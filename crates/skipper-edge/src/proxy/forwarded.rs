use std::net::{IpAddr, SocketAddr};

use crate::config::Network;

/// Who is at the other end of a connection, and what it may say about those behind it.
#[derive(Debug)]
pub(crate) struct Client {
    address: String,
    /// Its `X-Forwarded-*` are believed.
    pub(crate) trusted: bool,
    secure: bool,
}

/// What a trusted proxy said.
#[derive(Debug, Default)]
pub(crate) struct Said<'a> {
    pub(crate) hosts: Option<&'a [u8]>,
    pub(crate) proto: Option<&'a [u8]>,
}

impl Said<'_> {
    /// Whether the client itself spoke TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.proto.is_some_and(|proto| proto.eq_ignore_ascii_case(b"https"))
    }
}

impl Client {
    pub(crate) fn new(peer: SocketAddr, secure: bool, trusted: &[Network]) -> Self {
        let address: IpAddr = peer.ip().to_canonical();
        Self { address: address.to_string(), trusted: trusted.iter().any(|net| net.contains(address)), secure }
    }

    /// Writes `X-Forwarded-For`, `-Proto` and `-Host`. Earlier `for` values come from a trusted proxy, else there are none.
    pub(crate) fn write<'a>(
        &self,
        out: &mut Vec<u8>,
        earlier: impl Iterator<Item = &'a [u8]>,
        said: &Said<'_>,
        host: &str,
        port: &str,
    ) {
        out.extend_from_slice(b"x-forwarded-for: ");
        for value in earlier {
            out.extend_from_slice(value);
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(self.address.as_bytes());
        out.extend_from_slice(b"\r\nx-forwarded-proto: ");
        out.extend_from_slice(said.proto.unwrap_or(if self.secure { b"https" } else { b"http" }));
        if let Some(hosts) = said.hosts {
            out.extend_from_slice(b"\r\nx-forwarded-host: ");
            out.extend_from_slice(hosts);
        } else if !host.is_empty() {
            out.extend_from_slice(b"\r\nx-forwarded-host: ");
            out.extend_from_slice(host.as_bytes());
            out.extend_from_slice(port.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }
}
