//! Images, ports and mounts, as compose writes them in one word.

use std::{fmt, net::IpAddr, str::FromStr};

use skipper_core::Sha256;

/// Longest reference of an image.
const MAX_IMAGE: usize = 512;

/// The name of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRef {
    /// As it was written.
    pub text: String,
    /// What it has to be by content, where the reference says so.
    pub digest: Option<Sha256>,
}

impl FromStr for ImageRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| Err(format!("`{}` is not the name of an image: {why}", crate::yaml::shorten(text)));
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        if text.len() > MAX_IMAGE {
            return wrong("it is too long");
        }
        let good = |b: u8| b.is_ascii_alphanumeric() || b"._-/:".contains(&b);
        if !name.starts_with(|c: char| c.is_ascii_alphanumeric())
            || !name.bytes().all(good)
            || name.ends_with([':', '/'])
        {
            return wrong("it is [REGISTRY/]NAME[:TAG][@sha256:DIGEST]");
        }
        let digest = match digest.map(|digest| digest.strip_prefix("sha256:").and_then(|hex| hex.parse().ok())) {
            None => None,
            Some(Some(digest)) => Some(digest),
            Some(None) => return wrong("what follows the `@` is no sha256 digest"),
        };
        Ok(Self { text: text.to_owned(), digest })
    }
}

/// Which transport a port is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// `[[ADDRESS:]HOST:]CONTAINER[/PROTOCOL]`, where each port may be a range `FROM-TO`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortMapping {
    /// The address of the node; every one when `None`.
    pub address: Option<IpAddr>,
    /// The node's ports, first and last; a free one when `None`.
    pub host: Option<(u16, u16)>,
    /// The container's, first and last; as many.
    pub container: (u16, u16),
    /// The transport.
    pub protocol: Protocol,
}

impl FromStr for PortMapping {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            let text = crate::yaml::shorten(text);
            format!(
                "`{text}` is not a port mapping: it is [[ADDRESS:]HOST:]CONTAINER[/tcp|udp|sctp], for example 8080:80"
            )
        };
        let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            _ => return Err(wrong()),
        };
        let (before, container) = match ports.rsplit_once(':') {
            Some((before, container)) => (Some(before), container),
            None => (None, ports),
        };
        let container = range(container).ok_or_else(wrong)?;
        let (address, host) = match before.map(|before| before.rsplit_once(':').map_or(("", before), |both| both)) {
            None => (None, None),
            Some((address, host)) => {
                let address = match address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address)
                {
                    "" => None,
                    address => Some(address.parse().map_err(|_| wrong())?),
                };
                // `127.0.0.1::80` leaves the choice of a port.
                let host =
                    if host.is_empty() && address.is_some() { None } else { Some(range(host).ok_or_else(wrong)?) };
                (address, host)
            }
        };
        if host.is_some_and(|(from, to)| to - from != container.1 - container.0) {
            return Err(format!("`{}`: both ranges have to be of one length", crate::yaml::shorten(text)));
        }
        Ok(Self { address, host, container, protocol })
    }
}

impl fmt::Display for PortMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = |f: &mut fmt::Formatter<'_>, (from, to): (u16, u16)| {
            if from == to { write!(f, "{from}") } else { write!(f, "{from}-{to}") }
        };
        match self.address {
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:")?,
            Some(address) => write!(f, "{address}:")?,
            None => {}
        }
        if let Some(host) = self.host {
            ports(f, host)?;
        }
        if self.host.is_some() || self.address.is_some() {
            f.write_str(":")?;
        }
        ports(f, self.container)?;
        f.write_str(match self.protocol {
            Protocol::Tcp => "",
            Protocol::Udp => "/udp",
            Protocol::Sctp => "/sctp",
        })
    }
}

impl PortMapping {
    /// Whether the container's port is reached through it, by TCP.
    #[must_use]
    pub fn publishes(&self, port: u16) -> bool {
        self.protocol == Protocol::Tcp && (self.container.0..=self.container.1).contains(&port)
    }

    /// Whether both want a port of the node at once.
    #[must_use]
    pub fn collides(&self, other: &Self) -> bool {
        let any = |address: Option<IpAddr>| address.is_none_or(|address| address.is_unspecified());
        let (Some(mine), Some(theirs)) = (self.host, other.host) else { return false };
        self.protocol == other.protocol
            && mine.0 <= theirs.1
            && theirs.0 <= mine.1
            && (any(self.address) || any(other.address) || self.address == other.address)
    }
}

fn range(text: &str) -> Option<(u16, u16)> {
    let port = |text: &str| {
        let plain = (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| text.parse().ok()).flatten().filter(|port: &u16| *port > 0)
    };
    match text.split_once('-') {
        None => port(text).map(|one| (one, one)),
        Some((from, to)) => Some((port(from)?, port(to)?)).filter(|(from, to)| from <= to),
    }
}

/// `SOURCE:TARGET[:ro|rw|z|Z]`: the name of a volume of the tenant, or a folder in the tenant's own (`./data`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// A volume's name, or a path.
    pub source: String,
    /// Where the container sees it, absolute.
    pub target: String,
    /// What follows, as it was written.
    pub mode: Option<String>,
}

impl FromStr for Mount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shown = crate::yaml::shorten(text);
        let shape = || format!("`{shown}` is not a mount: it is NAME:/PATH or ./FOLDER:/PATH, and may end in :ro");
        if text.chars().any(|c| c.is_control() || c == '$') {
            return Err(shape());
        }
        let mut parts = text.split(':');
        let (source, target) = (parts.next().unwrap_or_default(), parts.next());
        let (mode, rest) = (parts.next(), parts.next());
        let Some(target) = target else {
            return Err(format!(
                "`{shown}` has no name; what is in it would be lost with the container: write NAME:{shown}"
            ));
        };
        if !target.starts_with('/') || target == "/" || target.split('/').any(|part| part == "..") || rest.is_some() {
            return Err(shape());
        }
        let word = |part: &str| matches!(part, "ro" | "rw" | "z" | "Z");
        if mode.is_some_and(|mode| !mode.split(',').all(word)) {
            return Err(shape());
        }
        let named = source.starts_with(|c: char| c.is_ascii_alphanumeric())
            && source.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
            && (1..=64).contains(&source.len());
        let path = source.starts_with("./") || source.starts_with('/');
        if !named && !path {
            return Err(shape());
        }
        if path && source.split('/').any(|part| part == "..") {
            return Err(format!("`{shown}` leads out of the tenant's folder"));
        }
        Ok(Self { source: source.to_owned(), target: target.to_owned(), mode: mode.map(str::to_owned) })
    }
}

impl Mount {
    /// The volume's name, where it is none of the node's folders.
    #[must_use]
    pub fn volume(&self) -> Option<&str> {
        (!self.source.starts_with(['.', '/'])).then_some(self.source.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_compose_reads_them_and_written_back() {
        for text in
            ["80", "8080:80", "127.0.0.1:8080:80", "[::1]:8080:80", "53:53/udp", "9000-9002:8000-8002", "127.0.0.1::80"]
        {
            assert_eq!(text.parse::<PortMapping>().expect(text).to_string(), text);
        }
        assert_eq!("80:80/tcp".parse::<PortMapping>().expect("valid").to_string(), "80:80");
        for bad in [
            "",
            "0",
            "65536",
            "a",
            "80:",
            ":80",
            "80/icmp",
            "1-3:1-2",
            "3-1",
            "x:80:80",
            "+80",
            "80:80:80:80",
            "1-2:80",
        ] {
            bad.parse::<PortMapping>().expect_err(bad);
        }
    }

    #[test]
    fn one_port_of_a_node_leads_to_one_container() {
        let port = |text: &str| text.parse::<PortMapping>().expect(text);
        for (one, other, expected) in [
            ("80:80", "80:81", true),
            ("127.0.0.1:80:80", "80:80", true),
            ("127.0.0.1:80:80", "127.0.0.2:80:80", false),
            ("80:80", "80:80/udp", false),
            ("80-90:80-90", "85:1", true),
            ("80", "80", false),
        ] {
            assert_eq!(port(one).collides(&port(other)), expected, "{one} {other}");
        }
    }

    #[test]
    fn mounts_have_a_name_or_lie_in_the_tenants_folder() {
        for good in ["data:/data", "./conf:/etc/app:ro", "/srv/x:/x", "a.b-c:/d:rw,Z"] {
            good.parse::<Mount>().expect(good);
        }
        for bad in [
            "/data",
            "data",
            "data:rel",
            "../x:/x",
            "./a/../..:/x",
            "~/x:/x",
            "data:/x:exec",
            "data:/x:ro:y",
            "$X:/x",
            "data:/",
        ] {
            bad.parse::<Mount>().expect_err(bad);
        }
    }

    #[test]
    fn images_may_name_their_digest() {
        let digest = format!("reg:5000/a/b:1@sha256:{}", "ab".repeat(32));
        assert!(digest.parse::<ImageRef>().expect("valid").digest.is_some());
        assert_eq!("localhost/hello:1".parse::<ImageRef>().expect("valid").digest, None);
        for bad in ["", "a b", "$X", "-a", "a@sha256:12", "a@md5:x", "a:", "a\n", "https://x@y"] {
            bad.parse::<ImageRef>().expect_err(bad);
        }
    }
}
