//! What the server says of an app and what its image says, as one.
//!
//! The server wins, key by key; the image fills what the server left open. Ports are the image's, host names and folders
//! of the host the server's: they are paired by index and by mount path.

use std::collections::BTreeMap;

use skipper_core::{
    name::ReleaseName,
    route::{Host, PathPrefix},
    time::Millis,
};

use super::{
    expand::Text,
    file::App,
    health::HealthSettings,
    repo::{Kind, Repo, RepoRoute},
    server::Server,
    value::Resources,
};
use crate::finding::{Faults, Finding, Findings};

/// Where an image's own file is within it.
pub const IN_IMAGE: &str = "/slip/slip.toml";
/// Longest deploy where nobody says anything of it.
const TIMEOUT: Millis = Millis::secs(600);
/// How long requests may take to finish where nobody says anything of it.
const DRAIN: Millis = Millis::secs(30);

/// Whose file says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The server's.
    Server,
    /// The image's.
    Image,
}

/// Where a pod's manifest is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// On the server's disk or in the image.
    pub side: Side,
    /// Absolute path there.
    pub path: String,
}

/// What an app is and how it runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    /// Its name.
    pub name: ReleaseName,
    /// What it is.
    pub kind: Kind,
    /// The image, without a tag.
    pub image: String,
    /// A pod's manifest; there if and only if it is one.
    pub manifest: Option<Manifest>,
    /// Ways in, in the order of the server's file.
    pub routes: Vec<MergedRoute>,
    /// Containers of a pod that are watched without a way in.
    pub workers: Vec<String>,
    /// When it is healthy.
    pub health: HealthSettings,
    /// The old one is stopped first.
    pub recreate: bool,
    /// Longest that requests may take to finish on the way out; 30 s.
    pub drain: Millis,
    /// Longest until it is healthy; 10 min.
    pub timeout: Millis,
    /// How long the old version stays warm.
    pub bake: Option<Millis>,
    /// Time between the polite signal and the other one.
    pub stop_timeout: Option<Millis>,
    /// `always`, `missing` or `never`.
    pub pull: Option<&'static str>,
    /// Variables.
    pub env: BTreeMap<String, Text>,
    /// A file of variables on the server.
    pub env_file: Option<String>,
    /// Limits.
    pub resources: Resources,
    /// The network it joins.
    pub network: String,
    /// Folders that outlive a deploy.
    pub volumes: Vec<MergedVolume>,
}

/// One way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergedRoute {
    /// Host name.
    pub host: Host,
    /// Path prefix.
    pub path: PathPrefix,
    /// Port of the container; in a pod the manifest may still say it.
    pub port: Option<u16>,
    /// In a pod, the container.
    pub container: Option<String>,
}

/// A folder of the host, and where the container sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergedVolume {
    /// On the host.
    pub host_path: String,
    /// In the container.
    pub mount_path: String,
    /// Without write access, when either side says so.
    pub read_only: bool,
}

/// Puts both together; with what is odd about it. `repo` is `None` for an image without a file of its own: then all of it is
/// the server's, volumes included.
///
/// # Errors
///
/// Everything that does not fit together.
pub fn merge(app: &App, repo: Option<&Repo>, server: &Server) -> Result<(Merged, Vec<Finding>), Faults> {
    let file = format!("apps/{}.toml", app.name);
    let mut findings = Findings::new();
    let none = Repo::nothing(app.name.clone());
    let repo = repo.unwrap_or(&none);
    if repo.name != app.name {
        let message = format!("repo config app name `{}` does not match deploy app `{}`", repo.name, app.name);
        let hint = format!("see that `image` in {file} is the app's, or correct the name in the image");
        findings.push(Finding::error("name-mismatch", message).in_file(IN_IMAGE).path("app.name").hint(hint));
    }
    let kind = app.kind.or(repo.kind).unwrap_or_default();
    let manifest = manifest(app, repo, kind);
    if kind == Kind::Pod && manifest.is_none() {
        let message = "the app is a pod, and neither side names its manifest";
        let hint = "write manifest = \"pod.yaml\" under [app] of the image's /slip/slip.toml".to_owned();
        findings.push(Finding::error("manifest-missing", message).in_file(&file).path("app.manifest").hint(hint));
    }
    let routes = match kind {
        Kind::Worker => no_routes(app, &file, &mut findings),
        Kind::Container | Kind::Pod => routes(app, repo, kind, &file, &mut findings),
    };
    let volumes = volumes(app, repo, &file, &mut findings);
    let mut env: BTreeMap<String, Text> =
        repo.env.iter().map(|(name, value)| (name.clone(), Text::Plain(value.clone()))).collect();
    env.extend(app.env.clone());
    let warnings = findings.into_result()?;
    let (server_deploy, repo_deploy) = (&app.deploy, &repo.deploy);
    let merged = Merged {
        name: app.name.clone(),
        kind,
        image: app.image.clone(),
        manifest: manifest.filter(|_| kind == Kind::Pod),
        routes,
        workers: repo.routes.iter().filter(|route| route.worker).filter_map(|route| route.container.clone()).collect(),
        health: HealthSettings::of(&app.health, &repo.health),
        // A worker has state of its own more often than not, and nothing that traffic could be shifted to.
        recreate: server_deploy.recreate.or(repo_deploy.recreate).unwrap_or(kind == Kind::Worker),
        drain: server_deploy.drain_timeout.or(repo_deploy.drain_timeout).unwrap_or(DRAIN),
        timeout: server_deploy.timeout.or(repo_deploy.timeout).or(server.deploy.timeout).unwrap_or(TIMEOUT),
        bake: server_deploy.bake.or(repo_deploy.bake),
        stop_timeout: server_deploy.stop_timeout.or(repo_deploy.stop_timeout),
        pull: server_deploy.pull.or(repo_deploy.pull),
        env,
        env_file: app.env_file.clone(),
        resources: Resources {
            memory: app.resources.memory.or(repo.resources.memory),
            cpus: app.resources.cpus.or(repo.resources.cpus),
        },
        network: app.network.clone(),
        volumes,
    };
    Ok((merged, warnings))
}

fn manifest(app: &App, repo: &Repo, kind: Kind) -> Option<Manifest> {
    let of = |side| move |path: &String| Manifest { side, path: path.clone() };
    let found = app.manifest.as_ref().map(of(Side::Server)).or_else(|| repo.manifest.as_ref().map(of(Side::Image)));
    found.filter(|_| kind == Kind::Pod)
}

fn no_routes(app: &App, file: &str, findings: &mut Findings) -> Vec<MergedRoute> {
    if !app.routes.is_empty() {
        let message = "a worker has no way in; its host names do not count";
        findings.push(Finding::warning("routing-ignored", message).in_file(file).path("routing"));
    }
    Vec::new()
}

/// Neither side has any: none, which only a pod may. The server's alone: its hosts and ports. Both: by index.
fn routes(app: &App, repo: &Repo, kind: Kind, file: &str, findings: &mut Findings) -> Vec<MergedRoute> {
    let error = |code, message: String, hint: &str| {
        Finding::error(code, message).in_file(file).path("routing").hint(hint.to_owned())
    };
    let theirs: Vec<&RepoRoute> = repo.routes.iter().filter(|route| !route.worker).collect();
    let shorthand = repo.port.is_some() && repo.routes.is_empty();
    if app.routes.is_empty() {
        let declared = theirs.len() + usize::from(shorthand);
        if declared > 0 {
            let message = format!("repo declares {declared} route(s) but server config has no hostnames");
            findings.push(error("routing-missing", message, "write `domain` or [[routing.routes]] under [routing]"));
        } else if kind == Kind::Container {
            let message = "[routing_missing] the app has neither routes nor domain and port".to_owned();
            let hint = "write them under [routing]; for an app without ways in, kind = \"worker\" under [app]";
            findings.push(error("routing-missing", message, hint));
        }
        return Vec::new();
    }
    if !theirs.is_empty() && theirs.len() != app.routes.len() {
        let message = format!(
            "route count mismatch: the server's file has {} host name(s), the image declares {} route(s)",
            app.routes.len(),
            theirs.len()
        );
        findings.push(error("route-count", message, "name one host for each route, in the same order"));
        return Vec::new();
    }
    // Where both sides name all containers, these are the better pairs.
    let by_name = app.routes.iter().all(|ours| {
        ours.container.is_some() && theirs.iter().filter(|theirs| theirs.container == ours.container).count() == 1
    });
    let mut merged = Vec::new();
    for (index, ours) in app.routes.iter().enumerate() {
        let pair =
            match theirs.get(index) {
                Some(_) if by_name => theirs.iter().find(|theirs| theirs.container == ours.container).copied().cloned(),
                Some(theirs) => Some((*theirs).clone()),
                None => Some(RepoRoute { port: repo.port, container: repo.container.clone(), worker: false }).filter(
                    |short| ours.container.is_none() || short.container.is_none() || ours.container == short.container,
                ),
            }
            .unwrap_or_default();
        let port = pair.port.or(ours.port).or(app.port);
        if port.is_none() && kind == Kind::Container {
            let message = format!("[routing_missing] `{}` leads to no port", ours.host);
            findings.push(error("routing-missing", message, "write `port` beside it, or routing.port in the image"));
        }
        merged.push(MergedRoute {
            host: ours.host.clone(),
            path: ours.path.clone(),
            port,
            container: ours.container.clone().or(pair.container).filter(|_| kind == Kind::Pod),
        });
    }
    merged
}

/// The server's, and those of the image that the server has a folder for.
fn volumes(app: &App, repo: &Repo, file: &str, findings: &mut Findings) -> Vec<MergedVolume> {
    for theirs in &repo.volumes {
        if !app.volumes.iter().any(|ours| ours.mount_path == theirs.mount_path) {
            let message =
                format!("the image wants a volume at `{}`, and no host_path is given for it", theirs.mount_path);
            let hint = format!("write [[volumes]] with mount_path = \"{}\" and its host_path", theirs.mount_path);
            findings.push(Finding::error("volume-missing", message).in_file(file).path("volumes").hint(hint));
        }
    }
    let read_only = |mount: &str| repo.volumes.iter().any(|theirs| theirs.mount_path == mount && theirs.read_only);
    app.volumes
        .iter()
        .map(|ours| MergedVolume {
            host_path: ours.host_path.clone(),
            mount_path: ours.mount_path.clone(),
            read_only: ours.read_only || read_only(&ours.mount_path),
        })
        .collect()
}
