use skipper_server::api::own::wire::{AppStatus, ReleaseStatus, RolloutSummary};

use super::{
    Context, app_status, follow,
    release_arg::{self, Which},
};
use crate::{
    client::{Call, Client},
    complete,
    failure::{Done, Failure},
    guide,
    render::{Paint, Style, Table, age, at, tame},
    world::SystemClock,
};

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  skipper status hello              a release: what serves, what runs of it, and why the last rollout failed
  skipper status                    the apps of slip's configuration, one in a line")]
pub(crate) struct Status {
    /// The release or app [default: every app]
    #[arg(value_name = "NAME", add = complete::releases())]
    name: Option<String>,
    /// The same by name
    #[arg(long, value_name = "NAME", hide = true, conflicts_with = "name", add = complete::releases())]
    release_name: Option<String>,
    /// Of this version, as Spring's shell counts them: without scalings [default: the newest]
    #[arg(long, value_name = "VERSION", hide = true, value_parser = release_arg::version, allow_negative_numbers = true, add = complete::versions())]
    release_version: Option<u64>,
}

impl Status {
    pub(super) async fn run(self, context: &Context) -> Done {
        let Some(name) = self.name.as_deref().or(self.release_name.as_deref()) else {
            if context.out.guide {
                return Err(Failure::usage("which release? `status NAME`"));
            }
            return app_status::all(context).await;
        };
        if context.out.guide && !context.out.json {
            return guide::status(context, name, self.release_version.filter(|version| *version != 0)).await;
        }
        if let Some(revision) = Which::of(context, None, self.release_version).segment() {
            return super::history::show_one(context, name, &revision).await;
        }
        if context.surroundings.is_slip
            && let Some(()) = app_status::one(context, name).await?
        {
            return Ok(());
        }
        let status: ReleaseStatus = match context.client()?.ask(&Call::get(&["v1", "releases", name])).await {
            Ok(status) => status,
            // An app that was never deployed is no release yet.
            Err(failure) => return app_status::one_or(context, name, failure).await,
        };
        if context.out.json {
            return context.out.json(&status);
        }
        context.out.text(&text(context, &status))?;
        if status.last_error.is_some() || !status.drift.is_empty() {
            context.out.next(&format!("`skipper why {name}` tells more"));
        }
        Ok(())
    }
}

/// The revision that serves, else the newest.
pub(super) async fn newest(client: &Client, name: &str) -> Result<u64, Failure> {
    let status: ReleaseStatus = client.ask(&Call::get(&["v1", "releases", name])).await?;
    Ok(status.revision.unwrap_or(status.last_revision))
}

fn text(context: &Context, status: &ReleaseStatus) -> String {
    let paint = context.out.paint;
    let mut text = String::new();
    let mut field = |label: &str, value: &str| {
        text.push_str(&format!("{} {}\n", paint.style(Style::Dim, &format!("{label:<11}")), tame(value)));
    };
    field("release", &format!("{} (tenant {})", status.name, status.tenant));
    let state = status.state.as_str();
    field("state", &format!("{state}: {}", status.summary));
    if let Some(revision) = status.revision {
        let package = status.package.as_deref().map_or(String::new(), |package| format!(", {package}"));
        field("serving", &format!("revision {revision}{package}"));
    }
    if let Some(description) = status.description.as_deref().filter(|text| !text.is_empty()) {
        field("about", description);
    }
    field("installed", &at(&status.created_at));
    field("changed", &at(&status.updated_at));
    if let Some(rollout) = &status.rollout {
        field(if rollout.finished { "last" } else { "rollout" }, &rollout_line(rollout));
    }
    if let Some(waiting) = &status.waiting {
        field("waiting", &rollout_line(waiting));
    }
    if let Some(cause) = &status.last_error {
        field("error", &follow::cause_line(cause));
        if let Some(hint) = &cause.hint {
            field("hint", hint);
        }
    }
    for drift in &status.drift {
        field("drift", &format!("{}: {}", drift.app, drift.message));
    }
    for app in &status.apps {
        text.push('\n');
        text.push_str(&app_text(context, paint, app));
    }
    text
}

fn rollout_line(rollout: &RolloutSummary) -> String {
    let to = rollout.to.map_or(String::new(), |to| format!(" to revision {to}"));
    format!("{}{to}: {} ({})", rollout.verb, rollout.phase, rollout.id)
}

fn app_text(context: &Context, paint: Paint, app: &AppStatus) -> String {
    let mut text = format!(
        "{}  {}\n",
        paint.style(Style::Strong, &tame(&app.name)),
        paint.style(Style::Dim, &tame(&format!("{} of revision {}, {}", app.deployment, app.revision, app.resource))),
    );
    let enough = if app.running == app.replicas { Style::Good } else { Style::Bad };
    let running = paint.style(enough, &format!("{}/{} running", app.running, app.replicas));
    let mode = match app.mode.as_str() {
        "open" => String::new(),
        "maintenance" => ", requests get the maintenance page".to_owned(),
        mode => format!(", requests are {mode}"),
    };
    text.push_str(&tame(&format!("  {} on {}, {}", "{}", app.platform, app.strategy)).replace("{}", &running));
    text.push_str(&paint.style(Style::Warn, &mode));
    text.push('\n');
    for url in &app.urls {
        text.push_str(&format!("  {}\n", tame(url)));
    }
    let now = skipper_core::port::Clock::now(&SystemClock);
    let mut table = Table::new(["  INSTANCE", "STATE", "AGE", "RESTARTS", "HANDLE", "ADDRESSES", "DETAIL"]).states(1);
    for instance in &app.instances {
        let addresses: Vec<_> = instance.addresses.iter().map(|(port, address)| format!("{port}={address}")).collect();
        table.row([
            format!("  {}", instance.index),
            instance.state.clone(),
            instance.started_at.as_deref().map_or_else(|| "-".to_owned(), |then| age(now, then)),
            instance.restarts.to_string(),
            handle(instance.handle.as_deref(), context.out.interactive),
            if addresses.is_empty() { "-".to_owned() } else { addresses.join(" ") },
            instance.detail.clone().unwrap_or_default(),
        ]);
    }
    if !table.is_empty() {
        let width = context.out.interactive.then(crate::render::terminal_width);
        text.push_str(&table.render(paint, width));
    }
    text
}

/// On a terminal without the part in brackets, which tells processes of one number apart.
fn handle(handle: Option<&str>, short: bool) -> String {
    let handle = handle.unwrap_or("-");
    if short { handle.split(" (").next().unwrap_or(handle).to_owned() } else { handle.to_owned() }
}
