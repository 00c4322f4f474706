//! Previews: one more release of an app, made for a pull request, with a host name, a life and bounds of its own.

use skipper_core::{
    name::ReleaseName,
    route::Host,
    spec::{Hook, Hooks},
    time::Millis,
};

use super::{
    file::App,
    health::shell,
    merge::{Merged, MergedRoute},
    repo::{Kind, Repo, RepoPreview},
    server::Server,
    value::{Resources, is_label},
};
use crate::{
    finding::{Finding, Findings},
    yaml::shorten,
};

/// Stands between the name of an app and the id of a preview in the name of its release; no app's own name holds it.
pub(super) const INFIX: &str = ".preview.";
/// How long both hooks may take together.
const HOOKS: Millis = Millis::secs(600);

/// The preview that a deploy asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewRequest {
    /// Its id, for example `pr-42`.
    pub id: String,
    /// The commit, where it is known.
    pub sha: Option<String>,
}

/// A preview beside its applications.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// The app.
    pub app: ReleaseName,
    /// Its id as it was asked for.
    pub id: String,
    /// The commit, where it is known.
    pub sha: Option<String>,
    /// Its host names; that of the address comes first. None for an app without ways in.
    pub hosts: Vec<Host>,
    /// How long it lives; for ever when `None`.
    pub ttl: Option<Millis>,
    /// Most previews of the app at a time, this one included; 0 forbids them.
    pub max: Option<u32>,
    /// Where its data comes from.
    pub database: Database,
}

/// Where the data of a preview comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DatabaseStrategy {
    /// From what its variables name.
    #[default]
    Shared,
    /// From a container of its own pod.
    Ephemeral,
    /// From a branch that a provider makes.
    Branch,
}

/// `[preview.database]` of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Database {
    /// Which of the three.
    pub strategy: DatabaseStrategy,
    /// Who makes branches; there whenever the strategy is `Branch`.
    pub provider: Option<String>,
    /// The provider's project.
    pub project_id: Option<String>,
    /// The branch to start from.
    pub branch_from: Option<String>,
    /// The variable that tells the address of the branch.
    pub variable: String,
}

/// The release of a preview: what its app, and no other app, can be called.
///
/// # Errors
///
/// A sentence for an id that cannot be a label of a host name.
pub fn preview_release(app: &ReleaseName, id: &str) -> Result<ReleaseName, String> {
    let label = label(id)?;
    ReleaseName::new(format!("{app}{INFIX}{label}")).map_err(|error| error.to_string())
}

/// The app that a release is of and, where it is a preview, the label of that: what [`preview_release`] put together.
#[must_use]
pub fn split_preview(release: &str) -> (&str, Option<&str>) {
    release.split_once(INFIX).map_or((release, None), |(app, label)| (app, Some(label)))
}

/// What the releases of an app's previews, and nothing else, are called up to the label.
#[must_use]
pub fn preview_prefix(app: &str) -> String {
    format!("{app}{INFIX}")
}

/// The label of its host name: lower case, with hyphens for dots and underscores.
fn label(id: &str) -> Result<String, String> {
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let label = id.to_ascii_lowercase().replace(['.', '_'], "-");
    if id.bytes().all(known) && is_label(&label) {
        return Ok(label);
    }
    Err(format!(
        "preview id `{}` must have 1 to 63 of letters, digits, `-`, `_` and `.`, and begin and end with a letter or digit",
        shorten(id)
    ))
}

/// What is left of an app in a preview: its own host names, bounds and hooks, and no folder that it could write to.
pub(super) struct Shape {
    pub(super) preview: Preview,
    pub(super) routes: Vec<MergedRoute>,
    pub(super) resources: Resources,
    pub(super) hooks: Hooks,
    pub(super) timeout: Millis,
}

pub(super) fn shape(
    request: &PreviewRequest,
    merged: &Merged,
    sides: (&App, Option<&Repo>, &Server),
    findings: &mut Findings,
) -> Option<Shape> {
    let (app, repo, server) = sides;
    let label = match label(&request.id) {
        Ok(label) => label,
        Err(message) => {
            findings.push(Finding::error("preview-id", message));
            return None;
        }
    };
    let Some(wanted) = repo.and_then(|repo| repo.preview.as_ref()) else {
        let message = "previews are not enabled for this app";
        let hint = "write enabled = true under [preview] of the image's /slip/slip.toml".to_owned();
        findings.push(Finding::error("preview-disabled", message).hint(hint));
        return None;
    };
    let domain = app.preview.domain.as_ref().or_else(|| server.preview.as_ref().map(|preview| &preview.domain));
    let Some(domain) = domain else {
        let message = "preview deployments not configured for this server";
        let hint = "write `domain` under [preview] of slip.toml".to_owned();
        findings.push(Finding::error("preview-domain", message).hint(hint));
        return None;
    };
    let mut routes = merged.routes.clone();
    for (index, route) in routes.iter_mut().enumerate() {
        let name = if index == 0 { label.clone() } else { format!("{label}-{}", index + 1) };
        match Host::new(&format!("{name}.{domain}")) {
            Ok(host) => route.host = host,
            Err(error) => findings.push(Finding::error("preview-id", error.to_string())),
        }
    }
    let own = app.preview.max.or_else(|| server.preview.as_ref().and_then(|preview| preview.max_per_app));
    let caps = server.preview.as_ref().map(|preview| preview.limits).unwrap_or_default();
    let preview = Preview {
        app: app.name.clone(),
        id: request.id.clone(),
        sha: request.sha.clone(),
        hosts: routes.iter().map(|route| route.host.clone()).collect(),
        ttl: wanted.ttl.or_else(|| server.preview.as_ref().and_then(|preview| preview.default_ttl)),
        // The image may ask for less than the server allows, never for more.
        max: own.into_iter().chain(wanted.max).min(),
        database: wanted.database.clone(),
    };
    let asked = |preview: Option<u64>, app: Option<u64>, cap: Option<u64>| preview.or(app).into_iter().chain(cap).min();
    let resources = Resources {
        memory: asked(wanted.resources.memory, merged.resources.memory, caps.memory),
        cpus: asked(wanted.resources.cpus, merged.resources.cpus, caps.cpus),
    };
    let timeout = server.deploy.preview_timeout.unwrap_or(merged.timeout);
    Some(Shape { preview, routes, resources, hooks: hooks(wanted), timeout })
}

/// `migrate` and then `seed`, each by a shell of its own.
fn hooks(wanted: &RepoPreview) -> Hooks {
    let command = match (&wanted.migrate, &wanted.seed) {
        (None, None) => return Hooks::default(),
        (Some(line), None) | (None, Some(line)) => shell(line.clone()),
        (Some(migrate), Some(seed)) => {
            let both = "/bin/sh -c \"$1\" && /bin/sh -c \"$2\"".to_owned();
            shell(both).into_iter().chain(["hooks".to_owned(), migrate.clone(), seed.clone()]).collect()
        }
    };
    Hooks { before_shift: Some(Hook { command, timeout: HOOKS }), ..Hooks::default() }
}

/// Whether the data of a preview can come from where its image says.
pub(super) fn check_database(preview: &Preview, kind: Kind, findings: &mut Findings) {
    if preview.database.strategy == DatabaseStrategy::Ephemeral && kind != Kind::Pod {
        let message = "the database strategy `ephemeral` is a container of the app's pod, and the app is no pod";
        findings.push(Finding::error("preview-database", message).path("preview.database.strategy"));
    }
}
