//! Looking an application over before it is planned, and telling what an engine is.

use skipper_core::{
    port::{Error, ErrorKind},
    spec::{Application, SecretUse},
};

use super::{
    account::Account,
    config::ContainerConfig,
    deployer,
    image::Reference,
    options::{self, Options},
    pod::{self, Manifest},
    prepare::LEAST_MEMORY,
};

/// Refuses what cannot run in a container; returns what will not be done as it was asked.
pub(super) fn review(config: &ContainerConfig, app: &mut Application) -> Result<Vec<String>, Error> {
    let refuse = |code, message: String| Error::new(ErrorKind::Permanent, code, message);
    if app.resource.uri.starts_with("docker:") {
        Reference::parse(&app.resource.uri)?;
    }
    let not_done = deployer::review(app)?;
    let options = Options::of(app)?;
    let pod = Manifest::of(app)?;
    if pod.is_some() {
        pod::supported(config)?;
        config.admits_pods()?;
    }
    for source in app.volumes.iter().filter_map(|volume| volume.source.as_deref()) {
        config.admits_folder(source)?;
    }
    if let Some(bytes) = app.limits.memory_bytes.filter(|bytes| *bytes < LEAST_MEMORY) {
        let message = format!("a memory limit of {bytes} bytes is less than a container can have");
        return Err(refuse("limits-invalid", message).hint("the least is 6 MiB"));
    }
    if let Some(dir) = app.working_dir.as_ref().filter(|dir| !dir.starts_with('/')) {
        let message = format!("working folder {dir} is no absolute path within the container");
        return Err(refuse("working-dir-invalid", message));
    }
    if !config.is_here() {
        if app.secrets.iter().any(|one| matches!(one, SecretUse::File { .. })) {
            let message = format!("secrets as files cannot be given to {}, which is another machine", config.host);
            return Err(refuse("secret-files", message).hint("give the secret as a variable"));
        }
        if !app.ports.is_empty() && config.settings.publish.is_none() && !is_loopback(&config.host) {
            let message = format!("ports of containers on {} cannot be reached at 127.0.0.1", config.host);
            return Err(refuse("publish-unknown", message)
                .hint(format!("write the engine's address under `platforms.{}.publish`", config.account)));
        }
    }
    let mut told = not_done;
    let unknown = options::unknown(app).into_iter();
    told.extend(unknown.map(|key| format!("option `{key}` is unknown to {} and has no effect", config.kind)));
    let moving =
        |uri: &str| format!("the tag of {uri} may mean another image tomorrow; this one is pinned by its digest");
    if app.resource.uri.ends_with(":latest") {
        told.push(moving(&app.resource.uri));
    }
    if let Some(pod) = pod {
        let others = pod.parts.iter().filter(|part| part.uri != app.resource.uri && part.uri.ends_with(":latest"));
        told.extend(others.map(|part| moving(&part.uri)));
        told.extend(without_effect(app, &options));
        told.extend(pod::complete(app, &pod)?);
    }
    Ok(told)
}

/// What a manifest says for each container, and nobody for all of them.
fn without_effect(app: &Application, options: &Options) -> Vec<String> {
    let said = [
        ("command", !app.command.is_empty()),
        ("args", !app.args.is_empty()),
        ("resources", app.limits.memory_bytes.is_some() || app.limits.cpu_millis.is_some()),
        ("workingDir", app.working_dir.is_some()),
        ("user", options.user.is_some()),
    ];
    let told = said.iter().filter(|(_, is_said)| *is_said);
    told.map(|(key, _)| format!("`{key}` has no effect on a pod: its manifest says it for each container")).collect()
}

fn is_loopback(host: &str) -> bool {
    let host = host.split_once("://").map_or(host, |(_, rest)| rest);
    let host = host.split('/').next().unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    host == "localhost" || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// One line about the engine.
pub(crate) async fn about(account: &Account) -> Result<String, Error> {
    let config = &account.config;
    let number = account.number().await?;
    let api = account.engine().await?.client_version();
    Ok(format!("{} {number} at {}, API {}.{}", config.kind, config.host, api.major_version, api.minor_version))
}
