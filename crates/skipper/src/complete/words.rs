use std::{ffi::OsString, path::PathBuf};

use crate::targets::Connection;

/// The line so far, as words.
#[derive(Debug, Default)]
pub(super) struct Words(Vec<String>);

/// Options that take the next word, as far as it matters here: the rest only costs a wrong guess.
const WITH_VALUE: [&str; 62] = [
    "--url",
    "--uri",
    "--server",
    "--token",
    "--admin-token",
    "--token-file",
    "--tenant",
    "--target",
    "--ca-file",
    "--color",
    "--set",
    "--set-string",
    "--file",
    "-f",
    "--values",
    "--platform",
    "--description",
    "--require-plan",
    "--timeout",
    "--limit",
    "--tail",
    "-n",
    "--app",
    "--instance",
    "--package-version",
    "--version",
    "--repository",
    "--bound",
    "--platform-name",
    "--package-name",
    "--release-name",
    "--release-version",
    "--properties",
    "--timeout-expression",
    "--app-names",
    "--repo-name",
    "--max",
    "--to",
    "--since",
    "--image",
    "--secret",
    "--secret-file",
    "--preview",
    "--sha",
    "--wait-timeout",
    "--domain",
    "--port",
    "--env",
    "--from-file",
    "--data-dir",
    "--config",
    "--health-path",
    "--node",
    "--node-id",
    "--tenant-id",
    "--idempotency-key",
    "--role",
    "--region",
    "--label",
    "--status",
    "--grace",
    "--with-file",
];

/// Words that are followed by another verb.
const GROUPS: [&str; 22] = [
    "package", "pkg", "plan", "manifest", "get", "release", "secrets", "secret", "token", "config", "repo", "platform",
    "apps", "app", "previews", "preview", "node", "nodes", "tenant", "tenants", "orders", "order",
];

impl Words {
    /// What the shell passes: everything behind `--`, the program first.
    pub(super) fn after_dashes(args: &[OsString]) -> Self {
        let words = args.iter().skip_while(|arg| *arg != "--").skip(2);
        Self(words.map(|word| word.to_string_lossy().into_owned()).collect())
    }

    /// The line of the shell within the program.
    pub(super) fn of_line(args: &[OsString]) -> Self {
        Self(args.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect())
    }

    fn option(&self, names: &[&str]) -> Option<String> {
        self.0.iter().enumerate().rev().find_map(|(at, word)| {
            if names.contains(&word.as_str()) {
                return self.0.get(at + 1).cloned();
            }
            let (name, value) = word.split_once('=')?;
            names.contains(&name).then(|| value.to_owned())
        })
    }

    /// The words that are neither options nor their values.
    fn plain(&self) -> Vec<&str> {
        let mut plain = Vec::new();
        let mut skip = false;
        for word in &self.0 {
            if std::mem::take(&mut skip) {
                continue;
            }
            if word.starts_with('-') && word.len() > 1 {
                skip = WITH_VALUE.contains(&word.as_str());
            } else {
                plain.push(word.as_str());
            }
        }
        plain
    }

    fn after_verb(&self, at: usize) -> Option<String> {
        let plain = self.plain();
        let first = match plain.as_slice() {
            // `manifest web`: the group is a verb as well.
            ["manifest", next, ..] if *next != "get" => 1,
            [group, ..] if GROUPS.contains(group) => 2,
            _ => 1,
        };
        plain.get(first + at).filter(|word| !word.is_empty()).map(|word| (*word).to_owned())
    }

    /// The verb, without the group in front of it.
    fn verb(&self) -> Option<&str> {
        match self.plain().as_slice() {
            ["release" | "plan", verb, ..] | [verb, ..] => Some(verb),
            [] => None,
        }
    }

    /// Whether the verb does something with a release that was deleted, too.
    pub(super) fn is_about_deleted(&self) -> bool {
        let past = ["rollback", "upgrade", "history", "hist", "status", "manifest", "get", "diff", "events", "why"];
        self.verb().is_some_and(|verb| past.contains(&verb))
    }

    /// Whether the verb goes back to an earlier revision.
    pub(super) fn goes_back(&self) -> bool {
        self.verb() == Some("rollback")
    }

    /// Whether an option names the release.
    pub(super) fn names_release(&self) -> bool {
        self.option(&["--release-name"]).is_some()
    }

    /// Whether one of the words begins so and goes on.
    pub(super) fn has_value_behind(&self, begin: &str) -> bool {
        self.0.iter().any(|word| word.len() > begin.len() && word.starts_with(begin))
    }

    /// The release that the line names.
    pub(super) fn release(&self) -> Option<String> {
        self.option(&["--release-name", "--release"]).or_else(|| self.after_verb(0))
    }

    /// The package that the line names.
    pub(super) fn package(&self) -> Option<String> {
        let of_package = self.plain().first().is_some_and(|word| matches!(*word, "package" | "pkg"));
        let word = self.option(&["--package-name"]).or_else(|| self.after_verb(usize::from(!of_package)))?;
        let name = word.rsplit_once('/').map_or(word.as_str(), |(_, name)| name);
        Some(name.split_once('@').map_or(name, |(name, _)| name).to_owned())
    }

    /// The server that the line names.
    pub(super) fn connection(&self) -> Connection {
        Connection {
            url: self.option(&["--url", "--uri", "--server"]),
            token: self.option(&["--token", "--admin-token"]),
            token_file: self.option(&["--token-file"]).map(PathBuf::from),
            tenant: self.option(&["--tenant"]),
            target: self.option(&["--target"]),
            ca_file: self.option(&["--ca-file"]).map(PathBuf::from),
            ..Connection::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Words {
        let args: Vec<OsString> = format!("skipper -- {line}").split(' ').map(Into::into).collect();
        Words::after_dashes(&args)
    }

    #[test]
    fn the_release_of_the_line_is_found_behind_options() {
        for line in [
            "skipper rollback web ",
            "skipper --url http://x rollback --timeout 5m web ",
            "skipper manifest web ",
            "skipper manifest get web ",
            "skipper plan rollback web ",
            "skipper logs web --app ",
            "skipper status --release-name web ",
        ] {
            assert_eq!(words(line).release().as_deref(), Some("web"), "{line}");
        }
        assert_eq!(words("skipper rollback ").release(), None);
    }

    #[test]
    fn the_verb_says_what_can_be_meant() {
        for line in
            ["skipper rollback ", "skipper release rollback ", "skipper plan rollback ", "skipper --json rollback "]
        {
            assert!(words(line).goes_back() && words(line).is_about_deleted(), "{line}");
        }
        assert!(words("skipper history ").is_about_deleted() && !words("skipper delete ").is_about_deleted());
        let line = words("skipper scale --release-name web db=2 ");
        assert!(line.names_release() && line.has_value_behind("db=") && !line.has_value_behind("web="));
    }

    #[test]
    fn the_package_of_the_line_is_found_without_repository_and_version() {
        assert_eq!(words("skipper install web local/hello --package-version ").package().as_deref(), Some("hello"));
        assert_eq!(words("skipper package show hello@1 ").package().as_deref(), Some("hello"));
    }

    #[test]
    fn the_server_of_the_line_is_asked() {
        let connection = words("skipper status --url=http://a --token-file /t ").connection();
        assert_eq!(connection.url.as_deref(), Some("http://a"));
        assert_eq!(connection.token_file, Some("/t".into()));
    }
}
