use std::time::Duration;

use serde_json::{Value, json};
use skipper_server::api::own::wire::{Accepted, PlanRequest, ReleaseStatus, RevisionView, RollbackRequest, SourceView};

use super::{
    Context, deploy,
    expression::{self, millis},
    follow::WaitArgs,
    plan,
    release_arg::{self, ReleaseArg, Which},
};
use crate::{
    client::Call,
    complete,
    failure::{Done, Exit, Failure},
};

/// Arguments of `rollback`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  skipper rollback hello            back to the revision that served before
  skipper rollback hello 3          back to revision 3, as a new revision
  skipper rollback web --to v1      an app of slip's configuration: back to a tag that served
The stored manifest is used as it was; nothing is rendered or fetched again. A release that was deleted is installed: as the
revision before the one that served last, where none is named.")]
pub(crate) struct Rollback {
    #[command(flatten)]
    release: ReleaseArg,
    /// Revision to go back to [default: the one that served before]
    #[arg(value_name = "REVISION", add = complete::revisions())]
    revision: Option<u64>,
    /// Version to go back to, as Spring's shell counts them: without scalings; 0 for the one before
    #[arg(long, value_name = "VERSION", hide = true, conflicts_with = "revision", value_parser = version, allow_negative_numbers = true, add = complete::versions())]
    release_version: Option<u64>,
    /// Of an app, the tag to go back to; of another release, the revision
    #[arg(long, value_name = "TAG", conflicts_with_all = ["revision", "release_version"])]
    to: Option<String>,
    /// Undo the rollback if it is not healthy in that time, as PT5M, 5m or 300000
    #[arg(long, value_name = "DURATION", value_parser = expression::parse, allow_hyphen_values = true)]
    timeout_expression: Option<Duration>,
    /// Free text for the history
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Only if the plan still has this hash
    #[arg(long, value_name = "HASH", conflicts_with = "dry_run")]
    require_plan: Option<String>,
    /// Show the plan and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

/// In the words of Spring's shell.
fn version(text: &str) -> Result<u64, String> {
    match text.parse::<i64>() {
        Ok(number) if number < 0 => Err(format!("Rollback version can not be less than zero.  Value = {number}")),
        _ => release_arg::version(text),
    }
}

impl Rollback {
    pub(super) async fn run(self, context: &Context) -> Done {
        if self.dry_run {
            return self.plan(context).await;
        }
        if self.to.is_some() || context.surroundings.is_slip {
            return if self.is_app(context).await? { self.app(context).await } else { self.release(context).await };
        }
        match self.release(context).await {
            // Apps have a way back of their own.
            Err(failure) if failure.code.as_deref() == Some("name-taken") => self.app(context).await,
            done => done,
        }
    }

    async fn release(&self, context: &Context) -> Done {
        let (to, to_version) = self.to(context)?;
        let request = RollbackRequest {
            to,
            to_version,
            timeout_ms: self.timeout_expression.map(millis),
            description: self.description.clone(),
            require_plan: self.require_plan.clone(),
        };
        let call = Call::post(&["v1", "releases", self.release.name(), "rollback"]).json(&request);
        let accepted: Accepted = context.client()?.ask(&call).await?;
        self.wait.clone().by_default(self.release.is_spring()).settle(context, "rollback", accepted).await
    }

    /// Whether the name is that of an app; one that was never deployed is no release yet.
    async fn is_app(&self, context: &Context) -> Result<bool, Failure> {
        let call = Call::get(&["v1", "releases", self.release.name()]);
        match context.client()?.ask::<ReleaseStatus>(&call).await {
            Ok(status) => Ok(status.door == "deploys"),
            Err(failure) if failure.exit == Exit::NotFound => Ok(true),
            Err(failure) => Err(failure),
        }
    }

    async fn app(&self, context: &Context) -> Done {
        if self.timeout_expression.is_some() || self.description.is_some() || self.require_plan.is_some() {
            return Err(Failure::usage(format!(
                "`{}` is an app: its way back takes none of --timeout-expression, --description and --require-plan",
                self.release.name()
            )));
        }
        let to = match (&self.to, self.revision.or(self.release_version).filter(|revision| *revision != 0)) {
            (Some(tag), _) => Some(tag.clone()),
            (None, Some(revision)) => Some(self.tag_of(context, revision).await?),
            (None, None) => None,
        };
        let body = to.map_or_else(|| json!({}), |tag| json!({"to": tag}));
        let call = Call::post(&["v1", "apps", self.release.name(), "rollback"]).json(&body);
        let accepted: Value = context.client()?.ask(&call).await?;
        let waiting = self.wait.asked(context).map(|at_most| deploy::Waiting { at_most });
        deploy::settle(context, "Rollback", accepted, waiting).await
    }

    /// The tag that a revision of an app was made of, also of one that went back to another.
    async fn tag_of(&self, context: &Context, revision: u64) -> Result<String, Failure> {
        let mut number = revision;
        loop {
            let call = Call::get(&["v1", "releases", self.release.name(), "revisions", &number.to_string()]);
            let found: RevisionView = context.client()?.ask(&call).await?;
            match found.source {
                SourceView::App { tag, .. } => return Ok(tag),
                // Each leads to an earlier one.
                SourceView::Revision { revision } if revision < number => number = revision,
                other => {
                    let message = format!("revision {revision} was made of no tag: {}", other.text());
                    return Err(Failure::error(message).hint("name a tag with --to"));
                }
            }
        }
    }

    pub(super) async fn plan(self, context: &Context) -> Done {
        let (to, to_version) = self.to(context)?;
        let request = PlanRequest {
            verb: "rollback".into(),
            name: self.release.name().into(),
            to,
            to_version,
            ..PlanRequest::default()
        };
        plan::show(context, &request).await
    }

    /// The revision, or the version, to go back to.
    fn to(&self, context: &Context) -> Result<(Option<u64>, Option<u64>), Failure> {
        let named = self.to.as_deref().map(|to| {
            to.parse().map_err(|_| {
                let message = format!("`{to}` is no revision, and `{}` no app that has tags", self.release.name());
                Failure::usage(message).hint(format!("`skipper history {}` lists revisions", self.release.name()))
            })
        });
        match Which::of(context, named.transpose()?.or(self.revision), self.release_version) {
            Which::Revision(number) => Ok((Some(number), None)),
            Which::Version(number) => Ok((None, Some(number))),
            // Spring's users mean the version before, which no scaling is.
            Which::Usual if context.out.guide || self.release.is_spring() => Ok((None, Some(0))),
            Which::Usual => Ok((None, None)),
        }
    }
}
