use std::collections::BTreeMap;

use serde_json::{Map, Value};
use skipper_server::api::own::wire::PackagePage;

use super::{
    Table, print,
    wire::{Page, text},
};
use crate::{
    client::Call,
    cmd::Context,
    failure::{Done, Failure},
};

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
        let digests = digests(context, name).await?;
        let tables: Vec<Table> = packages.iter().map(|package| fields(package, &digests)).collect();
        return print(context, &tables);
    }
    let mut table = Table::new(["Name", "Version", "Description"]);
    for package in &packages {
        table.row(["name", "version", "description"].map(|key| text(package, key)));
    }
    print(context, &[table])
}

async fn all(context: &Context) -> Result<Vec<Map<String, Value>>, Failure> {
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

/// The digests of archives that the server has, by the packages' numbers; `/api` shows none but those that authors declare.
async fn digests(context: &Context, name: Option<&str>) -> Result<BTreeMap<i64, String>, Failure> {
    let (mut all, mut after) = (BTreeMap::new(), None::<String>);
    loop {
        let call = Call::get(&["v1", "packages"]).query("limit", PAGE);
        let call = call.maybe("name", name.filter(|name| !name.is_empty())).maybe("after", after.as_deref());
        let page: PackagePage = context.client()?.ask(&call).await?;
        all.extend(page.items.into_iter().filter_map(|package| Some((package.id, package.sha256?))));
        after = page.next;
        if after.is_none() {
            return Ok(all);
        }
    }
}

/// The number at the end of an item's own link.
fn number(package: &Map<String, Value>) -> Option<i64> {
    package.get("_links")?.pointer("/self/href")?.as_str()?.rsplit('/').next()?.parse().ok()
}

/// Everything that is known of a package.
fn fields(package: &Map<String, Value>, digests: &BTreeMap<i64, String>) -> Table {
    let mut table = Table::new(["Name", "Value"]);
    for key in package.keys().filter(|key| !matches!(key.as_str(), "_links" | "id")) {
        let said = text(package, key);
        let ours = || number(package).and_then(|number| digests.get(&number)).cloned();
        let known = if key == "sha256" && said.is_empty() { ours() } else { None };
        table.row([key.clone(), known.unwrap_or(said)]);
    }
    table
}
