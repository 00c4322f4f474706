//! `platform_options` of an application: what only container engines know. Read in one place, so that what cannot be
//! understood is refused before anything is started.

use std::collections::BTreeMap;

use serde_json::Value;
use skipper_core::{
    port::{Error, ErrorKind},
    spec::Application,
};

use super::{config::Pull, labels};

/// The keys.
const KNOWN: [&str; 8] = ["pull", "network", "env_file", "restart", "labels", "user", "pod", "pod_health"];
/// How an engine itself may restart a container. Without a word it does not: Skipper does.
const RESTARTS: [&str; 4] = ["no", "always", "unless-stopped", "on-failure"];

/// The options, understood.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub pull: Option<Pull>,
    pub network: Option<String>,
    /// A path on the server.
    pub env_file: Option<String>,
    /// One of [`RESTARTS`].
    pub restart: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub user: Option<String>,
}

impl Options {
    /// Reads those of an application; unknown keys are passed over, see [`unknown`].
    pub(super) fn of(app: &Application) -> Result<Self, Error> {
        let mut options = Self::default();
        for (key, value) in &app.platform_options {
            match key.as_str() {
                "pull" => {
                    let word = text(key, value)?;
                    let wrong = || invalid(key, value, "write always, missing or never");
                    options.pull = Some(Pull::parse(&word).ok_or_else(wrong)?);
                }
                "network" => options.network = Some(network(&text(key, value)?)?),
                "env_file" => options.env_file = Some(text(key, value)?),
                "restart" => {
                    let word = text(key, value)?;
                    if !RESTARTS.contains(&word.as_str()) {
                        return Err(invalid(key, value, "write no, always, unless-stopped or on-failure"));
                    }
                    options.restart = Some(word);
                }
                "labels" => options.labels = labels(value)?,
                "user" => options.user = Some(text(key, value)?),
                _ => {}
            }
        }
        Ok(options)
    }
}

/// Keys that no engine follows.
pub(super) fn unknown(app: &Application) -> Vec<&str> {
    app.platform_options.keys().map(String::as_str).filter(|key| !KNOWN.contains(key)).collect()
}

/// A network's name. Those that are no network of its own would give the container the host's ports, or none.
pub(super) fn network(name: &str) -> Result<String, Error> {
    let wrong = |hint: &str| {
        Error::new(ErrorKind::Permanent, "option-invalid", format!("`{name}` cannot be the network of a container"))
            .hint(hint.to_owned())
    };
    if matches!(name, "host" | "none") || name.contains(':') {
        return Err(wrong("each container has a network of its own; name a bridge, or leave it out for `skipper`"));
    }
    let fits = (1..=128).contains(&name.len())
        && name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if fits { Ok(name.to_owned()) } else { Err(wrong("a name has letters, digits, `_`, `.` and `-`")) }
}

fn text(key: &str, value: &Value) -> Result<String, Error> {
    match value {
        Value::String(text) if !text.is_empty() && !text.contains('\0') => Ok(text.clone()),
        // `user: 1000` reads as a number.
        Value::Number(number) if key == "user" => Ok(number.to_string()),
        _ => Err(invalid(key, value, "write a text")),
    }
}

fn labels(value: &Value) -> Result<BTreeMap<String, String>, Error> {
    let wrong = |hint: &str| invalid("labels", value, hint);
    let map = value.as_object().ok_or_else(|| wrong("write names with a text each"))?;
    let mut all = BTreeMap::new();
    for (name, value) in map {
        if name.is_empty() || name.starts_with(labels::PREFIX) {
            return Err(wrong("labels that begin with `skipper.` are set by Skipper alone"));
        }
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            _ => return Err(wrong("write names with a text each")),
        };
        all.insert(name.clone(), text);
    }
    Ok(all)
}

fn invalid(key: &str, value: &Value, hint: &str) -> Error {
    let shown: String = value.to_string().chars().take(100).collect();
    Error::new(ErrorKind::Permanent, "option-invalid", format!("option `{key}` cannot be {shown}"))
        .hint(hint.to_owned())
}
