//! What the process gets: command, arguments, environment, secrets, volumes, hooks, and how it is stopped.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use skipper_core::{
    name::SecretName,
    spec::{Application, Hook, Hooks, SecretUse, Signal, StopPolicy, Volume},
    time::Millis,
};

use super::read::duration;
use crate::{fields::Field, yaml::shorten};

/// Most arguments, and most variables.
const MAX_COUNT: usize = 1000;
/// Longest argument or value: half of what Linux takes for one.
const MAX_BYTES: usize = 64 << 10;
/// How long a hook may run that says nothing of it.
pub(super) const HOOK_TIMEOUT: Millis = Millis::secs(300);

/// A program and its arguments; empty when there is none.
pub(super) fn command(field: Option<Field<'_>>) -> Vec<String> {
    let Some(field) = field else { return Vec::new() };
    let command = arguments(Some(field.clone()));
    if command.first().is_some_and(String::is_empty) {
        field.error("value-invalid", "the program's name is empty");
    }
    command
}

pub(super) fn arguments(field: Option<Field<'_>>) -> Vec<String> {
    let Some(field) = field else { return Vec::new() };
    if let Some(Value::String(text)) = field.scalar() {
        let words: Vec<String> = text.split_whitespace().map(|word| format!("\"{word}\"")).collect();
        field.error_hint(
            "value-kind",
            "must be a list, one item an argument",
            shorten(&format!("write [{}]", words.join(", "))),
        );
        return Vec::new();
    }
    field.texts(MAX_COUNT, MAX_BYTES)
}

/// Names to texts; numbers and truth values become the text they were written as.
pub(super) fn environment(field: &Field<'_>) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    for (name, value) in field.entries(MAX_COUNT) {
        if let Err(problem) = check_variable_name(name) {
            value.error("value-invalid", problem);
        }
        if value.node.is_null() {
            value.error_hint("value-kind", "has no value", "write \"\" for an empty text, or leave the line out");
        } else if let Some(text) = value.text() {
            if text.len() > MAX_BYTES {
                value.error("value-invalid", format!("longer than {} KiB", MAX_BYTES >> 10));
            }
            env.insert(name.to_owned(), text);
        }
    }
    env
}

/// The name of an environment variable.
pub(super) fn variable_name(field: &Field<'_>) -> Option<String> {
    field.parsed(|name| check_variable_name(&name).map(|()| name))
}

/// Dots and hyphens are let through: some programs read them, although no shell does.
fn check_variable_name(name: &str) -> Result<(), String> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if name.is_empty() || name.len() > 255 || !name.chars().all(good) || name.starts_with(|c: char| c.is_ascii_digit())
    {
        return Err(format!(
            "`{}` is not the name of an environment variable: use letters, digits and `_`",
            shorten(name)
        ));
    }
    Ok(())
}

pub(super) fn secrets(field: &Field<'_>) -> Vec<SecretUse> {
    let mut uses = Vec::new();
    for item in field.items(100) {
        let Some(mut fields) = item.fields() else { continue };
        let secret = fields.require("name").and_then(|field| field.parsed(SecretName::new));
        let env = fields.get("env");
        let file = fields.get("file");
        fields.finish();
        if env.is_none() && file.is_none() {
            item.error("key-missing", "`env` or `file` is missing: how the process gets the secret");
        }
        let var = env.and_then(|field| variable_name(&field));
        let file = file.and_then(|field| file_name(&field));
        let Some(secret) = secret else { continue };
        uses.extend(var.map(|var| SecretUse::Env { secret: secret.clone(), var }));
        uses.extend(file.map(|file| SecretUse::File { secret: secret.clone(), file }));
    }
    let mut files = BTreeSet::new();
    for used in &uses {
        if let SecretUse::File { file, .. } = used
            && !files.insert(file)
        {
            field.error("value-invalid", format!("two secrets share the file `{file}`"));
        }
    }
    uses
}

/// A plain file name, without folders.
fn file_name(field: &Field<'_>) -> Option<String> {
    let name = field.short_text(255)?;
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if !name.chars().all(good) || matches!(name.as_str(), "." | "..") {
        field.error(
            "value-invalid",
            format!("`{}` is not a plain file name: use letters, digits, `.`, `_` and `-`", shorten(&name)),
        );
        return None;
    }
    Some(name)
}

pub(super) fn volumes(field: &Field<'_>) -> Vec<Volume> {
    let mut volumes: Vec<Volume> = Vec::new();
    for item in field.items(64) {
        let Some(mut fields) = item.fields() else { continue };
        let name = fields.require("name").and_then(|field| file_name(&field));
        let path = fields.require("path").and_then(|field| absolute_path(&field));
        let env = fields.get("env").and_then(|field| variable_name(&field));
        let source = fields.get("source").and_then(|field| absolute_path(&field));
        let read_only = fields.get("readOnly").and_then(|field| field.boolean()).unwrap_or(false);
        fields.finish();
        let (Some(name), Some(path)) = (name, path) else { continue };
        if volumes.iter().any(|volume| volume.name == name || volume.path == path) {
            item.error("value-invalid", "another volume has the same name or path");
        } else {
            volumes.push(Volume { name, path, env, source, read_only });
        }
    }
    volumes
}

pub(super) fn absolute_path(field: &Field<'_>) -> Option<String> {
    let path = field.short_text(1024)?;
    if !path.starts_with('/') || path.split('/').any(|part| part == "..") || path.chars().any(char::is_control) {
        field.error("value-invalid", format!("`{}` must be an absolute path without `..`", shorten(&path)));
        return None;
    }
    Some(path)
}

pub(super) fn hooks(field: &Field<'_>) -> Hooks {
    let Some(mut fields) = field.fields() else { return Hooks::default() };
    let [before_launch, before_shift, after_shift] =
        ["beforeLaunch", "beforeShift", "afterShift"].map(|key| fields.get(key).and_then(|field| hook(&field)));
    fields.finish();
    Hooks { before_launch, before_shift, after_shift }
}

fn hook(field: &Field<'_>) -> Option<Hook> {
    let mut fields = field.fields()?;
    let program = fields.require("command");
    let timeout = match fields.get("timeout") {
        Some(field) => duration(&field),
        None => Some(HOOK_TIMEOUT),
    };
    fields.finish();
    let command = command(Some(program?));
    if command.is_empty() {
        field.error("value-invalid", "`command` must name a program");
        return None;
    }
    Some(Hook { command, timeout: timeout? })
}

/// Signals by the name they are written with.
pub(super) const SIGNALS: [(&str, Signal); 6] = [
    ("TERM", Signal::Term),
    ("INT", Signal::Int),
    ("QUIT", Signal::Quit),
    ("HUP", Signal::Hup),
    ("USR1", Signal::Usr1),
    ("USR2", Signal::Usr2),
];

pub(super) fn stop(field: &Field<'_>) -> StopPolicy {
    let mut stop = StopPolicy::default();
    let Some(mut fields) = field.fields() else { return stop };
    if let Some(field) = fields.get("signal")
        && let Some(name) = field.text()
    {
        let wanted = name.strip_prefix("SIG").unwrap_or(&name);
        match SIGNALS.iter().find(|(name, _)| *name == wanted) {
            Some((_, signal)) => stop.signal = *signal,
            None => {
                field.expected::<()>("TERM, INT, QUIT, HUP, USR1 or USR2");
            }
        }
    }
    if let Some(grace) = fields.get("grace").and_then(|field| duration(&field)) {
        stop.grace = grace;
    }
    fields.finish();
    stop
}

/// Names every variable that is set in two places.
pub(super) fn check_variables(field: &Field<'_>, app: &Application) {
    let secrets = app.secrets.iter().filter_map(|secret| match secret {
        SecretUse::Env { var, .. } => Some(var),
        SecretUse::File { .. } => None,
    });
    let volumes = app.volumes.iter().filter_map(|volume| volume.env.as_ref());
    let ports = app.ports.iter().filter_map(|port| port.env.as_ref());
    let mut seen = BTreeSet::new();
    for name in app.env.keys().chain(secrets).chain(volumes).chain(ports) {
        if !seen.insert(name) {
            field.error(
                "value-invalid",
                format!("the variable `{name}` is set in two places (env, ports, secrets, volumes)"),
            );
        }
    }
}

/// Names every `{port.NAME}` whose port is not there, and every port that the process is not told.
pub(super) fn check_placeholders(field: &Field<'_>, app: &Application) {
    let hooks = [&app.hooks.before_launch, &app.hooks.before_shift, &app.hooks.after_shift];
    let hook_words = hooks.into_iter().flatten().flat_map(|hook| &hook.command);
    let mut used = BTreeSet::new();
    for text in app.command.iter().chain(&app.args).chain(app.env.values()).chain(hook_words) {
        for (start, mark) in text.match_indices("{port.") {
            let Some((name, _)) = text[start + mark.len()..].split_once('}') else { continue };
            if app.ports.iter().any(|port| port.name.as_str() == name) {
                used.insert(name.to_owned());
            } else {
                let hint = crate::nearest::suggestion(name, app.ports.iter().map(|port| port.name.as_str()));
                let hint = hint.unwrap_or_else(|| "declare it in `ports`".to_owned());
                field.error_hint("port-unknown", format!("`{{port.{}}}`: there is no such port", shorten(name)), hint);
            }
        }
    }
    for port in &app.ports {
        if port.env.is_none() && port.fixed.is_none() && !used.contains(port.name.as_str()) {
            let hint = format!("give it `env: PORT`, or write `{{port.{}}}` in an argument", port.name);
            field.warning("port-untold", format!("nothing tells the process its port `{}`", port.name), hint);
        }
    }
}
