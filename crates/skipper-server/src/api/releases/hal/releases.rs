//! `/api/releases`: every version of every release.

use axum::{extract::State, response::Response};
use serde_json::Value;
use skipper_core::{Sha256, name::ReleaseName};
use skipper_store::{VersionFilter, VersionOrder};

use super::{
    context::{Context, Item},
    link::Links,
    number::meant,
    page::{self, Key, Order, Wanted},
};
use crate::{
    api::{
        extract::Path,
        releases::{answer, extract::Client, negotiate::Generation, wire::Release},
    },
    app::App,
    error::{Code, Error},
    verb::versions::{self, Look, Version},
};

/// Most that a search finds.
const FOUND: u32 = 1000;
/// Most versions that are sorted by a field that the store does not sort by.
const SORTED: u64 = 2000;

/// A page of them, in the order in which they were asked for.
pub(super) async fn list(State(app): State<App>, client: Client, context: Context) -> Result<Response, Error> {
    let wanted = context.page();
    let sort: Vec<Order> = wanted.sort.iter().filter(|order| is_field(&order.field)).cloned().collect();
    let total = versions::count(&app, &client.caller, &client.tenant).await?;
    let found = match stored_order(&sort) {
        Some(order) => {
            let filter = VersionFilter::Page(order, wanted.size, wanted.offset());
            versions::list(&app, &client.caller, &client.tenant, filter, Look::Alive).await?
        }
        None => sorted(&app, &client, total, &Wanted { sort, ..wanted.clone() }).await?,
    };
    let items = found.iter().map(|version| item(&app, &context, version)).collect();
    context.collection("releases", items, &wanted, total)
}

/// One of them.
pub(super) async fn get(
    State(app): State<App>,
    client: Client,
    Path(id): Path<String>,
    context: Context,
) -> Result<Response, Error> {
    let found = match meant(&id) {
        Some(num) => {
            versions::list(&app, &client.caller, &client.tenant, VersionFilter::Num(num), Look::Alive).await?.pop()
        }
        None => None,
    };
    one(&app, &context, found)
}

/// Those of a name, the newest first.
pub(super) async fn find_by_name(State(app): State<App>, client: Client, context: Context) -> Result<Response, Error> {
    let found = history(&app, &client, &context).await?;
    several(&app, &context, &found)
}

/// Those of a name between two versions, the newest first.
pub(super) async fn find_between(State(app): State<App>, client: Client, context: Context) -> Result<Response, Error> {
    let number = |name: &str| {
        let given = context.required(name)?;
        given.parse::<i64>().map_err(|_| Error::new(Code::Invalid, format!("`{name}` must be a number")))
    };
    let (from, to) = (number("from")?, number("to")?);
    let mut found = history(&app, &client, &context).await?;
    found.retain(|version| i64::try_from(version.stored.version).is_ok_and(|number| (from..=to).contains(&number)));
    several(&app, &context, &found)
}

/// The newest of a name.
pub(super) async fn find_newest(State(app): State<App>, client: Client, context: Context) -> Result<Response, Error> {
    let found = match ReleaseName::new(context.parameter("name").unwrap_or_default()) {
        Ok(name) => {
            versions::list(&app, &client.caller, &client.tenant, VersionFilter::Newest(&name), Look::Alive).await?.pop()
        }
        Err(_) => None,
    };
    one(&app, &context, found)
}

/// Those whose name holds a text, by name, the newest first.
pub(super) async fn find_named(State(app): State<App>, client: Client, context: Context) -> Result<Response, Error> {
    let found = named(&app, &client, &context).await?;
    several(&app, &context, &found)
}

/// The same in the order in which they were asked for.
pub(super) async fn find_containing(
    State(app): State<App>,
    client: Client,
    context: Context,
) -> Result<Response, Error> {
    let mut found = named(&app, &client, &context).await?;
    found.sort_by_key(|version| version.stored.num);
    several(&app, &context, &found)
}

async fn named(app: &App, client: &Client, context: &Context) -> Result<Vec<Version>, Error> {
    let filter = VersionFilter::Named(context.required("name")?, FOUND);
    versions::list(app, &client.caller, &client.tenant, filter, Look::Alive).await
}

async fn history(app: &App, client: &Client, context: &Context) -> Result<Vec<Version>, Error> {
    // What cannot be a name is the name of none.
    let Ok(name) = ReleaseName::new(context.parameter("name").unwrap_or_default()) else { return Ok(Vec::new()) };
    versions::list(app, &client.caller, &client.tenant, VersionFilter::History(&name, FOUND), Look::Alive).await
}

fn several(app: &App, context: &Context, found: &[Version]) -> Result<Response, Error> {
    context.found("releases", found.iter().map(|version| item(app, context, version)).collect())
}

fn one(app: &App, context: &Context, found: Option<Version>) -> Result<Response, Error> {
    let Some(version) = found else { return context.item::<Release>(None, None) };
    let item = item(app, context, &version);
    let mut tag = version.stored.row_version.saturating_sub(1).to_string();
    if version.apps.is_some() {
        // What its platform says of it changes without the row.
        let text = serde_json::to_vec(&item.fields).map_err(Error::internal)?;
        tag = format!("{tag}-{}", Sha256::of(&text).short());
    }
    context.item(Some(&tag), Some(item))
}

fn item(app: &App, context: &Context, version: &Version) -> Item<Release> {
    let own = context.link(&format!("/api/releases/{}", version.stored.num));
    let fields = Release::of(context.generation(), answer::platform(app, &version.platform), version);
    Item { fields, links: Links::default().with("self", own.clone()).with("release", own) }
}

/// The order of the store that is meant, where it has it.
fn stored_order(sort: &[Order]) -> Option<VersionOrder> {
    match sort {
        [] => Some(VersionOrder::Asked),
        [one] if one.field == "name" => Some(VersionOrder::Name { descending: one.descending }),
        [one] if one.field == "version" => Some(VersionOrder::Version { descending: one.descending }),
        _ => None,
    }
}

/// Whether versions can be sorted by it; anything else is passed over.
fn is_field(name: &str) -> bool {
    matches!(name, "id" | "name" | "version" | "platformName" | "manifest" | "configValues.raw")
        || name.starts_with("info.")
        || name.starts_with("pkg.metadata.")
}

/// A page of them in an order that the store does not have.
async fn sorted(app: &App, client: &Client, total: u64, wanted: &Wanted) -> Result<Vec<Version>, Error> {
    if total > SORTED {
        let what = format!("{total} versions cannot be sorted like this: that works for {SORTED}");
        return Err(Error::new(Code::Invalid, what).hint("sort by `name` or by `version` alone"));
    }
    let mut all = Vec::new();
    loop {
        let filter = VersionFilter::Page(VersionOrder::Asked, FOUND, all.len() as u64);
        let more = versions::list(app, &client.caller, &client.tenant, filter, Look::Never).await?;
        if more.is_empty() || all.len() as u64 > SORTED {
            break;
        }
        all.extend(more);
    }
    let mut keyed: Vec<(Value, i64)> = all.iter().map(|version| (plain(app, version), version.stored.num)).collect();
    page::sort(&mut keyed, &wanted.sort, |(value, num), field| match field {
        "id" => Some(Key::Number(*num)),
        path => value.pointer(&format!("/{}", path.replace('.', "/"))).map(key),
    });
    let mut found = Vec::new();
    for (_, num) in page::slice(keyed, wanted) {
        let filter = VersionFilter::Num(num);
        found.extend(versions::list(app, &client.caller, &client.tenant, filter, Look::Alive).await?);
    }
    Ok(found)
}

/// A version as it is shown, to be looked into.
fn plain(app: &App, version: &Version) -> Value {
    let release = Release::of(Generation::M1, answer::platform(app, &version.platform), version);
    serde_json::to_value(release).unwrap_or_default()
}

fn key(value: &Value) -> Key {
    match value {
        Value::Null => Key::Absent,
        Value::Number(number) => Key::Number(number.as_i64().unwrap_or_default()),
        Value::String(text) => Key::Text(text.clone()),
        other => Key::Text(other.to_string()),
    }
}
