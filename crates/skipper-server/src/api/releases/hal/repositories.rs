//! `/api/repositories`: where packages come from.

use axum::{extract::State, response::Response};

use super::{
    context::{Context, Item},
    link::Links,
    number::shown,
    page::{self, Key},
};
use crate::{
    api::{extract::Path, releases::wire::Repository},
    app::App,
    error::Error,
    verb::{self, Caller},
};

/// A repository with its number and version.
struct Numbered {
    id: i64,
    version: u64,
    repository: Repository,
}

/// All of them, in the order in which they were added.
pub(super) async fn list(State(app): State<App>, caller: Caller, context: Context) -> Result<Response, Error> {
    let mut all = all(&app, &caller, &context).await?;
    let wanted = context.page();
    page::sort(&mut all, &wanted.sort, |one, field| {
        let Repository { name, url, source_url, local, description, repo_order } = &one.repository;
        Some(match field {
            "id" => Key::Number(one.id),
            "name" => Key::Text(name.clone()),
            "url" => Key::Text(url.clone()),
            "sourceUrl" => source_url.as_deref().into(),
            "local" => Key::Number(i64::from(*local)),
            "description" => description.as_deref().into(),
            "repoOrder" => repo_order.map_or(Key::Absent, Key::Number),
            _ => return None,
        })
    });
    let total = all.len() as u64;
    let items = page::slice(all, &wanted).map(|one| item(&context, one)).collect();
    context.collection("repositories", items, &wanted, total)
}

/// One of them.
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    context: Context,
) -> Result<Response, Error> {
    let found = all(&app, &caller, &context).await?.into_iter().find(|one| one.id.to_string() == id);
    one(&context, found)
}

/// That of a name.
pub(super) async fn find_by_name(State(app): State<App>, caller: Caller, context: Context) -> Result<Response, Error> {
    let name = context.parameter("name").unwrap_or_default();
    let found = all(&app, &caller, &context).await?.into_iter().find(|one| one.repository.name == name);
    one(&context, found)
}

/// All of them, in the order in which they are searched.
pub(super) async fn by_order(State(app): State<App>, caller: Caller, context: Context) -> Result<Response, Error> {
    let mut all = all(&app, &caller, &context).await?;
    all.sort_by_key(|one| std::cmp::Reverse(one.repository.repo_order));
    context.found("repositories", all.into_iter().map(|one| item(&context, one)).collect())
}

fn one(context: &Context, found: Option<Numbered>) -> Result<Response, Error> {
    // What was never changed has version 0 there, and 1 in the store.
    let version = found.as_ref().map(|one| one.version.saturating_sub(1).to_string());
    context.item(version.as_deref(), found.map(|one| item(context, one)))
}

fn item(context: &Context, one: Numbered) -> Item<Repository> {
    let own = context.link(&format!("/api/repositories/{}", one.id));
    Item { fields: one.repository, links: Links::default().with("self", own.clone()).with("repository", own) }
}

async fn all(app: &App, caller: &Caller, context: &Context) -> Result<Vec<Numbered>, Error> {
    let listed = verb::repositories::list(app, caller).await?;
    let mut all: Vec<Numbered> = listed
        .into_iter()
        // 2.x has none but those that people bring.
        .filter(|listed| listed.num >= 0 || !context.is_v2())
        .map(|listed| Numbered {
            id: shown(listed.num),
            version: listed.row_version,
            repository: Repository {
                name: listed.name.to_string(),
                url: listed.url.unwrap_or_else(|| context.link("").href),
                source_url: listed.source_url,
                local: listed.writable,
                description: Some(listed.description).filter(|text| !text.is_empty()),
                repo_order: Some(listed.order),
            },
        })
        .collect();
    all.sort_by_key(|one| one.id);
    Ok(all)
}
