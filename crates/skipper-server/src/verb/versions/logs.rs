//! The output of a version's applications as whole texts.

use futures::{StreamExt as _, stream};
use skipper_core::{
    deployment::DeploymentId,
    name::{ReleaseName, TenantName},
    port::LogStreamKind,
};

use super::{Look, Status, Version, deployed, one};
use crate::{
    app::App,
    error::Error,
    verb::{Caller, find, last_words, logs as lines},
};

/// Lines of each instance that are told at most.
const LINES: usize = 2000;
/// Bytes of each text; what was written last is told.
const BYTES: usize = 1 << 20;

/// By deployment id, what each application of the newest version wrote, errors first; of one id or application only, in
/// any case, where `only` says so. Where the newest version does not serve, also those of the one that does.
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
    let newest = one(app, caller, tenant, name, None, Look::Alive).await?;
    let serves = newest.status == Status::Deployed;
    let mut told = of(app, caller, tenant, name, newest, only).await?;
    if !serves && let Ok(serving) = deployed(app, caller, tenant, name).await {
        let more = of(app, caller, tenant, name, serving, only).await?;
        // What an upgrade leaves as it is belongs to both.
        told.extend(more.into_iter().filter(|(id, _)| told.iter().all(|(known, _)| known != id)).collect::<Vec<_>>());
    }
    Ok(told)
}

async fn of(
    app: &App,
    caller: &Caller,
    tenant: &TenantName,
    name: &ReleaseName,
    version: Version,
    only: Option<&str>,
) -> Result<Vec<(String, String)>, Error> {
    let meant =
        |id: &str, app: &str| only.is_none_or(|only| only.eq_ignore_ascii_case(id) || only.eq_ignore_ascii_case(app));
    let apps = version.apps.unwrap_or_default();
    let wanted: Vec<_> = apps.into_iter().filter(|app| meant(&app.id, &app.name)).collect();
    let number = version.stored.number;
    let runs = wanted.iter().any(|app| app.deployment.is_some());
    let asked = lines::Wanted { tail: Some(LINES), ..lines::Wanted::default() };
    let running = if runs { lines::logs(app, caller, tenant, name, asked).await? } else { stream::empty().boxed() };
    let kept = if version.status == Status::Failed {
        let release = find::release(app, tenant, name).await?;
        last_words::kept(app, &release, number).await?
    } else {
        Vec::new()
    };
    // Of what is gone, the name alone says which lines are its own.
    let mut texts: Vec<(Meant, String, String, String)> = wanted
        .into_iter()
        .map(|app| (app.deployment.map_or(Meant::Gone(app.name), Meant::Runs), app.id, String::new(), String::new()))
        .collect();
    let gone = kept.into_iter().map(|line| (true, line));
    let mut lines = running.map(|line| (false, line)).chain(stream::iter(gone));
    while let Some((gone, line)) = lines.next().await {
        let of = texts.iter_mut().find(|(meant, ..)| match meant {
            Meant::Runs(deployment) => !gone && deployment.as_str() == line.deployment,
            Meant::Gone(app) => gone && *app == line.app.as_str(),
        });
        let Some((_, _, stderr, stdout)) = of else { continue };
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
    let told = texts.into_iter().map(|(meant, id, stderr, stdout)| (meant, id, joined(&stderr, &stdout)));
    Ok(told
        .filter(|(meant, _, text)| matches!(meant, Meant::Runs(_)) || !text.is_empty())
        .map(|(_, id, text)| (id, text))
        .collect())
}

/// Whose lines are wanted.
enum Meant {
    /// Of a deployment.
    Runs(DeploymentId),
    /// Of an application whose instances are gone.
    Gone(String),
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
