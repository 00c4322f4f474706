//! Which compose there is, and running it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;
use skipper_core::port::{Error, ErrorKind};

use super::{child, config::ComposeConfig, folder::Place};

/// Longest a compose may take to tell its version.
const ASKED: Duration = Duration::from_secs(20);
/// What of the server's surroundings compose is given.
const PASSED: [&str; 17] = [
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "DOCKER_CONFIG",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];
/// Where programs are looked for when the surroundings do not say.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A compose that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tool {
    /// Program and first arguments.
    pub words: Vec<String>,
    /// Whether it is of the first generation, 1.x.
    pub first: bool,
    /// What it calls itself.
    pub version: String,
}

/// The compose of an account, once it was found.
#[derive(Debug, Default)]
pub(super) struct Tools(Mutex<Option<Tool>>);

impl Tools {
    /// The one that is configured, or the first that answers: `docker compose`, `docker-compose`, `podman compose`.
    pub(super) async fn find(&self, config: &ComposeConfig) -> Result<Tool, Error> {
        if let Some(known) = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Ok(known);
        }
        let usual = [vec!["docker", "compose"], vec!["docker-compose"], vec!["podman", "compose"]];
        let candidates = config.command.as_ref().map_or_else(
            || usual.iter().map(|words| words.iter().map(|word| (*word).to_owned()).collect()).collect(),
            |words| vec![words.clone()],
        );
        let (mut answers, mut silent) = (Vec::new(), false);
        for words in candidates {
            match ask(config, words, &mut silent).await {
                Ok(tool) => {
                    *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(tool.clone());
                    return Ok(tool);
                }
                Err(answer) => answers.push(answer),
            }
        }
        if silent {
            // It is there, and something keeps it: a machine that is busy, an engine that starts.
            let message = format!("compose does not answer ({})", answers.join("; "));
            return Err(Error::new(ErrorKind::Transient, "compose-silent", message)
                .hint("look whether the machine is overloaded, and try again"));
        }
        let message = format!("there is no compose here ({})", answers.join("; "));
        Err(Error::new(ErrorKind::Permanent, "compose-missing", message).hint(
            "install Docker's plugin (docker-compose-plugin, or the file docker-compose in ~/.docker/cli-plugins) or Debian's package \
             docker-compose",
        ))
    }

    /// Looks anew the next time.
    pub(super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

async fn ask(config: &ComposeConfig, words: Vec<String>, silent: &mut bool) -> Result<Tool, String> {
    let name = words.join(" ");
    let mut asking = words.clone();
    asking.extend(["version".to_owned(), "--short".to_owned()]);
    let order =
        child::Order { words: &asking, env: &surroundings(config), dir: Path::new("/"), bound: ASKED, held: None };
    let ran = match child::run(order, |_| {}).await {
        Ok(ran) => ran,
        Err(error) => return Err(format!("{name}: {error}")),
    };
    let version = String::from_utf8_lossy(&ran.output)
        .lines()
        .last()
        .unwrap_or_default()
        .trim()
        .trim_start_matches('v')
        .to_owned();
    if ran.code != Some(0) {
        *silent |= ran.timed_out;
        let why = if ran.timed_out { "does not answer".to_owned() } else { first_line(&ran.said) };
        return Err(format!("{name}: {why}"));
    }
    let first = version.starts_with("1.");
    let minor = version.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok());
    if first && minor.is_none_or(|minor| minor < 28) {
        return Err(format!("{name}: its version {version} is too old, 1.28 or newer is needed"));
    }
    // podman-compose understands neither `config` nor what `up` is asked for.
    if words.first().is_some_and(|program| program == "podman") && ran.said.contains("podman-compose") {
        return Err(format!("{name}: it is podman-compose, which cannot do all that is needed"));
    }
    Ok(Tool { words, first, version })
}

fn first_line(said: &str) -> String {
    said.lines().find(|line| !line.trim().is_empty()).unwrap_or("it says nothing").chars().take(200).collect()
}

/// The surroundings of every run.
fn surroundings(config: &ComposeConfig) -> BTreeMap<String, String> {
    let passed = PASSED.iter().filter_map(|name| Some(((*name).to_owned(), config.env.get(*name)?.clone())));
    let mut env: BTreeMap<String, String> = passed.collect();
    env.entry("PATH".to_owned()).or_insert_with(|| USUAL_PATH.to_owned());
    env.entry("HOME".to_owned()).or_insert_with(|| "/".to_owned());
    // The client of Docker calls plain HTTP so.
    let host = config.host.strip_prefix("http://").map_or_else(|| config.host.clone(), |rest| format!("tcp://{rest}"));
    for (name, value) in [
        ("DOCKER_HOST", host.as_str()),
        ("COMPOSE_ANSI", "never"),
        ("COMPOSE_MENU", "false"),
        ("COMPOSE_PROGRESS", "plain"),
        ("COMPOSE_HTTP_TIMEOUT", "600"),
        ("DOCKER_CLI_HINTS", "false"),
    ] {
        env.insert(name.to_owned(), value.to_owned());
    }
    env
}

/// Which files a run is about.
pub(super) struct Files {
    pub compose: PathBuf,
    pub env: PathBuf,
}

/// Compose, for one project.
#[derive(Debug)]
pub(super) struct Compose {
    pub config: ComposeConfig,
    pub tool: Tool,
    pub project: String,
    pub place: Arc<Place>,
}

impl Compose {
    /// Runs it with these arguments.
    pub(super) async fn run(&self, files: &Files, args: &[&str], bound: Duration) -> Result<child::Ran, Error> {
        let mut words = self.tool.words.clone();
        let folder = self.place.folder();
        words.extend(["--project-name", &self.project, "--project-directory"].map(str::to_owned));
        words.push(folder.display().to_string());
        words.push("-f".to_owned());
        words.push(files.compose.display().to_string());
        if files.env.exists() {
            words.push("--env-file".to_owned());
            words.push(files.env.display().to_string());
        }
        words.extend(args.iter().map(|arg| (*arg).to_owned()));
        let env = surroundings(&self.config);
        let held = self.place.lock_file().map_err(|cause| {
            Error::new(ErrorKind::Transient, "folder-failed", format!("use the lock of {}", folder.display()))
                .because(cause)
        })?;
        let order = child::Order { words: &words, env: &env, dir: folder, bound, held: Some(held) };
        child::run(order, |pid| self.place.running(pid)).await.map_err(|cause| {
            Error::new(ErrorKind::Transient, "compose-failed", format!("run {}", self.tool.words.join(" ")))
                .because(cause)
        })
    }

    /// What compose makes of the files.
    ///
    /// # Errors
    ///
    /// Its own words about what is wrong with them, as the inner error.
    pub(super) async fn resolve(&self, files: &Files, bound: Duration) -> Result<Result<Value, child::Ran>, Error> {
        let args: &[&str] = if self.tool.first { &["config"] } else { &["config", "--format", "json"] };
        let mut ran = self.run(files, args, bound).await?;
        if ran.code != Some(0) {
            return Ok(Err(ran));
        }
        let text = String::from_utf8_lossy(&ran.output).into_owned();
        let read = if self.tool.first {
            (self.config.yaml)(&text)
        } else {
            serde_json::from_str(&text).map_err(|error| error.to_string())
        };
        Ok(read.map_err(|why| {
            ran.said = format!("what compose resolved the file to cannot be read: {why}");
            ran.code = None;
            ran
        }))
    }
}
