//! From an app and a deploy to what the engine runs.

mod container;
mod network;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use skipper_core::{
    name::{AppName, PlatformName, ReleaseName, SecretName, slug},
    secret::{SecretValue, SecretValues},
    spec::{Application, Bounds, Hooks, Limits, Resource, SecretUse, StopPolicy, Strategy, Target},
    time::Millis,
};

use super::{
    expand::Text,
    file::App,
    merge::{Merged, MergedRoute, merge},
    pod::{self, Pod},
    preview::{self, Preview, PreviewRequest, preview_release},
    repo::{Kind, Repo},
    server::Server,
    tls::TlsHosts,
    value::{Resources, is_reference, is_tag},
};
use crate::{
    finding::{Faults, Finding, Findings},
    yaml::shorten,
};

/// The secret that verifies webhooks and that no process gets to see.
const WEBHOOK_KEY: &str = "SLIP_SECRET";
/// Begins the names of secrets that come out of the configuration; no key of slip's store holds a dot.
const SEALED: &str = "config.";

/// What a deploy says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deploy {
    /// A tag, or `sha256:…`.
    pub tag: String,
    /// The image without a tag; when it is named it must be the app's.
    pub image: Option<String>,
    /// In a pod, whole references by the name of their container.
    pub images: BTreeMap<String, String>,
    /// A preview rather than the app itself.
    pub preview: Option<PreviewRequest>,
}

/// Everything an app is made from.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// Its file.
    pub app: &'a App,
    /// The server's.
    pub server: &'a Server,
    /// The image's, if it has one.
    pub repo: Option<&'a Repo>,
    /// Text of [`Merged::manifest`], for a pod.
    pub manifest: Option<&'a str>,
    /// What is deployed.
    pub deploy: &'a Deploy,
    /// Where.
    pub target: &'a PlatformName,
    /// All secrets that are set for the app: the names of their variables, and what the store calls them.
    pub secrets: &'a BTreeMap<String, SecretName>,
    /// Variables of those of them that are marked for previews, beside those that the app's file names.
    pub preview_secrets: &'a [String],
    /// The address of the branch that was made for a preview whose image asks for one; a variable of the process.
    pub database: Option<&'a SecretValue>,
    /// Host names that the edge serves with TLS too.
    pub tls: &'a TlsHosts,
}

/// What a deploy comes to.
#[derive(Debug, Clone)]
pub struct Built {
    /// The release: the app's name, or that of the preview.
    pub release: ReleaseName,
    /// One application, by the app's name.
    pub applications: Vec<Application>,
    /// Values out of the environment that the application uses as secrets. Whoever takes the spec seals them for the release
    /// first; their names begin with `config.`.
    pub sealed: SecretValues,
    /// What is to be known of a preview.
    pub preview: Option<Preview>,
    /// How everything was merged.
    pub merged: Merged,
    /// What is odd, and no reason to refuse it.
    pub warnings: Vec<Finding>,
}

/// Builds it.
///
/// # Errors
///
/// Everything that contradicts itself or is missing.
pub fn applications(inputs: &Inputs<'_>) -> Result<Built, Faults> {
    let (merged, warnings) = merge(inputs.app, inputs.repo, inputs.server)?;
    let mut findings = Findings::new();
    findings.extend(warnings);
    check_deploy(inputs, &merged, &mut findings);
    let pod = read_pod(inputs, &merged, &mut findings);
    let preview = inputs.deploy.preview.as_ref().map(|request| {
        preview::shape(request, &merged, (inputs.app, inputs.repo, inputs.server), &mut findings)
            .zip(preview_release(&inputs.app.name, &request.id).ok())
    });
    let shape = match preview {
        None => Some(Shape::of(inputs.app, &merged)),
        Some(shaped) => shaped.map(|(shape, release)| Shape::of_preview(inputs.app, shape, release)),
    };
    // Without these nothing else can be told.
    let (Some(shape), false) = (shape, merged.kind == Kind::Pod && pod.is_none()) else {
        let fault = Finding::error("document-invalid", "the app cannot be built");
        return Err(findings.into_result().err().unwrap_or_else(|| fault.into()));
    };
    if let Some(preview) = &shape.preview {
        preview::check_database(preview, merged.kind, &mut findings);
    }
    let mut sealed = SecretValues::new();
    let application = application(inputs, &merged, pod.as_ref(), &shape, &mut sealed, &mut findings);
    let warnings = findings.into_result()?;
    let application = application.ok_or_else(|| Finding::error("document-invalid", "the app cannot be built"))?;
    let Shape { release, preview, .. } = shape;
    Ok(Built { release, applications: vec![application], sealed, preview, merged, warnings })
}

/// The application as far as it is known before its image has been read: enough to fetch that.
///
/// # Errors
///
/// Everything that contradicts itself without the image.
pub fn carrier(inputs: &Inputs<'_>) -> Result<Application, Faults> {
    let app = App {
        kind: Some(Kind::Worker),
        routes: Vec::new(),
        port: None,
        manifest: None,
        volumes: Vec::new(),
        ..inputs.app.clone()
    };
    let deploy = Deploy { images: BTreeMap::new(), preview: None, ..inputs.deploy.clone() };
    let built = applications(&Inputs { app: &app, deploy: &deploy, repo: None, manifest: None, ..*inputs })?;
    built.applications.into_iter().next().ok_or_else(|| Finding::error("document-invalid", "no application").into())
}

/// What differs between an app and a preview of it.
struct Shape {
    release: ReleaseName,
    /// What containers and labels call it.
    name: String,
    routes: Vec<MergedRoute>,
    resources: Resources,
    hooks: Hooks,
    timeout: Millis,
    preview: Option<Preview>,
}

impl Shape {
    fn of(app: &App, merged: &Merged) -> Self {
        Self {
            release: app.name.clone(),
            name: app.name.to_string(),
            routes: merged.routes.clone(),
            resources: merged.resources,
            hooks: Hooks::default(),
            timeout: merged.timeout,
            preview: None,
        }
    }

    fn of_preview(app: &App, shape: preview::Shape, release: ReleaseName) -> Self {
        let preview::Shape { preview, routes, resources, hooks, timeout } = shape;
        let name = format!("{}-preview-{}", app.name, preview.id);
        Self { release, name, routes, resources, hooks, timeout, preview: Some(preview) }
    }
}

fn check_deploy(inputs: &Inputs<'_>, merged: &Merged, findings: &mut Findings) {
    let deploy = inputs.deploy;
    if deploy.tag.is_empty() {
        findings.push(Finding::error("tag-invalid", "tag must not be empty"));
    } else if !is_tag(&deploy.tag) {
        let message =
            format!("tag `{}` contains invalid characters (allowed: alphanumeric, -, _, .)", shorten(&deploy.tag));
        findings.push(Finding::error("tag-invalid", message));
    }
    if let Some(named) = deploy.image.as_ref().filter(|named| **named != merged.image) {
        let message = format!("image mismatch: expected `{}`, got `{}`", merged.image, shorten(named));
        findings.push(Finding::error("image-mismatch", message));
    }
    if merged.kind != Kind::Pod && !deploy.images.is_empty() {
        let message = format!("`images` names containers of a pod, and the app is a {}", merged.kind.as_str());
        findings.push(Finding::error("container-unknown", message));
    }
    for (name, image) in &deploy.images {
        if !is_reference(image) {
            let message = format!("`{}` is not a whole reference: IMAGE:TAG or IMAGE@sha256:…", shorten(image));
            findings.push(Finding::error("image-invalid", message).path(format!("images.{}", shorten(name))));
        }
    }
}

fn read_pod(inputs: &Inputs<'_>, merged: &Merged, findings: &mut Findings) -> Option<Pod> {
    let manifest = merged.manifest.as_ref()?;
    let Some(text) = inputs.manifest else {
        let message = format!("pod manifest not found: {}", manifest.path);
        findings.push(Finding::error("manifest-missing", message).in_file(&manifest.path));
        return None;
    };
    let (pod, warnings) = findings.take(pod::pod(&manifest.path, text))?;
    findings.extend(warnings);
    Some(pod)
}

fn application(
    inputs: &Inputs<'_>,
    merged: &Merged,
    pod: Option<&Pod>,
    shape: &Shape,
    sealed: &mut SecretValues,
    findings: &mut Findings,
) -> Option<Application> {
    let tag = inputs.deploy.tag.as_str();
    let joint = if tag.starts_with("sha256:") { '@' } else { ':' };
    let (env, secrets) = environment(inputs, merged, shape, sealed, findings);
    let ways = network::ways(merged, pod, &shape.routes, inputs.tls, findings)?;
    let volumes = container::volumes(merged, &shape.name, shape.preview.is_some());
    let mut options = options(merged, shape, tag);
    if let Some(pod) = pod {
        let with = pod::Rendering {
            name: &shape.name,
            image: &merged.image,
            tag,
            images: &inputs.deploy.images,
            env: &env,
            labels: &labels(shape, tag),
            volumes: &container::pod_volumes(&volumes),
            ports: &ways.published(),
            // The server's bounds of previews hold for each container.
            most: if shape.preview.is_some() { shape.resources } else { Resources::default() },
        };
        let document = pod::render(pod, &with, findings);
        // JSON is YAML as well, and whoever fills in ports and secrets can read it without knowing YAML.
        let text = serde_json::to_string_pretty(&document).expect("a document is representable as JSON");
        options.insert("pod".to_owned(), text.into());
        if !ways.checks.is_empty() {
            options.insert("pod_health".to_owned(), ways.checks.clone().into());
        }
    }
    // A pod's containers have limits of their own.
    let limits = match pod {
        Some(_) => Limits::default(),
        None => Limits { memory_bytes: shape.resources.memory, cpu_millis: shape.resources.cpus },
    };
    // Nothing shows that a worker works but that it goes on running.
    let bake = merged.bake.unwrap_or(if merged.kind == Kind::Worker { merged.health.start_period } else { Millis(0) });
    // It has no requests to finish; what it does, it finishes when it is asked to stop.
    let grace = if merged.kind == Kind::Worker { merged.drain } else { StopPolicy::default().grace };
    Some(Application {
        name: AppName::new(inputs.app.name.as_str()).ok()?,
        target: Target(inputs.target.clone()),
        resource: Resource { uri: format!("docker:{}{joint}{tag}", merged.image), sha256: None },
        command: Vec::new(),
        args: Vec::new(),
        env,
        secrets,
        ports: ways.ports,
        health: ways.health,
        routes: ways.routes,
        strategy: if merged.recreate { Strategy::Recreate { bake } } else { Strategy::BlueGreen { bake } },
        replicas: 1,
        limits,
        volumes,
        hooks: shape.hooks.clone(),
        depends_on: Vec::new(),
        stop: StopPolicy { grace: merged.stop_timeout.unwrap_or(grace), ..StopPolicy::default() },
        bounds: Bounds { fetch: shape.timeout, health: shape.timeout, drain: merged.drain, ..Bounds::default() },
        working_dir: None,
        platform_options: options,
        images: BTreeMap::new(),
        deployer: None,
        relaunched: None,
    })
}

fn options(merged: &Merged, shape: &Shape, tag: &str) -> BTreeMap<String, Value> {
    let mut options = BTreeMap::from([
        ("labels".to_owned(), Value::Object(labels(shape, tag))),
        ("network".to_owned(), Value::from(merged.network.as_str())),
    ]);
    // What stands in the file of production is nobody else's business.
    if let Some(path) = merged.env_file.as_ref().filter(|_| shape.preview.is_none()) {
        options.insert("env_file".to_owned(), path.as_str().into());
    }
    if let Some(pull) = merged.pull {
        options.insert("pull".to_owned(), pull.into());
    }
    options
}

fn labels(shape: &Shape, tag: &str) -> Map<String, Value> {
    let labels = json!({"slip.app": shape.name, "slip.tag": tag, "slip.managed": "true"});
    labels.as_object().cloned().unwrap_or_default()
}

/// Variables, and secrets that become some: those of the store win over those of the file. A preview gets those that are
/// marked for it, and no value out of the server's environment but its own.
fn environment(
    inputs: &Inputs<'_>,
    merged: &Merged,
    shape: &Shape,
    sealed: &mut SecretValues,
    findings: &mut Findings,
) -> (BTreeMap<String, String>, Vec<SecretUse>) {
    let mut values = merged.env.clone();
    let named = &inputs.app.preview.secrets;
    let stored: Vec<(&String, &SecretName)> = if shape.preview.is_some() {
        let withheld: Vec<String> =
            values.extract_if(.., |_, value| matches!(value, Text::Secret(_))).map(|(name, _)| name).collect();
        values.extend(inputs.app.preview.env.clone());
        let missing: Vec<&str> =
            withheld.iter().map(String::as_str).filter(|name| !values.contains_key(*name)).collect();
        if !missing.is_empty() {
            let message =
                format!("previews do not get {}, which come from the server's environment", missing.join(", "));
            let hint = "give them values of their own under [preview.env]".to_owned();
            findings.push(Finding::warning("preview-env", message).hint(hint));
        }
        let marked = |(var, _): &(&String, &SecretName)| inputs.preview_secrets.contains(var) || named.contains(var);
        inputs.secrets.iter().filter(marked).collect()
    } else {
        inputs.secrets.iter().collect()
    };
    let mut secrets = Vec::new();
    for (var, secret) in stored {
        if var != WEBHOOK_KEY && is_key(var) {
            values.remove(var);
            secrets.push(SecretUse::Env { secret: secret.clone(), var: var.clone() });
        }
    }
    if let (Some(preview), Some(address)) = (&shape.preview, inputs.database) {
        // Whatever else is called so leads to another database.
        let variable = &preview.database.variable;
        secrets.retain(|used| !matches!(used, SecretUse::Env { var, .. } if var == variable));
        values.insert(variable.clone(), Text::Secret(address.clone()));
    }
    let mut env = BTreeMap::new();
    for (name, value) in values {
        match value {
            Text::Plain(text) => {
                env.insert(name, text);
            }
            Text::Secret(value) => {
                let secret = sealed_name(&name);
                sealed.insert(secret.clone(), SecretValue::new(value.expose().to_owned()));
                secrets.push(SecretUse::Env { secret, var: name });
            }
        }
    }
    (env, secrets)
}

/// A key of slip's store: what can be a variable.
fn is_key(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && !name.starts_with(|c: char| c.is_ascii_digit())
}

fn sealed_name(variable: &str) -> SecretName {
    SecretName::new(format!("{SEALED}{variable}")).unwrap_or_else(|_| {
        let hash = skipper_core::Sha256::of(variable.as_bytes()).short();
        SecretName::new(format!("{SEALED}{}-{hash}", slug(variable, 60))).expect("a slug is a name")
    })
}
