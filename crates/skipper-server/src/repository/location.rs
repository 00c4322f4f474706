//! Where a repository is.

use std::path::PathBuf;

use url::Url;

/// Where the files of a repository are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location {
    /// Below an address, over http or https.
    Web(Url),
    /// In a folder of this machine.
    Folder(PathBuf),
}

/// Longest address.
const MAX: usize = 2000;

impl Location {
    /// Reads the address of a repository: `https://…`, `http://…` or `file:…`.
    ///
    /// # Errors
    ///
    /// Why it is none, as a sentence.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let given = shown(text);
        if text.len() > MAX {
            return Err(format!("the address of a repository has at most {MAX} bytes"));
        }
        let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme).to_ascii_lowercase();
        match scheme.as_str() {
            "http" | "https" => match Url::parse(text) {
                Ok(url) if url.has_host() => Ok(Self::Web(url)),
                Ok(_) => Err(format!("`{given}` names no host")),
                Err(wrong) => Err(format!("`{given}` is not an address: {wrong}")),
            },
            "file" => folder(text).ok_or_else(|| format!("`{given}` names no folder; write file:/path/to/folder")),
            "classpath" => Err(format!(
                "`{given}` is inside a Java program, and this is none; copy the folder out and write file:/path/to/it"
            )),
            _ => Err(format!("`{given}` is not the address of a repository; write http://…, https://… or file:/path")),
        }
    }

    /// A file of the repository. The parts hold no slash: names and versions are checked where they come in.
    pub(super) fn file(&self, parts: &[&str]) -> Self {
        match self {
            Self::Web(url) => {
                let mut url = url.clone();
                if let Ok(mut path) = url.path_segments_mut() {
                    path.pop_if_empty().extend(parts);
                }
                Self::Web(url)
            }
            Self::Folder(folder) => Self::Folder(parts.iter().fold(folder.clone(), |path, part| path.join(part))),
        }
    }
}

impl std::fmt::Display for Location {
    /// Without user and password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Web(url) => f.write_str(&shown(url.as_str())),
            Self::Folder(path) => write!(f, "{}", path.display()),
        }
    }
}

/// `file:///a/b`, `file:/a/b`, and `file:a/b` from where the server was started.
fn folder(text: &str) -> Option<Location> {
    let path = &text["file:".len()..];
    if path.starts_with("//") {
        return Url::parse(text).ok()?.to_file_path().ok().map(Location::Folder);
    }
    (!path.is_empty()).then(|| Location::Folder(PathBuf::from(path)))
}

/// An address without user and password.
pub(crate) fn shown(text: &str) -> String {
    let short = || text.chars().take(200).collect();
    let Ok(mut url) = Url::parse(text) else { return short() };
    if url.username().is_empty() && url.password().is_none() {
        return text.to_owned();
    }
    if url.set_username("").is_err() || url.set_password(None).is_err() {
        return short();
    }
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_below_an_address_with_and_without_a_slash_at_its_end() {
        for (base, file) in [
            ("http://h/repo", "http://h/repo/log/log-1.0.0.zip"),
            ("https://h:8443/repo/", "https://h:8443/repo/log/log-1.0.0.zip"),
            ("HTTP://h", "http://h/log/log-1.0.0.zip"),
            ("http://h/a?key=1", "http://h/a/log/log-1.0.0.zip?key=1"),
            ("file:/srv/repo", "/srv/repo/log/log-1.0.0.zip"),
            ("file:///srv/my%20repo/", "/srv/my repo/log/log-1.0.0.zip"),
            ("file:repo", "repo/log/log-1.0.0.zip"),
        ] {
            let location = Location::parse(base).expect("an address");
            assert_eq!(location.file(&["log", "log-1.0.0.zip"]).to_string(), file, "{base}");
        }
    }

    #[test]
    fn what_is_no_address_is_told_why() {
        for (text, why) in [
            ("classpath:/repositories/test", "inside a Java program"),
            ("ftp://h/x", "write http://"),
            ("/srv/repo", "write http://"),
            ("", "write http://"),
            ("http://", "is not an address"),
            ("file:", "names no folder"),
            (&format!("http://h/{}", "x".repeat(3000)), "at most 2000"),
        ] {
            let error = Location::parse(text).expect_err(text);
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(shown("https://me:secret@h/repo"), "https://h/repo");
        assert_eq!(shown("https://h/repo"), "https://h/repo");
        let location = Location::parse("https://me:secret@h/repo").expect("an address");
        assert_eq!(location.to_string(), "https://h/repo");
        assert!(matches!(location, Location::Web(url) if url.password() == Some("secret")), "but it is sent");
    }
}
