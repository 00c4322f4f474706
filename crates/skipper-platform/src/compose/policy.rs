//! Whether a project may run: what it says, what compose makes of it, and where its mounts really lead.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use skipper_core::compose::{Policy, Refusal, Scene, binds, check};

/// The file as it was written. Where variables are in a place that matters, what they come to is seen when it is resolved.
pub(super) fn written(
    text: &str,
    yaml: super::ReadYaml,
    scene: Scene<'_>,
    policy: &Policy,
) -> Result<Value, Vec<String>> {
    let file = yaml(text).map_err(|why| vec![format!("docker-compose.yml cannot be read: {why}")])?;
    told(&check(&file, scene, policy)).map(|()| file)
}

/// The file as compose resolved it. Blocking.
pub(super) fn resolved(file: &Value, scene: Scene<'_>, policy: &Policy) -> Result<(), Vec<String>> {
    told(&check(file, scene, policy))?;
    let folder = real(Path::new(scene.folder));
    let folder = folder.to_string_lossy();
    let mut refusals = Vec::new();
    for bind in binds(file, scene.folder) {
        let real = real(Path::new(&bind));
        if real == Path::new(&bind) {
            continue;
        }
        // A link that a container made leads somewhere else than it says.
        let led =
            json!({"services": {"x": {"image": "x", "volumes": [{"type": "bind", "source": real.to_string_lossy()}]}}});
        let scene = Scene { folder: &folder, ..scene };
        let found = check(&led, scene, policy).into_iter();
        refusals.extend(found.map(|refusal| Refusal { path: format!("the mount of {bind}"), ..refusal }));
    }
    told(&refusals)
}

/// Where a path leads, as far as it is there.
fn real(path: &Path) -> PathBuf {
    let mut missing = Vec::new();
    let mut here = path;
    loop {
        if let Ok(real) = here.canonicalize() {
            return missing.iter().rev().fold(real, |real, part| real.join(part));
        }
        let (Some(parent), Some(name)) = (here.parent(), here.file_name()) else { return path.to_owned() };
        missing.push(name.to_owned());
        here = parent;
    }
}

fn told(refusals: &[Refusal]) -> Result<(), Vec<String>> {
    if refusals.is_empty() { Ok(()) } else { Err(refusals.iter().map(ToString::to_string).collect()) }
}
