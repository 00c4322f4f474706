//! What keys of all three files have in common: how their values are read.

use serde_json::Value;
use skipper_core::{
    name::{PlatformName, ReleaseName, slug},
    route::{Host, PathPrefix},
    time::Millis,
};

use super::{expand::warn_unexpanded, units};
use crate::{
    fields::{Field, Fields},
    yaml::shorten,
};

/// Most entries of any list or map of a file.
pub(super) const MAX_ITEMS: usize = 200;
const MAX_PATH: usize = 1024;
/// This machine.
const HERE: [&str; 3] = ["http://localhost", "http://127.0.0.1", "http://[::1]"];

/// Text where nothing is filled in.
pub(super) fn plain(field: &Field<'_>, max: usize) -> Option<String> {
    is_quoted(field)?;
    loose(field, max)
}

/// The same where a number stands for itself.
pub(super) fn loose(field: &Field<'_>, max: usize) -> Option<String> {
    let text = field.short_text(max)?;
    warn_unexpanded(field, &text);
    Some(text)
}

/// Nothing where a number or a truth value stands for a text: whoever wrote it meant something else.
pub(super) fn is_quoted(field: &Field<'_>) -> Option<()> {
    match field.node.to_value() {
        Value::Number(_) | Value::Bool(_) => field.expected("text, in quotes"),
        _ => Some(()),
    }
}

/// The table of a key; an empty reader of keys where it is not there.
pub(super) fn table<'a>(fields: &mut Fields<'a>, key: &'static str) -> Option<Fields<'a>> {
    fields.get(key).and_then(|field| field.fields())
}

pub(super) fn duration(fields: &mut Fields<'_>, key: &'static str) -> Option<Millis> {
    fields.get(key).and_then(|field| field.parsed(|text| units::parse_duration(&text)))
}

/// A duration that is not 0: a bound of nothing always fails.
pub(super) fn bound(fields: &mut Fields<'_>, key: &'static str) -> Option<Millis> {
    let field = fields.get(key)?;
    let span = field.parsed(|text| units::parse_duration(&text))?;
    if span == Millis(0) {
        field.error("value-invalid", "must be longer than nothing");
        return None;
    }
    Some(span)
}

pub(super) fn host(field: &Field<'_>) -> Option<Host> {
    let text = plain(field, 512)?;
    match Host::new(&text) {
        Ok(host) => Some(host),
        Err(error) => {
            field.error("value-invalid", error.to_string());
            None
        }
    }
}

/// A host name that others are made below.
pub(super) fn domain(field: &Field<'_>) -> Option<Host> {
    let host = host(field)?;
    if host.as_str().starts_with("*.") {
        let hint = format!("write `{}`", host.as_str().trim_start_matches("*."));
        field.error_hint("value-invalid", "names are made below it, so it has no `*`", hint);
        return None;
    }
    Some(host)
}

pub(super) fn path_prefix(field: &Field<'_>) -> Option<PathPrefix> {
    field.parsed(|text| PathPrefix::new(&text))
}

/// An address of what nobody on the way may read or replace: by HTTPS, unless it is this machine's.
pub(super) fn guarded_url(field: &Field<'_>) -> Option<String> {
    let text = super::server::url(field)?;
    let is_port = |rest: &str| rest.is_empty() || rest.starts_with([':', '/']);
    let is_here = |own: &&str| text.strip_prefix(*own).is_some_and(is_port);
    if text.starts_with("http://") && !HERE.iter().any(is_here) {
        field.error_hint("value-invalid", format!("`{}` is not read by HTTPS", shorten(&text)), "write https://…");
        return None;
    }
    Some(text)
}

/// An absolute path without `..`.
pub(super) fn absolute_path(field: &Field<'_>) -> Option<String> {
    let path = plain(field, MAX_PATH)?;
    if !path.starts_with('/') || path.split('/').any(|part| part == "..") || path.chars().any(char::is_control) {
        field.error("value-invalid", format!("`{}` must be an absolute path without `..`", shorten(&path)));
        return None;
    }
    Some(path)
}

/// Memory and CPUs; nothing is silently unlimited.
pub(super) fn memory(field: &Field<'_>) -> Option<u64> {
    field.parsed(|text| units::parse_memory(&text))
}

pub(super) fn cpus(field: &Field<'_>) -> Option<u64> {
    field.parsed(|text| units::parse_cpus(&text))
}

/// Bytes of memory and thousandths of a CPU; `None` where nothing was said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resources {
    /// Bytes.
    pub memory: Option<u64>,
    /// Thousandths of a CPU.
    pub cpus: Option<u64>,
}

/// `{memory, cpus}`.
pub(super) fn resources(fields: Option<Fields<'_>>) -> Resources {
    let Some(mut fields) = fields else { return Resources::default() };
    let memory = fields.get("memory").and_then(|field| memory(&field));
    let cpus = fields.get("cpus").and_then(|field| cpus(&field));
    fields.finish();
    Resources { memory, cpus }
}

/// The name of a platform account.
pub(super) fn account(field: &Field<'_>) -> Option<PlatformName> {
    let text = field.text()?;
    let named = PlatformName::new(text.as_str());
    if named.is_err() {
        let message = format!("`{}` cannot name an account", shorten(&text));
        field.error_hint("name-invalid", message, "`skipper platform list` tells which there are");
    }
    named.ok()
}

/// The name of an app: what names a release. One that is no DNS label is let through, as slip's loader does, and warned of,
/// since slip's own API would refuse it.
pub(super) fn app_name(field: &Field<'_>) -> Option<ReleaseName> {
    let text = field.text()?;
    let Ok(name) = ReleaseName::new(text.as_str()) else {
        let message = format!("`{}` cannot name an app", shorten(&text));
        let hint = format!("use 1 to 63 of a-z, 0-9 and hyphens, as in `{}`", slug(&text, 63));
        field.error_hint("name-invalid", message, hint);
        return None;
    };
    if text.contains(super::preview::INFIX) {
        field.error("name-invalid", format!("`{}` in a name is kept for previews", super::preview::INFIX));
        return None;
    }
    if !is_label(&text) {
        let hint = "1 to 63 of a-z, 0-9 and hyphens, none at an end";
        field.warning("name-odd", format!("`{}` is no DNS label", shorten(&text)), hint);
    }
    Some(name)
}

/// Whether a text is a DNS label as slip's API demands: 1 to 63 of `[a-z0-9-]`, no hyphen at an end.
pub(super) fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// An image without a tag: `ghcr.io/you/app`. A tag is what a deploy brings; one that is written here is warned of and
/// left out.
pub(super) fn image(field: &Field<'_>) -> Option<String> {
    let text = plain(field, 512)?;
    let (name, tag) = split_reference(&text);
    if !is_repository(name) {
        let message = format!("`{}` is not the name of an image", shorten(&text));
        field.error_hint("value-invalid", message, "write REGISTRY/OWNER/NAME, as in ghcr.io/you/app");
        return None;
    }
    if let Some(tag) = tag {
        let message = format!("the tag or digest `{}` does not count here", shorten(tag));
        field.warning("image-tag", message, "each deploy brings its own; leave it out");
    }
    Some(name.to_owned())
}

/// The image without tag and digest, and the rest without its `:` or `@`.
pub(super) fn split_reference(text: &str) -> (&str, Option<&str>) {
    let (rest, digest) = text.split_once('@').map_or((text, None), |(rest, digest)| (rest, Some(digest)));
    // A colon before the last slash is the port of a registry.
    let last = rest.rfind('/').map_or(0, |at| at + 1);
    match rest[last..].split_once(':') {
        Some((name, tag)) => (&rest[..last + name.len()], digest.or(Some(tag))),
        None => (rest, digest),
    }
}

/// `[host[:port]/]path/components`, as registries know them.
pub(super) fn is_repository(name: &str) -> bool {
    let component = |part: &str| {
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
        !part.is_empty()
            && part.bytes().all(good)
            && part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.ends_with(|c: char| c.is_ascii_alphanumeric())
    };
    let (registry, path) = match name.split_once('/') {
        Some((first, path)) if first.contains(['.', ':']) || first == "localhost" => (Some(first), path),
        _ => (None, name),
    };
    name.len() <= 255 && registry.is_none_or(is_authority) && path.split('/').all(component)
}

/// `HOST` or `HOST:PORT`.
pub(super) fn is_authority(text: &str) -> bool {
    let (host, port) = text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let port_good = port.is_none_or(|port| {
        port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|number| number > 0)
    });
    port_good && !host.starts_with('*') && Host::new(host).is_ok()
}

/// A whole reference: repository with a tag or a digest.
pub(super) fn is_reference(text: &str) -> bool {
    let (name, rest) = split_reference(text);
    is_repository(name) && rest.is_some_and(is_tag)
}

/// Whether a deploy can be of that tag, which may be a digest as well: no engine takes any other.
///
/// # Errors
///
/// A sentence in slip's words.
pub fn check_tag(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("tag must not be empty");
    }
    if text.starts_with(['.', '-']) {
        return Err("tag must not begin with - or .");
    }
    if text.starts_with("sha256:") && !is_tag(text) {
        return Err("tag is not a digest: sha256: and 64 digits, a to f in small letters");
    }
    if !is_tag(text) {
        return Err("tag contains invalid characters (allowed: alphanumeric, -, _, .)");
    }
    Ok(())
}

/// A tag (up to 128 of letters, digits, `_`, `-`, `.`) or the digest `sha256:…`.
pub(super) fn is_tag(text: &str) -> bool {
    if let Some(hex) = text.strip_prefix("sha256:") {
        return hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'));
    }
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    (1..=128).contains(&text.len()) && text.bytes().all(good) && !text.starts_with(['.', '-'])
}

/// Whether a text can name a variable of the environment. Much is let through, as programs read odd names.
pub(super) fn is_variable(name: &str) -> bool {
    (1..=255).contains(&name.len()) && !name.contains(['=', '\0']) && !name.chars().any(|c| c.is_control() || c == ' ')
}

/// Whether a variable is one of those that every process is given: no secret can be called so.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    name.starts_with("SKIPPER_")
}

/// The names of variables among the keys of a map; the others are told.
pub(super) fn variables<'a>(field: &Field<'a>) -> Vec<(&'a str, Field<'a>)> {
    let mut entries = field.entries(1000);
    entries.retain(|(name, value)| {
        let good = is_variable(name);
        if !good {
            value.error("value-invalid", format!("`{}` cannot name a variable", shorten(name)));
        }
        good
    });
    entries
}

/// The name of a container of a pod.
pub(super) fn container(field: &Field<'_>) -> Option<String> {
    let name = field.text()?;
    if !is_label(&name) {
        field.error("value-invalid", format!("`{}` cannot be the name of a container", shorten(&name)));
        return None;
    }
    Some(name)
}

/// Whether a key was given by a value that is a list.
pub(super) const fn is_list(field: &Field<'_>) -> bool {
    matches!(field.node.content, crate::yaml::Content::List(_))
}

/// A truth value, or nothing.
pub(super) fn truth(fields: &mut Fields<'_>, key: &'static str) -> Option<bool> {
    fields.get(key).and_then(|field| field.boolean())
}
