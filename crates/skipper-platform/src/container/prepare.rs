//! From a deployment to the container that an engine is asked to make.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::Path,
};

use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount, MountBindOptions, MountType, PortBinding, PortMap,
    RestartPolicy, RestartPolicyNameEnum,
};
use skipper_core::{
    deployment::Deployment,
    port::{Error, ErrorKind},
    secret::SecretValues,
    spec::{Application, Hook, Signal, Volume},
};

use super::{
    account::Account,
    config::{ContainerConfig, EngineKind},
    deployer, labels,
    options::Options,
};
use crate::local::{check_env, fill, part_secrets, port_env, storage};

/// The network of containers that are told no other.
pub(super) const NETWORK: &str = "skipper";
/// Where a container finds its files of secrets.
pub(super) const SECRETS_DIR: &str = "/run/skipper/secrets";
/// The port that a process is told first; the next ones follow.
const FIRST_PORT: u16 = 8080;
/// Processes and threads a container may have: many for a service, few for a fork bomb.
const PIDS: i64 = 4096;
/// Largest file of environment variables.
const ENV_FILE_BYTES: u64 = 1 << 20;
/// The least that Docker takes as a limit.
pub(super) const LEAST_MEMORY: u64 = 6 << 20;

/// What is to be made.
pub(super) enum Work<'a> {
    Instance(u32),
    /// A container of a pod: its ports are its own business.
    Pod(u32),
    /// A job in the application's environment, without ports.
    Hook(&'a Hook),
}

/// What a container is made of, beside its deployment.
pub(super) struct Order<'a> {
    /// By the engine's own id.
    pub image: String,
    pub secrets: &'a SecretValues,
    pub options: &'a Options,
    pub labels: HashMap<String, String>,
    /// The folder of the host that will have the files of secrets.
    pub secrets_dir: &'a Path,
}

/// The port of each within the container, by name: the one it insists on, or the one it is told.
pub(super) fn container_ports(app: &Application) -> BTreeMap<String, u16> {
    let mut taken: BTreeSet<u16> = app.ports.iter().filter_map(|port| port.fixed).collect();
    let mut next = FIRST_PORT;
    let mut chosen = BTreeMap::new();
    for port in &app.ports {
        let number = port.fixed.unwrap_or_else(|| {
            while !taken.insert(next) {
                next += 1;
            }
            next
        });
        chosen.insert(port.name.to_string(), number);
    }
    chosen
}

/// The network of an application's containers.
pub(super) fn network<'a>(config: &'a ContainerConfig, options: &'a Options) -> &'a str {
    options.network.as_deref().unwrap_or(usual_network(config))
}

/// The network of whoever names none.
pub(super) fn usual_network(config: &ContainerConfig) -> &str {
    config.settings.network.as_deref().unwrap_or(NETWORK)
}

/// What the engine is told, and the folder of secrets that has to be there first. Blocking: reads the file of variables
/// and makes folders of volumes.
pub(super) fn body(
    account: &Account,
    deployment: &Deployment,
    order: Order<'_>,
    work: &Work<'_>,
) -> Result<(ContainerCreateBody, SecretFiles), Error> {
    let Order { image, secrets, options, labels, secrets_dir } = order;
    let app = &deployment.app;
    let config = &account.config;
    let ports = match work {
        Work::Instance(_) | Work::Pod(_) => container_ports(app),
        Work::Hook(_) => app.ports.iter().map(|port| (port.name.to_string(), 0)).collect(),
    };
    let reference = app.resource.uri.trim_start_matches("docker:").trim_start_matches("//");
    let filled =
        |words: &[String]| words.iter().map(|word| fill(word, &ports, reference)).collect::<Result<Vec<String>, _>>();
    let (entrypoint, cmd) = match work {
        Work::Hook(hook) => (filled(&hook.command)?, Vec::new()),
        Work::Instance(index) => {
            let told = deployer::arrange(deployment, *index, &ports)?;
            (filled(&app.command)?, [filled(&app.args)?, told.args].concat())
        }
        Work::Pod(_) => (filled(&app.command)?, filled(&app.args)?),
    };
    let (env, files) = environment(deployment, secrets, options, work, &ports, reference)?;
    let env = env.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut mounts = Vec::new();
    for volume in &app.volumes {
        mounts.push(mount(config, deployment, volume)?);
    }
    if !files.is_empty() {
        if !config.is_here() {
            let message = format!("secrets as files cannot be given to {}, which is another machine", config.host);
            return Err(Error::new(ErrorKind::Permanent, "secret-files", message)
                .hint("give the secret as a variable, or run the server beside the engine"));
        }
        mounts.push(bind(&secrets_dir.display().to_string(), SECRETS_DIR, true));
    }
    let some = |words: Vec<String>| (!words.is_empty()).then_some(words);
    let published = match work {
        Work::Instance(_) => published(config, app, &ports),
        Work::Pod(_) | Work::Hook(_) => PortMap::new(),
    };
    let host = HostConfig {
        network_mode: Some(network(config, options).to_owned()),
        // EXPOSE of the image does not matter: what is published is listed here and below.
        port_bindings: Some(published.clone()),
        memory: app.limits.memory_bytes.and_then(|bytes| i64::try_from(bytes).ok()),
        // As much as without swap: a limit that swapping gets around is none.
        memory_swap: app.limits.memory_bytes.and_then(|bytes| i64::try_from(bytes).ok()),
        nano_cpus: app.limits.cpu_millis.and_then(|millis| i64::try_from(millis.saturating_mul(1_000_000)).ok()),
        pids_limit: Some(PIDS),
        restart_policy: Some(restart(options, work)),
        init: Some(true),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        log_config: Some(log_config(config.kind)),
        mounts: some_mounts(mounts),
        ..HostConfig::default()
    };
    let body = ContainerCreateBody {
        image: Some(image),
        entrypoint: some(entrypoint),
        cmd: some(cmd),
        env: Some(env),
        labels: Some(labels),
        user: options.user.clone(),
        working_dir: app.working_dir.clone(),
        exposed_ports: (!published.is_empty()).then(|| published.keys().cloned().collect()),
        stop_signal: own_signal(app.stop.signal).map(str::to_owned),
        host_config: Some(host),
        ..ContainerCreateBody::default()
    };
    Ok((body, files))
}

/// Name and value of each secret that becomes a file.
pub(super) type SecretFiles = Vec<(String, skipper_core::secret::SecretValue)>;

/// The environment, weakest first: what Spring's applications are told, the file of variables, the application's own, ports,
/// secrets.
pub(super) fn environment(
    deployment: &Deployment,
    secrets: &SecretValues,
    options: &Options,
    work: &Work<'_>,
    ports: &BTreeMap<String, u16>,
    reference: &str,
) -> Result<(BTreeMap<String, String>, SecretFiles), Error> {
    let app = &deployment.app;
    let mut env = BTreeMap::from([
        ("SKIPPER_RELEASE".to_owned(), deployment.release_name.to_string()),
        ("SKIPPER_APP".to_owned(), app.name.to_string()),
        ("SKIPPER_REVISION".to_owned(), deployment.revision.to_string()),
        ("SKIPPER_DEPLOYMENT".to_owned(), deployment.id.to_string()),
    ]);
    if let Work::Instance(index) | Work::Pod(index) = work {
        env.insert("SKIPPER_INSTANCE".to_owned(), index.to_string());
    }
    if let Work::Instance(index) = work {
        env.extend(deployer::arrange(deployment, *index, ports)?.env);
    }
    if let Some(path) = &options.env_file {
        env.extend(env_file(Path::new(path))?);
    }
    for volume in &app.volumes {
        if let Some(name) = &volume.env {
            env.insert(name.clone(), volume.path.clone());
        }
    }
    for (name, value) in &app.env {
        env.insert(name.clone(), fill(value, ports, reference)?);
    }
    if let Work::Instance(_) = work {
        port_env(&app.ports, ports, &mut env);
    }
    let files = part_secrets(&app.secrets, secrets, &mut env)?;
    if !files.is_empty() {
        env.insert("SKIPPER_SECRETS_DIR".to_owned(), SECRETS_DIR.to_owned());
    }
    check_env(&env)?;
    Ok((env, files))
}

/// Reads a file of `NAME=VALUE` lines, with or without a shell's `export` before them; empty lines and those that begin with `#`
/// are passed over.
fn env_file(path: &Path) -> Result<Vec<(String, String)>, Error> {
    let wrong = |what: String| Error::new(ErrorKind::Permanent, "env-file-invalid", what);
    let shown = path.display();
    let meta = fs::metadata(path).map_err(|cause| {
        wrong(format!("read env_file {shown}")).because(cause).hint("it is a path on the server, which has to read it")
    })?;
    if !meta.is_file() || meta.len() > ENV_FILE_BYTES {
        return Err(wrong(format!("env_file {shown} is no plain file of at most 1 MiB")));
    }
    let text = fs::read_to_string(path).map_err(|cause| wrong(format!("read env_file {shown}")).because(cause))?;
    let mut all = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let bare = line.strip_prefix("export ").map_or(line, str::trim_start);
        let is_name = |name: &str| !name.is_empty() && !name.contains(char::is_whitespace);
        let Some((name, value)) = bare.split_once('=').filter(|(name, _)| is_name(name.trim_end())) else {
            // The line may be half of a secret, so it is not shown.
            let what = format!("env_file {shown}:{}: the line is not NAME=VALUE", number + 1);
            return Err(wrong(what).hint("begin the line with # if it is a remark"));
        };
        all.push((name.trim_end().to_owned(), value.to_owned()));
    }
    Ok(all)
}

/// Ports of the host: chosen by the engine, but for those that the process owns.
fn published(config: &ContainerConfig, app: &Application, ports: &BTreeMap<String, u16>) -> PortMap {
    let one = |port: &skipper_core::spec::Port| {
        let inside = ports.get(port.name.as_str())?;
        let (ip, host_port) = match (port.direct, port.fixed) {
            (true, Some(fixed)) => ("0.0.0.0".to_owned(), fixed.to_string()),
            _ => {
                let ip = config.settings.publish.map_or_else(|| "127.0.0.1".to_owned(), |ip| ip.to_string());
                (ip, String::new())
            }
        };
        let binding = PortBinding { host_ip: Some(ip), host_port: Some(host_port) };
        Some((format!("{inside}/tcp"), Some(vec![binding])))
    };
    app.ports.iter().filter_map(one).collect()
}

pub(super) fn mount(config: &ContainerConfig, deployment: &Deployment, volume: &Volume) -> Result<Mount, Error> {
    let invalid = |message: String| Error::new(ErrorKind::Permanent, "volume-invalid", message);
    if !volume.path.starts_with('/') {
        let message = format!("volume `{}`: {} is no absolute path within the container", volume.name, volume.path);
        return Err(invalid(message));
    }
    if let Some(source) = &volume.source {
        if !source.starts_with('/') {
            return Err(invalid(format!("volume `{}`: {source} is no absolute path of the host", volume.name)));
        }
        config.admits_folder(source)?;
        if config.is_here() && !Path::new(source).exists() {
            fs::create_dir_all(source)
                .map_err(|cause| storage(format!("make the folder of volume `{}`", volume.name), cause))?;
        }
        return Ok(bind(source, &volume.path, volume.read_only));
    }
    Ok(Mount {
        target: Some(volume.path.clone()),
        source: Some(volume_name(deployment, volume)?),
        typ: Some(MountType::VOLUME),
        read_only: Some(volume.read_only),
        ..Mount::default()
    })
}

/// The name of a managed volume: of the release, not of a revision.
pub(super) fn volume_name(deployment: &Deployment, volume: &Volume) -> Result<String, Error> {
    let name = &volume.name;
    let plain = (1..=100).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if !plain {
        let message = format!("volume {name:?} cannot be managed: a name has letters, digits, `_`, `.` and `-`");
        return Err(Error::new(ErrorKind::Permanent, "volume-invalid", message));
    }
    Ok(format!("skipper.{}.{}.{name}", deployment.tenant, deployment.release_name))
}

fn bind(source: &str, target: &str, read_only: bool) -> Mount {
    Mount {
        target: Some(target.to_owned()),
        source: Some(source.to_owned()),
        typ: Some(MountType::BIND),
        read_only: Some(read_only),
        bind_options: Some(MountBindOptions { create_mountpoint: Some(true), ..MountBindOptions::default() }),
        ..Mount::default()
    }
}

fn some_mounts(mounts: Vec<Mount>) -> Option<Vec<Mount>> {
    (!mounts.is_empty()).then_some(mounts)
}

/// Nobody but Skipper starts a container again, unless the application says so: only Skipper knows when to stop trying,
/// tells of it, and routes to the new port.
fn restart(options: &Options, work: &Work<'_>) -> RestartPolicy {
    let name = match (work, options.restart.as_deref()) {
        (Work::Instance(_), Some("always")) => RestartPolicyNameEnum::ALWAYS,
        (Work::Instance(_), Some("unless-stopped")) => RestartPolicyNameEnum::UNLESS_STOPPED,
        (Work::Instance(_), Some("on-failure")) => RestartPolicyNameEnum::ON_FAILURE,
        _ => RestartPolicyNameEnum::NO,
    };
    RestartPolicy { name: Some(name), maximum_retry_count: None }
}

/// Files that do not fill the disk.
fn log_config(kind: EngineKind) -> HostConfigLogConfig {
    let (driver, bounds) = match kind {
        EngineKind::Docker => ("json-file", vec![("max-size", "10m"), ("max-file", "3")]),
        // It keeps one file, and begins it anew.
        EngineKind::Podman => ("k8s-file", vec![("max-size", "20mb")]),
    };
    let config = bounds.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    HostConfigLogConfig { typ: Some(driver.to_owned()), config: Some(config) }
}

/// `None` for SIGTERM, the usual one: the image may know better.
const fn own_signal(signal: Signal) -> Option<&'static str> {
    match signal {
        Signal::Term => None,
        Signal::Int => Some("SIGINT"),
        Signal::Quit => Some("SIGQUIT"),
        Signal::Hup => Some("SIGHUP"),
        Signal::Usr1 => Some("SIGUSR1"),
        Signal::Usr2 => Some("SIGUSR2"),
    }
}

/// The labels of a container, those of the application first: ours cannot be covered.
pub(super) fn labels_of(
    config: &ContainerConfig,
    deployment: &Deployment,
    options: &Options,
    kind: &str,
) -> HashMap<String, String> {
    let mut all: HashMap<String, String> = options.labels.clone().into_iter().collect();
    all.extend(labels::of(config, deployment, kind));
    all
}
