//! `${NAME}`: filled in after parsing, so that a value can hold no TOML; once, so that it can hold no other name; and only
//! where slip does it, so that no secret ends up in a host name, a message or a label.

use std::collections::BTreeMap;

use skipper_core::secret::SecretValue;

use super::value;
use crate::{fields::Field, finding::Severity, yaml::shorten};

/// Longest value once it is filled in: half of what Linux takes for one.
pub(super) const MAX_VALUE: usize = 64 << 10;

/// The variables that `${NAME}` stands for.
#[derive(Clone, Copy)]
pub struct Environment<'a> {
    vars: &'a BTreeMap<String, String>,
    unset: Severity,
}

impl std::fmt::Debug for Environment<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Environment({} variables)", self.vars.len())
    }
}

impl<'a> Environment<'a> {
    /// A variable that is not there is an error.
    #[must_use]
    pub const fn new(vars: &'a BTreeMap<String, String>) -> Self {
        Self { vars, unset: Severity::Error }
    }

    /// A variable that is not there is a warning, and its value empty: for those who only check, since the daemon is given
    /// variables that their shell has not.
    #[must_use]
    pub const fn unset_is_warned_of(mut self) -> Self {
        self.unset = Severity::Warning;
        self
    }
}

/// A text that may have come out of the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text {
    /// As it was written.
    Plain(String),
    /// At least a part of it was in the environment.
    Secret(SecretValue),
}

impl Text {
    /// The text; shown to nobody but its consumer when it is a secret.
    #[must_use]
    pub fn expose(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Secret(value) => value.expose(),
        }
    }

    fn into_secret(self) -> SecretValue {
        match self {
            Self::Plain(text) => SecretValue::new(text),
            Self::Secret(value) => value,
        }
    }
}

/// A text with its variables filled in.
pub(super) fn text(field: &Field<'_>, env: Environment<'_>) -> Option<Text> {
    let raw = field.text()?;
    let mut out = String::new();
    let mut rest = raw.as_str();
    let mut filled = false;
    let mut missing = false;
    while let Some((before, name, after)) = next(rest) {
        if out.len() > MAX_VALUE {
            break;
        }
        out.push_str(before);
        filled = true;
        match env.vars.get(name) {
            Some(value) => out.push_str(value),
            None => {
                missing = true;
                unset(field, name, env.unset);
            }
        }
        rest = after;
    }
    out.push_str(rest);
    if out.contains('\0') {
        field.error("value-invalid", "holds a NUL character");
        return None;
    }
    if out.len() > MAX_VALUE {
        field.error("value-invalid", format!("longer than {} KiB", MAX_VALUE >> 10));
        return None;
    }
    if missing && env.unset == Severity::Error {
        return None;
    }
    Some(if filled { Text::Secret(SecretValue::new(out)) } else { Text::Plain(out) })
}

/// A secret that is not empty.
pub(super) fn secret(field: &Field<'_>, env: Environment<'_>) -> Option<SecretValue> {
    value::is_quoted(field)?;
    let text = text(field, env)?;
    let problem = match &text {
        Text::Plain(plain) if plain.is_empty() => "must not be empty",
        Text::Secret(value) if value.expose().is_empty() && env.unset == Severity::Error => {
            "must not be empty, and the variable it is taken from is"
        }
        _ => return Some(text.into_secret()),
    };
    field.error("value-invalid", problem);
    None
}

/// A text where variables are not filled in; whoever writes one is told.
pub(super) fn warn_unexpanded(field: &Field<'_>, text: &str) {
    if let Some((_, name, _)) = next(text) {
        let hint =
            "it is filled in in secrets, keys and tokens, under [registry], [registries] and [env] of the server alone";
        field.warning("variable-here", format!("`${{{}}}` is not filled in here", shorten(name)), hint);
    }
}

/// What stands before the next `${NAME}`, the name, and the rest. Braces that do not close and `${}` are plain text, as
/// they are to slip.
fn next(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    while let Some(at) = text[from..].find("${").map(|at| from + at) {
        let inner = &text[at + 2..];
        let end = inner.find('}')?;
        if end > 0 {
            return Some((&text[..at], &inner[..end], &inner[end + 1..]));
        }
        from = at + 2;
    }
    None
}

fn unset(field: &Field<'_>, name: &str, severity: Severity) {
    let message = format!("missing environment variable `{}`", shorten(name));
    let hint = "set it for the server, for example in its EnvironmentFile";
    match severity {
        Severity::Error => field.error_hint("variable-unset", message, hint),
        Severity::Warning => field.warning("variable-unset", message, hint),
    }
}
