//! The name of an image: `[docker:]REGISTRY/PATH:TAG@sha256:DIGEST`, every part but the path optional.

use skipper_core::{
    Sha256,
    port::{Error, ErrorKind},
};

/// Docker's own registry, which goes without a name.
const HUB: &str = "docker.io";
/// Under that key Docker's own registry keeps its credentials.
const HUB_KEY: &str = "index.docker.io";

/// A parsed reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    /// As it was written, without tag and digest: `ghcr.io/acme/web`.
    pub name: String,
    /// `latest` where neither tag nor digest is written.
    pub tag: Option<String>,
    /// What the author demands.
    pub digest: Option<Sha256>,
}

impl Reference {
    /// Reads the address of a resource.
    pub(super) fn parse(uri: &str) -> Result<Self, Error> {
        let wrong = |why: &str| {
            let shown: String = uri.chars().take(200).collect();
            Error::new(ErrorKind::Permanent, "image-invalid", format!("`{shown}` is not an image: {why}"))
                .hint("write it as docker:REGISTRY/NAME:TAG, or docker:NAME@sha256:DIGEST")
        };
        let text = uri.strip_prefix("docker:").ok_or_else(|| wrong("it does not begin with docker:"))?;
        let text = text.strip_prefix("//").unwrap_or(text);
        let (text, digest) = match text.split_once('@') {
            None => (text, None),
            Some((text, digest)) => {
                let parsed = digest.strip_prefix("sha256:").and_then(|hex| hex.parse().ok());
                (text, Some(parsed.ok_or_else(|| wrong("what follows the @ is not sha256: and 64 digits"))?))
            }
        };
        // A colon before the last slash is of the registry's port.
        let (name, tag) = match text.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (text, None),
        };
        if let Some(tag) = tag
            && !is_tag(tag)
        {
            return Err(wrong(
                "its tag is not one: letters, digits, `_`, `.` and `-`, at most 128, not first `.` or `-`",
            ));
        }
        if !is_name(name) {
            return Err(wrong("its name is not one: small letters, digits, and `.`, `_`, `-`, `/` between them"));
        }
        let tag = tag.map(str::to_owned).or_else(|| digest.is_none().then(|| "latest".to_owned()));
        Ok(Self { name: name.to_owned(), tag, digest })
    }

    /// Under which an engine knows it locally: `web:1.2`, `web@sha256:…`.
    pub(super) fn local(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => self.by_digest(digest),
            (None, tag) => format!("{}:{}", self.name, tag.as_deref().unwrap_or("latest")),
        }
    }

    /// The same image by a digest.
    pub(super) fn by_digest(&self, digest: &Sha256) -> String {
        format!("{}@sha256:{digest}", self.name)
    }

    /// The registry's host, `docker.io` where none is written.
    pub(super) fn registry(&self) -> &str {
        match self.name.split_once('/') {
            Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
            _ => HUB,
        }
    }

    /// The name with nothing left out: `docker.io/library/web`.
    pub(super) fn full_name(&self) -> String {
        full_name(&self.name)
    }
}

/// A name with nothing left out. What Podman built itself is at `localhost/`, and is found by its short name as well.
pub(super) fn full_name(name: &str) -> String {
    match name.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => name.to_owned(),
        Some(_) => format!("{HUB}/{name}"),
        None => format!("{HUB}/library/{name}"),
    }
}

/// The keys under which credentials of a registry may be written.
pub(super) fn registry_keys(registry: &str) -> Vec<&str> {
    if registry == HUB { vec![HUB, HUB_KEY] } else { vec![registry] }
}

fn is_tag(tag: &str) -> bool {
    (1..=128).contains(&tag.len())
        && !tag.starts_with(['.', '-'])
        && tag.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

fn is_name(name: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'))
            && part.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
            && part.bytes().last().is_some_and(|b| b.is_ascii_alphanumeric())
    };
    // Host names may have capitals and a port.
    let host = |host: &str| {
        let (host, port) = host.split_once(':').unwrap_or((host, "0"));
        part(&host.to_ascii_lowercase()) && port.parse::<u16>().is_ok()
    };
    name.len() <= 255
        && match name.split_once('/') {
            Some((first, rest)) => host(first) && rest.split('/').all(part),
            None => part(name),
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_taken_apart() {
        let digest = Sha256::of(b"x");
        let parsed = |uri: &str| Reference::parse(uri).map(|it| (it.registry().to_owned(), it.full_name(), it.local()));
        let ok =
            |registry: &str, full: &str, local: &str| Some((registry.to_owned(), full.to_owned(), local.to_owned()));
        for (uri, expected) in [
            ("docker:web", ok("docker.io", "docker.io/library/web", "web:latest")),
            ("docker:acme/web:1.2", ok("docker.io", "docker.io/acme/web", "acme/web:1.2")),
            ("docker://ghcr.io/acme/web:x", ok("ghcr.io", "ghcr.io/acme/web", "ghcr.io/acme/web:x")),
            ("docker:localhost:5000/web", ok("localhost:5000", "localhost:5000/web", "localhost:5000/web:latest")),
            (
                &format!("docker:web:1@sha256:{digest}"),
                ok("docker.io", "docker.io/library/web", &format!("web@sha256:{digest}")),
            ),
        ] {
            assert_eq!(parsed(uri).ok(), expected, "{uri}");
        }
        for uri in [
            "docker:",
            "docker:Web",
            "docker:web:",
            "docker:web:.x",
            "docker:web:é",
            "docker:../etc",
            "docker:a//b",
            "docker:-web",
            "docker:web?x=1",
            "docker:web@sha256:12",
            "docker:host:99999/web",
            "web",
        ] {
            assert_eq!(parsed(uri).map_err(|error| error.code()), Err("image-invalid"), "{uri}");
        }
    }
}
