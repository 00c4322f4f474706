//! The output of instances that are gone: what was kept of it when their rollout failed.

use futures::{StreamExt as _, stream};
use skipper_core::{
    deployment::DeploymentId,
    port::{Error as PortError, ErrorKind, LogChunk, LogStreamKind},
    release::Release,
};

use super::logs::{Line, Wanted};
use crate::{app::App, error::Error};

/// What each application wrote last that a revision launched before it failed, with a line ahead that says so. Secrets were
/// blackened when it was kept. Empty where the revision did not fail, or had launched nothing.
pub(super) async fn kept(app: &App, release: &Release, revision: u64) -> Result<Vec<Line>, Error> {
    let Some(entry) = app.store.history_of(release.id, revision).await? else { return Ok(Vec::new()) };
    let Some(bundle) = app.store.bundle_get(entry.rollout).await? else { return Ok(Vec::new()) };
    let mut lines = Vec::new();
    for evidence in bundle.applications {
        let deployment = DeploymentId::derive(release.id, &release.name, &evidence.app, revision).to_string();
        let line = |chunk| Line { app: evidence.app.clone(), deployment: deployment.clone(), chunk };
        let why = format!("revision {revision} failed and is gone: {}; what it wrote last:", bundle.cause.message);
        lines.push(line(Err(PortError::new(ErrorKind::NotFound, "no-logs", why))));
        lines.extend(evidence.logs.into_iter().map(|text| {
            let (instance, text) = instance_of(text);
            line(Ok(LogChunk { at: bundle.at, instance, stream: LogStreamKind::Stdout, line: text }))
        }));
    }
    Ok(lines)
}

/// Those of the lines that are wanted.
pub(super) fn stream(lines: Vec<Line>, wanted: &Wanted) -> stream::BoxStream<'static, Line> {
    let meant = |line: &Line| {
        let instance = line.chunk.as_ref().ok().map(|chunk| chunk.instance);
        wanted.app.as_ref().is_none_or(|app| line.app == *app)
            && wanted.instance.is_none_or(|wanted| instance.is_none_or(|instance| instance == wanted))
    };
    let mut lines: Vec<Line> = lines.into_iter().filter(meant).collect();
    if let Some(tail) = wanted.tail {
        let mut left = std::collections::BTreeMap::new();
        lines.reverse();
        lines.retain(|line| {
            let Ok(chunk) = &line.chunk else { return true };
            let left = left.entry((line.app.clone(), chunk.instance)).or_insert(tail);
            let keep = *left > 0;
            *left = left.saturating_sub(1);
            keep
        });
        lines.reverse();
    }
    stream::iter(lines).boxed()
}

/// Lines of other instances than the first are kept behind `[INDEX] `.
fn instance_of(text: String) -> (u32, String) {
    let parts = text.strip_prefix('[').and_then(|rest| rest.split_once("] "));
    match parts.and_then(|(index, rest)| Some((index.parse().ok()?, rest))) {
        Some((index, rest)) => (index, rest.to_owned()),
        None => (0, text),
    }
}

#[cfg(test)]
mod tests {
    use skipper_core::{name::AppName, time::Timestamp};

    use super::*;

    #[tokio::test]
    async fn kept_lines_are_chosen_as_those_of_running_instances_are() {
        let said = |app: &str, text: &str| {
            let (instance, line) = instance_of(text.to_owned());
            let chunk = LogChunk { at: Timestamp::from_micros(1), instance, stream: LogStreamKind::Stdout, line };
            Line { app: AppName::new(app).expect("a name"), deployment: app.to_owned(), chunk: Ok(chunk) }
        };
        let chosen = async |wanted: Wanted| {
            let lines = ["a", "[1] b", "[x] c", "d"].map(|text| said("web", text)).into_iter().chain([said("db", "e")]);
            let lines = stream(lines.collect(), &wanted).collect::<Vec<_>>().await;
            lines.into_iter().map(|line| line.chunk.expect("a line").line).collect::<String>()
        };
        assert_eq!(chosen(Wanted::default()).await, "ab[x] cde");
        assert_eq!(chosen(Wanted { tail: Some(1), ..Wanted::default() }).await, "bde");
        assert_eq!(chosen(Wanted { instance: Some(1), ..Wanted::default() }).await, "b");
        let app = AppName::new("db").ok();
        assert_eq!(chosen(Wanted { app, ..Wanted::default() }).await, "e");
    }
}
