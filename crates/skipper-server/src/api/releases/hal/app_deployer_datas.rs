//! `/api/appDeployerDatas`: which deployments each version of a release has. Nothing is stored for it: it is told from the
//! versions themselves.

use axum::{extract::State, response::Response};
use serde_json::{Map, Value};
use skipper_core::name::ReleaseName;
use skipper_store::{VersionFilter, VersionOrder};

use super::{
    context::{Context, Item},
    link::Links,
    number::meant,
    page::{self, Key},
};
use crate::{
    api::{
        extract::Path,
        releases::{extract::Client, wire::AppDeployerData},
    },
    app::App,
    error::Error,
    verb::versions::{self, Look, Version},
};

/// A page of them, in the order in which the versions were asked for.
pub(super) async fn list(State(app): State<App>, client: Client, context: Context) -> Result<Response, Error> {
    let wanted = context.page();
    let total = versions::count(&app, &client.caller, &client.tenant).await?;
    let order = match wanted.sort.first() {
        Some(by) if by.field == "releaseName" => VersionOrder::Name { descending: by.descending },
        Some(by) if by.field == "releaseVersion" => VersionOrder::Version { descending: by.descending },
        _ => VersionOrder::Asked,
    };
    let filter = VersionFilter::Page(order, wanted.size, wanted.offset());
    let mut found = versions::list(&app, &client.caller, &client.tenant, filter, Look::Always).await?;
    page::sort(&mut found, &wanted.sort, |version, field| match field {
        "releaseName" => Some(Key::Text(version.stored.name.to_string())),
        "releaseVersion" => Some(Key::Number(i64::try_from(version.stored.version).unwrap_or(i64::MAX))),
        _ => None,
    });
    let items = found.iter().map(|version| item(&context, version)).collect();
    context.collection("appDeployerDatas", items, &wanted, total)
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
            versions::list(&app, &client.caller, &client.tenant, VersionFilter::Num(num), Look::Always).await?.pop()
        }
        None => None,
    };
    one(&context, found)
}

/// That of one version of a release.
pub(super) async fn find(State(app): State<App>, client: Client, context: Context) -> Result<Response, Error> {
    let name = ReleaseName::new(context.parameter("releaseName").unwrap_or_default());
    let number = context.parameter("releaseVersion").and_then(|number| number.parse::<u64>().ok());
    let found = match (name, number) {
        (Ok(name), Some(number)) => {
            let filter = VersionFilter::One(&name, number);
            versions::list(&app, &client.caller, &client.tenant, filter, Look::Always).await?.pop()
        }
        _ => None,
    };
    one(&context, found)
}

fn one(context: &Context, found: Option<Version>) -> Result<Response, Error> {
    let tag = found.as_ref().map(|version| version.stored.row_version.saturating_sub(1).to_string());
    context.item(tag.as_deref(), found.map(|version| item(context, &version)))
}

fn item(context: &Context, version: &Version) -> Item<AppDeployerData> {
    let own = context.link(&format!("/api/appDeployerDatas/{}", version.stored.num));
    let apps = version.apps.iter().flatten().map(|app| (app.name.clone(), Value::String(app.id.clone())));
    let fields = AppDeployerData {
        release_name: version.stored.name.to_string(),
        release_version: version.stored.version,
        deployment_data: Value::Object(apps.collect::<Map<_, _>>()).to_string(),
    };
    Item { fields, links: Links::default().with("self", own.clone()).with("appDeployerData", own) }
}
