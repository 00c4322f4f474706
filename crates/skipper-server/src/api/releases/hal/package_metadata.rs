//! `/api/packageMetadata`: the packages of all repositories. They are published by `upload` and never change, so there is
//! nothing here that adds one or replaces it; one that nothing uses can be removed.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use skipper_store::{PackageMatch, PackageOrder};

use super::{
    context::{Context, Item, bare},
    link::Links,
    number::{meant, shown},
    page::{self, Key, Order, Wanted},
};
use crate::{
    api::{
        extract::Path,
        releases::wire::{PackageMetadata, Place, Summary},
    },
    app::App,
    error::{Code, Error},
    verb::{self, Caller, packages::Entry},
};

/// Most packages that are sorted by a field that the store does not sort by.
const SORTED: u64 = 10_000;

/// A page of all packages.
pub(super) async fn list(State(app): State<App>, caller: Caller, context: Context) -> Result<Response, Error> {
    let wanted = context.page();
    let sort: Vec<Order> = wanted.sort.iter().filter(|order| is_field(&order.field)).cloned().collect();
    let places = Places::read(&app, &caller).await?;
    let (entries, total) = match stored_order(&sort) {
        Some(order) => {
            verb::catalog::page(&app, &caller, order, shows_built_in(&context), wanted.size, wanted.offset()).await?
        }
        None => sorted(&app, &caller, &context, &places, &Wanted { sort, ..wanted.clone() }).await?,
    };
    let items = entries.iter().map(|entry| item(&context, &places, entry)).collect();
    context.collection("packageMetadata", items, &wanted, total)
}

/// One package.
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    context: Context,
) -> Result<Response, Error> {
    let found = numbered(&app, &caller, &id).await?;
    one(&app, &caller, &context, found).await
}

/// Removes a package.
pub(super) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    context: Context,
) -> Result<Response, Error> {
    let Some(entry) = numbered(&app, &caller, &id).await? else { return Ok(bare(StatusCode::NOT_FOUND)) };
    if !context.still_means(&version(&entry)) {
        return Ok(bare(StatusCode::PRECONDITION_FAILED));
    }
    let (repository, name) = (entry.repository.as_str(), entry.name.as_str());
    verb::packages::remove(&app, &caller, repository, name, &entry.version).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// All versions of a name.
pub(super) async fn find_by_name(State(app): State<App>, caller: Caller, context: Context) -> Result<Response, Error> {
    let name = context.parameter("name").unwrap_or_default();
    let entries = verb::catalog::find(&app, &caller, PackageMatch::Named(name)).await?;
    found(&app, &caller, &context, entries.iter()).await
}

/// Those whose name holds a text, in any case.
pub(super) async fn find_containing(
    State(app): State<App>,
    caller: Caller,
    context: Context,
) -> Result<Response, Error> {
    let text = context.required("name")?;
    let entries = verb::catalog::find(&app, &caller, PackageMatch::Containing(text)).await?;
    found(&app, &caller, &context, entries.iter()).await
}

/// One version of a name, of every repository.
pub(super) async fn find_version(State(app): State<App>, caller: Caller, context: Context) -> Result<Response, Error> {
    let name = context.parameter("name").unwrap_or_default();
    let version = context.parameter("version").unwrap_or_default();
    let entries = verb::catalog::find(&app, &caller, PackageMatch::Version(name, version)).await?;
    let mut entries: Vec<&Entry> = entries.iter().collect();
    entries.sort_by_key(|entry| {
        std::cmp::Reverse(PackageMetadata::of(&entry.metadata, None, context.generation()).api_version)
    });
    found(&app, &caller, &context, entries.into_iter()).await
}

/// The newest version of a name.
pub(super) async fn find_newest(State(app): State<App>, caller: Caller, context: Context) -> Result<Response, Error> {
    let name = context.parameter("name").unwrap_or_default();
    let newest = verb::packages::newest(&app, &caller, name).await?;
    one(&app, &caller, &context, newest).await
}

/// Whether what is built in is in lists of everything: there 2.x has no packages but those that people bring. Who looks for
/// a name finds it in either generation.
fn shows_built_in(context: &Context) -> bool {
    !context.is_v2()
}

async fn numbered(app: &App, caller: &Caller, id: &str) -> Result<Option<Entry>, Error> {
    match meant(id) {
        Some(num) => verb::catalog::by_number(app, caller, num).await,
        None => Ok(None),
    }
}

async fn one(app: &App, caller: &Caller, context: &Context, found: Option<Entry>) -> Result<Response, Error> {
    let places = Places::read(app, caller).await?;
    let version = found.as_ref().map(version);
    context.item(version.as_deref(), found.map(|entry| item(context, &places, &entry)))
}

async fn found(
    app: &App,
    caller: &Caller,
    context: &Context,
    entries: impl Iterator<Item = &Entry>,
) -> Result<Response, Error> {
    let named = context.parameter("name").is_some_and(|name| !name.is_empty());
    let places = Places::read(app, caller).await?;
    let shown = entries.filter(|entry| entry.num >= 0 || named || shows_built_in(context));
    context.found("packageMetadata", shown.map(|entry| item(context, &places, entry)).collect())
}

/// What was never changed has version 0 there, and 1 in the store.
fn version(entry: &Entry) -> String {
    entry.row_version.saturating_sub(1).to_string()
}

/// A package, or the short form of it.
#[derive(Debug, serde::Serialize)]
#[serde(untagged)]
enum Shown {
    Whole(Box<PackageMetadata>),
    Summary(Summary),
}

fn item(context: &Context, places: &Places, entry: &Entry) -> Item<Shown> {
    let id = shown(entry.num);
    let whole = PackageMetadata::of(&entry.metadata, Some(&places.of(entry)), context.generation());
    let fields = match context.parameter("projection") {
        Some("summary") => Shown::Summary(Summary::of(id, whole)),
        _ => Shown::Whole(Box::new(whole)),
    };
    let install = if context.is_v2() { "/api/package/install" } else { "/api/install" };
    let links = Links::default()
        .with("self", context.link(&format!("/api/packageMetadata/{id}")))
        .with("packageMetadata", context.link(&format!("/api/packageMetadata/{id}{{?projection}}")))
        .with("install", context.link(&format!("{install}/{id}")));
    Item { fields, links }
}

/// Numbers of repositories.
struct Places(Arc<HashMap<String, i64>>);

impl Places {
    async fn read(app: &App, caller: &Caller) -> Result<Self, Error> {
        Ok(Self(verb::catalog::repositories(app, caller).await?))
    }

    fn of(&self, entry: &Entry) -> Place {
        let name = entry.repository.to_string();
        Place { id: shown(self.0.get(&name).copied().unwrap_or(-1)), name }
    }
}

/// The order of the store that is meant, where it has it.
fn stored_order(sort: &[Order]) -> Option<PackageOrder> {
    match sort {
        [] => Some(PackageOrder::Added),
        [one] if one.field == "name" => Some(PackageOrder::Name { descending: one.descending }),
        [one] if one.field == "version" => Some(PackageOrder::Version { descending: one.descending }),
        _ => None,
    }
}

/// A page of all packages in an order that the store does not have.
async fn sorted(
    app: &App,
    caller: &Caller,
    context: &Context,
    places: &Places,
    wanted: &Wanted,
) -> Result<(Vec<Entry>, u64), Error> {
    let mut all = Vec::new();
    loop {
        let (more, total) =
            verb::catalog::page(app, caller, PackageOrder::Added, shows_built_in(context), 1000, all.len() as u64)
                .await?;
        if total > SORTED {
            let fields: Vec<&str> = wanted.sort.iter().map(|order| order.field.as_str()).collect();
            let what =
                format!("{total} packages cannot be sorted by {}: that works for {SORTED}", fields.join(" and "));
            return Err(Error::new(Code::Invalid, what).hint("sort by `name` or by `version` alone"));
        }
        if more.is_empty() {
            break;
        }
        all.extend(more);
    }
    let mut all: Vec<(PackageMetadata, Entry)> = all
        .into_iter()
        .map(|entry| (PackageMetadata::of(&entry.metadata, Some(&places.of(&entry)), context.generation()), entry))
        .collect();
    page::sort(&mut all, &wanted.sort, |(metadata, entry), field| key(metadata, entry, field));
    let total = all.len() as u64;
    Ok((page::slice(all, wanted).map(|(_, entry)| entry).collect(), total))
}

/// Whether packages can be sorted by it; anything else is passed over.
fn is_field(name: &str) -> bool {
    name == "id" || super::resource::PACKAGE_METADATA.fields.iter().any(|field| field.name == name)
}

fn key(metadata: &PackageMetadata, entry: &Entry, field: &str) -> Option<Key> {
    let text = |value: &Option<String>| Some(value.as_deref().into());
    match field {
        "id" => Some(shown(entry.num).into()),
        "repositoryId" => Some(metadata.repository_id.unwrap_or_default().into()),
        "repositoryName" => Some(Key::Text(entry.repository.to_string())),
        "name" => Some(Key::Text(metadata.name.clone())),
        "version" => Some(Key::Text(skipper_source::version::maven_key(&metadata.version))),
        "kind" => text(&metadata.kind),
        "apiVersion" => text(&metadata.api_version),
        "displayName" => text(&metadata.display_name.clone().flatten()),
        "origin" => text(&metadata.origin),
        "packageSourceUrl" => text(&metadata.package_source_url),
        "packageHomeUrl" => text(&metadata.package_home_url),
        "tags" => text(&metadata.tags),
        "maintainer" => text(&metadata.maintainer),
        "description" => text(&metadata.description),
        "sha256" => text(&metadata.sha256),
        "iconUrl" => text(&metadata.icon_url),
        _ => None,
    }
}
