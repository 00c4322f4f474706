use std::time::Duration;

use skipper_server::api::own::wire::{BundleView, CauseView, RolloutView};

use super::{super::Context, serving};
use crate::{
    failure::{Exit, Failure},
    render::{Paint, Style, lasted, tame, time_of_day},
};

/// Shows everything that tells why a rollout failed, and returns the error to end with.
///
/// # Errors
///
/// Standard output is gone.
pub(super) fn report(context: &Context, view: &RolloutView) -> Result<Failure, Failure> {
    if context.out.json {
        context.out.json(view)?;
    }
    if let Some(evidence) = &view.bundle {
        context.out.note(bundle(context.out.paint_err, evidence).trim_end());
    }
    let (name, took) = (tame(&view.release), lasted(Duration::from_millis(view.duration_ms)));
    let what = view.to.map_or_else(|| view.verb.clone(), |to| format!("{} to revision {to}", view.verb));
    let mut message = format!("{name}: {what} {} after {took}", view.phase);
    let mut hint = None;
    if let Some(cause) = view.cause.as_ref().or(view.bundle.as_ref().map(|bundle| &bundle.cause)) {
        message.push_str(": ");
        message.push_str(&tame(&cause.message));
        if let Some(step) = cause.step.and_then(|index| view.steps.get(index as usize)) {
            message.push_str(&format!("\nstep {} of {}: {}", step.index + 1, view.steps.len(), tame(&step.text)));
        }
        hint = cause.hint.as_deref().map(tame);
    }
    message.push('\n');
    message.push_str(&serving(view.from));
    let next = format!("`skipper why {name}` shows this again");
    Ok(Failure::new(Exit::DeployFailed, message)
        .hint(hint.map_or_else(|| next.clone(), |hint| format!("{hint}\n{next}"))))
}

/// A cause in one line.
pub(in super::super) fn cause_line(cause: &CauseView) -> String {
    tame(&format!("{} ({})", cause.message, cause.code))
}

/// Probes of an application that are shown.
const PROBES: usize = 10;

/// What a failed rollout left behind, as text; it ends with a line end.
pub(in super::super) fn bundle(paint: Paint, bundle: &BundleView) -> String {
    let mut text = String::new();
    let heading = |text: &mut String, app: &str, what: &str| {
        text.push_str(&paint.style(Style::Strong, &tame(&format!("{app}: {what}"))));
        text.push('\n');
    };
    for app in &bundle.applications {
        if !app.exits.is_empty() {
            heading(&mut text, &app.app, "how it ended");
            for exit in &app.exits {
                text.push_str(&format!(
                    "  {}  instance {} {}\n",
                    time_of_day(&exit.at),
                    exit.instance,
                    tame(&exit.text)
                ));
            }
        }
        if !app.probes.is_empty() {
            heading(&mut text, &app.app, "health probes");
            // The last ones tell what it ended with; --json has all of them.
            let earlier = app.probes.len().saturating_sub(PROBES);
            if earlier > 0 {
                text.push_str(&paint.style(Style::Dim, &format!("  … {earlier} earlier ones\n")));
            }
            for probe in app.probes.iter().skip(earlier) {
                let mark = if probe.ok { paint.style(Style::Good, "ok  ") } else { paint.style(Style::Bad, "fail") };
                let (at, detail) = (time_of_day(&probe.at), tame(&probe.detail));
                text.push_str(&format!("  {at}  instance {} {mark}  {detail}\n", probe.instance));
            }
        }
        if !app.logs.is_empty() {
            heading(&mut text, &app.app, "last output");
            for line in &app.logs {
                text.push_str(&format!("  | {}\n", tame(line)));
            }
        }
    }
    text
}
