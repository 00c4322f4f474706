use serde_json::{Map, Value};

use super::{
    Table, print,
    wire::{Page, text},
};
use crate::{client::Call, cmd::Context, failure::Done};

/// Packages asked for at once: the most that a server gives.
const PAGE: u64 = 1000;

/// The packages, or those whose name holds that text.
pub(crate) async fn search(context: &Context, name: Option<&str>, details: bool) -> Done {
    let packages = match name.filter(|name| !name.is_empty()) {
        Some(name) => {
            let path = ["api", "packageMetadata", "search", "findByNameContainingIgnoreCase"];
            let page: Page = context.client()?.ask(&Call::get(&path).query("size", PAGE).query("name", name)).await?;
            page.items()
        }
        None => all(context).await?,
    };
    if details {
        let tables: Vec<Table> = packages.iter().map(fields).collect();
        return print(context, &tables);
    }
    let mut table = Table::new(["Name", "Version", "Description"]);
    for package in &packages {
        table.row(["name", "version", "description"].map(|key| text(package, key)));
    }
    print(context, &[table])
}

async fn all(context: &Context) -> Result<Vec<Map<String, Value>>, crate::failure::Failure> {
    let (mut packages, mut number) = (Vec::new(), 0);
    loop {
        let call =
            Call::get(&["api", "packageMetadata"]).query("size", PAGE).query("sort", "name,asc").query("page", number);
        let page: Page = context.client()?.ask(&call).await?;
        let pages = page.pages();
        packages.extend(page.items());
        number += 1;
        if number >= pages {
            return Ok(packages);
        }
    }
}

/// Everything that is known of a package.
fn fields(package: &Map<String, Value>) -> Table {
    let mut table = Table::new(["Name", "Value"]);
    for key in package.keys().filter(|key| !matches!(key.as_str(), "_links" | "id")) {
        table.row([key.clone(), text(package, key)]);
    }
    table
}
