//! What an application that is written for Spring's deployers asks of its containers. The keys are those of Spring's local
//! deployer, which runs images beside jars.

use std::collections::BTreeMap;

use skipper_core::{
    deployment::Deployment,
    port::{Error, ErrorKind},
    spec::{Application, Check, Deployer, Volume},
    time::Millis,
};

use crate::local::{
    Dealt::{self, Honoured, Not},
    Options, Table, Told, mebibytes, told,
};

const PUBLISHED: &str =
    "the engine chooses the port of the host, and the address of the application is its server.port";
const JVM: &str = "an image brings its own Java";
const FOLDERS: &str = "a container has folders of its own";
const REMOVED: &str = "a container stays until its version goes, so that its output does";
const NAMED: &str = "containers are called by their deployment";

const COMMON: [(&str, Dealt); 9] = [
    ("count", Honoured),
    ("group", Honoured),
    ("appName", Honoured),
    ("indexed", Honoured),
    ("memory", Honoured),
    ("bootVersion", Not(JVM)),
    ("disk", Not("the engine has one disk for all")),
    ("cpu", Not("a container is not limited to a share of the CPU, as with Spring's local deployer")),
    ("docker.*", Not(NAMED)),
];

const OWN: [(&str, Dealt); 27] = [
    ("direct", Honoured),
    ("useSpringApplicationJson", Honoured),
    ("shutdownTimeout", Honoured),
    ("startupProbe.path", Honoured),
    ("healthProbe.path", Honoured),
    ("docker.network", Honoured),
    ("docker.volumeMounts", Honoured),
    ("docker.portMappings", Not(PUBLISHED)),
    ("docker.deleteContainerOnExit", Not(REMOVED)),
    ("docker.*", Not("of these, network and volumeMounts are followed")),
    ("portRange.low", Not(PUBLISHED)),
    ("portRange.high", Not(PUBLISHED)),
    ("hostname", Not(PUBLISHED)),
    ("main", Not(JVM)),
    ("classpath", Not(JVM)),
    ("javaCmd", Not(JVM)),
    ("javaOpts", Not(JVM)),
    ("javaHomePath.*", Not(JVM)),
    ("debugPort", Not(JVM)),
    ("debugAddress", Not(JVM)),
    ("debugSuspend", Not(JVM)),
    ("envVarsToInherit", Not("a container inherits nothing of the server's environment")),
    ("workingDirectoriesRoot", Not(FOLDERS)),
    ("deleteFilesOnExit", Not(FOLDERS)),
    ("inheritLogging", Not("output goes to Skipper's log of the release (`skipper logs`)")),
    ("startupProbe.*", Not("only its path is known")),
    ("healthProbe.*", Not("only its path is known")),
];

/// The grace that an application of Spring's deployers has where nobody says otherwise.
const USUAL_GRACE: Millis = Millis::secs(30);
/// What is well: what Spring's deployer takes for it.
const WELL: [(u16, u16); 1] = [(200, 299)];

/// Completes an application by its options; returns what will not be done as it was asked.
///
/// # Errors
///
/// An option that cannot be followed.
pub(super) fn review(app: &mut Application) -> Result<Vec<String>, Error> {
    let Some(deployer) = app.deployer.clone() else { return Ok(Vec::new()) };
    let options = Options::of(Some(&deployer));
    if let Some(memory) = options.common("memory") {
        let mebibytes = mebibytes(memory.trim()).map_err(|why| invalid(&why))?;
        app.limits.memory_bytes.get_or_insert(mebibytes.saturating_mul(1 << 20));
    }
    json(&deployer)?;
    if let Some(text) = options.own("shutdownTimeout") {
        let seconds: u64 = text.trim().parse().map_err(|_| wrong("shutdownTimeout", text, "a number"))?;
        if app.stop.grace == USUAL_GRACE {
            app.stop.grace = Millis::secs(seconds.min(3600));
        }
    }
    if let Some(path) = probe(options)
        && let Check::Boot { port } = &app.health.check
    {
        app.health.check = Check::Http { port: port.clone(), path, status: WELL.to_vec() };
    }
    if let Some(network) = options.own("docker.network").map(str::trim).filter(|network| !network.is_empty()) {
        app.platform_options.entry("network".to_owned()).or_insert_with(|| network.into());
    }
    for mount in options.own("docker.volumeMounts").into_iter().flat_map(|all| all.split(',')) {
        let volume = volume(mount.trim()).ok_or_else(|| wrong("docker.volumeMounts", mount, "/of/host:/within"))?;
        if !app.volumes.iter().any(|known| known.path == volume.path) {
            app.volumes.push(volume);
        }
    }
    Ok(Table { platform: "of containers", common: &COMMON, own: &OWN }.unsupported(&deployer))
}

/// What one instance is told, which listens at that port within its container.
pub(super) fn arrange(deployment: &Deployment, index: u32, ports: &BTreeMap<String, u16>) -> Result<Told, Error> {
    let app = &deployment.app;
    let Some(deployer) = &app.deployer else { return Ok(Told::default()) };
    let port = app.ports.first().and_then(|port| ports.get(port.name.as_str()));
    Ok(told(deployment, deployer, index, port.copied(), json(deployer)?))
}

/// Whether an application names a path that says whether it still is well.
pub(crate) fn watches_health(app: &Application) -> bool {
    app.deployer.as_ref().is_some_and(|deployer| Options::of(Some(deployer)).own("healthProbe.path").is_some())
}

fn json(deployer: &Deployer) -> Result<bool, Error> {
    let Some(text) = Options::of(Some(deployer)).own("useSpringApplicationJson") else { return Ok(true) };
    let word = text.trim().to_ascii_lowercase();
    word.parse().map_err(|_| wrong("useSpringApplicationJson", text, "true or false"))
}

/// The path that is asked; where one says that it has started and another one that it is well, the latter.
fn probe(options: Options<'_>) -> Option<String> {
    let own = |name| options.own(name).map(str::trim).filter(|path| !path.is_empty());
    let path = own("healthProbe.path").or_else(|| own("startupProbe.path"))?;
    Some(if path.starts_with('/') { path.to_owned() } else { format!("/{path}") })
}

/// `/of/host:/within`, and `:ro` after it for one that is only read.
fn volume(mount: &str) -> Option<Volume> {
    let (source, rest) = mount.split_once(':')?;
    let (path, mode) = rest.split_once(':').unwrap_or((rest, "rw"));
    if !source.starts_with('/') || !path.starts_with('/') || !matches!(mode, "ro" | "rw") {
        return None;
    }
    let (source, path, read_only) = (Some(source.to_owned()), path.to_owned(), mode == "ro");
    Some(Volume { name: path.trim_matches('/').replace('/', "-"), path, env: None, source, read_only })
}

fn wrong(name: &str, value: &str, expected: &str) -> Error {
    let shown: String = value.chars().take(60).collect();
    invalid(&format!("`spring.cloud.deployer.local.{name}` = `{shown}`: {expected} is expected"))
}

fn invalid(what: &str) -> Error {
    Error::new(ErrorKind::Permanent, "option-invalid", what.to_owned())
        .hint("correct it in spec.deploymentProperties of the package")
}
