//! What runs of the apps of slip's configuration.

use skipper_core::port::Clock as _;
use skipper_server::api::deploys::wire::{AppStatus, DeployView, StatusView};

use super::Context;
use crate::{
    client::Call,
    failure::{Done, Exit, Failure},
    render::{Style, Table, age, at, tame},
    world::SystemClock,
};

/// Shows every app in a line.
pub(super) async fn all(context: &Context) -> Done {
    let status = ask(context).await?;
    let out = &context.out;
    if out.json {
        return out.json(&status);
    }
    if status.runtime != "ok" && !status.apps.is_empty() {
        out.warn("the container engine does not answer; `skipper doctor` looks for what is wrong");
    }
    if status.caddy != "ok" {
        out.warn("what routes requests does not answer; `skipper doctor` looks for what is wrong");
    }
    let now = SystemClock.now();
    let mut table = Table::new(["APP", "STATUS", "TAG", "REVISION", "AGE", "LAST DEPLOY"]).states(1).right([3]);
    for (name, app) in &status.apps {
        let none = || "-".to_owned();
        table.row([
            name.clone(),
            if app.faults.is_empty() { app.status.clone() } else { "disabled".to_owned() },
            app.tag.clone().unwrap_or_else(none),
            app.revision.map_or_else(none, |revision| revision.to_string()),
            app.deployed_at.as_deref().map_or_else(none, |then| age(now, then)),
            app.last_deploy.as_ref().map_or_else(none, last),
        ]);
    }
    out.table(&table, "no apps registered; `skipper apps add` adds one, and `skipper list` lists releases")
}

/// Shows one app; `None` where the server knows none of that name.
pub(super) async fn one(context: &Context, name: &str) -> Result<Option<()>, Failure> {
    let status = ask(context).await?;
    let Some(app) = status.apps.get(name) else { return Ok(None) };
    if context.out.json {
        return context.out.json(app).map(Some);
    }
    context.out.text(&text(context, name, app)).map(Some)
}

/// The same where another question found nothing: what that one said stays the answer if there is no such app either.
pub(super) async fn one_or(context: &Context, name: &str, failure: Failure) -> Done {
    if failure.exit != Exit::NotFound {
        return Err(failure);
    }
    match one(context, name).await {
        Ok(Some(())) => Ok(()),
        Ok(None) | Err(_) => Err(failure),
    }
}

async fn ask(context: &Context) -> Result<StatusView, Failure> {
    context.client()?.ask(&Call::get(&["v1", "status"])).await
}

/// `v2 failed`.
fn last(deploy: &DeployView) -> String {
    let tag = deploy.tag.as_deref().map_or(String::new(), |tag| format!("{tag} "));
    format!("{tag}{}", deploy.status)
}

/// What serves, as a sentence.
pub(super) fn serving(revision: Option<u64>, tag: Option<&str>) -> String {
    let tag = tag.map_or(String::new(), |tag| format!(" ({})", tame(tag)));
    match revision {
        None if !tag.is_empty() => format!("a container that is not ours{tag} serves"),
        Some(revision) => format!("revision {revision}{tag} serves"),
        None => "nothing serves".to_owned(),
    }
}

fn text(context: &Context, name: &str, app: &AppStatus) -> String {
    let paint = context.out.paint;
    let mut text = String::new();
    let mut field = |label: &str, value: &str| {
        text.push_str(&format!("{} {}\n", paint.style(Style::Dim, &format!("{label:<11}")), tame(value)));
    };
    field("app", name);
    field("status", &app.status);
    let since = app.deployed_at.as_deref().map_or(String::new(), |then| format!(", since {}", at(then)));
    field("serving", &format!("{}{since}", serving(app.revision, app.tag.as_deref())));
    if let Some(deploy) = &app.last_deploy {
        let when = deploy
            .finished_at
            .as_deref()
            .map_or_else(|| format!("since {}", at(&deploy.started_at)), |then| format!("at {}", at(then)));
        field("last", &format!("{} {when} ({}, {})", last(deploy), deploy.deploy_id, deploy.triggered_by));
        if let Some(error) = &deploy.error {
            field("error", error);
            let as_before = if app.revision.is_some() { ", as before" } else { "" };
            field("", &format!("{}{as_before}", serving(app.revision, app.tag.as_deref())));
        }
    }
    if let Some(detail) = &app.detail {
        field("detail", detail);
    }
    for fault in &app.faults {
        field("disabled", fault);
    }
    text
}
