use skipper_server::api::own::wire::PlatformList;

use super::Context;
use crate::{client::Call, failure::Done, guide, render::Table};

/// Arguments of `platform`.
#[derive(Debug, clap::Args)]
pub(crate) struct Platform {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// By name
    #[command(visible_alias = "ls")]
    List,
}

impl Platform {
    pub(super) async fn run(self, context: &Context) -> Done {
        let Verb::List = self.verb;
        if context.out.guide && !context.out.json {
            return guide::platforms(context).await;
        }
        let list: PlatformList = context.client()?.ask(&Call::get(&["v1", "platforms"])).await?;
        if context.out.json {
            return context.out.json(&list);
        }
        let mut table = Table::new(["NAME", "TYPE", "DEFAULT", "STATE", "RUNS", "CAN", "ABOUT"]).states(3);
        for platform in list.items {
            table.row([
                platform.name,
                platform.kind,
                if platform.default { "yes" } else { "no" }.to_owned(),
                if platform.reachable { "ok" } else { "unknown" }.to_owned(),
                platform.schemes.join(" "),
                platform.capabilities.join(" "),
                platform.summary,
            ]);
        }
        context.out.table(&table, "no platform")
    }
}
