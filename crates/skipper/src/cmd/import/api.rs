//! An original server's API, of either generation. Packages that only its database has are made anew from what it keeps
//! with each release.

use serde_json::{Map, Value};
use skipper_source::original::{Original, Package, Release, Repository, Status, micros};

use crate::{
    client::{Call, Client},
    failure::{Exit, Failure},
    targets::Target,
};

/// Rows of a page: the original gives at most a thousand.
const PAGE: usize = 1000;
/// Most pages that are read.
const MAX_PAGES: usize = 1000;

/// Reads all of it.
pub(super) async fn read(url: &str) -> Result<Original, Failure> {
    let base = url.trim_end_matches('/').trim_end_matches("/api");
    let client = Client::new(Target::at(base))?;
    let mut original = Original {
        repositories: all(&client, "repositories").await?.iter().filter_map(repository).collect(),
        ..Original::default()
    };
    let packages = all(&client, "packageMetadata").await?;
    original.packages = packages.iter().filter_map(|row| package(row, &original.repositories)).collect();
    for row in all(&client, "releases").await? {
        match release(&row) {
            Some(release) => original.releases.push(release),
            None => original.warnings.push("a release without name or version was left out".to_owned()),
        }
    }
    original.sort();
    Ok(original)
}

/// Every item of a resource, page by page.
async fn all(client: &Client, resource: &str) -> Result<Vec<Map<String, Value>>, Failure> {
    let mut items = Vec::new();
    for page in 0..MAX_PAGES {
        let call = Call::get(&["api", resource]).query("size", PAGE).query("page", page);
        let answer: Value = client.ask(&call).await.map_err(|failure| match failure.exit {
            // What lets in here would not help there.
            Exit::Auth => Failure::new(Exit::Auth, format!("the original server at {} asks for a login", client.url()))
                .hint("write it into the address: --from http://NAME:PASSWORD@HOST:7577"),
            _ => failure,
        })?;
        let embedded = answer.get("_embedded").and_then(|embedded| embedded.get(resource)).and_then(Value::as_array);
        items.extend(embedded.into_iter().flatten().filter_map(Value::as_object).cloned());
        let pages = answer.pointer("/page/totalPages").and_then(Value::as_u64).unwrap_or(1);
        if page as u64 + 1 >= pages {
            break;
        }
    }
    Ok(items)
}

fn text(row: &Map<String, Value>, key: &str) -> Option<String> {
    row.get(key)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The number at the end of the item's own link.
fn id(row: &Map<String, Value>) -> Option<i64> {
    let link = row.get("_links")?.get("self")?.get("href")?.as_str()?;
    link.rsplit('/').next()?.parse().ok()
}

fn repository(row: &Map<String, Value>) -> Option<Repository> {
    Some(Repository {
        id: id(row)?,
        name: text(row, "name")?,
        url: text(row, "url").unwrap_or_default(),
        source_url: text(row, "sourceUrl"),
        local: row.get("local").and_then(Value::as_bool).unwrap_or(false),
        description: text(row, "description"),
        order: row.get("repoOrder").and_then(Value::as_i64).unwrap_or(0),
    })
}

fn package(row: &Map<String, Value>, repositories: &[Repository]) -> Option<Package> {
    let number = row.get("repositoryId").and_then(Value::as_i64);
    let repository = repositories.iter().find(|repository| Some(repository.id) == number);
    Some(Package {
        name: text(row, "name")?,
        version: text(row, "version")?,
        local: repository.is_none_or(|repository| repository.local),
        repository: repository.map_or_else(|| "local".to_owned(), |repository| repository.name.clone()),
        bytes: None,
    })
}

fn release(row: &Map<String, Value>) -> Option<Release> {
    let info = row.get("info").and_then(Value::as_object);
    let status = info.and_then(|info| info.get("status")?.get("statusCode")?.as_str()).unwrap_or_default();
    let deployed = info.and_then(|info| info.get("lastDeployed"));
    let deployed_at = match deployed {
        Some(Value::Number(millis)) => millis.as_i64().map(|millis| millis.saturating_mul(1000)),
        Some(Value::String(text)) => micros(text),
        _ => None,
    };
    let manifest = match row.get("manifest") {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Object(object)) => object.get("data").and_then(Value::as_str).map(str::to_owned),
        _ => None,
    };
    Some(Release {
        name: text(row, "name")?,
        version: row.get("version")?.as_u64()?,
        status: Status::of(status),
        description: info.and_then(|info| text(info, "description")),
        deployed_at,
        platform: text(row, "platformName"),
        manifest,
        values: row.get("configValues").and_then(Value::as_object).and_then(|values| text(values, "raw")),
        package: row.get("pkg").and_then(Value::as_object).cloned().unwrap_or_default(),
    })
}
