//! Takes over what another system knew.

mod api;
mod origin;
mod report;
mod spring;

use clap::Subcommand;

use super::Context;
use crate::failure::Done;

/// Arguments of `import`.
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Repositories, packages and the history of releases of a Spring Cloud Skipper server
    SpringSkipper(spring::SpringSkipper),
}

impl Import {
    pub(super) async fn run(self, context: &Context) -> Done {
        let What::SpringSkipper(spring) = self.what;
        spring.run(context).await
    }
}
