//! `/slip/slip.toml`: what an image says of itself. Nothing in it is filled in from the environment, which is the server's.

use std::collections::{BTreeMap, BTreeSet};

use skipper_core::{name::ReleaseName, route::Host, time::Millis};

use super::{
    file::{DeployKeys, deploy, mount_path},
    health::{self, HealthKeys},
    preview::{Database, DatabaseStrategy},
    text,
    value::{self, Resources},
};
use crate::{
    fields::{Document, Field, Fields},
    finding::{Faults, Finding},
    yaml::shorten,
};

/// Longest line of a hook.
const MAX_HOOK: usize = 8 << 10;

/// What an app is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Kind {
    /// One container with ways in.
    #[default]
    Container,
    /// Several containers, by a manifest of Kubernetes.
    Pod,
    /// One container without ways in.
    Worker,
}

impl Kind {
    pub(super) fn read(field: &Field<'_>) -> Option<Self> {
        let word = field.text()?;
        match word.to_ascii_lowercase().as_str() {
            "container" => Some(Self::Container),
            "pod" => Some(Self::Pod),
            "worker" => Some(Self::Worker),
            _ => field.expected("`container`, `pod` or `worker`"),
        }
    }

    /// The word that people write.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Pod => "pod",
            Self::Worker => "worker",
        }
    }
}

/// What an image's file says.
#[derive(Debug, Clone, PartialEq)]
pub struct Repo {
    /// The app it is made for.
    pub name: ReleaseName,
    /// What it is, where it says so.
    pub kind: Option<Kind>,
    /// Path of the pod's manifest in the image, absolute: a relative one is looked up beside the file, in `/slip`.
    pub manifest: Option<String>,
    /// `app.image`, for clients; the server's counts.
    pub image: Option<String>,
    /// `[health]`.
    pub health: HealthKeys,
    /// `routing.port`.
    pub port: Option<u16>,
    /// `routing.container`.
    pub container: Option<String>,
    /// `routing.domain`, for clients; the server's counts.
    pub domain: Option<Host>,
    /// `[[routing.routes]]`.
    pub routes: Vec<RepoRoute>,
    /// `[defaults.resources]`.
    pub resources: Resources,
    /// `[preview]`, where previews are enabled.
    pub preview: Option<RepoPreview>,
    /// `[[volumes]]`.
    pub volumes: Vec<RepoVolume>,
    /// `[env]`; the server's win.
    pub env: BTreeMap<String, String>,
    /// `[deploy]`.
    pub deploy: DeployKeys,
}

/// One way in, as the image knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepoRoute {
    /// Port of the container.
    pub port: Option<u16>,
    /// In a pod, the container.
    pub container: Option<String>,
    /// A container without ways in, whose running alone is watched.
    pub worker: bool,
}

/// A folder that the image wants kept; where, the server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoVolume {
    /// Where the container sees it.
    pub mount_path: String,
    /// Mounted without write access.
    pub read_only: bool,
}

/// `[preview]` of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepoPreview {
    /// How long a preview lives.
    pub ttl: Option<Millis>,
    /// Most previews at a time; the server's and the app's bounds hold as well.
    pub max: Option<u32>,
    /// What a preview asks for.
    pub resources: Resources,
    /// Where its data comes from.
    pub database: Database,
    /// A line for the shell, run before traffic.
    pub migrate: Option<String>,
    /// Another one after it.
    pub seed: Option<String>,
}

/// Reads the text; with the warnings.
///
/// # Errors
///
/// Everything that is wrong with it.
pub fn repo(file: &str, text: &str) -> Result<(Repo, Vec<Finding>), Faults> {
    let node = text::parse(file, text)?;
    let document = Document::lenient(file);
    let repo = Field::root(&document, &node).fields().and_then(top);
    let warnings = document.into_findings().into_result()?;
    repo.map(|repo| (repo, warnings)).ok_or_else(|| {
        // Every way to nothing has noted an error; should one not have, it is better said here than taken for success.
        Finding::error("document-invalid", "not the configuration of an image").in_file(file).into()
    })
}

fn top(mut fields: Fields<'_>) -> Option<Repo> {
    let app = match fields.get("app") {
        Some(field) => field.fields(),
        None => {
            fields.field.error_hint("table-missing", "missing field `app`", "write the table [app] with `name`");
            None
        }
    };
    let identity = app.and_then(identity);
    let health = health::read(value::table(&mut fields, "health"));
    let routing = value::table(&mut fields, "routing").map(routing).unwrap_or_default();
    let resources = value::table(&mut fields, "defaults").map(|mut table| {
        let resources = value::resources(value::table(&mut table, "resources"));
        table.finish();
        resources
    });
    let preview = value::table(&mut fields, "preview").and_then(preview);
    let volumes = fields.get("volumes").map(|field| volumes(&field)).unwrap_or_default();
    let env = fields.get("env").map(|field| variables(&field)).unwrap_or_default();
    let deploy = value::table(&mut fields, "deploy").map(deploy).unwrap_or_default();
    // What the client of later versions keeps there.
    fields.get("remote");
    if let Some(needs) = fields.get("needs") {
        needs.warning("key-unsupported", "services are not made here", "set up the service and its variables yourself");
    }
    fields.finish();
    let (name, kind, manifest, image) = identity?;
    Some(Repo {
        name,
        kind,
        manifest,
        image,
        health,
        port: routing.port,
        container: routing.container,
        domain: routing.domain,
        routes: routing.routes,
        resources: resources.unwrap_or_default(),
        preview,
        volumes,
        env,
        deploy,
    })
}

type Identity = (ReleaseName, Option<Kind>, Option<String>, Option<String>);

fn identity(mut table: Fields<'_>) -> Option<Identity> {
    let name = table.require("name").and_then(|field| value::app_name(&field));
    let kind = table.get("kind").and_then(|field| Kind::read(&field));
    let manifest_field = table.get("manifest");
    let manifest = manifest_field.as_ref().and_then(manifest);
    let image = table.get("image").and_then(|field| value::image(&field));
    match (kind, &manifest_field) {
        (Some(Kind::Pod), None) => {
            table.field.error_hint(
                "manifest-missing",
                "kind is `pod` but no manifest is named",
                "write manifest = \"pod.yaml\"",
            );
        }
        (Some(Kind::Container | Kind::Worker) | None, Some(field)) => {
            field.warning("manifest-ignored", "counts for the kind `pod` alone", "write kind = \"pod\"");
        }
        _ => {}
    }
    table.finish();
    Some((name?, kind, manifest, image))
}

fn manifest(field: &Field<'_>) -> Option<String> {
    let text = value::plain(field, 1024)?;
    let parts = || text.split('/').filter(|part| !part.is_empty() && *part != ".");
    if parts().any(|part| part == "..") || parts().count() == 0 || text.chars().any(char::is_control) {
        field.error("value-invalid", format!("`{}` is not the path of a file of the image", shorten(&text)));
        return None;
    }
    let path = parts().collect::<Vec<_>>().join("/");
    Some(if text.starts_with('/') { format!("/{path}") } else { format!("/slip/{path}") })
}

#[derive(Default)]
struct Routing {
    port: Option<u16>,
    container: Option<String>,
    domain: Option<Host>,
    routes: Vec<RepoRoute>,
}

fn routing(mut table: Fields<'_>) -> Routing {
    let port = table.get("port").and_then(|field| field.port());
    let container = table.get("container").and_then(|field| value::container(&field));
    let domain = table.get("domain").and_then(|field| value::host(&field));
    let worker = table.get("kind").is_some_and(|field| route_kind(&field));
    let mut routes: Vec<RepoRoute> = Vec::new();
    for item in table.get("routes").map(|field| field.items(value::MAX_ITEMS)).unwrap_or_default() {
        let Some(mut table) = item.fields() else { continue };
        let port = table.get("port").and_then(|field| field.port());
        let container = table.get("container").and_then(|field| value::container(&field));
        let worker = table.get("kind").is_some_and(|field| route_kind(&field));
        table.finish();
        routes.push(RepoRoute { port, container, worker });
    }
    table.finish();
    if worker && routes.is_empty() {
        routes.push(RepoRoute { port, container: container.clone(), worker });
    }
    Routing { port, container, domain, routes }
}

/// Whether it is a worker.
fn route_kind(field: &Field<'_>) -> bool {
    match field.text().as_deref() {
        Some("worker") => true,
        Some("http") | None => false,
        Some(_) => {
            field.expected::<()>("`http` or `worker`");
            false
        }
    }
}

fn preview(mut table: Fields<'_>) -> Option<RepoPreview> {
    let enabled = value::truth(&mut table, "enabled").unwrap_or(false);
    let ttl = value::bound(&mut table, "ttl");
    let max = table.get("max").and_then(|field| field.whole32(0, 1_000_000));
    let resources = value::resources(value::table(&mut table, "resources"));
    let database = value::table(&mut table, "database").map(database).unwrap_or_default();
    let hooks = value::table(&mut table, "hooks").map(|mut table| {
        let [migrate, seed] =
            ["migrate", "seed"].map(|key| table.get(key).and_then(|field| field.short_text(MAX_HOOK)));
        table.finish();
        (migrate, seed)
    });
    table.finish();
    let (migrate, seed) = hooks.unwrap_or_default();
    enabled.then_some(RepoPreview { ttl, max, resources, database, migrate, seed })
}

fn database(mut table: Fields<'_>) -> Database {
    let strategy = table.get("strategy").and_then(|field| match field.text()?.as_str() {
        "shared" => Some(DatabaseStrategy::Shared),
        "ephemeral" => Some(DatabaseStrategy::Ephemeral),
        "branch" => Some(DatabaseStrategy::Branch),
        _ => field.expected("`shared`, `ephemeral` or `branch`"),
    });
    let [provider, project_id, branch_from] =
        ["provider", "project_id", "branch_from"].map(|key| table.get(key).and_then(|field| field.short_text(255)));
    let variable = table.get("variable").and_then(|field| {
        let name = field.text()?;
        if !value::is_variable(&name) {
            field.error("value-invalid", format!("`{}` cannot name a variable", shorten(&name)));
            return None;
        }
        Some(name)
    });
    let strategy = strategy.unwrap_or_default();
    if strategy == DatabaseStrategy::Branch && provider.is_none() {
        let hint = "name one, as in provider = \"neon\"";
        table.field.error_hint("database-provider", "the strategy `branch` needs a provider", hint);
    }
    table.finish();
    Database {
        strategy,
        provider,
        project_id,
        branch_from,
        variable: variable.unwrap_or_else(|| "DATABASE_URL".to_owned()),
    }
}

fn volumes(field: &Field<'_>) -> Vec<RepoVolume> {
    let mut seen = BTreeSet::new();
    let mut volumes = Vec::new();
    for item in field.items(64) {
        let Some(mut table) = item.fields() else { continue };
        let mount_path = table.require("mount_path").and_then(|field| mount_path(&field));
        let read_only = value::truth(&mut table, "read_only").unwrap_or(false);
        table.finish();
        let Some(mount_path) = mount_path else { continue };
        if !seen.insert(mount_path.clone()) {
            item.error("volume-twice", format!("two volumes are mounted at `{}`", shorten(&mount_path)));
            continue;
        }
        volumes.push(RepoVolume { mount_path, read_only });
    }
    volumes
}

fn variables(field: &Field<'_>) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for (name, value) in value::variables(field) {
        let Some(text) = value.text() else { continue };
        if text.len() > super::expand::MAX_VALUE {
            value.error("value-invalid", format!("longer than {} KiB", super::expand::MAX_VALUE >> 10));
            continue;
        }
        super::expand::warn_unexpanded(&value, &text);
        variables.insert(name.to_owned(), text);
    }
    variables
}

impl Repo {
    /// What an image without a file of its own says.
    pub(super) fn nothing(name: ReleaseName) -> Self {
        Self {
            name,
            kind: None,
            manifest: None,
            image: None,
            health: HealthKeys::default(),
            port: None,
            container: None,
            domain: None,
            routes: Vec::new(),
            resources: Resources::default(),
            preview: None,
            volumes: Vec::new(),
            env: BTreeMap::new(),
            deploy: DeployKeys::default(),
        }
    }
}
