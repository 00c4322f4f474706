use skipper_core::{
    deployment::Observed,
    rollout::{Phase, Rollout},
    time::Timestamp,
};

use super::{cause, event, release::status, rollout, summary};
use crate::{
    api::own::wire::{ReleaseState, ReleaseStatus, WhyView},
    verb::why::Why,
};

/// What a release is waiting for, or what broke it.
pub(crate) fn why(why: &Why, now: Timestamp) -> WhyView {
    let status = status(&why.status);
    let (mut answer, hint) = answer(why, &status, now);
    if let Some(unwritable) = &why.unwritable {
        answer.push_str(&format!("; nothing can be stored right now: {unwritable}"));
    }
    let about = why.status.open.as_ref().or(why.status.latest.as_ref());
    WhyView {
        release: status.name.clone(),
        answer,
        hint,
        rollout: about.map(summary),
        cause: about.and_then(|rollout| rollout.phase.cause()).map(cause),
        bundle: why.bundle.as_ref().map(rollout::bundle),
        drift: status.drift,
        events: why.events.iter().map(event).collect(),
    }
}

fn answer(why: &Why, status: &ReleaseStatus, now: Timestamp) -> (String, Option<String>) {
    let name = &status.name;
    if let Some(open) = &why.status.open {
        let hint = if open.phase.can_cancel() {
            format!("`skipper cancel {name}` stops it and undoes what was done")
        } else {
            "it is past the point where it could be cancelled".to_owned()
        };
        return (waiting_for(why, open, now), Some(hint));
    }
    match status.state {
        ReleaseState::Degraded => {
            (status.summary.clone(), Some(format!("`skipper logs {name}` shows the output of its instances")))
        }
        _ if asked_of_the_edge(status).is_some() => {
            let (mode, app) = asked_of_the_edge(status).unwrap_or_default();
            let what = if mode == "held" { "are kept waiting" } else { "get the maintenance page" };
            (
                format!("{}; requests of `{app}` {what}, as somebody asked", status.summary),
                Some(format!("`skipper resume {name}` forwards them again")),
            )
        }
        _ if !why.sick.is_empty() => {
            let all: Vec<String> = why
                .sick
                .iter()
                .map(|sick| {
                    format!(
                        "instance {} of `{}` runs, and its health check says: {}",
                        sick.index, sick.app, sick.detail
                    )
                })
                .collect();
            (
                format!("{}; {}", status.summary, all.join("; ")),
                Some(format!(
                    "nothing is restarted for that: `skipper logs {name}` shows its output, `skipper rollback {name}` goes back"
                )),
            )
        }
        _ => match why.status.latest.as_ref().and_then(|latest| Some((latest, latest.phase.cause()?))) {
            Some((latest, broke)) => {
                let serves = status
                    .revision
                    .map_or_else(|| "nothing serves".to_owned(), |number| format!("revision {number} went on serving"));
                let verb = latest.verb.as_str();
                let answer = match latest.phase {
                    Phase::Cancelled { .. } => format!("the last {verb} was cancelled ({serves})"),
                    _ => format!("the last {verb} failed: {} ({serves})", broke.message),
                };
                (answer, broke.hint.clone())
            }
            None if why.status.release.deleted && !why.status.apps.is_empty() => left_over(why),
            None => (format!("nothing is wrong: {}", status.summary), None),
        },
    }
}

/// Of what was deleted and is not gone.
fn left_over(why: &Why) -> (String, Option<String>) {
    let unseen = why.status.apps.iter().flat_map(|app| &app.instances).find_map(|(_, observed)| match observed {
        Observed::Unknown { reason } => Some(reason.as_str()),
        _ => None,
    });
    let apps: Vec<String> = why.status.apps.iter().map(|app| format!("`{}`", app.live.deployment.app.name)).collect();
    let apps = apps.join(", ");
    match unseen {
        Some(reason) => (
            format!("deleted, but what runs of {apps} could not be stopped: {reason}"),
            Some("it is taken away once its platform is configured and can be reached again".to_owned()),
        ),
        None => (format!("deleted, and {apps} is being stopped"), None),
    }
}

/// What somebody asked the edge to do with requests, where that is not to forward them, and of which application.
fn asked_of_the_edge(status: &ReleaseStatus) -> Option<(String, String)> {
    let asked = status.apps.iter().find(|app| app.weight > 0 && app.mode != "open")?;
    Some((asked.mode.clone(), asked.name.clone()))
}

fn waiting_for(why: &Why, open: &Rollout, now: Timestamp) -> String {
    let verb = open.verb.as_str();
    let Some(activity) = &why.activity else {
        return format!("the {verb} is {}, and this server is not working on it right now", open.phase.name());
    };
    let undoing = match (activity.undoing, open.phase.cause()) {
        (true, Some(cause)) => format!("is being undone because {}: ", cause.message),
        (true, None) => "is being undone: ".to_owned(),
        (false, _) => "waits for: ".to_owned(),
    };
    let since = activity_seconds(now, activity.since);
    let left = activity_seconds(activity.deadline, now);
    let heard = activity.detail.as_ref().map(|detail| format!("; last heard: {detail}")).unwrap_or_default();
    format!("the {verb} {undoing}{} (for {since} s, at most {left} s more){heard}", activity.what)
}

fn activity_seconds(later: Timestamp, earlier: Timestamp) -> u64 {
    later.since(earlier).as_secs()
}
