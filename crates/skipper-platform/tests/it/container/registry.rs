//! Images of a registry, and of one that is not well.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::{Deref, DerefMut},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use bollard::query_parameters::CreateImageOptionsBuilder;
use futures::TryStreamExt as _;
use serde_json::json;
use skipper_core::{
    Sha256,
    port::{Error, ErrorKind, Garbage},
    secret::SecretValue,
    spec::Resource,
};
use skipper_platform::container::{EngineKind, RegistryLogin, answers};
use testkit::registry::{LOGIN, Registry, Way};

use super::world::{Engine, host};
use crate::world::PATIENCE;

/// An engine that takes these registries as they are, without TLS. Docker does so by itself for what is on this machine.
struct Here {
    // Goes first: it clears away with the help of the other.
    engine: Engine,
    _service: Option<Service>,
    folder: tempfile::TempDir,
}

impl Here {
    async fn open(kind: EngineKind, registries: &[&Registry]) -> Option<Self> {
        let usual = host(kind)?;
        let folder = tempfile::tempdir().expect("a folder");
        let (mut service, mut at) = (None, usual);
        if kind == EngineKind::Podman {
            let path = |name: &str| folder.path().join(name).display().to_string();
            let insecure =
                |registry: &&Registry| format!("[[registry]]\nlocation = \"{}\"\ninsecure = true\n", registry.host());
            let text: String = registries.iter().map(insecure).collect();
            fs::write(path("registries.conf"), text).expect("written");
            at = format!("unix://{}", path("podman.sock"));
            let mut command = Command::new("podman");
            command
                .args(["system", "service", "--time=0", &at])
                .env("CONTAINERS_REGISTRIES_CONF", path("registries.conf"));
            service = Some(
                command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().map(Service).expect("podman is installed"),
            );
            let until = Instant::now() + PATIENCE;
            while !answers(&at) {
                assert!(Instant::now() < until, "podman does not listen at {at}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Some(Self { engine: Engine::open(kind, &at).await, _service: service, folder })
    }

    /// From now on with these credentials.
    fn log_in(&mut self, at: &Registry, password: &str) {
        let password = SecretValue::new(password.to_owned());
        let login = RegistryLogin { username: LOGIN.0.to_owned(), password };
        self.settings.registries = BTreeMap::from([(at.host(), login)]);
        self.restart();
    }

    /// Puts an image there that nobody else has.
    fn push(&self, to: &Registry, tag: &str, more: &str) -> Sha256 {
        let root = self.folder.path().join(format!("root-{tag}-{more}"));
        fs::create_dir_all(&root).expect("made");
        // Nothing that can be packed: half of it is half of the blob.
        let mut state = u64::from(std::process::id())
            ^ u64::from_be_bytes(
                Sha256::of(format!("{tag}{more}{}", to.host()).as_bytes()).to_string().as_bytes()[..8]
                    .try_into()
                    .expect("8"),
            );
        let bytes: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .take(400_000)
        .collect();
        fs::write(root.join("file"), bytes).expect("written");
        to.push("app", tag, &root, &json!({"Cmd": ["/file"]}))
    }

    async fn fetch(&self, uri: &str, pull: &str, deadline: Duration) -> Result<Resource, Error> {
        let mut app = crate::world::script("true").app;
        app.resource = Resource { uri: format!("docker:{uri}"), sha256: None };
        app.platform_options.insert("pull".to_owned(), json!(pull));
        self.platform.fetch_for(&app, deadline).await
    }

    async fn own(&self) -> BTreeSet<Sha256> {
        self.platform.kept(PATIENCE).await.expect("asked").expect("engines keep images").own
    }

    async fn clear(&self, resources: impl IntoIterator<Item = Sha256>) -> usize {
        let garbage = Garbage { resources: resources.into_iter().collect(), limit: 100, ..Garbage::default() };
        self.platform.clear(&garbage, PATIENCE).await.unwrap_or_else(|error| panic!("{}", error.chain())).removed
    }

    /// Names here of what that registry has.
    async fn names(&self, of: &Registry) -> Vec<String> {
        let mut names = self.image_names().await;
        names.retain(|name| name.starts_with(&of.host()));
        names
    }
}

impl Deref for Here {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

impl DerefMut for Here {
    fn deref_mut(&mut self) -> &mut Engine {
        &mut self.engine
    }
}

/// Ends with what was started with it.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn is_here(here: &Here, image: &Resource) -> bool {
    let mut app = crate::world::script("true").app;
    app.resource = image.clone();
    app.platform_options.insert("pull".to_owned(), json!("never"));
    here.platform.fetch_for(&app, PATIENCE).await.is_ok()
}

async fn what_was_fetched_is_pinned_by_its_digest_and_goes_with_its_names(kind: EngineKind) {
    let Some(registry) = Registry::start(false) else { return };
    let Some(here) = Here::open(kind, &[&registry]).await else { return };
    let uri = format!("{}/app:1", registry.host());
    let first = here.push(&registry, "1", "first");
    let fetched = here.fetch(&uri, "missing", PATIENCE).await.unwrap_or_else(|error| panic!("{}", error.chain()));
    assert_eq!(fetched.sha256, Some(first), "by what its registry calls it");
    let second = here.push(&registry, "1", "second");
    let _ = registry.asked();
    assert_eq!(here.fetch(&uri, "missing", PATIENCE).await.expect("it is here").sha256, Some(first));
    assert_eq!(registry.asked(), [], "nobody was asked");
    let moved = here.fetch(&uri, "always", PATIENCE).await.expect("it is there");
    assert_eq!(moved.sha256, Some(second));
    let _ = registry.asked();
    assert_eq!(here.platform.fetch(&fetched, PATIENCE).await.expect("it is here"), fetched);
    assert_eq!(registry.asked(), [], "a way back needs no registry");
    assert_eq!(here.own().await, BTreeSet::from([first, second]), "both are here because of us");

    assert_eq!(here.clear([first]).await, 1);
    assert!(!is_here(&here, &fetched).await && is_here(&here, &moved).await);
    assert_eq!(here.names(&registry).await, std::slice::from_ref(&uri), "the name is the other one's by now");
    assert_eq!(here.platform.fetch(&fetched, PATIENCE).await.expect("its registry still has it"), fetched);
    assert_eq!(here.clear([first, second]).await, 2);
    assert!(!is_here(&here, &fetched).await && !is_here(&here, &moved).await);
    assert_eq!((here.names(&registry).await, here.own().await), (Vec::new(), BTreeSet::new()));

    // What somebody else has fetched is theirs, and so is its name.
    let theirs = here.push(&registry, "2", "theirs");
    let uri = format!("{}/app:2", registry.host());
    let options = CreateImageOptionsBuilder::default().from_image(&uri).build();
    here.client().create_image(Some(options), None, None).try_for_each(|_| async { Ok(()) }).await.expect("fetched");
    assert_eq!(here.fetch(&uri, "missing", PATIENCE).await.expect("it is here").sha256, Some(theirs));
    assert_eq!(here.own().await, BTreeSet::new());
    assert_eq!(here.clear([theirs]).await, 0);
    let ours = here.push(&registry, "2", "ours");
    assert_eq!(here.fetch(&uri, "always", PATIENCE).await.expect("it is there").sha256, Some(ours));
    assert_eq!(here.own().await, BTreeSet::from([ours]));
    assert_eq!(here.clear([ours]).await, 0, "it has their name");
    assert_eq!(here.names(&registry).await, std::slice::from_ref(&uri));
    let options = bollard::query_parameters::RemoveImageOptionsBuilder::default().force(true).build();
    here.client().remove_image(&uri, Some(options), None).await.expect("it is here");
}

async fn a_registry_that_is_not_well_costs_no_more_than_the_deadline_and_leaves_nothing(kind: EngineKind) {
    let Some(registry) = Registry::start(false) else { return };
    let Some(here) = Here::open(kind, &[&registry]).await else { return };
    let (short, enough) = (Duration::from_secs(3), Duration::from_secs(25));
    let unreachable = ("registry-unreachable", ErrorKind::Transient);
    let late = ("deadline", ErrorKind::Unknown);
    type Case<'a> = (Way, Duration, &'a [(&'a str, ErrorKind)]);
    let cases: [Case<'_>; 5] = [
        // Engines try again for some seconds by themselves.
        (Way::Down, enough, &[unreachable]),
        (Way::Hang, short, &[late]),
        (Way::Stall, short, &[late]),
        (Way::Half, short, &[unreachable, late]),
        (Way::Wrong, enough, &[("digest-mismatch", ErrorKind::Permanent)]),
    ];
    for (number, (way, deadline, told)) in cases.into_iter().enumerate() {
        let tag = format!("bad-{number}");
        let digest = here.push(&registry, &tag, "x");
        let uri = format!("{}/app:{tag}", registry.host());
        registry.go(way);
        let begun = Instant::now();
        let error = here.fetch(&uri, "missing", deadline).await.expect_err("it cannot be had");
        assert!(begun.elapsed() < deadline * 2, "{way:?}: {:?}", begun.elapsed());
        assert!(
            told.contains(&(error.code(), error.kind())),
            "{way:?}: {} {:?}: {}",
            error.code(),
            error.kind(),
            error.chain()
        );
        assert!(error.advice().is_some(), "{way:?}");
        assert_eq!((here.names(&registry).await, here.own().await), (Vec::new(), BTreeSet::new()), "{way:?}");
        registry.go(Way::Through);
        let fetched = here.fetch(&uri, "missing", PATIENCE).await;
        let fetched = fetched.unwrap_or_else(|error| panic!("after {way:?}: {}", error.chain()));
        assert_eq!(fetched.sha256, Some(digest));
        assert_eq!(here.clear([digest]).await, 1);
    }
    let error = here.fetch(&format!("{}/app:none", registry.host()), "missing", PATIENCE).await.expect_err("none");
    assert_eq!((error.code(), error.kind()), ("image-not-found", ErrorKind::Permanent), "{}", error.chain());
    let digest = here.push(&registry, "slow", "x");
    registry.go(Way::Slow(400_000));
    let fetched = here.fetch(&format!("{}/app:slow", registry.host()), "missing", PATIENCE).await.expect("in the end");
    assert_eq!(fetched.sha256, Some(digest));
    assert_eq!(here.clear([digest]).await, 1);
}

async fn credentials_go_to_their_registry_alone(kind: EngineKind) {
    let (Some(closed), Some(open)) = (Registry::start(true), Registry::start(false)) else { return };
    let Some(mut here) = Here::open(kind, &[&closed, &open]).await else { return };
    let (secret, public) = (here.push(&closed, "1", "closed"), here.push(&open, "1", "open"));
    let (closed_uri, open_uri) = (format!("{}/app:1", closed.host()), format!("{}/app:1", open.host()));
    let refused = async |here: &Here, why: &str| {
        let error = here.fetch(&closed_uri, "missing", PATIENCE).await.expect_err(why);
        assert_eq!((error.code(), error.kind()), ("registry-unauthorised", ErrorKind::Permanent), "{}", error.chain());
        assert!(error.advice().is_some_and(|hint| hint.contains("registries")), "{:?}", error.advice());
    };
    refused(&here, "nobody has told any credentials").await;
    here.log_in(&closed, "wrong password");
    refused(&here, "the password is wrong").await;
    here.log_in(&closed, LOGIN.1);
    let fetched =
        here.fetch(&closed_uri, "missing", PATIENCE).await.unwrap_or_else(|error| panic!("{}", error.chain()));
    assert_eq!(fetched.sha256, Some(secret));
    assert!(closed.asked().iter().any(|request| request.authorization.is_some()));
    let _ = open.asked();
    assert_eq!(here.fetch(&open_uri, "missing", PATIENCE).await.expect("it wants none").sha256, Some(public));
    let asked = open.asked();
    assert!(!asked.is_empty() && asked.iter().all(|request| request.authorization.is_none()), "{asked:?}");
    assert!(
        !Path::new("/root/.docker/config.json").exists()
            || !fs::read_to_string("/root/.docker/config.json").unwrap_or_default().contains(&closed.host())
    );
    assert_eq!(here.clear([secret, public]).await, 2);
}

macro_rules! on_each_kind {
    ($($name:ident)*) => {$(
        mod $name {
            #[tokio::test]
            async fn docker() {
                super::$name(skipper_platform::container::EngineKind::Docker).await;
            }

            #[tokio::test]
            async fn podman() {
                super::$name(skipper_platform::container::EngineKind::Podman).await;
            }
        }
    )*};
}
on_each_kind! {
    what_was_fetched_is_pinned_by_its_digest_and_goes_with_its_names
    a_registry_that_is_not_well_costs_no_more_than_the_deadline_and_leaves_nothing
    credentials_go_to_their_registry_alone
}
