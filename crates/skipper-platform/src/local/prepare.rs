//! From a deployment to the order for a keeper: program, arguments, environment, folders.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use skipper_core::{
    deployment::Deployment,
    port::{Error, ErrorKind},
    secret::{SecretValue, SecretValues},
    spec::{Hook, Port, Resource, SecretUse},
};

use super::{
    account::{Account, storage},
    deployer::{self, Arranged},
    keeper::{Contents, Folder, Order, VERSION},
};
use crate::artifact::{
    self,
    maven::{self, Coordinates, StandIn},
};

/// What is to be started.
pub(super) enum Work<'a> {
    /// An instance of the application, with its ports.
    Instance { index: u32, ports: BTreeMap<String, u16>, launches: u32, contents: Contents },
    /// A job in the application's environment. It has no ports: what names one gets 0.
    Hook(&'a Hook),
}

/// Builds the order. Blocking: makes the folders of volumes.
pub(super) fn order(
    account: &Account,
    deployment: &Deployment,
    folder: &Folder,
    secrets: &SecretValues,
    work: Work<'_>,
) -> Result<Order, Error> {
    let app = &deployment.app;
    let ports = match &work {
        Work::Instance { ports, .. } => ports.clone(),
        Work::Hook(_) => app.ports.iter().map(|port| (port.name.to_string(), 0)).collect(),
    };
    let resource = resource(account, deployment, folder)?;
    let arranged = match &work {
        Work::Instance { index, .. } => deployer::arrange(account, deployment, *index, &ports, &resource[0])?,
        Work::Hook(_) => Arranged::default(),
    };
    let fill = |text: &str| fill(text, &ports, &resource[0]);
    let command = match &work {
        Work::Hook(hook) => &hook.command,
        Work::Instance { .. } => &app.command,
    };
    let mut words: Vec<String> = if command.is_empty() {
        arranged.words.unwrap_or_else(|| resource.clone())
    } else {
        command.iter().map(|w| fill(w)).collect::<Result<_, _>>()?
    };
    if let Work::Instance { .. } = &work {
        for arg in &app.args {
            words.push(fill(arg)?);
        }
        words.extend(arranged.args);
    }
    let program = words.remove(0);
    let elsewhere = arranged.working_dir.filter(|_| app.working_dir.is_none());
    let working_dir = elsewhere.clone().unwrap_or_else(|| working_dir(app.working_dir.as_deref(), folder));
    let mut env = account.config.base_env.clone();
    env.extend(arranged.inherited);
    env.insert("HOME".to_owned(), text(&folder.work())?);
    env.insert("TMPDIR".to_owned(), text(&folder.tmp())?);
    env.insert("SKIPPER_RELEASE".to_owned(), deployment.release_name.to_string());
    env.insert("SKIPPER_APP".to_owned(), app.name.to_string());
    env.insert("SKIPPER_REVISION".to_owned(), deployment.revision.to_string());
    env.insert("SKIPPER_DEPLOYMENT".to_owned(), deployment.id.to_string());
    if let Work::Instance { index, .. } = &work {
        env.insert("SKIPPER_INSTANCE".to_owned(), index.to_string());
    }
    if let Some(stand_in) = stand_in(&app.resource) {
        env.insert("SAMPLE_VERSION".to_owned(), stand_in.version.to_owned());
        env.insert("SAMPLE_ABOUT".to_owned(), format!("Hello World v{}", stand_in.version));
        env.insert("HELLOWORLD_GREETING".to_owned(), stand_in.greeting.to_owned());
    }
    env.extend(arranged.env);
    volumes(account, deployment, &mut env)?;
    for (name, value) in &app.env {
        env.insert(name.clone(), fill(value)?);
    }
    if let Work::Instance { .. } = &work {
        port_env(&app.ports, &ports, &mut env);
    }
    let secret_files = add_secrets(&app.secrets, secrets, folder, &mut env)?;
    check_env(&env)?;
    let placement = match &work {
        Work::Instance { index, .. } => place(account, deployment, &index.to_string())?,
        Work::Hook(_) => None,
    };
    let (mut attributes, mut output_files) = (BTreeMap::new(), None);
    if let Work::Instance { index, .. } = &work {
        attributes = self::attributes(deployment, *index, &ports, &working_dir);
        if arranged.output_files {
            let files = ["stdout", "stderr"].map(|name| working_dir.join(format!("{name}_{index}.log")));
            for (name, file) in ["stdout", "stderr"].iter().zip(&files) {
                attributes.insert((*name).to_owned(), file.display().to_string());
            }
            output_files = Some(files);
        }
        attributes.extend(arranged.attributes);
    }
    let (ports, launches, contents, timeout_ms) = match work {
        Work::Instance { ports, launches, contents, .. } => (ports, launches, Some(contents), None),
        Work::Hook(hook) => (BTreeMap::new(), 1, None, Some(hook.timeout.0)),
    };
    Ok(Order {
        version: VERSION,
        arg0: program.clone(),
        program,
        args: words,
        env: env.into_iter().collect(),
        make_working_dir: elsewhere.is_some() || working_dir.starts_with(&folder.0),
        remove: elsewhere.filter(|_| !arranged.keep_files),
        output_files,
        working_dir,
        secret_files,
        cookie: format!("{:032x}", rand::random::<u128>()),
        ports,
        launches,
        contents,
        attributes,
        cgroup: placement,
        log_file_bytes: account.config.logs.file_bytes,
        log_files: account.config.logs.files,
        timeout_ms,
    })
}

/// What Spring's deployers tell of an instance, as far as it is known before it runs.
fn attributes(
    deployment: &Deployment,
    index: u32,
    ports: &BTreeMap<String, u16>,
    working_dir: &Path,
) -> BTreeMap<String, String> {
    let mut told = BTreeMap::from([
        ("guid".to_owned(), format!("{}-{index}", deployment.deployer_id())),
        ("working.dir".to_owned(), working_dir.display().to_string()),
    ]);
    // The first that is declared: an application of Spring has one.
    let first = deployment.app.ports.first().and_then(|port| ports.get(port.name.as_str()));
    if let Some(port) = first {
        told.insert("port".to_owned(), port.to_string());
        told.insert("url".to_owned(), format!("http://127.0.0.1:{port}"));
    }
    told
}

/// What runs the resource: its own path under a name that people recognise, or a builtin's words.
fn resource(account: &Account, deployment: &Deployment, folder: &Folder) -> Result<Vec<String>, Error> {
    let resource = &deployment.app.resource;
    let stand_in = stand_in(resource);
    if let Some(name) = stand_in.as_ref().map(|it| it.builtin).or_else(|| resource.uri.strip_prefix("builtin:")) {
        let words = account.config.builtins.get(name).ok_or_else(|| unknown_builtin(account, name))?;
        return words.iter().map(os_text).collect();
    }
    let digest = resource.sha256.ok_or_else(|| {
        let message = format!("resource {} has no digest", artifact::redact(&resource.uri));
        Error::new(ErrorKind::Permanent, "resource-unpinned", message).hint("fetch it first: its answer has the digest")
    })?;
    let path = account.config.artifacts.path(&digest);
    if !path.is_file() {
        let message = format!("resource {} is not in this server's cache any more", artifact::redact(&resource.uri));
        return Err(Error::new(ErrorKind::Permanent, "artifact-missing", message)
            .hint("roll out again: the resource is fetched anew if its address still has the same bytes"));
    }
    // Called by its digest, nobody would recognise it in `ps`.
    let link = folder.0.join("bin").join(file_name(&resource.uri));
    link_to(&path, &link).map_err(|cause| storage("name the program", cause))?;
    Ok(vec![text(&link)?])
}

/// Whether the resource's bytes are in the cache, as far as it is one that would be. Blocking.
pub(super) fn is_here(account: &Account, resource: &Resource) -> bool {
    let built_in = stand_in(resource).is_some() || resource.uri.starts_with("builtin:");
    built_in || resource.sha256.is_none_or(|digest| account.config.artifacts.path(&digest).is_file())
}

/// The coordinates of a resource that a builtin stands for.
fn stand_in(resource: &Resource) -> Option<StandIn> {
    let coordinates = resource.uri.starts_with("maven:").then(|| Coordinates::parse(&resource.uri).ok())??;
    maven::stand_in(&coordinates).filter(|stand_in| resource.sha256 == Some(stand_in.digest))
}

pub(super) fn needs_engine(account: &Account, uri: &str) -> Error {
    let message = format!("`{uri}` is an image, and `{}` runs processes of this host", account.config.account);
    Error::new(ErrorKind::Permanent, "resource-scheme", message).hint(
        "start Docker or Podman, and then the server again, or name an account of such an engine; or deploy a jar or a program: \
         maven://…, https://… or file:…",
    )
}

pub(super) fn unknown_builtin(account: &Account, name: &str) -> Error {
    let known = account.config.builtins.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    Error::new(ErrorKind::Permanent, "resource-not-found", format!("there is no builtin `{name}`"))
        .hint(format!("builtins are: {known}"))
}

fn link_to(target: &Path, link: &Path) -> io::Result<()> {
    if fs::read_link(link).is_ok_and(|to| to == target) {
        return Ok(());
    }
    if let Some(dir) = link.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    match fs::remove_file(link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::os::unix::fs::symlink(target, link)
}

/// The last part of an address, as far as it is a plain file name.
fn file_name(uri: &str) -> String {
    if uri.starts_with("maven:") {
        return Coordinates::parse(uri).map_or_else(|_| "app.jar".to_owned(), |it| it.file_name());
    }
    let path = uri.split(['?', '#']).next().unwrap_or_default();
    let name = path.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default();
    let plain: String =
        name.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+')).take(100).collect();
    if plain.is_empty() || plain.starts_with('.') { "app".to_owned() } else { plain }
}

fn working_dir(wanted: Option<&str>, folder: &Folder) -> PathBuf {
    // A relative one is below the instance's own; an absolute one stays as it is.
    wanted.map_or_else(|| folder.work(), |wanted| folder.work().join(wanted))
}

/// Replaces `{port.NAME}` and `{resource}`.
pub(crate) fn fill(text: &str, ports: &BTreeMap<String, u16>, resource: &str) -> Result<String, Error> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("{resource}") {
            out.push_str(resource);
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix("{port.").and_then(|r| r.split_once('}')) {
            let port = ports.get(name).ok_or_else(|| {
                let known = ports.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                Error::new(
                    ErrorKind::Permanent,
                    "unknown-port",
                    format!("`{{port.{name}}}` names a port that is not declared"),
                )
                .hint(if known.is_empty() {
                    "declare it under `ports`".to_owned()
                } else {
                    format!("declared are: {known}")
                })
            })?;
            out.push_str(&port.to_string());
            rest = after;
        } else {
            // A brace of the application's own, as in JSON.
            out.push('{');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// Tells the process its ports. One without a variable of its own is told as `PORT` if it is the first, else as
/// `PORT_NAME`, unless the application sets that variable itself.
pub(crate) fn port_env(declared: &[Port], given: &BTreeMap<String, u16>, env: &mut BTreeMap<String, String>) {
    for (position, port) in declared.iter().enumerate() {
        let Some(number) = given.get(port.name.as_str()) else { continue };
        match &port.env {
            Some(name) => {
                env.insert(name.clone(), number.to_string());
            }
            None if position == 0 => {
                env.entry("PORT".to_owned()).or_insert_with(|| number.to_string());
            }
            None => {
                let name: String = port
                    .name
                    .as_str()
                    .chars()
                    .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
                    .collect();
                env.entry(format!("PORT_{name}")).or_insert_with(|| number.to_string());
            }
        }
    }
}

/// Makes the folders of volumes and tells the process where they are.
fn volumes(account: &Account, deployment: &Deployment, env: &mut BTreeMap<String, String>) -> Result<(), Error> {
    for volume in &deployment.app.volumes {
        let dir = if let Some(source) = &volume.source {
            let dir = PathBuf::from(source);
            if !dir.is_absolute() || !dir.is_dir() {
                let message = format!("volume `{}`: {source} is not a folder of this host", volume.name);
                return Err(Error::new(ErrorKind::Permanent, "volume-not-found", message)
                    .hint("make the folder, or leave `source` out to have one managed"));
            }
            dir
        } else {
            plain_name("volume", &volume.name)?;
            let of_release =
                account.config.volumes.join(deployment.tenant.as_str()).join(deployment.release_name.as_str());
            let dir = of_release.join(&volume.name);
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&dir)
                .map_err(|cause| storage(format!("make the folder of volume `{}`", volume.name), cause))?;
            dir
        };
        if let Some(name) = &volume.env {
            env.insert(name.clone(), text(&dir)?);
        }
    }
    Ok(())
}

/// Puts secrets that are variables into the environment, and returns name and value of those that become files.
pub(crate) fn part_secrets(
    uses: &[SecretUse],
    values: &SecretValues,
    env: &mut BTreeMap<String, String>,
) -> Result<Vec<(String, SecretValue)>, Error> {
    let mut files = Vec::new();
    for one in uses {
        let name = one.secret();
        let value = values.get(name).ok_or_else(|| {
            Error::new(ErrorKind::Permanent, "secret-missing", format!("secret `{name}` was not handed over"))
                .hint(format!("set it with `skipper secrets set {name}`"))
        })?;
        match one {
            SecretUse::Env { var, .. } => {
                env.insert(var.clone(), value.expose().to_owned());
            }
            SecretUse::File { file, .. } => {
                plain_name("secret file", file)?;
                files.push((file.clone(), value.clone()));
            }
        }
    }
    Ok(files)
}

fn add_secrets(
    uses: &[SecretUse],
    values: &SecretValues,
    folder: &Folder,
    env: &mut BTreeMap<String, String>,
) -> Result<Vec<(String, String)>, Error> {
    let files = part_secrets(uses, values, env)?;
    if !files.is_empty() {
        env.insert("SKIPPER_SECRETS_DIR".to_owned(), text(&folder.secrets())?);
    }
    Ok(files.into_iter().map(|(name, value)| (name, value.expose().to_owned())).collect())
}

fn place(account: &Account, deployment: &Deployment, index: &str) -> Result<Option<super::cgroup::Placement>, Error> {
    let limits = &deployment.app.limits;
    if limits.memory_bytes.is_none() && limits.cpu_millis.is_none() {
        return Ok(None);
    }
    let offer = account.offer();
    if (limits.memory_bytes.is_some() && offer.memory.is_none()) || (limits.cpu_millis.is_some() && offer.cpu.is_none())
    {
        return Err(Error::new(
            ErrorKind::Permanent,
            "limits-unavailable",
            "this host lets the server set no such limits",
        )
        .hint("run the server as root, or in a systemd unit with Delegate=yes, or leave `resources` out"));
    }
    let name = format!("{}.{}.{index}", account.config.account, deployment.id);
    Ok(offer.place(&name, limits))
}

pub(crate) fn check_env(env: &BTreeMap<String, String>) -> Result<(), Error> {
    for (name, value) in env {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            // The value may be a secret; the name is not.
            let message =
                format!("environment variable {name:?} cannot be set: names have no `=`, neither has a NUL byte");
            return Err(Error::new(ErrorKind::Permanent, "environment-invalid", message));
        }
    }
    Ok(())
}

/// Refuses what would lead out of a folder.
pub(crate) fn plain_name(what: &str, name: &str) -> Result<(), Error> {
    let plain = !name.is_empty() && name.len() <= 255 && !name.contains(['/', '\0']) && !matches!(name, "." | "..");
    if plain {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Permanent, "name-invalid", format!("{what} name {name:?} is not a plain file name")))
}

fn text(path: &Path) -> Result<String, Error> {
    os_text(path.as_os_str())
}

fn os_text(text: impl AsRef<std::ffi::OsStr>) -> Result<String, Error> {
    let text: OsString = text.as_ref().to_owned();
    text.into_string().map_err(|text| {
        let message = format!("the path {} is not UTF-8", text.display());
        Error::new(ErrorKind::Permanent, "path-invalid", message).hint("use a data directory with a plain name")
    })
}

#[cfg(test)]
mod tests {
    use skipper_core::name::PortName;

    use super::*;

    #[test]
    fn placeholders_are_filled_and_other_braces_stay() {
        let ports = BTreeMap::from([("http".to_owned(), 20_001)]);
        let filled = |text| fill(text, &ports, "/r").map_err(|error| error.code());
        assert_eq!(filled("--port={port.http}").as_deref(), Ok("--port=20001"));
        assert_eq!(filled(r#"{"a": {port.http}}"#).as_deref(), Ok(r#"{"a": 20001}"#));
        assert_eq!(filled("{resource}{").as_deref(), Ok("/r{"));
        assert_eq!(filled("{port.grpc}"), Err("unknown-port"));
    }

    #[test]
    fn the_first_port_is_told_as_port_unless_said_otherwise() {
        let port = |name: &str, env: Option<&str>| Port {
            name: PortName::new(name).expect("it is valid"),
            env: env.map(str::to_owned),
            fixed: None,
            direct: false,
            container: None,
        };
        let given = BTreeMap::from([("http".to_owned(), 1), ("grpc-api".to_owned(), 2)]);
        let mut env = BTreeMap::new();
        port_env(&[port("http", None), port("grpc-api", None)], &given, &mut env);
        assert_eq!(
            env,
            BTreeMap::from([("PORT", "1"), ("PORT_GRPC_API", "2")].map(|(k, v)| (k.to_owned(), v.to_owned())))
        );
        let mut env = BTreeMap::from([("PORT".to_owned(), "own".to_owned())]);
        port_env(&[port("http", None), port("grpc-api", Some("GRPC"))], &given, &mut env);
        assert_eq!(env, BTreeMap::from([("PORT", "own"), ("GRPC", "2")].map(|(k, v)| (k.to_owned(), v.to_owned()))));
    }

    #[test]
    fn a_program_is_called_as_its_address_says() {
        assert_eq!(file_name("https://example.org/a/server-1.2?token=x"), "server-1.2");
        assert_eq!(file_name("file:/opt/app/run.sh"), "run.sh");
        assert_eq!(file_name("https://example.org/.."), "app");
    }
}
