//! An account of its own on a real engine, and a small image to run.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use skipper_core::{
    deployment::{Deployment, Exit, Instance, Observed},
    generation::Generation,
    name::PlatformName,
    port::{Error, Launch, Platform},
    rollout::plan::Instances,
    secret::SecretValues,
    spec::Resource,
};
use skipper_platform::container::{ContainerConfig, ContainerPlatform, EngineKind, EngineSettings, answers};
use tokio_util::task::TaskTracker;

use crate::{
    remote::{Side, far},
    world::{self, PATIENCE, RealClock, generation},
};

/// An image of busybox, made once on each engine.
pub(crate) const IMAGE: &str = "skipper-it";

pub(crate) struct Engine {
    pub dir: tempfile::TempDir,
    pub kind: EngineKind,
    pub host: String,
    pub owner: String,
    pub settings: EngineSettings,
    /// What is tested: it, or what it is from afar.
    pub platform: Arc<dyn Platform>,
    own: Arc<ContainerPlatform>,
}

/// Where an engine is, or why the tests on it are skipped.
pub(crate) fn host(kind: EngineKind) -> Option<String> {
    let named = std::env::var(format!("SKIPPER_TEST_{}", kind.word().to_uppercase())).ok();
    let env: BTreeMap<String, String> = std::env::vars().collect();
    let hosts = named.map_or_else(|| kind.usual_hosts(&env), |host| vec![host]);
    let found = hosts.into_iter().find(|host| host.starts_with("unix://") && answers(host));
    if found.is_none() {
        eprintln!("skipped: no {kind} answers here (./test starts one where it can)");
    }
    found
}

impl Engine {
    pub(crate) async fn open(kind: EngineKind, host: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let owner = format!("it-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let settings = EngineSettings { network: Some(IMAGE.to_owned()), ..EngineSettings::default() };
        let dir = tempfile::tempdir().expect("temp dirs can be made");
        let own = open(dir.path(), kind, host, &owner, &settings);
        prepare_image(kind, host).await;
        Self { dir, kind, host: host.to_owned(), owner, settings, platform: seen(&own), own }
    }

    /// As a server that was killed and started anew: nothing in memory stays.
    pub(crate) fn restart(&mut self) {
        let another = self.another();
        let before = std::mem::replace(&mut self.own, another);
        self.platform = seen(&self.own);
        before.close();
    }

    /// A second server on the same folder.
    pub(crate) fn another(&self) -> Arc<ContainerPlatform> {
        open(self.dir.path(), self.kind, &self.host, &self.owner, &self.settings)
    }

    /// A second server on the same folder that reaches the engine elsewhere.
    pub(crate) fn behind(&self, host: &str, tasks: &TaskTracker) -> Arc<ContainerPlatform> {
        open_with(self.dir.path(), self.kind, host, &self.owner, &self.settings, tasks.clone())
    }

    pub(crate) fn client(&self) -> bollard::Docker {
        bollard::Docker::connect_with_unix(&self.host, 60, bollard::API_DEFAULT_VERSION).expect("it is here")
    }

    /// A deployment of that shell script, pinned.
    pub(crate) async fn script(&self, text: &str) -> Deployment {
        let mut it = world::script(text);
        it.app.resource = self.image().await;
        it
    }

    pub(crate) async fn image(&self) -> Resource {
        let resource = Resource { uri: format!("docker:{IMAGE}:1"), sha256: None };
        self.platform.fetch(&resource, PATIENCE).await.unwrap_or_else(|error| panic!("fetch: {}", error.chain()))
    }

    pub(crate) async fn launch(&self, deployment: &Deployment, count: u32) -> Result<Vec<Instance>, Error> {
        self.launch_as(deployment, count, generation(1)).await
    }

    pub(crate) async fn launch_as(
        &self,
        deployment: &Deployment,
        count: u32,
        generation: Generation,
    ) -> Result<Vec<Instance>, Error> {
        let secrets = SecretValues::new();
        let launch = Launch { deployment, instances: Instances::first(count), secrets: &secrets, generation };
        self.platform.launch(launch, PATIENCE).await
    }

    pub(crate) async fn start(&self, deployment: &Deployment) -> Instance {
        let mut all = self.launch(deployment, 1).await.unwrap_or_else(|error| panic!("launch: {}", error.chain()));
        all.remove(0)
    }

    pub(crate) async fn observe(&self, deployment: &Deployment) -> Observed {
        let seen = self.platform.observe(deployment, Instances::first(1), PATIENCE).await.expect("it can be observed");
        seen.into_iter().next().expect("one was asked for")
    }

    pub(crate) async fn retire(&self, deployment: &Deployment) -> Result<(), Error> {
        let all = Instances::first(deployment.app.replicas.max(1));
        self.platform.retire(deployment, all, true, generation(9), PATIENCE).await
    }

    /// Waits until the first instance has ended.
    pub(crate) async fn ended(&self, deployment: &Deployment) -> Exit {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            match self.observe(deployment).await {
                Observed::Exited { exit, .. } => return exit,
                _ => {
                    let _ = tokio::time::timeout(Duration::from_millis(100), self.platform.changed()).await;
                }
            }
        }
        panic!("the instance did not end")
    }

    /// What a shell in the first instance prints.
    pub(crate) async fn shell(&self, deployment: &Deployment, text: &str) -> String {
        let words = ["sh", "-c", text].map(str::to_owned);
        let ran = self.platform.exec(deployment, 0.into(), &words, PATIENCE).await;
        ran.unwrap_or_else(|error| panic!("exec: {}", error.chain())).output.trim_end().to_owned()
    }

    /// Names of all containers that are ours.
    pub(crate) async fn containers(&self) -> Vec<String> {
        self.listed().iter().filter_map(|one| Some(one["Names"][0].as_str()?.to_owned())).collect()
    }

    /// As the engine lists them: the client's types do not take all of Podman's states.
    fn listed(&self) -> Vec<serde_json::Value> {
        let filter = format!("%7B%22label%22%3A%5B%22skipper.owner%3D{}%22%5D%7D", self.owner);
        let told = self.curl("GET", &format!("/containers/json?all=true&filters={filter}"));
        serde_json::from_slice(&told).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&told)))
    }

    /// The repository of the names that keep our images.
    pub(crate) fn kept(&self) -> String {
        format!("skipper.local/kept-{}", &skipper_core::Sha256::of(self.owner.as_bytes()).to_string()[..16])
    }

    /// All names of images here.
    pub(crate) async fn image_names(&self) -> Vec<String> {
        let all =
            self.client().list_images(None::<bollard::query_parameters::ListImagesOptions>).await.expect("listed");
        all.into_iter().flat_map(|image| image.repo_tags).collect()
    }

    /// Names of our pods.
    pub(crate) fn pods(&self) -> Vec<String> {
        let filter = format!("%7B%22label%22%3A%5B%22skipper.owner%3D{}%22%5D%7D", self.owner);
        let told = self.curl("GET", &format!("/../v4.0.0/libpod/pods/json?filters={filter}"));
        let told: serde_json::Value = serde_json::from_slice(&told).unwrap_or_default();
        told.as_array().into_iter().flatten().filter_map(|pod| Some(pod["Name"].as_str()?.to_owned())).collect()
    }

    /// Names of volumes that were made for our pods.
    pub(crate) fn volumes(&self) -> Vec<String> {
        let filter = format!("%7B%22label%22%3A%5B%22skipper.owner%3D{}%22%5D%7D", self.owner);
        let told: serde_json::Value =
            serde_json::from_slice(&self.curl("GET", &format!("/volumes?filters={filter}"))).unwrap_or_default();
        let all = told["Volumes"].as_array().into_iter().flatten();
        all.filter_map(|volume| Some(volume["Name"].as_str()?.to_owned())).collect()
    }

    fn curl(&self, method: &str, path: &str) -> Vec<u8> {
        let mut command = Command::new("curl");
        command.args(["-sg", "-m", "20", "-X", method, "--unix-socket", self.host.trim_start_matches("unix://")]);
        let told = command.arg(format!("http://engine/v1.41{path}")).stderr(Stdio::null()).output();
        told.expect("curl is there").stdout
    }
}

impl Drop for Engine {
    /// Whatever a failing test left.
    fn drop(&mut self) {
        self.own.close();
        if self.kind == EngineKind::Podman {
            for name in self.pods() {
                self.curl("DELETE", &format!("/../v4.0.0/libpod/pods/{name}?force=true"));
            }
        }
        for id in self.listed().iter().filter_map(|one| one["Id"].as_str()) {
            self.curl("DELETE", &format!("/containers/{id}?force=true&v=true"));
        }
        for name in self.volumes() {
            self.curl("DELETE", &format!("/volumes/{name}"));
        }
    }
}

/// From the side of the test that runs.
fn seen(own: &Arc<ContainerPlatform>) -> Arc<dyn Platform> {
    let own: Arc<dyn Platform> = Arc::clone(own) as _;
    match Side::now() {
        Side::Here => own,
        Side::Far => far(own),
    }
}

pub(crate) fn open(
    dir: &Path,
    kind: EngineKind,
    host: &str,
    owner: &str,
    settings: &EngineSettings,
) -> Arc<ContainerPlatform> {
    open_with(dir, kind, host, owner, settings, TaskTracker::new())
}

fn open_with(
    dir: &Path,
    kind: EngineKind,
    host: &str,
    owner: &str,
    settings: &EngineSettings,
    tasks: TaskTracker,
) -> Arc<ContainerPlatform> {
    let config = ContainerConfig {
        account: PlatformName::new("here").expect("it is valid"),
        kind,
        host: host.to_owned(),
        owner: owner.to_owned(),
        root: dir.join("containers/here"),
        settings: settings.clone(),
        clock: Arc::new(RealClock),
        tasks,
    };
    Arc::new(ContainerPlatform::new(config).expect("the folder can be made"))
}

/// Brings busybox to the engine as an image, unless it is there.
pub(crate) async fn prepare_image(kind: EngineKind, host: &str) {
    static MAKING: [tokio::sync::OnceCell<()>; 2] = [const { tokio::sync::OnceCell::const_new() }; 2];
    let cell = &MAKING[usize::from(kind == EngineKind::Podman)];
    cell.get_or_init(|| async {
        let engine = bollard::Docker::connect_with_unix(host, 60, bollard::API_DEFAULT_VERSION).expect("it is here");
        let engine = engine.negotiate_version().await.expect("it answers");
        if engine.inspect_image(&format!("{IMAGE}:1")).await.is_err() {
            load_image(&engine, IMAGE, "1", &[]).await;
        }
    })
    .await;
}

/// Makes an image of busybox with these changes (`USER app`, `STOPSIGNAL SIGUSR1`).
pub(crate) async fn load_image(engine: &bollard::Docker, name: &str, tag: &str, changes: &[&str]) {
    use futures::TryStreamExt as _;
    let root = tempfile::tempdir().expect("temp dirs can be made");
    let bin = root.path().join("bin");
    std::fs::create_dir_all(&bin).expect("it is ours");
    std::fs::create_dir_all(root.path().join("etc")).expect("it is ours");
    std::fs::create_dir_all(root.path().join("tmp")).expect("it is ours");
    std::fs::write(root.path().join("etc/passwd"), "root:x:0:0::/:/bin/sh\napp:x:1234:1234::/:/bin/sh\n")
        .expect("ours");
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
    std::fs::copy(busybox.expect("busybox-static is installed"), bin.join("busybox")).expect("it can be copied");
    for name in ["sh", "sleep", "echo", "cat", "env", "id", "httpd", "kill", "stat", "seq", "true", "tail", "ls", "dd"]
    {
        std::os::unix::fs::symlink("busybox", bin.join(name)).expect("it is ours");
    }
    let rules = format!("FROM scratch\nCOPY bin /bin/\nCOPY etc /etc/\nCOPY tmp /tmp/\n{}\n", changes.join("\n"));
    std::fs::write(root.path().join("Dockerfile"), rules).expect("it is ours");
    let tar = Command::new("tar").args(["-C"]).arg(root.path()).args(["-cf", "-", "."]).output().expect("tar is there");
    let options = bollard::query_parameters::BuildImageOptionsBuilder::default().t(&format!("{name}:{tag}")).rm(true);
    let made = engine.build_image(options.build(), None, Some(bollard::body_full(tar.stdout.into())));
    made.try_for_each(|_| async { Ok(()) }).await.expect("the image can be made");
}

/// Runs the test on every engine that is here.
macro_rules! on_each_engine {
    ($($(#[$meta:meta])* async fn $name:ident($engine:ident: Engine) $body:block)*) => {$(
        pub(crate) mod $name {
            use super::*;

            pub(crate) async fn test($engine: Engine) $body

            #[tokio::test]
            async fn docker() {
                let kind = skipper_platform::container::EngineKind::Docker;
                if let Some(host) = $crate::container::world::host(kind) {
                    test(Engine::open(kind, &host).await).await;
                }
            }

            #[tokio::test]
            async fn podman() {
                let kind = skipper_platform::container::EngineKind::Podman;
                if let Some(host) = $crate::container::world::host(kind) {
                    test(Engine::open(kind, &host).await).await;
                }
            }
        }
    )*};
}
pub(crate) use on_each_engine;
