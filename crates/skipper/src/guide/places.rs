use serde_json::{Map, Value};

use super::{
    Table, print,
    wire::{Page, text},
};
use crate::{client::Call, cmd::Context, failure::Done};

/// Most resources that are asked for.
const MOST: u64 = 1000;

/// The repositories.
pub(crate) async fn repositories(context: &Context) -> Done {
    let page: Page = context.client()?.ask(&Call::get(&["api", "repositories"]).query("size", MOST)).await?;
    let mut table = Table::new(["Name", "URL", "Local", "Order"]);
    // In the guide's order: what is built in comes first, and last where numbers decide.
    let (mut all, others): (Vec<_>, Vec<_>) = page
        .items()
        .into_iter()
        .partition(|repository| text(repository, "name") == skipper_source::builtin::REPOSITORY);
    all.extend(others);
    for repository in all {
        table.row(["name", "url", "local", "repoOrder"].map(|key| text(&repository, key)));
    }
    print(context, &[table])
}

/// The platforms.
pub(crate) async fn platforms(context: &Context) -> Done {
    let page: Page = context.client()?.ask(&Call::get(&["api", "deployers"]).query("size", MOST)).await?;
    let mut table = Table::new(["Name", "Type", "Description"]);
    for platform in page.items() {
        table.row(["name", "type", "description"].map(|key| text(&platform, key)));
    }
    print(context, &[table])
}

/// What the server is: `Skipper v1.2.3`.
pub(crate) async fn about(context: &Context) -> Done {
    let about: Map<String, Value> = context.client()?.ask(&Call::get(&["api", "about"])).await?;
    if context.out.json {
        return context.out.json(&about);
    }
    context.out.line(&format!("{} v{}", text(&about, "name"), text(&about, "version")))
}
