//! `/api/repositories`: where packages come from.

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    context::{Context, Item, bare},
    link::Links,
    number::shown,
    page::{self, Key},
};
use crate::{
    api::{
        extract::Path,
        releases::{
            extract::Body,
            wire::{Repository, scalar},
        },
    },
    app::App,
    error::{Code, Error},
    verb::{
        self, Caller,
        repositories::{Listed, Said},
    },
};

/// A repository with its number and version.
struct Numbered {
    id: i64,
    version: u64,
    repository: Repository,
    /// Its address, where it has one; that of the repository says at least where this server serves it.
    url: Option<String>,
}

impl Numbered {
    /// What was never changed has version 0 there, and 1 in the store.
    fn tag(&self) -> String {
        self.version.saturating_sub(1).to_string()
    }
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
    all.sort_by_key(|one| std::cmp::Reverse(one.repository.repo_order.unwrap_or_default()));
    context.found("repositories", all.into_iter().map(|one| item(&context, one)).collect())
}

/// Adds one.
pub(super) async fn add(
    State(app): State<App>,
    caller: Caller,
    context: Context,
    Body(body): Body<Sent>,
) -> Result<Response, Error> {
    let added = verb::repositories::add(&app, &caller, body.said()).await?;
    let added = numbered(&context, added);
    let tag = added.tag();
    context.changed(StatusCode::CREATED, &tag, &item(&context, added))
}

/// Says everything about one anew; what is left out is nothing from then on.
pub(super) async fn replace(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    context: Context,
    Body(body): Body<Sent>,
) -> Result<Response, Error> {
    let Some(there) = meant_by(&app, &caller, &context, &id).await? else {
        return Ok(bare(StatusCode::NOT_FOUND));
    };
    change(&app, &caller, &context, there, body).await
}

/// Says something about one anew, by a merge patch.
pub(super) async fn patch(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    context: Context,
    Body(body): Body<Map<String, Value>>,
) -> Result<Response, Error> {
    let Some(there) = meant_by(&app, &caller, &context, &id).await? else {
        return Ok(bare(StatusCode::NOT_FOUND));
    };
    let mut patched = serde_json::to_value(&there.repository).map_err(Error::internal)?;
    for (key, value) in body {
        patched[key] = value;
    }
    let wrong = |cause| Error::new(Code::Invalid, format!("the repository cannot be changed like this: {cause}"));
    let patched = serde_json::from_value(patched).map_err(wrong)?;
    change(&app, &caller, &context, there, patched).await
}

/// Removes one with its packages.
pub(super) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    context: Context,
) -> Result<Response, Error> {
    let Some(there) = meant_by(&app, &caller, &context, &id).await? else {
        return Ok(bare(StatusCode::NOT_FOUND));
    };
    if !context.still_means(&there.tag()) {
        return Ok(bare(StatusCode::PRECONDITION_FAILED));
    }
    verb::repositories::remove(&app, &caller, &there.repository.name).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// What a client sends; what is missing is null, and what is not known is passed over.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Sent {
    #[serde(deserialize_with = "scalar::text")]
    name: Option<String>,
    #[serde(deserialize_with = "scalar::text")]
    url: Option<String>,
    #[serde(deserialize_with = "scalar::text")]
    source_url: Option<String>,
    #[serde(deserialize_with = "scalar::truth")]
    local: Option<bool>,
    #[serde(deserialize_with = "scalar::text")]
    description: Option<String>,
    #[serde(deserialize_with = "scalar::number")]
    repo_order: Option<i64>,
}

impl Sent {
    fn said(self) -> Said {
        Said {
            name: self.name.unwrap_or_default(),
            url: self.url,
            source_url: self.source_url,
            description: self.description,
            local: self.local.unwrap_or_default(),
            order: self.repo_order,
        }
    }
}

async fn meant_by(app: &App, caller: &Caller, context: &Context, id: &str) -> Result<Option<Numbered>, Error> {
    Ok(all(app, caller, context).await?.into_iter().find(|one| one.id.to_string() == id))
}

async fn change(app: &App, caller: &Caller, context: &Context, there: Numbered, sent: Sent) -> Result<Response, Error> {
    if !context.still_means(&there.tag()) {
        return Ok(bare(StatusCode::PRECONDITION_FAILED));
    }
    let is = &there.repository;
    if sent.name.as_ref() != Some(&is.name) || sent.local.unwrap_or_default() != is.local {
        let what = format!("name and kind of repository `{}` stay as they are", is.name);
        return Err(Error::new(Code::Conflict, what).hint("remove it, and add another one"));
    }
    let mut said = sent.said();
    // What stands for an address where there is none is no address.
    if said.url.as_ref() == Some(&is.url) {
        said.url = there.url;
    }
    let changed = numbered(context, verb::repositories::update(app, caller, said).await?);
    let tag = changed.tag();
    context.changed(StatusCode::OK, &tag, &item(context, changed))
}

fn one(context: &Context, found: Option<Numbered>) -> Result<Response, Error> {
    let tag = found.as_ref().map(Numbered::tag);
    context.item(tag.as_deref(), found.map(|one| item(context, one)))
}

fn item(context: &Context, one: Numbered) -> Item<Repository> {
    let own = context.link(&format!("/api/repositories/{}", one.id));
    Item { fields: one.repository, links: Links::default().with("self", own.clone()).with("repository", own) }
}

/// All of them, in the order in which they were added.
async fn all(app: &App, caller: &Caller, context: &Context) -> Result<Vec<Numbered>, Error> {
    let listed = verb::repositories::list(app, caller).await?;
    // 2.x has none but those that people bring.
    let shown = listed.into_iter().filter(|listed| listed.num >= 0 || !context.is_v2());
    let mut all: Vec<Numbered> = shown.map(|listed| numbered(context, listed)).collect();
    all.sort_by_key(|one| one.id);
    Ok(all)
}

fn numbered(context: &Context, listed: Listed) -> Numbered {
    let name = listed.name.to_string();
    // Where other servers read what is here.
    let here = || context.link(&format!("/v1/repositories/{name}")).href;
    Numbered {
        id: shown(listed.num),
        version: listed.row_version,
        repository: Repository {
            url: listed.url.clone().unwrap_or_else(here),
            name,
            source_url: listed.source_url,
            local: listed.writable,
            description: Some(listed.description).filter(|text| !text.is_empty()),
            repo_order: listed.order,
        },
        url: listed.url,
    }
}
