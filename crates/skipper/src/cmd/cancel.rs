use skipper_server::api::own::wire::Accepted;

use super::{Context, follow::WaitArgs, release_arg::ReleaseArg};
use crate::{
    client::Call,
    failure::{Done, Failure},
    render::tame,
};

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
        let asked = context.client()?.ask(&call).await;
        if context.out.guide && !context.out.json {
            let name = tame(self.release.name());
            return match asked {
                Ok(Accepted { .. }) => context.out.line(&format!("Cancel request for release {name} sent")),
                Err(failure) => Err(Failure {
                    message: format!("Cancel request for release {name} not accepted\n{failure}"),
                    ..failure
                }),
            };
        }
        let accepted: Accepted = asked?;
        self.wait.settle_cancel(context, accepted).await
    }
}
