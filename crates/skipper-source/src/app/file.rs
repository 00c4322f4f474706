//! `apps/NAME.toml`: what the server knows of an app.

use std::collections::{BTreeMap, BTreeSet};

use skipper_core::{
    name::{PlatformName, ReleaseName},
    route::{Host, PathPrefix},
    secret::SecretValue,
    time::Millis,
};

use super::{
    callbacks::{self, Callbacks},
    expand::{self, Environment, Text},
    health::{self, HealthKeys},
    oidc::{self, OidcClaims},
    repo::Kind,
    server::missing,
    text,
    value::{self, Resources},
};
use crate::{
    fields::{Document, Field, Fields},
    finding::{Faults, Finding},
    yaml::shorten,
};

const MAX_VOLUMES: usize = 64;
const MAX_KEYS: usize = 8;
/// The network that containers join which name none.
pub(super) const NETWORK: &str = "slip";

/// What an app's file says. Keys that both sides may give are `None` where it says nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct App {
    /// Its name, and that of its release.
    pub name: ReleaseName,
    /// The image, without a tag.
    pub image: String,
    /// Keys of its webhooks, several while they are rotated; when there is one, the server's key does not count.
    pub keys: Vec<SecretValue>,
    /// Tokens of the server's issuer that deploy it as well; none where it is empty.
    pub oidc: Vec<OidcClaims>,
    /// What it is, where the image does not say it.
    pub kind: Option<Kind>,
    /// The platform account that it runs on; that of `runtime.backend` where the file names none.
    pub account: Option<PlatformName>,
    /// Path of a pod's manifest on the server, absolute; takes the place of the image's.
    pub manifest: Option<String>,
    /// Ways in, in the order of the file; `routing.domain` and `routing.port` are one, unless routes are listed.
    pub routes: Vec<AppRoute>,
    /// `routing.port` of an app without a host name.
    pub port: Option<u16>,
    /// `[health]`.
    pub health: HealthKeys,
    /// `[deploy]`.
    pub deploy: DeployKeys,
    /// `[env]`.
    pub env: BTreeMap<String, Text>,
    /// `env_file.path`, on the server.
    pub env_file: Option<String>,
    /// `[resources]`.
    pub resources: Resources,
    /// `network.name`.
    pub network: String,
    /// `[preview]`.
    pub preview: AppPreview,
    /// `[[volumes]]`.
    pub volumes: Vec<AppVolume>,
    /// `[callbacks]`.
    pub callbacks: Callbacks,
}

/// One way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppRoute {
    /// Host name.
    pub host: Host,
    /// Path prefix; `/` where none is named.
    pub path: PathPrefix,
    /// The port of the container.
    pub port: Option<u16>,
    /// In a pod, the container.
    pub container: Option<String>,
}

/// `[deploy]` of an app or an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeployKeys {
    /// `true` for `recreate`, `false` for `blue-green`.
    pub recreate: Option<bool>,
    /// Longest that requests may take to finish on the way out.
    pub drain_timeout: Option<Millis>,
    /// Longest until it is healthy.
    pub timeout: Option<Millis>,
    /// How long the old version stays warm.
    pub bake: Option<Millis>,
    /// Time between the polite signal and the other one.
    pub stop_timeout: Option<Millis>,
    /// `always`, `missing` or `never`.
    pub pull: Option<&'static str>,
}

/// `[preview]` of an app.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppPreview {
    /// In place of the server's.
    pub domain: Option<Host>,
    /// Most previews at a time.
    pub max: Option<u32>,
    /// Secrets that previews get; they get no others but those marked in the store.
    pub secrets: Vec<String>,
    /// Variables of previews, in place of those of the same name.
    pub env: BTreeMap<String, Text>,
}

/// One of `[[volumes]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppVolume {
    /// Folder of the host.
    pub host_path: String,
    /// Where the container sees it.
    pub mount_path: String,
    /// Mounted without write access.
    pub read_only: bool,
}

/// Reads the text of `apps/STEM.toml`; with the warnings.
///
/// # Errors
///
/// Everything that is wrong with it.
pub fn file(file: &str, stem: &str, text: &str, env: Environment<'_>) -> Result<(App, Vec<Finding>), Faults> {
    let node = text::parse(file, text)?;
    let document = Document::lenient(file);
    let app = Field::root(&document, &node).fields().and_then(|fields| top(fields, stem, env));
    let warnings = document.into_findings().into_result()?;
    app.map(|app| (app, warnings)).ok_or_else(|| {
        // Every way to nothing has noted an error; should one not have, it is better said here than taken for success.
        Finding::error("document-invalid", "not the configuration of an app").in_file(file).into()
    })
}

struct Identity {
    name: ReleaseName,
    image: String,
    keys: Vec<SecretValue>,
    oidc: Vec<OidcClaims>,
    kind: Option<Kind>,
    account: Option<PlatformName>,
    manifest: Option<String>,
}

fn top(mut fields: Fields<'_>, stem: &str, env: Environment<'_>) -> Option<App> {
    let identity = match fields.get("app") {
        Some(field) => field.fields().and_then(|table| identity(table, stem, env)),
        None => {
            let hint = "write the table [app] with `name` and `image`";
            fields.field.error_hint("table-missing", "missing field `app`", hint);
            None
        }
    };
    let (routes, port) = value::table(&mut fields, "routing").map(routing).unwrap_or_default();
    let health = match fields.get("health") {
        Some(field) => health::read(field.fields()),
        None => {
            missing(&fields, "health");
            HealthKeys::default()
        }
    };
    let deploy = value::table(&mut fields, "deploy").map(deploy).unwrap_or_default();
    let variables = fields.get("env").map(|field| variables(&field, env)).unwrap_or_default();
    let env_file = value::table(&mut fields, "env_file").and_then(|mut table| {
        let path = table.require("path").and_then(|field| value::absolute_path(&field));
        table.finish();
        path
    });
    let resources = value::resources(value::table(&mut fields, "resources"));
    let network = value::table(&mut fields, "network").and_then(network);
    let preview = value::table(&mut fields, "preview").map(|table| preview(table, env)).unwrap_or_default();
    let volumes = fields.get("volumes").map(|field| volumes(&field)).unwrap_or_default();
    let callbacks = value::table(&mut fields, "callbacks").map(|table| callbacks::read(table, env)).unwrap_or_default();
    fields.finish();
    let Identity { name, image, keys, oidc, kind, account, manifest } = identity?;
    Some(App {
        name,
        image,
        keys,
        oidc,
        kind,
        account,
        manifest,
        routes,
        port,
        health,
        deploy,
        env: variables,
        env_file,
        resources,
        network: network.unwrap_or_else(|| NETWORK.to_owned()),
        preview,
        volumes,
        callbacks,
    })
}

fn identity(mut table: Fields<'_>, stem: &str, env: Environment<'_>) -> Option<Identity> {
    let name = table.require("name").and_then(|field| {
        let name = value::app_name(&field)?;
        if name.as_str() != stem {
            let message = format!("app name mismatch: filename `{}` but config says `{name}`", shorten(stem));
            field.error_hint("name-mismatch", message, format!("call the file {name}.toml"));
            return None;
        }
        Some(name)
    });
    let image = table.require("image").and_then(|field| value::image(&field));
    let keys = table.get("secret").map(|field| keys(&field, env)).unwrap_or_default();
    let oidc = table.get("oidc").map(|field| oidc::bindings(&field)).unwrap_or_default();
    let kind = table.get("kind").and_then(|field| Kind::read(&field));
    let manifest = table.get("manifest").and_then(|field| value::absolute_path(&field));
    let account = table.get("account").and_then(|field| value::account(&field));
    table.finish();
    Some(Identity { name: name?, image: image?, keys, oidc, kind, account, manifest })
}

/// One key, or several.
pub(super) fn keys(field: &Field<'_>, env: Environment<'_>) -> Vec<SecretValue> {
    let items = if value::is_list(field) { field.items(MAX_KEYS) } else { vec![field.clone()] };
    let mut keys: Vec<SecretValue> = Vec::new();
    for key in items.iter().filter_map(|item| expand::secret(item, env)) {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

fn routing(mut table: Fields<'_>) -> (Vec<AppRoute>, Option<u16>) {
    let domain = table.get("domain");
    let host = domain.as_ref().and_then(value::host);
    let port = table.get("port").and_then(|field| field.port());
    let path = table.get("path").and_then(|field| value::path_prefix(&field));
    let container = table.get("container").and_then(|field| value::container(&field));
    let listed = table.get("routes").map(|field| routes(&field)).unwrap_or_default();
    table.finish();
    if !listed.is_empty() {
        if let Some(field) = domain {
            field.warning("route-ignored", "does not count beside [[routing.routes]]", "leave one of them out");
        }
        return (listed, port);
    }
    let path = path.unwrap_or_default();
    (host.map(|host| AppRoute { host, path, port, container }).into_iter().collect(), port)
}

fn routes(field: &Field<'_>) -> Vec<AppRoute> {
    let mut routes: Vec<AppRoute> = Vec::new();
    for item in field.items(value::MAX_ITEMS) {
        let Some(mut table) = item.fields() else { continue };
        let host = table.require("hostname").and_then(|field| value::host(&field));
        let path = table.get("path").map(|field| value::path_prefix(&field));
        let port = table.get("port").and_then(|field| field.port());
        let container = table.get("container").and_then(|field| value::container(&field));
        table.finish();
        let path = match path {
            None => Some(PathPrefix::default()),
            Some(read) => read,
        };
        let (Some(host), Some(path)) = (host, path) else { continue };
        if routes.iter().any(|route| route.host == host && route.path == path) {
            item.error("route-twice", format!("`{host}{}` is routed twice", path.as_str()));
            continue;
        }
        routes.push(AppRoute { host, path, port, container });
    }
    routes
}

/// `[deploy]`, on either side.
pub(super) fn deploy(mut table: Fields<'_>) -> DeployKeys {
    let recreate = table.get("strategy").and_then(|field| {
        let word = field.text()?;
        match word.as_str() {
            "blue-green" => Some(false),
            "recreate" => Some(true),
            _ => {
                let hint = crate::nearest::suggestion(&word, ["blue-green", "recreate"]).unwrap_or_default();
                field.error_hint("strategy-invalid", format!("unknown strategy `{}`", shorten(&word)), hint);
                None
            }
        }
    });
    let drain_timeout = value::duration(&mut table, "drain_timeout");
    let timeout = value::bound(&mut table, "timeout");
    let bake = value::duration(&mut table, "bake");
    let stop_timeout = value::duration(&mut table, "stop_timeout");
    let pull = table.get("pull").and_then(|field| {
        let word = field.text()?;
        let known = ["always", "missing", "never"].into_iter().find(|known| *known == word);
        if known.is_none() {
            field.expected::<()>("`always`, `missing` or `never`");
        }
        known
    });
    table.finish();
    DeployKeys { recreate, drain_timeout, timeout, bake, stop_timeout, pull }
}

fn variables(field: &Field<'_>, env: Environment<'_>) -> BTreeMap<String, Text> {
    let entries = value::variables(field);
    entries.into_iter().filter_map(|(name, value)| Some((name.to_owned(), expand::text(&value, env)?))).collect()
}

fn network(mut table: Fields<'_>) -> Option<String> {
    let name = table.get("name").and_then(|field| {
        let name = value::plain(&field, 128)?;
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if !name.bytes().all(good) || !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            field.error("value-invalid", format!("`{}` cannot name a network", shorten(&name)));
            return None;
        }
        if matches!(name.as_str(), "host" | "none" | "default" | "container") {
            // An application is reached at ports that are published, and is not to share what is the host's.
            let message = format!("`{name}` is no network of its own, and cannot be that of an app");
            field.error_hint(
                "value-invalid",
                message,
                "name one that is the apps' own; it is made where it is missing",
            );
            return None;
        }
        Some(name)
    });
    table.finish();
    name
}

fn preview(mut table: Fields<'_>, env: Environment<'_>) -> AppPreview {
    let domain = table.get("domain").and_then(|field| value::domain(&field));
    let max = table.get("max").and_then(|field| field.whole32(0, 1_000_000));
    let secrets = table.get("secrets").map(|field| field.texts(value::MAX_ITEMS, 255)).unwrap_or_default();
    let variables = table.get("env").map(|field| variables(&field, env)).unwrap_or_default();
    table.finish();
    AppPreview { domain, max, secrets, env: variables }
}

fn volumes(field: &Field<'_>) -> Vec<AppVolume> {
    let mut seen = BTreeSet::new();
    let mut volumes = Vec::new();
    for item in field.items(MAX_VOLUMES) {
        let Some(mut table) = item.fields() else { continue };
        let host_path = table.require("host_path").and_then(|field| value::absolute_path(&field));
        let mount_path = table.require("mount_path").and_then(|field| mount_path(&field));
        let read_only = value::truth(&mut table, "read_only").unwrap_or(false);
        table.finish();
        let (Some(host_path), Some(mount_path)) = (host_path, mount_path) else { continue };
        if !seen.insert(mount_path.clone()) {
            item.error("volume-twice", format!("two volumes are mounted at `{}`", shorten(&mount_path)));
            continue;
        }
        volumes.push(AppVolume { host_path, mount_path, read_only });
    }
    volumes
}

/// Where a volume is mounted: an absolute path below `/`, without a slash at its end.
pub(super) fn mount_path(field: &Field<'_>) -> Option<String> {
    let path = value::absolute_path(field)?;
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() || trimmed.contains(':') {
        field.error("value-invalid", "a volume is mounted at a folder below `/`, whose path has no colon");
        return None;
    }
    Some(trimmed.to_owned())
}
