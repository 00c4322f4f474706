//! A whole directory, from its texts.

use std::collections::BTreeMap;

use skipper_core::route::Host;

use super::{
    expand::Environment,
    file::{self, App},
    server::{self, Server},
};
use crate::finding::{Faults, Finding};

/// Most apps of a directory.
const MAX_APPS: usize = 10_000;
/// The server's file.
pub(super) const SERVER_FILE: &str = "slip.toml";

/// What was read from a directory.
#[derive(Debug, Clone, Copy)]
pub struct Directory<'a> {
    /// Text of `slip.toml`.
    pub server: &'a str,
    /// Texts of `apps/`, by file name. Names that do not end in `.toml` are passed over.
    pub apps: &'a BTreeMap<String, String>,
    /// What `${NAME}` stands for.
    pub env: Environment<'a>,
}

/// What a directory says.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The server, or what is wrong with its file.
    pub server: Result<Server, Faults>,
    /// The apps by the stems of their files. One that is broken is broken alone.
    pub apps: BTreeMap<String, Result<App, Faults>>,
    /// What is odd, by file and line.
    pub warnings: Vec<Finding>,
}

/// Who has a host name and a path already: the app, by both.
pub type Held = BTreeMap<(String, String), String>;

/// Reads a directory, as if nothing ran yet: see [`load_held`].
#[must_use]
pub fn load(directory: &Directory<'_>) -> Loaded {
    load_held(directory, &Held::new())
}

/// Reads a directory.
///
/// A host name and path that two apps want is that one's which has it, else the first one's by name; the other one is broken.
#[must_use]
pub fn load_held(directory: &Directory<'_>, held: &Held) -> Loaded {
    let mut warnings = Vec::new();
    let server = noted(server::server(SERVER_FILE, directory.server, directory.env), &mut warnings);
    let mut apps: BTreeMap<String, Result<App, Faults>> = BTreeMap::new();
    for (name, text) in directory.apps {
        let Some(stem) = name.strip_suffix(".toml").filter(|stem| !stem.is_empty()) else { continue };
        let path = format!("apps/{name}");
        let read = if apps.len() < MAX_APPS {
            noted(file::file(&path, stem, text, directory.env), &mut warnings)
        } else {
            Err(Finding::error("too-many", format!("more than {MAX_APPS} apps")).in_file(path).into())
        };
        apps.insert(stem.to_owned(), read);
    }
    if let Some(domain) = server.as_ref().ok().and_then(|server| server.deploy.domain.as_ref()) {
        refuse_domain(&mut apps, domain);
    }
    refuse_shared_routes(&mut apps, held);
    warnings.sort_by(|a, b| (&a.file, a.at).cmp(&(&b.file, b.at)));
    Loaded { server, apps, warnings }
}

fn noted<T>(read: Result<(T, Vec<Finding>), Faults>, warnings: &mut Vec<Finding>) -> Result<T, Faults> {
    read.map(|(value, found)| {
        warnings.extend(found);
        value
    })
}

/// The name of webhooks leads to the API.
fn refuse_domain(apps: &mut BTreeMap<String, Result<App, Faults>>, domain: &Host) {
    for (stem, read) in apps {
        if read.as_ref().is_ok_and(|app| app.routes.iter().any(|route| route.host == *domain)) {
            let message = format!("`{domain}` is `deploy.domain` of slip.toml: it leads to the API");
            let finding = Finding::error("route-taken", message).hint("give the app another host name".to_owned());
            *read = Err(finding.in_file(format!("apps/{stem}.toml")).path("routing").into());
        }
    }
}

fn refuse_shared_routes(apps: &mut BTreeMap<String, Result<App, Faults>>, held: &Held) {
    let mut owners: BTreeMap<(String, String), String> = BTreeMap::new();
    for (stem, read) in apps.iter() {
        let kept = read.iter().flat_map(routes).filter(|key| held.get(key) == Some(stem));
        owners.extend(kept.map(|key| (key, stem.clone())));
    }
    for (stem, read) in apps {
        let Ok(app) = read else { continue };
        let keys: Vec<(String, String)> = routes(app).collect();
        let taken =
            keys.iter().find_map(|key| owners.get(key).filter(|owner| *owner != stem).map(|owner| (key, owner)));
        if let Some((key, owner)) = taken {
            let (host, path) = key;
            let path = if path == "/" { "" } else { path };
            let why = if held.contains_key(key) { "serves there, and keeps it" } else { "comes first by name" };
            let message = format!("`{host}{path}` is wanted by the apps `{owner}` and `{stem}`: `{owner}` {why}");
            let hint = "give one of them another host name or path".to_owned();
            let finding = Finding::error("route-taken", message).hint(hint);
            *read = Err(finding.in_file(format!("apps/{stem}.toml")).path("routing").into());
            continue;
        }
        owners.extend(keys.into_iter().map(|key| (key, stem.clone())));
    }
}

/// Host name and path of every way in.
fn routes(app: &App) -> impl Iterator<Item = (String, String)> + '_ {
    app.routes.iter().map(|route| (route.host.as_str().to_owned(), route.path.as_str().to_owned()))
}
