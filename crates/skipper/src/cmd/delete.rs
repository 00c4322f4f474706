use serde_json::Value;
use skipper_server::api::own::wire::{Accepted, PlanRequest, ReleaseState, ReleaseStatus};

use super::{
    Context, confirm,
    follow::{self, WaitArgs},
    plan,
    release_arg::ReleaseArg,
};
use crate::{client::Call, failure::Done};

/// Arguments of `delete`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The history is kept and the name can be installed again, unless --purge removes revisions, manifests and logs as well;
events are never removed.")]
pub(crate) struct Delete {
    #[command(flatten)]
    release: ReleaseArg,
    /// Forget revisions, manifests, failure bundles and logs as well
    #[arg(long)]
    purge: bool,
    /// Remove the package it was made of as well, in every version, if no other release uses it
    #[arg(long, conflicts_with_all = ["purge", "require_plan", "dry_run"])]
    delete_package: bool,
    /// Do not ask; without a terminal nobody is asked, and `--purge` needs this
    #[arg(long, short)]
    yes: bool,
    /// Only if the plan still has this hash
    #[arg(long, value_name = "HASH", conflicts_with = "dry_run")]
    require_plan: Option<String>,
    /// Show the plan and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

impl Delete {
    pub(super) async fn run(self, context: &Context) -> Done {
        if self.dry_run {
            return self.plan(context).await;
        }
        let name = self.release.name();
        let asked = context.surroundings.stdin_is_terminal && context.surroundings.stderr_is_terminal;
        let question = if self.purge {
            Some(format!("Stop {name} and forget its whole history?"))
        } else {
            (asked && !context.out.guide).then(|| format!("Stop {name} and remove what runs of it?"))
        };
        if let Some(question) = question.filter(|_| !self.yes) {
            // Nobody is asked about what is not there.
            let there: ReleaseStatus = context.client()?.ask(&Call::get(&["v1", "releases", name])).await?;
            if self.purge || there.state != ReleaseState::Deleted {
                confirm::ask(context, &question, false)?;
            }
        }
        if self.delete_package {
            return self.with_package(context).await;
        }
        let call = Call::delete(&["v1", "releases", name])
            .maybe("purge", self.purge.then_some(true))
            .maybe("require_plan", self.require_plan.as_deref());
        let accepted: Accepted = context.client()?.ask(&call).await?;
        self.wait.by_default(self.release.is_spring()).settle(context, "delete", accepted).await
    }

    /// Checks first and answers when it is done, as the path of Spring's clients has it.
    async fn with_package(&self, context: &Context) -> Done {
        let name = self.release.name();
        let deleted: Value = context.client()?.ask(&Call::delete(&["api", "release", name, "package"])).await?;
        if context.out.json {
            return context.out.json(&deleted);
        }
        context.out.line(&follow::sentence("delete", name, None))
    }

    pub(super) async fn plan(self, context: &Context) -> Done {
        let request = PlanRequest {
            verb: "delete".into(),
            name: self.release.name().into(),
            purge: self.purge,
            ..PlanRequest::default()
        };
        plan::show(context, &request).await
    }
}
