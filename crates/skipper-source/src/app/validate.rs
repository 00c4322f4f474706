//! `slip validate`: what there is to say about an image's own file and its pod, before anybody builds the image.

use super::{
    pod::{Pod, pod},
    repo::{Kind, Repo, repo},
    value::split_reference,
};
use crate::finding::{Faults, Finding, Severity};

/// What was found.
#[derive(Debug, Clone)]
pub struct Validated {
    /// What the file says, where it can be read.
    pub repo: Option<Repo>,
    /// What is wrong and what is odd, by file and line.
    pub findings: Vec<Finding>,
}

impl Validated {
    /// Whether an image can be made with it.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.repo.is_some() && !self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// Where the pod's manifest lies, relative to the file; `None` when it is no pod, or the manifest lies elsewhere in the
    /// image.
    #[must_use]
    pub fn manifest(&self) -> Option<&str> {
        let repo = self.repo.as_ref().filter(|repo| repo.kind == Some(Kind::Pod))?;
        repo.manifest.as_deref()?.strip_prefix("/slip/")
    }
}

/// Looks at the text of a `slip.toml`. `strict` takes unknown keys for errors.
#[must_use]
pub fn validate(file: &str, text: &str, strict: bool) -> Validated {
    let (repo, mut findings) = match repo(file, text) {
        Ok((repo, warnings)) => (Some(repo), warnings),
        Err(faults) => (None, faults.into_findings()),
    };
    for finding in &mut findings {
        // The server lets such a name through, and its API does not.
        if finding.code == "name-odd" || (strict && finding.code == "key-unknown") {
            finding.severity = Severity::Error;
        }
    }
    let warn = |code, message: &str, hint: &str| Finding::warning(code, message).in_file(file).hint(hint.to_owned());
    if let Some(repo) = &repo {
        let has_port = repo.port.is_some() || repo.routes.iter().any(|route| route.port.is_some());
        if repo.preview.is_some() && !has_port && repo.kind != Some(Kind::Worker) {
            let message = "preview is enabled but no routing.port is named";
            findings.push(warn("preview-port", message, "the server's file for the app must have it then"));
        }
        let elsewhere = repo.manifest.as_deref().filter(|path| !path.starts_with("/slip/"));
        if let Some(path) = elsewhere {
            let message = format!("the manifest `{path}` lies elsewhere in the image and is not looked at");
            findings.push(warn("manifest-elsewhere", &message, "put it beside slip.toml"));
        }
    }
    Validated { repo, findings }
}

/// Looks at the text of its pod's manifest. `strict` has images looked at too.
#[must_use]
pub fn validate_manifest(repo: &Repo, file: &str, text: &str, strict: bool) -> Vec<Finding> {
    let (pod, mut findings) = match pod(file, text) {
        Ok(read) => read,
        Err(faults) => return Faults::into_findings(faults),
    };
    let users = [("routing.container", &repo.container), ("health.container", &repo.health.container)];
    let routed = repo.routes.iter().map(|route| ("routing.routes", &route.container));
    for (user, name) in users.into_iter().chain(routed) {
        if let Some(name) = name.as_ref().filter(|name| pod.container(name).is_none()) {
            let message = format!("container `{name}` not found in pod manifest (referenced in {user})");
            let hint = crate::nearest::suggestion(name, pod.names());
            findings.push(Finding::error("container-unknown", message).in_file(file).hint(hint));
        }
    }
    if strict {
        findings.extend(images(&pod).map(|finding| finding.in_file(file)));
    }
    findings
}

fn images(pod: &Pod) -> impl Iterator<Item = Finding> {
    pod.containers.iter().filter_map(|container| {
        let image = container.image.as_str();
        let filled = image.replace("${tag}", "tag");
        let hint = "name a version, or write ${tag}, which each deploy fills in".to_owned();
        match split_reference(&filled) {
            (name, _) if !super::value::is_repository(name) => {
                Some(Finding::error("image-invalid", format!("`{}` is not an image", crate::yaml::shorten(image))))
            }
            (_, Some("latest")) => {
                Some(Finding::warning("image-latest", format!("image `{image}` uses :latest")).hint(hint))
            }
            (_, None) => Some(Finding::warning("image-latest", format!("image `{image}` has no tag")).hint(hint)),
            _ => None,
        }
        .map(|finding| finding.path(format!("containers.{}.image", container.name)))
    })
}
