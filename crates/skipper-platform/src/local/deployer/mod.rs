//! What Spring's local deployer does for an application: Java and its options, properties as JSON or arguments, the
//! environment, files and folders. The keys are those of its accounts and deployment properties.
//!
//! Everything is decided here; [`super::prepare`] puts it into the order.

mod java;
mod options;
mod settings;
mod told;

pub use options::unsupported;
pub(crate) use options::{Dealt, Options, Table};
pub(crate) use settings::mebibytes;
pub use settings::{DeployerSettings, ENV_VARS_TO_INHERIT, inherit};
pub(crate) use told::{Told, told};

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use skipper_core::{
    deployment::Deployment,
    port::{Error, ErrorKind},
    spec::{Application, Resource},
    time::Millis,
};

use super::{
    account::Account,
    ports::{Strictness, is_free},
    prepare,
};
use crate::artifact::{
    self,
    maven::{self, Coordinates},
};

/// The grace that an application of Spring's deployers has where neither it nor its account says otherwise.
const USUAL_GRACE: Millis = Millis::secs(30);
/// A debugger's port that is taken is looked for this far up.
const DEBUG_TRIES: u16 = 100;

/// What an instance is started with, beside what every application gets.
#[derive(Debug, Default)]
pub(super) struct Arranged {
    /// Before the resource's own path, or in its place: Java and its options.
    pub words: Option<Vec<String>>,
    /// After the application's own arguments.
    pub args: Vec<String>,
    /// Below everything else that is set.
    pub inherited: BTreeMap<String, String>,
    /// Above what is inherited.
    pub env: BTreeMap<String, String>,
    /// Instead of the instance's own.
    pub working_dir: Option<PathBuf>,
    /// The working folder stays when the instance goes.
    pub keep_files: bool,
    /// Whether output goes into files of its own as well.
    pub output_files: bool,
    /// What is told of the instance.
    pub attributes: BTreeMap<String, String>,
}

/// What an application's options come to on this account.
fn settings(account: &Account, app: &Application) -> Result<DeployerSettings, Error> {
    let options = Options::of(app.deployer.as_ref());
    let mut own = account.config.deployer.of_app(options).map_err(|faults| invalid(&faults.join("; ")))?;
    complete(&mut own, account);
    Ok(own)
}

/// A server without a PATH looks where its processes do.
fn complete(own: &mut DeployerSettings, account: &Account) {
    if own.search.is_empty() {
        own.search = account.config.base_env.get("PATH").cloned().unwrap_or_default();
    }
}

fn invalid(what: &str) -> Error {
    Error::new(ErrorKind::Permanent, "option-invalid", what.to_owned())
        .hint("correct it in spec.deploymentProperties of the package, or in the account's configuration")
}

/// Checks what can be checked before anything is started, and completes the application by what the account decides. With
/// the resource pinned, or at hand, also what it is. Returns what is not done as it was asked.
///
/// # Errors
///
/// An option that cannot be followed; a jar without Java; a jar that is none.
pub(super) fn review(account: &Account, app: &mut Application) -> Result<Vec<String>, Error> {
    if app.platform_options.contains_key("cloudfoundry") {
        let message =
            format!("application `{}` is a CloudFoundryApplication, which runs on Cloud Foundry only", app.name);
        return Err(Error::new(ErrorKind::Permanent, "resource-kind", message).hint(
            "name an account of that type as the platform, or write the application as a SpringCloudDeployerApplication",
        ));
    }
    let own = settings(account, app)?;
    if app.resource.uri.starts_with("docker:") {
        hand_over(account, &own, app)?;
        return Ok(Vec::new());
    }
    let options = Options::of(app.deployer.as_ref());
    call(&own, options)?;
    if options.own("main").is_some() != options.own("classpath").is_some() {
        return Err(invalid(
            "`spring.cloud.deployer.local.main` and `spring.cloud.deployer.local.classpath` are set together or not at all",
        ));
    }
    let file = account.config.artifacts.at_hand(&app.resource);
    if app.command.is_empty() && runs_on_java(app, file.as_deref()) {
        java::find(&own, options.common("bootVersion"))?;
        if let Some(file) = file.filter(|_| options.own("main").is_none()) {
            java::check_jar(&file, &artifact::redact(&app.resource.uri))?;
        }
    }
    let nobody_says = options.own("shutdownTimeout").is_none() && app.stop.grace == USUAL_GRACE;
    if app.deployer.is_some() && nobody_says {
        app.stop.grace = millis(own.shutdown_timeout);
    }
    Ok(app.deployer.as_ref().map(unsupported).unwrap_or_default())
}

/// Gives an image to the account that has an engine, with what this one would have done differently.
fn hand_over(account: &Account, own: &DeployerSettings, app: &mut Application) -> Result<(), Error> {
    let Some(engine) = &account.config.engine else {
        return Err(prepare::needs_engine(account, &app.resource.uri));
    };
    app.target = engine.clone();
    let Some(deployer) = &mut app.deployer else { return Ok(()) };
    let usual = DeployerSettings::default();
    let differing = [
        (
            "useSpringApplicationJson",
            own.use_spring_application_json.to_string(),
            usual.use_spring_application_json.to_string(),
        ),
        ("shutdownTimeout", own.shutdown_timeout.as_secs().to_string(), usual.shutdown_timeout.as_secs().to_string()),
        ("startupProbe.path", own.startup_probe.clone().unwrap_or_default(), String::new()),
        ("healthProbe.path", own.health_probe.clone().unwrap_or_default(), String::new()),
    ];
    for (name, value, usual) in differing {
        if value != usual && Options::of(Some(deployer)).own(name).is_none() {
            deployer.options.insert(format!("spring.cloud.deployer.local.{name}"), value);
        }
    }
    Ok(())
}

fn millis(span: Duration) -> Millis {
    Millis(span.as_millis().try_into().unwrap_or(u64::MAX))
}

/// The file of a resource that is here.
fn pinned(account: &Account, resource: &Resource) -> Option<PathBuf> {
    let path = account.config.artifacts.path(&resource.sha256?);
    path.is_file().then_some(path)
}

/// A jar by its name; of an application for Spring's deployers, which know nothing but jars, also by what it is.
fn runs_on_java(app: &Application, file: Option<&Path>) -> bool {
    let uri = &app.resource.uri;
    if uri.starts_with("builtin:") || stands_in(&app.resource) {
        return false;
    }
    let name = match Coordinates::parse(uri) {
        Ok(coordinates) if uri.starts_with("maven:") => coordinates.file_name(),
        _ => uri.split(['?', '#']).next().unwrap_or_default().to_owned(),
    };
    let name = name.to_ascii_lowercase();
    let by_name = [".jar", ".war"].iter().any(|ending| name.ends_with(ending));
    by_name || (app.deployer.is_some() && file.is_some_and(java::is_zip))
}

fn stands_in(resource: &Resource) -> bool {
    let Some(stand_in) = Coordinates::parse(&resource.uri).ok().as_ref().and_then(maven::stand_in) else {
        return false;
    };
    // Before it is pinned, one may still be: Java is not asked for in vain.
    resource.sha256.is_none_or(|pinned| pinned == stand_in.digest)
}

/// Java's options and what it runs.
fn call<'a>(own: &DeployerSettings, options: Options<'a>) -> Result<java::Call<'a>, Error> {
    let mut words: Vec<String> = own.java_opts.split_whitespace().map(str::to_owned).collect();
    if let Some(memory) = options.common("memory") {
        let mebibytes = settings::mebibytes(memory.trim()).map_err(|why| invalid(&why))?;
        if !words.iter().any(|word| word.starts_with("-Xmx")) {
            words.insert(0, format!("-Xmx{mebibytes}m"));
        }
    }
    let main = options.own("classpath").zip(options.own("main"));
    Ok(java::Call { options: words, main })
}

/// What one instance is started with. Blocking: looks for Java and for the debugger's port.
///
/// # Errors
///
/// As [`review`].
pub(super) fn arrange(
    account: &Account,
    deployment: &Deployment,
    index: u32,
    ports: &BTreeMap<String, u16>,
    resource: &str,
) -> Result<Arranged, Error> {
    let app = &deployment.app;
    let own = settings(account, app)?;
    let options = Options::of(app.deployer.as_ref());
    let mut arranged = Arranged::default();
    if app.command.is_empty() && runs_on_java(app, pinned(account, &app.resource).as_deref()) {
        let java = java::find(&own, options.common("bootVersion"))?;
        let mut call = call(&own, options)?;
        if let Some(address) = own.debug.as_deref().and_then(|debug| debugger(debug, index)) {
            let suspend = if own.debug_suspend { "y" } else { "n" };
            call.options
                .push(format!("-agentlib:jdwp=transport=dt_socket,server=y,suspend={suspend},address={address}"));
            arranged.attributes.insert("debug.address".to_owned(), address);
        }
        arranged.words = Some(call.words(&java.display().to_string(), resource));
    }
    let Some(deployer) = &app.deployer else { return Ok(arranged) };
    let port = app.ports.first().and_then(|port| ports.get(port.name.as_str())).copied();
    if let Some(port) = port {
        let host = own.hostname.as_deref().unwrap_or("127.0.0.1");
        arranged.attributes.insert("url".to_owned(), format!("http://{host}:{port}"));
    }
    arranged.inherited = own.inherited;
    Told { args: arranged.args, env: arranged.env } =
        told(deployment, deployer, index, port, own.use_spring_application_json);
    let root = match own.working_directories_root {
        Some(root) => Some(root),
        None if own.delete_files_on_exit => None,
        None => Some(account.config.root.join(".files")),
    };
    arranged.working_dir = root.map(|root| root.join(deployment.id.as_str()).join(index.to_string()));
    arranged.keep_files = !own.delete_files_on_exit;
    arranged.output_files = !own.inherit_logging;
    Ok(arranged)
}

/// Where the instance's debugger connects. While two versions run, the newer one takes the next that is free.
fn debugger(text: &str, index: u32) -> Option<String> {
    let (host, first) = settings::debug_port(text)?;
    let first = first.checked_add(u16::try_from(index).ok()?)?;
    let port = (first..=first.saturating_add(DEBUG_TRIES)).find(|port| is_free(*port, Strictness::Listening))?;
    Some(if host.is_empty() { port.to_string() } else { format!("{host}:{port}") })
}

/// The Java of applications that name none, for people.
pub(super) fn java(account: &Account) -> Option<String> {
    let mut own = account.config.deployer.clone();
    complete(&mut own, account);
    java::find(&own, None).ok().map(|path| path.display().to_string())
}

/// The ports an application may be given, where somebody says so.
pub(super) fn port_range(account: &Account, app: &Application) -> Option<std::ops::RangeInclusive<u16>> {
    app.deployer.as_ref()?;
    settings(account, app).ok()?.port_range
}

/// The paths that say whether an application has started, and whether it is well.
pub(super) struct Probes {
    pub startup: Option<String>,
    pub health: Option<String>,
}

/// The paths that are asked instead of an application's own health; `None` where none is named.
pub(super) fn probes(account: &Account, app: &Application) -> Option<Probes> {
    app.deployer.as_ref()?;
    let own = settings(account, app).ok()?;
    let slashed = |path: String| if path.starts_with('/') { path } else { format!("/{path}") };
    let probes = Probes { startup: own.startup_probe.map(slashed), health: own.health_probe.map(slashed) };
    (probes.startup.is_some() || probes.health.is_some()).then_some(probes)
}
