//! `slipd --config DIR --check`: whether a directory can be run with.

use std::collections::BTreeMap;

use super::load::{Directory, load};
use crate::finding::{Finding, Findings, Severity};

/// What a check found.
#[derive(Debug, Clone)]
pub struct Check {
    /// Apps that are configured.
    pub apps: usize,
    /// Address of the API, where the server's file is right.
    pub listen: Option<std::net::SocketAddr>,
    /// Everything that was found, by file and line.
    pub findings: Vec<Finding>,
}

impl Check {
    /// Whether the server can run with it; `strict` counts warnings as errors.
    #[must_use]
    pub fn is_valid(&self, strict: bool) -> bool {
        !self.findings.iter().any(|finding| strict || finding.severity == Severity::Error)
    }

    /// The line that slip prints: the first for standard output, the second for standard error.
    ///
    /// # Errors
    ///
    /// The line of failure, with what is wrong below it, a line each.
    pub fn line(&self, strict: bool) -> Result<String, String> {
        match self.listen {
            Some(listen) if self.is_valid(strict) => {
                Ok(format!("✓ Configuration is valid ({} apps, listening on {listen})", self.apps))
            }
            _ => {
                let wrong = |finding: &&Finding| strict || finding.severity == Severity::Error;
                let lines: Vec<String> = self.findings.iter().filter(wrong).map(ToString::to_string).collect();
                Err(format!("✗ Configuration validation failed: {}", lines.join("\n")))
            }
        }
    }
}

/// Checks a directory. A variable that is not set is a warning: the daemon is given variables that a shell has not.
#[must_use]
pub fn check(directory: &Directory<'_>) -> Check {
    let directory = Directory { env: directory.env.unset_is_warned_of(), ..*directory };
    let loaded = load(&directory);
    let mut findings = Findings::new();
    let listen = match loaded.server {
        Ok(server) => Some(server.listen),
        Err(faults) => {
            findings.extend(faults.into_findings());
            None
        }
    };
    let apps = loaded.apps.len();
    for read in loaded.apps.into_values() {
        findings.take(read.map(drop));
    }
    findings.extend(loaded.warnings);
    Check { apps, listen, findings: findings.into_vec() }
}

/// Reads an environment file of systemd: `NAME=value` lines, comments with `#` or `;`, values in quotes, a backslash at the
/// end of a line joins it with the next one.
///
/// # Errors
///
/// Lines that are none of these, by number.
pub fn env_file(text: &str) -> Result<BTreeMap<String, String>, Vec<usize>> {
    let mut vars = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let mut line = line.trim().to_owned();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        while line.ends_with('\\') && !line.ends_with("\\\\") {
            line.pop();
            match lines.next() {
                Some((_, more)) => line.push_str(more.trim()),
                None => break,
            }
        }
        let (name, value) = line.split_once('=').map_or(("", ""), |(name, value)| (name.trim(), value.trim()));
        let name = name.strip_prefix("export ").unwrap_or(name).trim();
        let letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(letter) || name.starts_with(|c: char| c.is_ascii_digit()) {
            wrong.push(index + 1);
            continue;
        }
        vars.insert(name.to_owned(), unquoted(value));
    }
    if wrong.is_empty() { Ok(vars) } else { Err(wrong) }
}

/// Without the quotes around it; within double ones a backslash stands before `"`, `\`, `$` and a backtick.
fn unquoted(value: &str) -> String {
    if let Some(inner) = value.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        return inner.to_owned();
    }
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return value.to_owned() };
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some(next @ ('"' | '\\' | '$' | '`'))) => {
                out.push(*next);
                chars.next();
            }
            _ => out.push(c),
        }
    }
    out
}
