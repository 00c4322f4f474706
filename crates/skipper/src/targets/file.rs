use std::{
    collections::BTreeMap,
    io::Write as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    failure::{Doing as _, Done, Exit, Failure},
    surroundings::Surroundings,
};

/// `config.toml` of the client: the servers one talks to, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TargetsFile {
    /// The target of commands that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    /// The targets.
    #[serde(default)]
    pub(crate) targets: BTreeMap<String, TargetEntry>,
}

/// One server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TargetEntry {
    /// Its address.
    pub(crate) url: String,
    /// The file that holds the token, and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token_file: Option<PathBuf>,
    /// The file that holds the key that deploys are signed with, and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secret_file: Option<PathBuf>,
    /// For which tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<String>,
    /// PEM file with the certificate that vouches for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Who we are, where the server knows people by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) username: Option<String>,
    /// The file that holds the password, and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) password_file: Option<PathBuf>,
    /// A command that prints what to send as `Authorization`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) credentials_command: Option<String>,
    /// Believe every certificate.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) skip_ssl_validation: bool,
}

impl TargetsFile {
    /// Where the file is.
    pub(crate) fn path(surroundings: &Surroundings) -> Option<PathBuf> {
        match surroundings.var("SKIPPER_CONFIG") {
            Some(path) => Some(surroundings.resolve(Path::new(path))),
            None => Some(surroundings.config_dir()?.join("config.toml")),
        }
    }

    /// Reads the file; none is an empty one.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or is not understood.
    pub(crate) fn read(surroundings: &Surroundings) -> Result<Self, Failure> {
        let Some(path) = Self::path(surroundings) else { return Ok(Self::default()) };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error).doing(|| format!("read {}", path.display())),
        };
        toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            Failure::error(format!("{}:{line}: {}", path.display(), error.message())).hint(
                "known keys are `current` and, in [targets.NAME], `url`, `token_file`, `secret_file`, `tenant`, `ca_file`, \
                     `username`, `password_file`, `credentials_command`, `skip_ssl_validation`",
            )
        })
    }

    /// Writes the file whole, readable by its owner only.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub(crate) fn write(&self, surroundings: &Surroundings) -> Done {
        let path = Self::path(surroundings).ok_or_else(|| {
            Failure::error("there is no folder for the configuration: neither XDG_CONFIG_HOME nor HOME is set")
                .hint("name a file in SKIPPER_CONFIG")
        })?;
        let text = toml::to_string(self).doing(|| "write the configuration".to_owned())?;
        write_private(&path, text.as_bytes())
    }

    /// The target of that name.
    ///
    /// # Errors
    ///
    /// There is none; the hint names those there are.
    pub(crate) fn find(&self, name: &str) -> Result<TargetEntry, Failure> {
        self.targets.get(name).cloned().ok_or_else(|| {
            let known: Vec<_> = self.targets.keys().map(String::as_str).collect();
            let hint = match known.as_slice() {
                [] => "`skipper config add-target NAME --url URL` adds one".to_owned(),
                known => format!("there are: {}", known.join(", ")),
            };
            Failure::new(Exit::NotFound, format!("there is no target `{name}`")).hint(hint)
        })
    }
}

/// Writes a file that only its owner may read, whole or not at all.
///
/// # Errors
///
/// What the file system says.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Done {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).doing(|| format!("create {}", folder.display()))?;
    // A temporary file of this library is readable by its owner only from the start.
    let mut file = tempfile::NamedTempFile::new_in(folder).doing(|| format!("write in {}", folder.display()))?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).doing(|| format!("write {}", path.display()))?;
    file.persist(path).map(drop).doing(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_private() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("deep/config.toml");
        let surroundings = Surroundings::of(&[("SKIPPER_CONFIG", &path.display().to_string())]);
        let entry = TargetEntry { url: "https://p".into(), tenant: Some("t".into()), ..TargetEntry::default() };
        let file = TargetsFile { current: Some("p".into()), targets: [("p".to_owned(), entry)].into() };
        file.write(&surroundings).expect("writes");
        assert_eq!(TargetsFile::read(&surroundings).expect("reads"), file);
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("c.toml");
        std::fs::write(&path, "current = \"p\"\n[targets.p]\nurl = \"x\"\ntoken = \"no\"\n").expect("writes");
        let surroundings = Surroundings::of(&[("SKIPPER_CONFIG", &path.display().to_string())]);
        let failure = TargetsFile::read(&surroundings).expect_err("unknown key");
        assert!(failure.message.contains("c.toml:4: unknown field `token`"), "{failure}");
    }
}
