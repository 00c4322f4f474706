//! What is wrong with a deploy can be told before its image is here, as far as the server's own files say it.

use super::{
    build::Deploy,
    file::App,
    pod::{self, Pod},
    preview::{preview_release, split_preview},
    repo::Kind,
    server::Server,
    value::{check_tag, is_reference},
};
use crate::{
    finding::{Faults, Finding, Findings},
    yaml::shorten,
};

/// Looks at a deploy with nothing but the server's files. `manifest` is the text of the pod's manifest, where that is the
/// server's: only then are the names of containers known. What the image alone can tell is found when the deploy is built.
///
/// # Errors
///
/// Everything that no image could put right.
pub fn check_request(app: &App, server: &Server, deploy: &Deploy, manifest: Option<&str>) -> Result<(), Faults> {
    let mut findings = Findings::new();
    if let Err(why) = check_tag(&deploy.tag) {
        findings.push(Finding::error("tag-invalid", why));
    }
    check_images(deploy, app.kind, &mut findings);
    // A manifest that cannot be read is told by whoever runs it.
    if let Some(Ok((pod, _))) = manifest.map(|text| pod::pod(app.manifest.as_deref().unwrap_or_default(), text)) {
        check_names(deploy, &pod, &mut findings);
    }
    let most = app.preview.max.or_else(|| server.preview.as_ref().and_then(|preview| preview.max_per_app));
    if deploy.preview.is_some() && most == Some(0) {
        let message = format!("app `{}` may have no previews: its `max` is 0", app.name);
        findings.push(Finding::error("preview-max", message));
    }
    if let Some(preview) = &deploy.preview
        && let Some(domain) = app.preview.domain.as_ref().or_else(|| server.preview.as_ref().map(|one| &one.domain))
        && let Ok(release) = preview_release(&app.name, &preview.id)
        && let (_, Some(label)) = split_preview(release.as_str())
        && let Some(taken) = server.deploy.domain.as_ref().filter(|taken| taken.as_str() == format!("{label}.{domain}"))
    {
        let message =
            format!("the preview would have the host name `{taken}`, which leads to the API (`deploy.domain`)");
        findings.push(Finding::error("route-taken", message).hint("choose another id".to_owned()));
    }
    findings.into_result().map(drop)
}

/// `kind`: what the app is, where that is known.
pub(super) fn check_images(deploy: &Deploy, kind: Option<Kind>, findings: &mut Findings) {
    if let Some(kind) = kind.filter(|kind| *kind != Kind::Pod && !deploy.images.is_empty()) {
        let message = format!("`images` names containers of a pod, and the app is a {}", kind.as_str());
        findings.push(Finding::error("container-unknown", message));
    }
    for (name, image) in &deploy.images {
        if !is_reference(image) {
            let message = format!("`{}` is not a whole reference: IMAGE:TAG or IMAGE@sha256:…", shorten(image));
            findings.push(Finding::error("image-invalid", message).path(format!("images.{}", shorten(name))));
        }
    }
}

/// Every container that `images` names has to be in the pod.
pub(super) fn check_names(deploy: &Deploy, pod: &Pod, findings: &mut Findings) {
    let known = || pod.containers.iter().map(|container| container.name.as_str());
    for name in deploy.images.keys().filter(|name| !known().any(|known| known == name.as_str())) {
        let hint = crate::nearest::suggestion(name, known().collect::<Vec<_>>());
        let message = format!("`images` names the container `{}`, which is not in the pod", shorten(name));
        findings.push(Finding::error("container-unknown", message).hint(hint));
    }
}
