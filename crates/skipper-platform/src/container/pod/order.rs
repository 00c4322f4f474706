//! From a manifest to what the engine is asked to make: pinned images, ports of the host, variables and secrets, volumes of
//! this pod alone.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value, json};
use skipper_core::{
    deployment::Deployment,
    name::slug,
    port::{Error, ErrorKind},
    secret::SecretValues,
};

use super::{
    super::{
        account::Account,
        labels,
        options::Options,
        prepare::{self, SECRETS_DIR, SecretFiles, Work},
        secret_files,
    },
    complete::PROBES,
    manifest::{LISTS, Manifest},
    ports,
};

/// Longest host name.
const HOSTNAME: usize = 63;

/// What a pod is made of, beside its deployment.
pub(super) struct Order<'a> {
    pub manifest: &'a Manifest,
    pub index: u32,
    pub secrets: &'a SecretValues,
    pub options: &'a Options,
    pub labels: HashMap<String, String>,
    /// The engine's own ids by container.
    pub images: &'a BTreeMap<String, String>,
}

/// What there has to be before the pod is made.
pub(super) struct Made {
    /// For the engine. Holds secrets.
    pub document: String,
    /// Volumes that go with the pod.
    pub volumes: Vec<String>,
    pub files: SecretFiles,
}

/// What the engine is told. Blocking: reads the file of variables, and makes folders of volumes.
pub(super) fn made(account: &Account, deployment: &Deployment, order: Order<'_>) -> Result<Made, Error> {
    let Order { manifest, index, secrets, options, labels, images } = order;
    let name = labels::instance_name(&deployment.id, index);
    let reference = deployment.app.resource.uri.trim_start_matches("docker:");
    let ports = prepare::container_ports(&deployment.app);
    let (env, files) = prepare::environment(deployment, secrets, options, &Work::Pod(index), &ports, reference)?;
    let mut document = manifest.document.clone();
    let metadata = map(&mut document, "metadata");
    // Labels of the manifest first: ours cannot be covered.
    let mut all: Map<String, Value> = metadata.get("labels").and_then(Value::as_object).cloned().unwrap_or_default();
    all.retain(|name, value| !name.starts_with(labels::PREFIX) && value.is_string());
    all.extend(labels.into_iter().map(|(name, value)| (name, value.into())));
    metadata.insert("labels".to_owned(), all.into());
    metadata.insert("name".to_owned(), name.as_str().into());
    let spec = map(&mut document, "spec");
    spec.insert("restartPolicy".to_owned(), restart(options).into());
    if spec.get("hostname").and_then(Value::as_str).is_none_or(str::is_empty) {
        spec.insert("hostname".to_owned(), slug(deployment.app.name.as_str(), HOSTNAME).into());
    }
    let volumes = own_volumes(spec, &name);
    let given = given_volumes(account, deployment, spec)?;
    if !files.is_empty() {
        if !account.config.is_here() {
            let message =
                format!("secrets as files cannot be given to {}, which is another machine", account.config.host);
            return Err(Error::new(ErrorKind::Permanent, "secret-files", message).hint("give the secret as a variable"));
        }
        for part in &manifest.parts {
            let dir = secrets_dir(account, deployment, index, &part.name);
            let source = json!({"path": dir.display().to_string(), "type": "Directory"});
            list(spec, "volumes").push(json!({"name": secrets_volume(&part.name), "hostPath": source}));
        }
    }
    for key in LISTS {
        for container in spec.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(container) = container.as_object_mut() else { continue };
            let part = container.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
            let image = images.get(&part).cloned().unwrap_or_default();
            container.insert("image".to_owned(), image.into());
            // It is here, and pinned.
            container.insert("imagePullPolicy".to_owned(), "Never".into());
            // Podman's own need systemd, and restart behind our back: they are asked from here.
            for probe in PROBES {
                container.remove(probe);
            }
            publish(account, deployment, manifest, &part, container)?;
            add_env(container, &env);
            for mount in &given {
                add_mount(container, mount);
            }
            if !files.is_empty() {
                let mount = json!({"name": secrets_volume(&part), "mountPath": SECRETS_DIR, "readOnly": true});
                list(container, "volumeMounts").push(mount);
            }
            let security = map(container, "securityContext");
            if security.get("privileged").and_then(Value::as_bool) != Some(true) {
                security.entry("allowPrivilegeEscalation").or_insert(Value::Bool(false));
            }
        }
    }
    // JSON is YAML as well.
    Ok(Made { document: Value::Object(document).to_string(), volumes, files })
}

/// The folder of a container's files of secrets.
pub(super) fn secrets_dir(account: &Account, deployment: &Deployment, index: u32, part: &str) -> std::path::PathBuf {
    secret_files::dir(&account.instance_dir(&deployment.id, index)).join(part)
}

fn secrets_volume(part: &str) -> String {
    format!("skipper-secrets-{part}")
}

/// Nobody but Skipper starts a container again, unless the application says so.
fn restart(options: &Options) -> &'static str {
    match options.restart.as_deref() {
        Some("always" | "unless-stopped") => "Always",
        Some("on-failure") => "OnFailure",
        _ => "Never",
    }
}

/// Volumes that are thrown away with their pod get names of their own: Podman would give one of the same name to every pod.
fn own_volumes(spec: &mut Map<String, Value>, pod: &str) -> Vec<String> {
    let mut names = Vec::new();
    for volume in spec.get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(volume) = volume.as_object_mut() else { continue };
        if volume.remove("emptyDir").is_none() && volume.len() > 1 {
            continue;
        }
        let name = volume.get("name").and_then(Value::as_str).unwrap_or_default();
        let name = format!("{pod}-{name}");
        volume.insert("persistentVolumeClaim".to_owned(), json!({"claimName": name}));
        names.push(name);
    }
    names
}

/// Volumes of the application that the manifest does not have, for every container; as what is to be mounted.
fn given_volumes(
    account: &Account,
    deployment: &Deployment,
    spec: &mut Map<String, Value>,
) -> Result<Vec<Value>, Error> {
    let mut mounts = Vec::new();
    let known: HashSet<String> =
        list(spec, "volumes").iter().filter_map(|volume| volume.get("name")?.as_str().map(str::to_owned)).collect();
    for volume in &deployment.app.volumes {
        // Makes the folder, if there is none.
        let mount = prepare::mount(&account.config, deployment, volume)?;
        if known.contains(&volume.name) {
            continue;
        }
        let name = slug(&format!("volume-{}", volume.name), HOSTNAME);
        let source = mount.source.unwrap_or_default();
        list(spec, "volumes").push(match &volume.source {
            Some(_) => json!({"name": name, "hostPath": {"path": source, "type": "DirectoryOrCreate"}}),
            None => json!({"name": name, "persistentVolumeClaim": {"claimName": source}}),
        });
        mounts.push(json!({"name": name, "mountPath": volume.path, "readOnly": volume.read_only}));
    }
    Ok(mounts)
}

fn add_mount(container: &mut Map<String, Value>, mount: &Value) {
    let at = |mount: &Value| {
        mount.get("mountPath").and_then(Value::as_str).map(|path| path.trim_end_matches('/').to_owned())
    };
    let mounts = list(container, "volumeMounts");
    if !mounts.iter().any(|known| at(known) == at(mount)) {
        mounts.push(mount.clone());
    }
}

/// Ports that are reached are published; of others Podman would publish the very number, at all addresses.
fn publish(
    account: &Account,
    deployment: &Deployment,
    manifest: &Manifest,
    part: &str,
    container: &mut Map<String, Value>,
) -> Result<(), Error> {
    container.remove("ports");
    let config = &account.config;
    let inside = prepare::container_ports(&deployment.app);
    for port in &deployment.app.ports {
        let Some(number) = inside.get(port.name.as_str()) else { continue };
        if port.container.as_ref().unwrap_or(&manifest.main) != part {
            continue;
        }
        let (ip, host_port) = match (port.direct, port.fixed) {
            (true, Some(fixed)) => ("0.0.0.0".to_owned(), fixed),
            _ => {
                let free = ports::free(config).ok_or_else(|| {
                    let message = format!("no port of {} is free for `{}`", ports::address(config), port.name);
                    Error::new(ErrorKind::Transient, "ports-exhausted", message).hint("stop what is not needed")
                })?;
                (ports::address(config).to_string(), free)
            }
        };
        list(container, "ports").push(json!({"containerPort": number, "hostPort": host_port, "hostIP": ip}));
    }
    Ok(())
}

/// Adds the variables that the manifest does not name itself. Where it refers to one of our secrets, it gets the value.
fn add_env(container: &mut Map<String, Value>, env: &BTreeMap<String, String>) {
    let variables = list(container, "env");
    for variable in variables.iter_mut().filter_map(Value::as_object_mut) {
        let key = variable.get("valueFrom").and_then(|from| from.pointer("/secretKeyRef/key")).and_then(Value::as_str);
        if let Some(value) = key.and_then(|key| env.get(key)).cloned() {
            variable.remove("valueFrom");
            variable.insert("value".to_owned(), value.into());
        }
    }
    let known: HashSet<String> =
        variables.iter().filter_map(|one| one.get("name")?.as_str().map(str::to_owned)).collect();
    let missing = env.iter().filter(|(name, _)| !known.contains(name.as_str()));
    variables.extend(missing.map(|(name, value)| json!({"name": name, "value": value})));
}

/// The map under that key, made where there is none.
fn map<'a>(of: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    let value = of.entry(key).or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    value.as_object_mut().expect("it is a map now")
}

/// The list under that key, made where there is none.
fn list<'a>(of: &'a mut Map<String, Value>, key: &str) -> &'a mut Vec<Value> {
    let value = of.entry(key).or_insert_with(|| json!([]));
    if !value.is_array() {
        *value = json!([]);
    }
    value.as_array_mut().expect("it is a list now")
}
