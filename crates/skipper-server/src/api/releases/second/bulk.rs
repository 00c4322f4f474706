//! Several releases at once.

use std::collections::BTreeMap;

use axum::{extract::State, response::Response};
use http::{StatusCode, Uri};
use skipper_core::name::ReleaseName;

use crate::{
    api::releases::{answer, asked::Asked, extract::Client, failure::Failure, wire::Info},
    app::App,
    error::Code,
    verb::{
        self,
        versions::{Look, Version},
    },
};

/// More releases than one address has room for.
const MOST: usize = 1000;

/// `GET /api/release/statuses?names=a,b`: those that are there.
pub(in crate::api::releases) async fn statuses(
    State(app): State<App>,
    client: Client,
    asked: Asked,
    uri: Uri,
) -> Result<Response, Failure> {
    let found = of(&app, &client, &uri).await?;
    let infos: Named<Info> =
        Named(found.iter().map(|(name, version)| (name.clone(), Info::of(asked.generation, version))).collect());
    answer::document(StatusCode::OK, asked.plain(), &infos)
}

/// `GET /api/release/states?names=a,b`: the state of each deployment, of those that are there.
pub(in crate::api::releases) async fn states(
    State(app): State<App>,
    client: Client,
    asked: Asked,
    uri: Uri,
) -> Result<Response, Failure> {
    let found = of(&app, &client, &uri).await?;
    let states = found.iter().map(|(name, version)| {
        let apps = version.apps.iter().flatten().map(|app| (app.id.clone(), app.state.as_str()));
        (name.clone(), apps.collect::<BTreeMap<String, &'static str>>())
    });
    answer::document(StatusCode::OK, asked.plain(), &Named(states.collect()))
}

/// A map in the order in which it was asked for.
struct Named<T>(Vec<(String, T)>);

impl<T: serde::Serialize> serde::Serialize for Named<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, item)| (name, item)))
    }
}

async fn of(app: &App, client: &Client, uri: &Uri) -> Result<Vec<(String, Version)>, Failure> {
    let query = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|_| Failure::argument("the query cannot be read"))?;
    let names = query.0.iter().filter(|(key, _)| key == "names").flat_map(|(_, names)| names.split(','));
    let mut wanted: Vec<&str> = Vec::new();
    for name in names.map(str::trim).filter(|name| !name.is_empty()) {
        if !wanted.contains(&name) {
            wanted.push(name);
        }
    }
    if !query.0.iter().any(|(key, _)| key == "names") {
        return Err(Failure::missing_parameter("names", "String[]"));
    }
    if wanted.len() > MOST {
        return Err(Failure::argument(format!("`names`: at most {MOST} releases at once")));
    }
    let mut found = Vec::with_capacity(wanted.len());
    for name in wanted {
        let Ok(release) = ReleaseName::new(name) else { continue };
        match verb::versions::one(app, &client.caller, &client.tenant, &release, None, Look::Alive).await {
            Ok(version) => found.push((name.to_owned(), version)),
            Err(error) if error.code() == Code::ReleaseNotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}
