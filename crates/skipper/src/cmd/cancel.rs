use skipper_server::api::own::wire::Accepted;

use super::{Context, follow::WaitArgs, release_arg::ReleaseArg};
use crate::{client::Call, failure::Done};

/// Arguments of `cancel`.
#[derive(Debug, clap::Args)]
#[command(after_help = "What the rollout did is undone; the revision before it serves all the time.")]
pub(crate) struct Cancel {
    #[command(flatten)]
    release: ReleaseArg,
    #[command(flatten)]
    wait: WaitArgs,
}

impl Cancel {
    pub(super) async fn run(self, context: &Context) -> Done {
        let call = Call::post(&["v1", "releases", self.release.name(), "cancel"]);
        let accepted: Accepted = context.client()?.ask(&call).await?;
        self.wait.settle_cancel(context, accepted).await
    }
}
