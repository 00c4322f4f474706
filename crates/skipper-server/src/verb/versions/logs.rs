//! The output of a version's applications as whole texts.

use futures::StreamExt as _;
use skipper_core::{
    name::{ReleaseName, TenantName},
    port::LogStreamKind,
};

use super::{Look, one};
use crate::{
    app::App,
    error::Error,
    verb::{Caller, logs as lines},
};

/// Lines of each instance that are told at most.
const LINES: usize = 2000;
/// Bytes of each text; what was written last is told.
const BYTES: usize = 1 << 20;

/// By deployment id, what each application of the newest version wrote, errors first; of one id or application only, in
/// any case, where `only` says so.
///
/// # Errors
///
/// There is no such release.
pub async fn logs(
    app: &App,
    caller: &Caller,
    tenant: &TenantName,
    name: &ReleaseName,
    only: Option<&str>,
) -> Result<Vec<(String, String)>, Error> {
    let version = one(app, caller, tenant, name, None, Look::Alive).await?;
    let meant =
        |id: &str, app: &str| only.is_none_or(|only| only.eq_ignore_ascii_case(id) || only.eq_ignore_ascii_case(app));
    let apps = version.apps.unwrap_or_default();
    let wanted: Vec<_> = apps.into_iter().filter(|app| meant(&app.id, &app.name)).collect();
    if wanted.iter().all(|app| app.deployment.is_none()) {
        return Ok(Vec::new());
    }
    let asked = lines::Wanted { tail: Some(LINES), ..lines::Wanted::default() };
    let mut lines = lines::logs(app, caller, tenant, name, asked).await?;
    let mut texts: Vec<(String, String, String, String)> = wanted
        .into_iter()
        .filter_map(|app| Some((app.deployment?.to_string(), app.id, String::new(), String::new())))
        .collect();
    while let Some(line) = lines.next().await {
        let Some((_, _, stderr, stdout)) = texts.iter_mut().find(|(of, ..)| *of == line.deployment) else { continue };
        let (text, line) = match line.chunk {
            Ok(chunk) if chunk.stream == LogStreamKind::Stderr => (stderr, chunk.line),
            Ok(chunk) => (stdout, chunk.line),
            Err(error) => (stderr, error.chain()),
        };
        text.push_str(&line);
        text.push('\n');
        if text.len() > 2 * BYTES {
            *text = last(text).to_owned();
        }
    }
    Ok(texts.into_iter().map(|(_, id, stderr, stdout)| (id, joined(&stderr, &stdout))).collect())
}

/// As Spring's local deployer joins them: each with its heading, where there is something under it.
fn joined(stderr: &str, stdout: &str) -> String {
    let mut text = String::new();
    for (heading, part) in [("stderr:\n", last(stderr)), ("stdout:\n", last(stdout))] {
        if !part.is_empty() {
            text.push_str(heading);
            text.push_str(part);
        }
    }
    text
}

/// The end of a text, from the beginning of a line on.
fn last(text: &str) -> &str {
    if text.len() <= BYTES {
        return text;
    }
    let mut from = text.len() - BYTES;
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text[from..].split_once('\n').map_or(&text[from..], |(_, rest)| rest)
}
