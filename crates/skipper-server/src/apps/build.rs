//! From an app at a tag to what the engine runs: the image is fetched and read, and everything put together.

use std::{path::Path, sync::Arc, time::Duration};

use skipper_core::{
    actor::Provenance,
    name::ReleaseName,
    port::{Clock, Error, ErrorKind, Ids, Platform, ResolveRequest},
    release::Source,
    spec::{PreviewTerms, Resource, Spec, Strategy, Target},
};
use skipper_engine::Platforms;
use skipper_source::{
    Faults,
    app::{self, App, DatabaseStrategy, Deploy, Inputs, PreviewRequest, Repo, Side},
};
use skipper_store::Store;
use tracing::warn;

use super::{Apps, EdgeTls, LiveApps, previews, secrets, takeover};
use crate::{config::read_text, databases::Branches, resolver::patiently, verb};

/// Builds specs of apps.
#[derive(Debug)]
pub(crate) struct Builder {
    /// Everything that is remembered.
    pub(crate) store: Store,
    /// Where apps run.
    pub(crate) platforms: Platforms,
    /// How they are configured.
    pub(crate) apps: LiveApps,
    /// The time.
    pub(crate) clock: Arc<dyn Clock>,
    /// New ids.
    pub(crate) ids: Arc<dyn Ids>,
    /// Who makes branches of databases for previews.
    pub(crate) branches: Branches,
    /// Which host names are served with TLS too.
    pub(crate) tls: EdgeTls,
}

impl Builder {
    /// Manifest and spec of a [`Source::App`], its image pinned.
    ///
    /// # Errors
    ///
    /// The app is not configured, or not well; its image cannot be had, or contradicts the server's file.
    pub(crate) async fn build(&self, request: &ResolveRequest, patience: Duration) -> Result<(String, Spec), Error> {
        let Source::App { tag, images, preview, .. } = &request.source else {
            return Err(Error::new(ErrorKind::Permanent, "source-invalid", "the revision is not of an app"));
        };
        let apps = self.apps.get().ok_or_else(|| {
            Error::new(ErrorKind::Permanent, "app-unknown", "the server has no directory of apps any more")
                .hint("start it with --config DIR, the directory that holds slip.toml")
        })?;
        let name = preview.as_ref().map_or(&request.release_name, |preview| &preview.app);
        let file = configured(&apps, name)?;
        let target = self.apps.target(&apps, Some(file));
        let platform = self.platforms.get(&Target(target.clone())).ok_or_else(|| {
            Error::new(ErrorKind::Permanent, "unknown-platform", format!("no container engine `{target}` is here"))
                .hint(
                    "install Docker or Podman and start the server anew, or name one of `skipper platform list`: `runtime.backend` \
                     in slip.toml is that of all apps, `account` under [app] that of one",
                )
        })?;
        let deploy = Deploy {
            tag: tag.clone(),
            image: None,
            images: images.clone(),
            preview: preview.as_ref().map(|of| PreviewRequest { id: of.id.clone(), sha: of.sha.clone() }),
        };
        let stored = secrets::of_app(&self.store, &request.tenant, name).await?;
        let tls = self.tls.hosts().await;
        let inputs = Inputs {
            app: file,
            server: apps.server(),
            repo: None,
            manifest: None,
            deploy: &deploy,
            target: &target,
            secrets: &stored,
            preview_secrets: &[],
            database: None,
            tls: &tls,
        };
        let left = request.deadline.since(self.clock.now());
        let mut carrier = app::carrier(&inputs).map_err(|faults| faulty(name, &faults))?;
        let bound = carrier.bounds.fetch.duration().min(left);
        patiently(platform.as_ref(), &mut carrier, patience, bound).await?;
        let image = carrier.resource;
        let repo = self.repo(platform.as_ref(), &image, name, left).await?;
        let manifest = self.manifest(platform.as_ref(), &image, &apps, file, repo.as_ref(), left).await?;
        let inputs = Inputs { repo: repo.as_ref(), manifest: manifest.as_deref(), ..inputs };
        let mut built = app::applications(&inputs).map_err(|faults| faulty(name, &faults))?;
        for warning in &built.warnings {
            warn!(app = %name, "{warning}");
        }
        let provenance = previews::system("deploy", &*self.ids);
        if let Some(preview) = &built.preview {
            self.make_room(request, preview, &provenance).await?;
            if preview.database.strategy == DatabaseStrategy::Branch {
                let left = request.deadline.since(self.clock.now());
                let release = (request.release, &request.release_name);
                let address = self.branches.ensure(apps.server(), release, &preview.database, left).await?;
                let inputs = Inputs { database: Some(&address), ..inputs };
                built = app::applications(&inputs).map_err(|faults| faulty(name, &faults))?;
            }
        }
        for application in &mut built.applications {
            application.resource = image.clone();
        }
        let sealed = std::mem::take(&mut built.sealed);
        let release = &request.release_name;
        secrets::seal(&self.store, &request.tenant, release, sealed, &mut built.applications, &provenance).await?;
        let mut spec = Spec::new(built.applications);
        if let Some(preview) = built.preview {
            let app::Preview { hosts, ttl, max, .. } = preview;
            spec.preview = Some(Box::new(PreviewTerms { hosts, ttl, max }));
        }
        self.hold_back(request, platform.as_ref(), &spec).await?;
        let manifest = skipper_source::manifest::write(&spec);
        self.launch_again(request, &mut spec).await?;
        Ok((manifest, spec))
    }

    /// A deploy starts what it names anew, also where that comes to what serves already: whoever deploys wants a container of now.
    async fn launch_again(&self, request: &ResolveRequest, spec: &mut Spec) -> Result<(), Error> {
        let serving = self.store.release_get_by_id(request.release).await?.and_then(|release| release.serving);
        let Some(serving) = serving else { return Ok(()) };
        let serving = self.store.revision_get(request.release, serving).await?;
        if serving.and_then(|serving| serving.spec).is_some_and(|now| verb::difference::is_the_same(spec, &now)) {
            for application in &mut spec.applications {
                application.relaunched = Some(request.revision);
            }
        }
        Ok(())
    }

    /// What slip runs of an app that must not run twice stops before the first deploy of it.
    async fn hold_back(&self, request: &ResolveRequest, platform: &dyn Platform, spec: &Spec) -> Result<(), Error> {
        let alone = spec.applications.iter().any(|app| matches!(app.strategy, Strategy::Recreate { .. }));
        if spec.preview.is_some() || !alone {
            return Ok(());
        }
        let release = self.store.release_get_by_id(request.release).await?;
        match release.filter(|release| release.serving.is_none()) {
            Some(release) => takeover::hold_back(platform, &release.name).await,
            None => Ok(()),
        }
    }

    /// Where there may be only so many previews, the oldest ones go for a new one.
    async fn make_room(
        &self,
        request: &ResolveRequest,
        preview: &app::Preview,
        provenance: &Provenance,
    ) -> Result<(), Error> {
        let Some(max) = preview.max else { return Ok(()) };
        if max == 0 {
            let message = format!("app `{}` may have no previews: its `max` is 0", preview.app);
            return Err(Error::new(ErrorKind::Permanent, "preview-max", message));
        }
        let mut others = previews::list(&self.store, &request.tenant, Some(&preview.app)).await?;
        others.retain(|other| other.release.id != request.release && other.serving.is_some());
        Ok(previews::evict(&self.store, others, max, 1, provenance).await?)
    }

    /// The image's own file.
    async fn repo(
        &self,
        platform: &dyn Platform,
        image: &Resource,
        name: &ReleaseName,
        bound: Duration,
    ) -> Result<Option<Repo>, Error> {
        let Some(text) = text_of(platform, image, app::IN_IMAGE, bound).await? else { return Ok(None) };
        let (repo, warnings) = app::repo(app::IN_IMAGE, &text).map_err(|faults| faulty(name, &faults))?;
        for warning in warnings {
            warn!(app = %name, "{warning}");
        }
        Ok(Some(repo))
    }

    /// The manifest of a pod.
    async fn manifest(
        &self,
        platform: &dyn Platform,
        image: &Resource,
        apps: &Apps,
        file: &App,
        repo: Option<&Repo>,
        bound: Duration,
    ) -> Result<Option<String>, Error> {
        let merged = app::merge(file, repo, apps.server()).map_err(|faults| faulty(&file.name, &faults))?.0;
        match merged.manifest {
            None => Ok(None),
            Some(manifest) if manifest.side == Side::Image => text_of(platform, image, &manifest.path, bound).await,
            Some(manifest) => {
                let read = tokio::task::spawn_blocking(move || read_text(Path::new(&manifest.path))).await;
                let read = read.map_err(|crashed| Error::new(ErrorKind::Unknown, "crashed", crashed.to_string()))?;
                read.map(Some).map_err(|what| Error::new(ErrorKind::Permanent, "manifest-unreadable", what))
            }
        }
    }
}

async fn text_of(
    platform: &dyn Platform,
    image: &Resource,
    path: &str,
    bound: Duration,
) -> Result<Option<String>, Error> {
    let Some(bytes) = platform.files_of(image, &[path], bound).await?.remove(path) else { return Ok(None) };
    String::from_utf8(bytes).map(Some).map_err(|_| {
        let message = format!("{path} of image {} is not UTF-8", image.uri);
        Error::new(ErrorKind::Permanent, "image-file-invalid", message)
    })
}

fn configured<'a>(apps: &'a Apps, name: &ReleaseName) -> Result<&'a App, Error> {
    match apps.get(name.as_str()) {
        Some(Ok(app)) => Ok(app),
        Some(Err(faults)) => Err(faulty(name, faults)),
        None => Err(Error::new(
            ErrorKind::Permanent,
            "app-unknown",
            format!("app `{name}` is not configured any more; there is no apps/{name}.toml"),
        )),
    }
}

/// All faults in one sentence, the first ones in full.
fn faulty(name: &ReleaseName, faults: &Faults) -> Error {
    const SHOWN: usize = 5;
    let all = faults.findings();
    let told: Vec<String> = all.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = if all.len() > SHOWN { format!(" (and {} more)", all.len() - SHOWN) } else { String::new() };
    Error::new(ErrorKind::Permanent, "app-invalid", format!("app `{name}`: {}{more}", told.join("; ")))
}
