//! What the story is played on: a folder, ports, the server's process, and the way to ask it. And the clearing away.

use std::{
    fs::{self, File, OpenOptions},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::process::Signal;
use skipper_server::api::own::wire;
use tokio::{
    process::{Child, Command},
    time,
};

use super::{
    DemoArgs,
    found::{self, Found},
};
use crate::{
    client::{Call, Client},
    failure::Failure,
    surroundings::Surroundings,
    targets::{Origin, Target},
};

/// The file by which a folder is known as a demo's.
const MARKER: &str = "skipper-demo";

/// Longest that the server may take to be ready. It takes milliseconds; a machine under load gets its time.
const READY: Duration = Duration::from_secs(20);

/// Longest wait for a process that was told to end.
const END: Duration = Duration::from_secs(10);

/// The stage.
#[derive(Debug)]
pub(super) struct Stage {
    /// The demo's own folder.
    pub(super) folder: PathBuf,
    /// It was made for this demo and goes with it.
    temporary: bool,
    /// This binary.
    pub(super) program: PathBuf,
    /// Where the server listens.
    pub(super) api: SocketAddr,
    /// Where the edge listens for the application.
    pub(super) app: SocketAddr,
    /// The server's API.
    pub(super) client: Client,
    /// Variables that would make the server another one.
    unset: Vec<String>,
    server: Option<Child>,
}

/// A client's failure as an error.
pub(super) fn told(failure: Failure) -> anyhow::Error {
    match failure.hint {
        Some(hint) => anyhow::anyhow!("{} ({hint})", failure.message),
        None => anyhow::anyhow!(failure.message),
    }
}

impl Stage {
    /// Prepares the folder and picks free ports. Starts nothing.
    pub(super) async fn set(args: &DemoArgs, surroundings: &Surroundings) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("find the own binary")?;
        let (folder, temporary) = match &args.data_dir {
            Some(dir) => (surroundings.resolve(dir), false),
            None => {
                let dir = tempfile::Builder::new().prefix("skipper-demo-").tempdir().context("make a folder")?;
                (dir.keep(), true)
            }
        };
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        // Processes know the folder by its real path.
        let folder = folder.canonicalize().with_context(|| format!("resolve {}", folder.display()))?;
        claim(&folder, &program).await?;
        let api = free_port()?;
        let app = free_port()?;
        let url = Origin { value: format!("http://{api}"), origin: "the demo".to_owned() };
        let target = Target { url, credentials: None, tenant: None, ca_file: None, trust_anybody: false };
        Ok(Self {
            client: Client::new(target).map_err(told)?,
            unset: surroundings
                .vars()
                .keys()
                .filter(|name| {
                    name.starts_with("SKIPPER_")
                        || matches!(name.as_str(), "HOST" | "PORT" | "DATA_DIR" | "ADMIN_TOKEN" | "DATABASE_URL")
                })
                .cloned()
                .collect(),
            folder,
            temporary,
            program,
            api,
            app,
            server: None,
        })
    }

    /// The server's data directory.
    pub(super) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Where the server's words go.
    pub(super) fn server_output(&self) -> PathBuf {
        self.folder.join("server.out")
    }

    /// Starts the server; the answer is the time until it says that everything it needs is there.
    pub(super) async fn start_server(&mut self) -> anyhow::Result<Duration> {
        let path = self.server_output();
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("open {}", path.display()))?;
        let mut command = Command::new(&self.program);
        command.arg("server").arg("--data-dir").arg(self.data()).args(["--listen", &self.api.to_string()]);
        for name in &self.unset {
            command.env_remove(name);
        }
        command
            .current_dir(&self.folder)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("duplicate a descriptor")?)
            .stderr(output)
            // Ctrl-C is for the demo: it clears away in order.
            .process_group(0);
        let began = Instant::now();
        self.server = Some(command.spawn().context("start the server")?);
        self.until_ready(began).await
    }

    async fn until_ready(&mut self, began: Instant) -> anyhow::Result<Duration> {
        let mut last = String::new();
        while began.elapsed() < READY {
            match super::ask::get(self.api, "/readyz").await {
                Ok(answer) if answer.status == 200 => return Ok(began.elapsed()),
                Ok(answer) => last = format!("status {}: {}", answer.status, answer.body),
                Err(error) => last = format!("{error:#}"),
            }
            let ended = self.server.as_mut().map(Child::try_wait).transpose().context("look after the server")?;
            if let Some(Some(status)) = ended {
                anyhow::bail!("the server ended with {status}:\n{}", self.last_words());
            }
            time::sleep(Duration::from_millis(2)).await;
        }
        anyhow::bail!("the server was not ready within {} s ({last}):\n{}", READY.as_secs(), self.last_words());
    }

    /// The end of the server's output.
    pub(super) fn last_words(&self) -> String {
        let text = fs::read(self.server_output()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// The server's process.
    pub(super) fn server_pid(&self) -> Option<u32> {
        self.server.as_ref().and_then(Child::id)
    }

    /// SIGKILL: what a power cut or the out-of-memory killer would do.
    pub(super) async fn kill_server(&mut self) -> anyhow::Result<()> {
        let mut server = self.server.take().context("the server does not run")?;
        server.kill().await.context("kill the server")
    }

    /// The processes of this demo, but for the one that asks.
    pub(super) fn processes(&self) -> Vec<Found> {
        found::processes(&self.program, &self.folder)
    }

    /// The edge's process.
    pub(super) fn edge_pid(&self) -> anyhow::Result<i32> {
        let edge = self.processes().into_iter().find(|process| process.role == "edge");
        edge.map(|edge| edge.pid).context("no edge process is found")
    }

    /// Deletes the release, ends server and edge, and looks for what is left. The answer is what had to be killed: in a
    /// sound world, nothing.
    pub(super) async fn clear(&mut self) -> anyhow::Result<Vec<Found>> {
        let deleted = if self.server.is_some() { self.delete_releases().await } else { Ok(()) };
        self.end_server().await?;
        let left = end(&self.program, &self.folder).await;
        if self.temporary {
            fs::remove_dir_all(&self.folder).with_context(|| format!("remove {}", self.folder.display()))?;
        } else {
            empty(&self.folder)?;
        }
        deleted.map(|()| left)
    }

    async fn delete_releases(&self) -> anyhow::Result<()> {
        let page: wire::ReleasePage = self.client.ask(&Call::get(&["v1", "releases"])).await.map_err(told)?;
        for release in page.items.iter().filter(|release| release.state != wire::ReleaseState::Deleted) {
            super::rollout::calm(self, &release.name).await?;
            let accepted: wire::Accepted =
                self.client.ask(&Call::delete(&["v1", "releases", &release.name])).await.map_err(told)?;
            super::rollout::ended(self, &accepted.rollout.id).await?;
        }
        Ok(())
    }

    async fn end_server(&mut self) -> anyhow::Result<()> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        if let Some(pid) = server.id().and_then(|pid| i32::try_from(pid).ok()) {
            found::signal(pid, Signal::TERM);
        }
        if time::timeout(END, server.wait()).await.is_err() {
            server.kill().await.context("kill the server")?;
            anyhow::bail!("the server did not end within {} s of SIGTERM and was killed", END.as_secs());
        }
        Ok(())
    }
}

/// Ends the edge, which outlives its server by design, and then whatever else is left; the answer is the latter.
async fn end(program: &Path, folder: &Path) -> Vec<Found> {
    let controls = |process: &Found| process.role == "server" || process.role == "edge";
    for process in found::processes(program, folder).iter().filter(|process| controls(process)) {
        found::signal(process.pid, Signal::TERM);
    }
    found::gone(program, folder, END, controls).await;
    // Applications were deleted; their keepers may be writing the last line of their log.
    let left = found::gone(program, folder, Duration::from_secs(2), |_| true).await;
    for process in &left {
        found::signal(process.pid, Signal::KILL);
    }
    found::gone(program, folder, END, |_| true).await;
    left
}

/// Makes an empty folder, or that of an earlier demo, this demo's.
async fn claim(folder: &Path, program: &Path) -> anyhow::Result<()> {
    let marker = folder.join(MARKER);
    if marker.exists() {
        end(program, folder).await;
        empty(folder)?;
    }
    let mut entries = fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    anyhow::ensure!(
        entries.next().is_none(),
        "{} is not empty and no earlier demo's; name an empty folder",
        folder.display()
    );
    File::create(&marker).with_context(|| format!("create {}", marker.display()))?;
    Ok(())
}

/// Removes what the demo puts into its folder, and nothing else.
fn empty(folder: &Path) -> anyhow::Result<()> {
    for name in ["data", "packages"] {
        match fs::remove_dir_all(folder.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("remove {}", folder.join(name).display()));
            }
            _ => {}
        }
    }
    for name in ["server.out", MARKER] {
        // What cannot be removed is said by the next demo in this folder.
        fs::remove_file(folder.join(name)).ok();
    }
    Ok(())
}

/// Stops what an earlier demo left running in `folder`, and removes it.
pub(super) async fn stop(folder: &Path) -> anyhow::Result<Vec<Found>> {
    let folder = folder.canonicalize().with_context(|| format!("resolve {}", folder.display()))?;
    anyhow::ensure!(folder.join(MARKER).exists(), "{} is no demo's folder", folder.display());
    let program = std::env::current_exe().context("find the own binary")?;
    let stopped = found::processes(&program, &folder);
    end(&program, &folder).await;
    fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    Ok(stopped)
}

/// A port nobody listens on at the moment.
fn free_port() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
    listener.local_addr().context("find a free port")
}
