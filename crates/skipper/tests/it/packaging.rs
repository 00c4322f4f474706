//! What is around the program: the scripts that name and release its images, the compose files, the seed of a development setup.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use skipper_source::fleet::NodeResource;

use crate::bench::{Ended, run, until};

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A folder with the scripts in it, and nothing that is Git's.
fn copy() -> tempfile::TempDir {
    let home = tempfile::tempdir().expect("a temporary folder");
    for script in ["images", "release", "smoke"] {
        fs::copy(project().join(script), home.path().join(script)).expect("copied");
    }
    home
}

fn script(home: &Path, name: &str, verb: &str, env: &[(&str, &str)]) -> Ended {
    let mut command = Command::new("bash");
    command.arg(home.join(name)).arg(verb).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").current_dir("/");
    run(command.envs(env.iter().copied()))
}

fn git(home: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=t", "-c", "user.email=t@example.com"]).args(args).current_dir(home);
    run(command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", home)).ok().trim().to_owned()
}

#[test]
fn images_are_named_by_registry_namespace_and_tag() {
    let home = copy();
    let names = script(home.path(), "images", "print", &[]).ok();
    assert_eq!(names, "localhost:5000/skipper/skipper-api:latest\nlocalhost:5000/skipper/skippy-agent:latest\n");
    let env = [("IMAGE_REGISTRY", "r.example.com"), ("IMAGE_NAMESPACE", "a/b"), ("IMAGE_TAG", "0.1.0")];
    let names = script(home.path(), "images", "print", &env).ok();
    assert_eq!(names, "r.example.com/a/b/skipper-api:0.1.0\nr.example.com/a/b/skippy-agent:0.1.0\n");
    for wrong in
        [("IMAGE_TAG", "a b"), ("IMAGE_REGISTRY", "http://x"), ("IMAGE_NAMESPACE", "UP"), ("IMAGE_PLATFORM", "x")]
    {
        let err = script(home.path(), "images", "print", &[wrong]).fails(1);
        assert!(err.starts_with(&format!("images: {} is `{}`", wrong.0, wrong.1)), "{err}");
    }
    for name in ["images", "release"] {
        assert!(script(home.path(), name, "frobnicate", &[]).fails(2).contains("there is no verb frobnicate"));
        assert!(script(home.path(), name, "--help", &[]).ok().contains(&format!("./{name} print")));
    }
}

#[test]
fn a_release_is_tagged_by_channel_commit_and_time() {
    let home = copy();
    let printed = |env: &[(&str, &str)]| script(home.path(), "release", "print", env).json();
    let tag = |manifest: &Value| manifest["version_tag"].as_str().expect("a tag").to_owned();
    let plain = printed(&[]);
    assert_eq!(plain["git_sha"], "nogit");
    let stamp = tag(&plain).strip_prefix("stable-nogit-").expect("channel and commit").to_owned();
    assert!(stamp.len() == 14 && stamp.bytes().all(|byte| byte.is_ascii_digit()), "{stamp}");
    assert!(!home.path().join("artifacts").exists(), "print writes nothing");

    let given =
        printed(&[("RELEASE_CHANNEL", "beta"), ("RELEASE_GIT_SHA", "0123456789abcdef0123456789abcdef01234567")]);
    assert!(tag(&given).starts_with("beta-0123456-"), "{given}");
    let named = printed(&[("RELEASE_VERSION_TAG", "v1"), ("IMAGE_TAG", "other"), ("IMAGE_REGISTRY", "r.example.com")]);
    let reference = &named["images"]["skippy-agent"]["reference"];
    assert_eq!((tag(&named).as_str(), reference), ("v1", &Value::from("r.example.com/skipper/skippy-agent:v1")));
    script(home.path(), "release", "print", &[("RELEASE_VERSION_TAG", "a b")]).fails(1);
    script(home.path(), "release", "print", &[("RELEASE_CHANNEL", "../x")]).fails(1);

    git(home.path(), &["init", "--quiet"]);
    git(home.path(), &["add", "."]);
    git(home.path(), &["commit", "--quiet", "-m", "x"]);
    let sha = git(home.path(), &["rev-parse", "--short", "HEAD"]);
    let of_git = printed(&[]);
    assert_eq!((&of_git["git_sha"], &of_git["dirty"]), (&Value::from(sha.as_str()), &Value::from(false)));
    assert!(tag(&of_git).starts_with(&format!("stable-{sha}-")), "{of_git}");
}

#[test]
fn a_plan_is_written_twice_under_its_tag_and_as_the_latest() {
    let home = copy();
    let env = [("RELEASE_VERSION_TAG", "v7"), ("IMAGE_PLATFORM", "linux/amd64")];
    assert_eq!(script(home.path(), "release", "plan", &env).ok(), "artifacts/releases/v7.json\n");
    let folder = home.path().join("artifacts/releases");
    let text = fs::read_to_string(folder.join("v7.json")).expect("written");
    assert_eq!(fs::read_to_string(folder.join("latest.json")).expect("written"), text);
    let manifest: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(manifest["status"], "planned");
    assert_eq!((&manifest["smoke_test"], &manifest["platform"]), (&"skipped".into(), &"linux/amd64".into()));
    assert_eq!(manifest["images"]["skipper-api"]["digest"], Value::Null);
    assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 2, "nothing half-written is left");
}

/// A registry of its own, until it is dropped.
struct Registry(std::process::Child, u16);

impl Registry {
    fn start(home: &Path) -> Self {
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
        let config = home.join("registry.yml");
        let data = home.join("registry");
        let text = format!(
            "version: 0.1\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\nhttp: {{ addr: 127.0.0.1:{port} }}\n",
            data.display()
        );
        fs::write(&config, text).expect("written");
        let log = fs::File::create(home.join("registry.log")).expect("created");
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(config)
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .expect("it starts");
        let registry = Self(child, port);
        until("the registry listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok(), |listens| *listens);
        registry
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Images of a test, removed when it is dropped.
struct Images(Vec<String>);

impl Drop for Images {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["image", "rm", "--force"]).args(&self.0).output();
    }
}

fn succeeds(program: &str, args: &[&str]) -> bool {
    Command::new(program).args(args).output().is_ok_and(|output| output.status.success())
}

#[test]
fn a_release_is_built_pushed_and_known_by_its_digests() {
    if !succeeds("docker", &["info"])
        || !succeeds("docker-registry", &["--version"])
        || !Path::new("/bin/busybox").exists()
    {
        eprintln!("skipped: it takes Docker, docker-registry and busybox");
        return;
    }
    let home = copy();
    for file in ["Dockerfile", ".dockerignore"] {
        fs::copy(project().join(file), home.path().join(file)).expect("copied");
    }
    run(Command::new("cp").arg("-r").arg(project().join("deploy")).arg(home.path())).ok();
    fs::write(home.path().join("ca.crt"), "x").expect("written");
    // Whatever Docker's own image is, here it is one that needs no registry.
    let base = format!("localhost/skipper-it-base:{}", std::process::id());
    fs::create_dir(home.path().join("base")).expect("made");
    fs::write(home.path().join("base/Dockerfile"), "FROM scratch\nCOPY Dockerfile /base\n").expect("written");
    let mut build = Command::new("docker");
    build.args(["build", "--quiet", "--tag", &base]).arg(home.path().join("base")).env("DOCKER_BUILDKIT", "0");
    run(&mut build).ok();
    let registry = Registry::start(home.path());
    let host = format!("localhost:{}", registry.1);
    let reference = |name: &str| format!("{host}/it/{name}:v1");
    let _tidy = Images(vec![base.clone(), reference("skipper-api"), reference("skippy-agent")]);

    let env = [
        ("HOME", home.path().to_str().expect("UTF-8")),
        ("IMAGE_REGISTRY", host.as_str()),
        ("IMAGE_NAMESPACE", "it"),
        ("RELEASE_VERSION_TAG", "v1"),
        ("DOCKER_IMAGE", base.as_str()),
        ("DOCKER_BUILDKIT", "0"),
        // Static, and no more is asked of it here.
        ("SKIPPER_BINARY", "/bin/busybox"),
        ("CA_BUNDLE", "ca.crt"),
    ];
    let early = script(home.path(), "images", "push", &[&env[..], &[("IMAGE_TAG", "never")]].concat()).fails(1);
    assert!(early.contains("build it first: IMAGE_TAG=never ./images build"), "{early}");
    assert_eq!(script(home.path(), "release", "publish", &env).ok(), "artifacts/releases/v1.json\n");
    let text = fs::read_to_string(home.path().join("artifacts/releases/latest.json")).expect("written");
    let manifest: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(manifest["status"], "published");
    for name in ["skipper-api", "skippy-agent"] {
        let image = &manifest["images"][name];
        assert_eq!(image["reference"], reference(name));
        let digest = image["digest"].as_str().expect("a digest");
        let pinned = format!("{host}/it/{name}@{digest}");
        run(Command::new("docker").args(["image", "rm", &reference(name)])).ok();
        run(Command::new("docker").args(["pull", "--quiet", &pinned])).ok();
        run(Command::new("docker").args(["image", "rm", &pinned])).ok();
    }
}

#[test]
fn an_image_without_a_static_program_is_refused() {
    let home = tempfile::tempdir().expect("a temporary folder");
    fs::write(home.path().join("ca.crt"), "x").expect("written");
    let rootfs = |program: &str| {
        let mut command = Command::new(project().join("deploy/image/rootfs.sh"));
        run(command.args([program, "ca.crt", "out"]).current_dir(home.path()))
    };
    assert!(rootfs("/nowhere").fails(1).contains("there is no program"));
    assert!(rootfs("/bin/bash").fails(1).contains("is not static"));
    assert!(!home.path().join("out").exists());
}

#[test]
fn the_seed_of_a_development_setup_is_what_the_compose_file_uses() {
    let seed = project().join("deploy/development");
    let read = |path: &str| fs::read_to_string(seed.join(path)).expect("it is there");
    let node: NodeResource = serde_json::from_str(&read("resources/nodes/host-1.json")).expect("a node");
    assert_eq!(node.id.as_str(), "host-1");
    let tenant: Value = serde_json::from_str(&read("resources/tenants/example-tenant.json")).expect("JSON");
    assert_eq!(tenant["spec"]["node"], "host-1");
    let compose = fs::read_to_string(project().join("docker-compose.yml")).expect("it is there");
    assert!(compose.contains("AGENT_ID: host-1\n") && compose.contains("ADMIN_TOKEN: dev-admin-token\n"));
    let token = compose.split("AGENT_TOKEN: ").nth(1).and_then(|rest| rest.lines().next()).expect("a token");
    let auth: Value = serde_json::from_str(&read("auth/nodes/host-1.json")).expect("JSON");
    let hash = skipper_core::Sha256::of(token.as_bytes()).to_string();
    assert!(hash.ends_with(auth["token_hash"].as_str().expect("a hash")), "{hash}");
}
