//! `/api/deployers`: the platform accounts.

use axum::{extract::State, response::Response};
use skipper_core::{Sha256, name::PlatformName, port::Description};

use super::{
    context::{Context, Item},
    link::Links,
    page::{self, Key},
};
use crate::{
    api::{
        extract::Path,
        releases::{answer, wire::Deployer},
    },
    app::App,
    error::Error,
    verb::{self, Caller},
};

/// All of them, that which is used by itself first, the others by name.
pub(super) async fn list(State(app): State<App>, caller: Caller, context: Context) -> Result<Response, Error> {
    let mut all = all(&app, &caller, &context).await?;
    let wanted = context.page();
    page::sort(&mut all, &wanted.sort, |(_, deployer), field| match field {
        "name" => Some(Key::Text(deployer.name.clone())),
        "type" => Some(Key::Text(deployer.kind.clone())),
        "description" => Some(Key::Text(deployer.description.clone())),
        _ => None,
    });
    let total = all.len() as u64;
    let items = page::slice(all, &wanted).map(|one| item(&context, one)).collect();
    context.collection("deployers", items, &wanted, total)
}

/// One of them.
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    context: Context,
) -> Result<Response, Error> {
    let found = all(&app, &caller, &context).await?.into_iter().find(|(known, _)| *known == id);
    context.item(None, found.map(|one| item(&context, one)))
}

/// That of a name.
pub(super) async fn find_by_name(State(app): State<App>, caller: Caller, context: Context) -> Result<Response, Error> {
    let name = context.parameter("name").unwrap_or_default();
    let found = all(&app, &caller, &context).await?.into_iter().find(|(_, deployer)| deployer.name == name);
    context.item(None, found.map(|one| item(&context, one)))
}

async fn all(app: &App, caller: &Caller, context: &Context) -> Result<Vec<(String, Deployer)>, Error> {
    let described = in_order(verb::edge::platforms(app, caller).await?, app.default_platform.as_str());
    let named = described.into_iter().map(|one| {
        let id = id_of(&one.name);
        let name = PlatformName::new(&one.name).map(|name| answer::platform(app, &name).to_owned());
        let deployer = deployer(Description { name: name.unwrap_or(one.name.clone()), ..one }, context.is_v2());
        (id, deployer)
    });
    Ok(named.collect())
}

/// The one that is used by itself first, the others by name.
fn in_order(mut described: Vec<Description>, usual: &str) -> Vec<Description> {
    described.sort_by(|a, b| (a.name != usual, &a.name).cmp(&(b.name != usual, &b.name)));
    described
}

fn deployer(described: Description, v2: bool) -> Deployer {
    let Description { name, kind, summary, deployer, .. } = described;
    Deployer { name, kind, description: deployer.unwrap_or(summary), options: v2.then_some([]) }
}

fn item(context: &Context, (id, fields): (String, Deployer)) -> Item<Deployer> {
    let own = context.link(&format!("/api/deployers/{id}"));
    Item { fields, links: Links::default().with("self", own.clone()).with("deployer", own) }
}

/// The same at every start: a UUID made of the name.
fn id_of(name: &str) -> String {
    let digest = Sha256::of(format!("deployer/{name}").as_bytes()).to_string();
    let bytes = u128::from_str_radix(&digest[..32], 16).unwrap_or_default().to_be_bytes();
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_that_is_used_by_itself_comes_first() {
        let one = |name: &str| Description {
            name: name.to_owned(),
            kind: "local".to_owned(),
            summary: String::new(),
            deployer: None,
            reachable: true,
            capabilities: skipper_core::port::Capabilities::default(),
        };
        let ordered = in_order(["podman", "docker", "local"].map(one).to_vec(), "local");
        assert_eq!(ordered.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["local", "docker", "podman"]);
    }

    #[test]
    fn an_account_has_the_same_uuid_every_time_and_another_than_the_next() {
        let id = id_of("default");
        assert_eq!(id, id_of("default"));
        assert_ne!(id, id_of("other"));
        assert_eq!(uuid::Uuid::parse_str(&id).expect("a UUID").get_version_num(), 8);
    }
}
