use std::time::Duration;

use skipper_server::api::own::wire::{Accepted, PlanRequest, RollbackRequest};

use super::{
    Context,
    expression::{self, millis},
    follow::WaitArgs,
    plan,
    release_arg::ReleaseArg,
};
use crate::{client::Call, complete, failure::Done};

/// Arguments of `rollback`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  skipper rollback hello            back to the revision that served before
  skipper rollback hello 3          back to revision 3, as a new revision
The stored manifest is used as it was; nothing is rendered or fetched again. A release that was deleted is installed: as the
revision before the one that served last, where none is named.")]
pub(crate) struct Rollback {
    #[command(flatten)]
    release: ReleaseArg,
    /// Revision to go back to [default: the one that served before]
    #[arg(value_name = "REVISION", add = complete::revisions())]
    revision: Option<u64>,
    /// The same by name: the revision, 0 for the one before
    #[arg(long, value_name = "REVISION", hide = true, conflicts_with = "revision", alias = "to", add = complete::revisions())]
    release_version: Option<u64>,
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

impl Rollback {
    pub(super) async fn run(self, context: &Context) -> Done {
        if self.dry_run {
            return self.plan(context).await;
        }
        // The shell shows versions by the numbers of Spring's API.
        let (to, to_version) = if context.out.guide { (None, self.to()) } else { (self.to(), None) };
        let request = RollbackRequest {
            to,
            to_version,
            timeout_ms: self.timeout_expression.map(millis),
            description: self.description.clone(),
            require_plan: self.require_plan.clone(),
        };
        let call = Call::post(&["v1", "releases", self.release.name(), "rollback"]).json(&request);
        let accepted: Accepted = context.client()?.ask(&call).await?;
        self.wait.by_default(self.release.is_spring()).settle(context, "rollback", accepted).await
    }

    pub(super) async fn plan(self, context: &Context) -> Done {
        let request = PlanRequest {
            verb: "rollback".into(),
            name: self.release.name().into(),
            to: self.to(),
            ..PlanRequest::default()
        };
        plan::show(context, &request).await
    }

    /// Spring's 0 means the revision before, as no number does here.
    fn to(&self) -> Option<u64> {
        self.revision.or(self.release_version).filter(|revision| *revision != 0)
    }
}
