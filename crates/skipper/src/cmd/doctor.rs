use super::Context;
use crate::failure::Done;

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {}

impl Doctor {
    pub(super) async fn run(self, context: &Context) -> Done {
        context.out.line("not yet")
    }
}
