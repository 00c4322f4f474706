//! After a verb was accepted: wait for the rollout if that is wanted, and tell how it ended.

mod failed;
mod watch;

pub(super) use failed::{bundle, cause_line};

use std::time::Duration;

use skipper_server::api::own::wire::{Accepted, ReleaseStatus, RevisionDetail, RolloutView};

use super::Context;
use crate::{
    client::Call,
    failure::{Done, Exit, Failure},
    render::{Style, lasted, parse_span, tame},
};
use watch::Ended;

/// Whether and how long to wait for a rollout.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct WaitArgs {
    /// Wait until the rollout has ended, and fail if it failed [default: on a terminal]
    #[arg(long, short, overrides_with = "no_wait", help_heading = "Waiting")]
    wait: bool,
    /// Return as soon as the rollout is stored
    #[arg(long, overrides_with = "wait", help_heading = "Waiting")]
    no_wait: bool,
    /// Wait at most this long, as 90s or 5m; the rollout goes on
    #[arg(long, value_name = "DURATION", value_parser = parse_span, conflicts_with = "no_wait", help_heading = "Waiting")]
    timeout: Option<Duration>,
}

impl WaitArgs {
    /// Waits unless told otherwise: for who writes `--release-name`, as Spring's people do, and so expects the words of
    /// Spring's shell, which are said when it is done.
    pub(super) fn by_default(mut self, waits: bool) -> Self {
        self.wait |= waits && !self.no_wait;
        self
    }

    fn waits(&self, context: &Context) -> bool {
        !self.no_wait && (self.wait || self.timeout.is_some() || context.out.interactive || context.out.guide)
    }

    /// Whether to wait, and how long at most.
    pub(super) fn asked(&self, context: &Context) -> Option<Option<Duration>> {
        self.waits(context).then_some(self.timeout)
    }

    /// Tells of a rollout that was accepted, and of its end if that is waited for, in the words of the verb that was asked
    /// for: what was deleted is upgraded by an install.
    ///
    /// # Errors
    ///
    /// The rollout failed, the time passed, Ctrl-C, or the server is gone for good.
    pub(super) async fn settle(&self, context: &Context, asked: &str, accepted: Accepted) -> Done {
        if !context.out.json {
            for warning in &accepted.warnings {
                context.out.note(&format!("note: {}", tame(warning)));
            }
        }
        if !self.waits(context) {
            return tell_accepted(context, &accepted);
        }
        match watch::until_ended(context, &accepted, self.timeout).await? {
            Ended::Final(view) if view.phase == "succeeded" => succeeded(context, asked, &view).await,
            Ended::Final(view) => Err(failed::report(context, &view)?),
            Ended::Gone if context.out.guide => context.out.line(&sentence("delete", &accepted.release, None)),
            Ended::Gone => {
                context.out.line(&format!("{} is deleted, and its history with it", tame(&accepted.release)))
            }
        }
    }

    /// The same for a rollout that was asked to stop: having stopped is its success.
    ///
    /// # Errors
    ///
    /// As [`WaitArgs::settle`], and it came too late.
    pub(super) async fn settle_cancel(&self, context: &Context, accepted: Accepted) -> Done {
        if !self.waits(context) {
            let Accepted { release, rollout, .. } = &accepted;
            let said = format!("{release}: the {} is being cancelled, rollout {}", rollout.verb, rollout.id);
            return tell(context, &accepted, &said);
        }
        let Ended::Final(view) = watch::until_ended(context, &accepted, self.timeout).await? else { return Ok(()) };
        if context.out.json {
            context.out.json(&view)?;
        }
        let serving = serving(view.from);
        match view.phase.as_str() {
            "cancelled" | "superseded" if context.out.json => Ok(()),
            "cancelled" | "superseded" => {
                context.out.line(&format!("{}: the {} is cancelled; {serving}", tame(&view.release), view.verb))
            }
            "succeeded" => {
                Err(Failure::error(format!("it came too late: the {} of {} is done", view.verb, view.release))
                    .hint(format!("`skipper rollback {}` goes back", view.release)))
            }
            other => {
                Err(Failure::new(Exit::DeployFailed, format!("the {} of {} ended as {other}", view.verb, view.release)))
            }
        }
    }
}

/// What serves after a rollout that came to nothing.
fn serving(from: Option<u64>) -> String {
    from.map_or_else(|| "nothing serves, as before".to_owned(), |from| format!("revision {from} serves, as before"))
}

fn tell_accepted(context: &Context, accepted: &Accepted) -> Done {
    let revision = accepted.revision.map_or(String::new(), |revision| format!(", revision {revision}"));
    let Accepted { release, rollout, .. } = accepted;
    tell(context, accepted, &format!("{release}: {} accepted{revision}, rollout {}", rollout.verb, rollout.id))
}

fn tell(context: &Context, accepted: &Accepted, said: &str) -> Done {
    let (out, release) = (&context.out, &accepted.release);
    if out.json {
        return out.json(accepted);
    }
    out.line(&tame(said))?;
    out.next(&format!("`skipper status {release}` shows how it goes; --wait waits for its end"));
    Ok(())
}

/// What Spring's shell says when a verb has done its work; people and scripts know it.
pub(super) fn sentence(verb: &str, release: &str, version: Option<u64>) -> String {
    let release = tame(release);
    let now = version.map_or(String::new(), |version| format!("Now at version v{version}."));
    let said = match verb {
        "install" => format!("Released {release}. {now}"),
        // Two blanks, as it always had.
        "upgrade" => format!("{release} has been upgraded.  {now}"),
        "rollback" => format!("{release} has been rolled back.  {now}"),
        "scale" => format!("{release} has been scaled.  {now}"),
        _ => format!("{release} has been deleted."),
    };
    said.trim_end().to_owned()
}

/// The version that a revision is, or is a scaling of. It is a courtesy: an error here takes nothing away from the success.
async fn version_of(context: &Context, release: &str, revision: Option<u64>) -> Option<u64> {
    let revision = revision?.to_string();
    let call = Call::get(&["v1", "releases", release, "revisions", &revision]);
    context.client().ok()?.ask::<RevisionDetail>(&call).await.ok()?.revision.version
}

async fn succeeded(context: &Context, asked: &str, view: &RolloutView) -> Done {
    let out = &context.out;
    if out.json {
        return out.json(view);
    }
    if out.guide {
        for notice in &view.notices {
            out.note(&format!("note: {}", tame(notice)));
        }
        let version = version_of(context, &view.release, view.to).await;
        return out.line(&sentence(asked, &view.release, version));
    }
    let sentence = sentence(asked, &view.release, version_of(context, &view.release, view.to).await);
    let name = tame(&view.release);
    let took = lasted(Duration::from_millis(view.duration_ms));
    for notice in &view.notices {
        out.note(&format!("note: {}", tame(notice)));
    }
    if view.verb == "delete" {
        out.line(&format!("{name} is deleted ({took})"))?;
        return out.line(&sentence);
    }
    let revision = view.to.map_or(String::new(), |to| format!("revision {to} serves "));
    out.line(&out.paint.style(Style::Good, &format!("{name}: {revision}({} took {took})", view.verb)))?;
    // Addresses are a courtesy: an error here takes nothing away from the success.
    let status: Result<ReleaseStatus, _> = context.client()?.ask(&Call::get(&["v1", "releases", &view.release])).await;
    for app in status.map(|status| status.apps).unwrap_or_default() {
        for url in &app.urls {
            out.line(&format!("  {}  {}", tame(&app.name), tame(url)))?;
        }
    }
    out.line(&sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_guide() {
        for (verb, expected) in [
            ("install", "Released web. Now at version v2."),
            ("upgrade", "web has been upgraded.  Now at version v2."),
            ("rollback", "web has been rolled back.  Now at version v2."),
            ("delete", "web has been deleted."),
        ] {
            assert_eq!(sentence(verb, "web", Some(2)), expected);
        }
    }
}
