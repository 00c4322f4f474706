//! The directory as it stands now. What cannot be read leaves what was read before.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use skipper_core::{
    Sha256,
    name::{PlatformName, ReleaseName, TenantName},
    release::Door,
};
use skipper_platform::container::{Logins, RegistryLogin};
use skipper_source::app::{Callbacks, Held, Server};
use skipper_store::Store;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{Apps, Engines};
use crate::config::read_directory;

/// Most apps that are remembered although they are gone.
const GONE: usize = 1000;
/// How often the directory is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// A handle on the apps; cheap to clone. Empty for a server without a directory.
#[derive(Clone, Default)]
pub struct LiveApps(pub(super) Option<Arc<Followed>>);

pub(super) struct Followed {
    /// `None` for apps that come from no directory.
    pub(super) dir: Option<PathBuf>,
    pub(super) env: BTreeMap<String, String>,
    now: ArcSwap<Apps>,
    /// Host names that apps have, as it was last told.
    pub(super) held: ArcSwap<Held>,
    /// Held while the directory is read. The texts that were read last, right or wrong.
    last: Mutex<Option<Sha256>>,
    /// Held while a file is changed, from reading it to reading it again.
    pub(super) writing: Mutex<()>,
    /// The accounts that apps can run on.
    engines: OnceLock<Engines>,
    /// Who is told of apps whose files are gone: that they are is still to be told.
    gone: Mutex<BTreeMap<String, Callbacks>>,
}

impl Followed {
    /// Remembers what is still to be told of apps that were there before.
    fn forget(&self, before: &Apps) {
        let now = self.now.load();
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        gone.retain(|name, _| now.get(name).is_none());
        for name in before.names().filter(|name| now.get(name).is_none()) {
            if let Some(Ok(file)) = before.get(name)
                && gone.len() < GONE
            {
                gone.insert(name.to_owned(), file.callbacks.clone());
            }
        }
    }
}

impl fmt::Debug for LiveApps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LiveApps").field(&self.dir()).finish()
    }
}

impl Logins for LiveApps {
    /// As `slip.toml` says now.
    fn of(&self, host: &str) -> Option<RegistryLogin> {
        let apps = self.get()?;
        let registry = apps.server().registries.iter().find(|registry| registry.host == host)?;
        Some(RegistryLogin { username: registry.username.clone(), password: registry.token.clone()? })
    }
}

impl From<Apps> for LiveApps {
    /// Apps that never change.
    fn from(apps: Apps) -> Self {
        let now = ArcSwap::from_pointee(apps);
        Self(Some(Arc::new(Followed {
            dir: None,
            env: BTreeMap::new(),
            now,
            held: ArcSwap::default(),
            last: Mutex::new(None),
            writing: Mutex::default(),
            engines: OnceLock::new(),
            gone: Mutex::default(),
        })))
    }
}

impl LiveApps {
    /// Reads a directory. `env` is what `${NAME}` stands for, now and later.
    ///
    /// # Errors
    ///
    /// Sentences: `slip.toml` cannot be read, or has faults.
    pub fn open(dir: PathBuf, env: BTreeMap<String, String>) -> Result<Self, String> {
        let (apps, read) = load(&dir, &env)?;
        let now = ArcSwap::from_pointee(apps);
        Ok(Self(Some(Arc::new(Followed {
            dir: Some(dir),
            env,
            now,
            held: ArcSwap::default(),
            last: Mutex::new(Some(read)),
            writing: Mutex::default(),
            engines: OnceLock::new(),
            gone: Mutex::default(),
        }))))
    }

    /// The apps as they are configured now.
    #[must_use]
    pub fn get(&self) -> Option<Arc<Apps>> {
        self.0.as_ref().map(|followed| followed.now.load_full())
    }

    /// Makes known on which accounts apps can run. Counts once.
    pub fn found(&self, engines: Engines) {
        if let Some(followed) = &self.0 {
            let _ = followed.engines.set(engines);
        }
    }

    /// The account that an app runs on; without one, that of an app that names none.
    #[must_use]
    pub fn target(&self, apps: &Apps, app: Option<&skipper_source::app::App>) -> PlatformName {
        let engines = self.0.as_ref().and_then(|followed| followed.engines.get());
        engines.map_or_else(|| apps.target(app, &Engines::new()), |engines| apps.target(app, engines))
    }

    /// Who the file of an app, which is not there any more, had told of its deploys.
    pub(crate) fn callbacks_of_gone(&self, name: &str) -> Callbacks {
        let Some(followed) = &self.0 else { return Callbacks::default() };
        followed.gone.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned().unwrap_or_default()
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> Option<&Path> {
        self.0.as_ref()?.dir.as_deref()
    }

    /// Notes which app has which host name: whoever has one keeps it from now on.
    pub fn hold(&self, held: Held) {
        let Some(followed) = &self.0 else { return };
        let mut last = followed.last.lock().unwrap_or_else(PoisonError::into_inner);
        if **followed.held.load() != held {
            followed.held.store(Arc::new(held));
            // Only where two want the same one does it change what was read.
            if followed.now.load().is_contested() {
                *last = None;
            }
        }
    }

    /// Reads the directory again. Says whether anything in it is new. Blocking.
    ///
    /// # Errors
    ///
    /// As [`LiveApps::open`]; what was read before stays, and the same fault is told once.
    pub fn reload(&self) -> Result<bool, String> {
        let Some(followed) = &self.0 else { return Ok(false) };
        let Some(dir) = &followed.dir else { return Ok(false) };
        let mut last = followed.last.lock().unwrap_or_else(PoisonError::into_inner);
        let texts = read_directory(dir)?;
        let read = texts.digest();
        if last.replace(read) == Some(read) {
            return Ok(false);
        }
        let apps = Apps::load_held(texts, &followed.env, &followed.held.load()).map_err(|faults| faults.to_string())?;
        for finding in apps.findings() {
            warn!("{finding}");
        }
        let before = followed.now.swap(Arc::new(apps));
        followed.forget(&before);
        for key in at_start(before.server(), followed.now.load().server()) {
            warn!("`{key}` of slip.toml has changed, and counts when the server is started again");
        }
        Ok(true)
    }

    /// Reads the directory again whenever a file of it changes, or another app has a host name that two want, until `stop`.
    pub(crate) async fn follow(self, store: Store, stop: CancellationToken) {
        let Some(dir) = self.dir().map(Path::to_owned) else { return };
        // Looked at once in any case: a file may have changed since the directory was read.
        let mut seen = None;
        while stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
            let at = dir.clone();
            let Ok(now) = tokio::task::spawn_blocking(move || stamp(&at).ok()).await else { continue };
            let contested = self.get().is_some_and(|apps| apps.is_contested());
            // A file that is being written may change once more within the granularity of its time.
            if !contested && now == seen && now.is_some() {
                continue;
            }
            if let Err(error) = self.hold_what_serves(&store).await {
                debug!(%error, "it cannot be looked which app has which host name");
            }
            let apps = self.clone();
            let Ok(told) = tokio::task::spawn_blocking(move || apps.reload()).await else { continue };
            match told {
                Ok(true) => info!(dir = %dir.display(), "the configuration of the apps has changed and was read"),
                Err(what) if now != seen => {
                    warn!("the configuration of the apps has faults; what was read before holds\n{what}");
                }
                _ => {}
            }
            seen = now;
        }
    }
}

impl LiveApps {
    /// [`LiveApps::hold`] with what the store says.
    pub(crate) async fn hold_what_serves(&self, store: &Store) -> Result<(), skipper_store::Error> {
        if self.dir().is_some() {
            let held = store.route_holders(&TenantName::default_tenant(), Door::Deploys).await?;
            let of_app = |(host, path, release): (String, String, ReleaseName)| ((host, path), release.to_string());
            self.hold(held.into_iter().map(of_app).collect());
        }
        Ok(())
    }
}

/// What has changed and is only read at the start.
fn at_start(before: &Server, now: &Server) -> Vec<&'static str> {
    let keys = [
        ("server.listen", before.listen != now.listen),
        ("storage.path", before.storage != now.storage),
        ("runtime.backend", before.backend != now.backend),
    ];
    keys.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
}

fn load(dir: &Path, env: &BTreeMap<String, String>) -> Result<(Apps, Sha256), String> {
    let texts = read_directory(dir)?;
    let read = texts.digest();
    Ok((Apps::load(texts, env).map_err(|faults| faults.to_string())?, read))
}

/// Names, sizes and times of all files, as one number: whether it is worth reading them.
fn stamp(dir: &Path) -> io::Result<Sha256> {
    use std::os::unix::fs::MetadataExt as _;
    let mut files = vec![dir.join("slip.toml")];
    match fs::read_dir(dir.join("apps")) {
        Ok(entries) => files.extend(entries.flatten().map(|entry| entry.path())),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
        Err(cause) => return Err(cause),
    }
    files.sort();
    let mut text = String::new();
    for file in files {
        use std::fmt::Write as _;
        let meta = fs::metadata(&file);
        let told = meta.map(|meta| (meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec())).map_err(|e| e.kind());
        let _ = writeln!(text, "{}\0{told:?}", file.display());
    }
    Ok(Sha256::of(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DirectoryTexts;

    const SERVER: &str = "[server]\n[auth]\nsecret = \"a key\"\n[registry]\n[storage]\n[runtime]\n";

    fn app(image: &str) -> String {
        format!(
            "[app]\nname = \"web\"\nimage = \"{image}\"\n[routing]\ndomain = \"web.test\"\nport = 80\n[health]\n[deploy]\n"
        )
    }

    #[test]
    fn apps_run_on_an_account_of_the_kind_that_is_wanted_whatever_it_is_called() {
        use skipper_platform::container::EngineKind::{Docker, Podman};
        let name = |word: &str| PlatformName::new(word).expect("a name");
        let target = |backend: &str, engines: &[(&str, skipper_platform::container::EngineKind)]| {
            let texts = DirectoryTexts {
                server: SERVER.replace("[runtime]", &format!("[runtime]\nbackend = \"{backend}\"")),
                ..DirectoryTexts::default()
            };
            let apps = Apps::load(texts, &BTreeMap::new()).expect("it is good");
            let engines: Engines = engines.iter().map(|(word, kind)| (name(word), *kind)).collect();
            apps.target(None, &engines).to_string()
        };
        let all = [("far", Docker), ("near", Docker), ("pods", Podman)];
        assert_eq!(target("auto", &all), "pods");
        assert_eq!(target("docker", &all), "far");
        assert_eq!(target("docker", &[("aaa", Docker), ("docker", Docker)]), "docker", "the one that is called so");
        assert_eq!(target("docker", &[("docker", Podman)]), "docker", "there is no other");
        assert_eq!(target("near", &all), "near");
        assert_eq!(target("auto", &[]), "docker");
    }

    #[test]
    fn what_changes_is_taken_and_what_is_broken_leaves_what_was() {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).expect("written");
        fs::create_dir(dir.path().join("apps")).expect("made");
        write("slip.toml", SERVER);
        write("apps/web.toml", &app("registry.test/web"));
        let live = LiveApps::open(dir.path().to_owned(), BTreeMap::new()).expect("it is good");
        let image = || match live.get().expect("a directory").get("web") {
            Some(Ok(app)) => app.image.clone(),
            other => format!("{other:?}"),
        };
        assert_eq!(live.reload(), Ok(false), "nothing is new");
        let before = stamp(dir.path()).expect("it is there");
        write("apps/web.toml", &app("registry.test/another"));
        assert_ne!(stamp(dir.path()).expect("it is there"), before);
        assert_eq!((live.reload(), image()), (Ok(true), "registry.test/another".to_owned()));
        write("slip.toml", "[server\n");
        assert!(live.reload().is_err());
        assert_eq!(live.reload(), Ok(false), "told once");
        assert_eq!(image(), "registry.test/another");
        write("slip.toml", SERVER);
        write("apps/web.toml", "[app\n");
        assert_eq!(live.reload(), Ok(true), "one broken app is broken alone");
        assert!(matches!(live.get().expect("a directory").get("web"), Some(Err(_))));
        fs::remove_file(dir.path().join("apps/web.toml")).expect("removed");
        assert_eq!(live.reload(), Ok(true));
        assert!(live.get().expect("a directory").get("web").is_none());
    }
}
