use skipper_server::api::own::wire::RepositoryList;

use super::Context;
use crate::{client::Call, failure::Done, guide, render::Table};

/// Arguments of `repo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Repo {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// In the order they are searched
    #[command(visible_alias = "ls")]
    List,
}

impl Repo {
    pub(super) async fn run(self, context: &Context) -> Done {
        let Verb::List = self.verb;
        if context.out.guide && !context.out.json {
            return guide::repositories(context).await;
        }
        let list: RepositoryList = context.client()?.ask(&Call::get(&["v1", "repositories"])).await?;
        if context.out.json {
            return context.out.json(&list);
        }
        let mut table = Table::new(["NAME", "ORDER", "UPLOADS", "DESCRIPTION"]).right([1]);
        for repository in list.items {
            let uploads = if repository.writable { "yes" } else { "no" };
            table.row([repository.name, repository.order.to_string(), uploads.to_owned(), repository.description]);
        }
        context.out.table(&table, "no repository")
    }
}
