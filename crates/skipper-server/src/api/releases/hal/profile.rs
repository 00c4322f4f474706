//! `/api/profile`: what each resource is made of and what can be done with it, as ALPS or as a JSON Schema.

use axum::response::Response;
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::{
    context::{Context, bare},
    link::Links,
    resource::{RESOURCES, Resource},
};
use crate::{
    api::{extract::Path, releases::negotiate::Media},
    error::Error,
};

/// The profiles there are.
pub(super) async fn index(context: Context) -> Result<Response, Error> {
    let mut links = Links::default().with("self", context.link("/api/profile"));
    for resource in RESOURCES.iter().filter(|resource| resource.in_v2 || !context.is_v2()) {
        links = links.with(resource.rel, context.link(&format!("/api/profile/{}", resource.rel)));
    }
    context.links(links)
}

/// The profile of one resource; ALPS unless a schema is asked for.
pub(super) async fn get(mut context: Context, Path(rel): Path<String>) -> Result<Response, Error> {
    let Some(resource) = RESOURCES.iter().find(|resource| resource.rel == rel) else {
        return Ok(bare(StatusCode::NOT_FOUND));
    };
    let document = if context.accepted.media == Media::Schema {
        schema(resource, context.is_v2())
    } else {
        context.accepted.media = Media::Alps;
        alps(&context, resource)
    };
    context.answer(None, &Links::default(), &document)
}

fn alps(context: &Context, resource: &Resource) -> Value {
    let Resource { rel, item, .. } = resource;
    let id = format!("{item}-representation");
    let fields: Vec<Value> =
        resource.fields(context.is_v2()).map(|field| json!({"name": field.name, "type": "SEMANTIC"})).collect();
    let href = context.link(&format!("/api/profile/{rel}")).href;
    let mut all = vec![json!({"id": id, "href": href, "descriptor": fields})];
    let mut call = |verb: &str, name: &str, kind: &str, descriptor: Vec<Value>| {
        let rt = format!("#{id}");
        all.push(
            json!({"id": format!("{verb}-{name}"), "name": name, "type": kind, "descriptor": descriptor, "rt": rt}),
        );
    };
    if resource.on_collection.contains(&Method::POST) {
        call("create", rel, "UNSAFE", Vec::new());
    }
    let mut paging = vec![
        parameter("page", "The page to return."),
        parameter("size", "The size of the page to return."),
        parameter("sort", "The sorting criteria to use to calculate the content of the page."),
    ];
    if resource.projects {
        paging.push(projection(context, resource));
    }
    call("get", rel, "SAFE", paging);
    let projections = || if resource.projects { vec![projection(context, resource)] } else { Vec::new() };
    for (method, verb, kind) in [
        (Method::PUT, "update", "IDEMPOTENT"),
        (Method::PATCH, "patch", "UNSAFE"),
        (Method::DELETE, "delete", "IDEMPOTENT"),
    ] {
        if resource.on_item.contains(&method) {
            call(verb, item, kind, Vec::new());
        }
    }
    if rel != item {
        call("get", item, "SAFE", projections());
    }
    for search in resource.searches(context.is_v2()) {
        let parameters: Vec<Value> =
            search.parameters.iter().map(|name| json!({"name": name, "type": "SEMANTIC"})).collect();
        all.push(json!({"name": search.name, "type": "SAFE", "descriptor": parameters}));
    }
    json!({"alps": {"version": "1.0", "descriptor": all}})
}

fn parameter(name: &str, text: &str) -> Value {
    json!({"name": name, "type": "SEMANTIC", "doc": {"format": "TEXT", "value": text}})
}

fn projection(context: &Context, resource: &Resource) -> Value {
    let names: &[&str] = if context.is_v2() {
        &["name", "id", "version", "description", "iconUrl", "repositoryName"]
    } else {
        &["id", "name", "version", "iconUrl", "description"]
    };
    let fields: Vec<Value> = names.iter().map(|name| json!({"name": name, "type": "SEMANTIC"})).collect();
    json!({
        "name": "projection",
        "type": "SEMANTIC",
        "doc": {"format": "TEXT", "value": format!("The projection that shall be applied to {}.", resource.rel)},
        "descriptor": [{"name": "summary", "type": "SEMANTIC", "descriptor": fields}],
    })
}

fn schema(resource: &Resource, v2: bool) -> Value {
    let mut properties = Map::new();
    for field in resource.fields(v2) {
        let described = json!({"title": words(field.name), "readOnly": false, "type": field.kind});
        properties.insert(field.name.to_owned(), described);
    }
    json!({
        "title": resource.title,
        "properties": properties,
        "definitions": {},
        "type": "object",
        "$schema": "http://json-schema.org/draft-04/schema#",
    })
}

/// `sourceUrl` is `Source url`.
fn words(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 4);
    for (at, letter) in name.chars().enumerate() {
        if at == 0 {
            text.extend(letter.to_uppercase());
        } else if letter.is_uppercase() {
            text.push(' ');
            text.extend(letter.to_lowercase());
        } else {
            text.push(letter);
        }
    }
    text
}
