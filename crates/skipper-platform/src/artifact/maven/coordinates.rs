//! What a `maven:` address names, and where a repository has it.

use std::fmt;

use skipper_core::port::{Error, ErrorKind};

/// Longest address that is looked at: file systems and proxies have no use for longer ones.
const MAX_CHARS: usize = 1000;
const SNAPSHOT: &str = "-SNAPSHOT";

/// An artifact of a Maven repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coordinates {
    /// `org.example`.
    pub group: String,
    /// `server`.
    pub artifact: String,
    /// `jar` where nobody says otherwise.
    pub extension: String,
    /// `exec`, where there is one.
    pub classifier: Option<String>,
    /// As it was written: `1.2.0`, `1.3.0-SNAPSHOT`, `1.3.0-20260101.120000-7`.
    pub version: String,
}

impl Coordinates {
    /// Reads `maven://group:artifact[:extension[:classifier]]:version`; the slashes may be left out, as Spring allows.
    ///
    /// # Errors
    ///
    /// `resource-invalid` for anything else, also for parts that would lead out of a repository's folder.
    pub fn parse(uri: &str) -> Result<Self, Error> {
        let text = uri.strip_prefix("maven:").unwrap_or(uri).trim_start_matches('/');
        let parts: Vec<&str> = text.split(':').collect();
        let (extension, classifier) = match parts.len() {
            3 => ("jar", None),
            4 => (parts[2], None),
            5 => (parts[2], Some(parts[3])),
            _ => return Err(bad(text)),
        };
        let extension = if extension.is_empty() { "jar" } else { extension };
        let version = parts[parts.len() - 1];
        let plain = [parts[1], extension, version].into_iter().chain(classifier).all(is_plain);
        if text.len() > MAX_CHARS || !plain || !parts[0].split('.').all(is_plain) {
            return Err(bad(text));
        }
        Ok(Self {
            group: parts[0].to_owned(),
            artifact: parts[1].to_owned(),
            extension: extension.to_owned(),
            classifier: classifier.map(str::to_owned),
            version: version.to_owned(),
        })
    }

    /// Whether the version names whatever was built last.
    #[must_use]
    pub fn is_moving(&self) -> bool {
        self.version.ends_with(SNAPSHOT)
    }

    /// Whether it is a snapshot, moving or one of a certain time.
    #[must_use]
    pub fn is_snapshot(&self) -> bool {
        self.base_version().ends_with(SNAPSHOT)
    }

    /// The version that the folder is called by: of `1.0-20260101.120000-7` it is `1.0-SNAPSHOT`.
    #[must_use]
    pub fn base_version(&self) -> String {
        let digits = |text: &str, count: Option<usize>| {
            !text.is_empty()
                && text.bytes().all(|b| b.is_ascii_digit())
                && count.is_none_or(|count| text.len() == count)
        };
        let of_a_time = || {
            let (rest, build) = self.version.rsplit_once('-')?;
            let (base, stamp) = rest.rsplit_once('-')?;
            let (day, time) = stamp.split_once('.')?;
            (digits(build, None) && digits(day, Some(8)) && digits(time, Some(6))).then(|| format!("{base}{SNAPSHOT}"))
        };
        of_a_time().unwrap_or_else(|| self.version.clone())
    }

    /// The folder below a repository's root, with `/` at its end.
    #[must_use]
    pub(super) fn folder(&self) -> String {
        format!("{}/{}/{}/", self.group.replace('.', "/"), self.artifact, self.base_version())
    }

    /// The file's name as one of `version`, which a snapshot's metadata may tell.
    #[must_use]
    pub(super) fn file(&self, version: &str) -> String {
        let classifier = self.classifier.as_ref().map_or_else(String::new, |classifier| format!("-{classifier}"));
        format!("{}-{version}{classifier}.{}", self.artifact, self.extension)
    }

    /// What the file is called: `server-1.2.0.jar`.
    #[must_use]
    pub fn file_name(&self) -> String {
        self.file(&self.version)
    }
}

impl fmt::Display for Coordinates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.group, self.artifact, self.extension)?;
        if let Some(classifier) = &self.classifier {
            write!(f, ":{classifier}")?;
        }
        write!(f, ":{}", self.version)
    }
}

/// Whether it can be a part of a path and of an address as it is.
pub(super) fn is_plain(part: &str) -> bool {
    part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'+' | b'~' | b'$'))
}

fn bad(text: &str) -> Error {
    let shown: String = text.chars().take(200).collect();
    let message = format!(
        "Bad artifact coordinates {shown}, expected format is <groupId>:<artifactId>[:<extension>[:<classifier>]]:<version>"
    );
    Error::new(ErrorKind::Permanent, "resource-invalid", message)
        .hint("write it as maven://org.example:server:1.2.0, of letters, digits and . _ - + ~ $")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_read_and_told_with_their_extension() {
        for (uri, told, path) in [
            ("maven://g.h:a:1.0", "g.h:a:jar:1.0", "g/h/a/1.0/a-1.0.jar"),
            ("maven:g:a:1.0", "g:a:jar:1.0", "g/a/1.0/a-1.0.jar"),
            ("maven://g:a:war:1.0", "g:a:war:1.0", "g/a/1.0/a-1.0.war"),
            ("maven://g:a:jar:exec:1.0+x", "g:a:jar:exec:1.0+x", "g/a/1.0+x/a-1.0+x-exec.jar"),
            ("maven://g:a:1.0-SNAPSHOT", "g:a:jar:1.0-SNAPSHOT", "g/a/1.0-SNAPSHOT/a-1.0-SNAPSHOT.jar"),
            (
                "maven://g:a:1.0-20260102.030405-6",
                "g:a:jar:1.0-20260102.030405-6",
                "g/a/1.0-SNAPSHOT/a-1.0-20260102.030405-6.jar",
            ),
            ("maven://g:a:1-2-3", "g:a:jar:1-2-3", "g/a/1-2-3/a-1-2-3.jar"),
        ] {
            let read = Coordinates::parse(uri).expect(uri);
            assert_eq!(read.to_string(), told);
            assert_eq!(format!("{}{}", read.folder(), read.file_name()), path);
        }
    }

    #[test]
    fn what_is_not_coordinates_or_would_leave_the_repository_is_refused_as_spring_says_it() {
        let long = format!("maven://g:a:{}", "1".repeat(2000));
        for uri in [
            "maven://",
            "maven://g",
            "maven://g:a",
            "maven://g:a:jar:x:1.0:more",
            "maven://g:a:",
            "maven://:a:1.0",
            "maven://g..h:a:1.0",
            "maven://g:..:1.0",
            "maven://g:a:../../etc",
            "maven://g:a:jar:../x:1.0",
            "maven://g:a b:1.0",
            "maven://g:a:1.0?x=y",
            "maven://g:a:%2e%2e",
            long.as_str(),
        ] {
            let error = Coordinates::parse(uri).expect_err(uri);
            let begins = error.to_string().starts_with("Bad artifact coordinates ");
            assert!(begins && error.to_string().ends_with("[:<extension>[:<classifier>]]:<version>"), "{error}");
        }
    }
}
