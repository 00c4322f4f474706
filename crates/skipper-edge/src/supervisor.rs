use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    process::Stdio,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use skipper_core::port::{Error, ErrorKind};
use tokio::{
    io::AsyncReadExt as _,
    process::{Child, Command},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    EdgeRouter,
    control::{socket::connect, wire::EdgeInfo},
};

/// Time for a new edge to answer. It takes some 10 ms with a small table; a table of 100,000 routes takes seconds.
const START: Duration = Duration::from_secs(20);
/// First and longest pause between two attempts to start an edge that does not come up.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Size of `edge.log` above which a start begins with an empty one. The edge cuts its log by itself while it runs.
const LOG_MAX: u64 = 8 * 1024 * 1024;

/// How to start an edge.
#[derive(Debug, Clone)]
pub struct EdgeProcess {
    /// The program, as a rule this one. Absolute, as are the paths in `args`: the edge runs in `/`.
    pub exe: PathBuf,
    /// Its arguments. They must make it run [`crate::run`] with this control socket and with `detach`. They say
    /// everything: it gets no environment, which may hold secrets.
    pub args: Vec<OsString>,
    /// The control socket.
    pub control: PathBuf,
    /// Where its output goes.
    pub log: PathBuf,
    /// What [`crate::EdgeConfig::origin`] will be of an edge that is started so: it names everything that matters about
    /// it. `None` adopts whatever runs.
    pub origin: Option<String>,
}

/// What [`EdgeSupervisor::ensure`] found or did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ensured {
    /// One was running.
    Adopted(EdgeInfo),
    /// One was running that had been started differently, and another has taken over from it.
    Replaced(EdgeInfo),
    /// None was, so one was started.
    Started(EdgeInfo),
}

impl Ensured {
    /// The edge that answers now.
    #[must_use]
    pub const fn info(&self) -> &EdgeInfo {
        match self {
            Self::Adopted(info) | Self::Replaced(info) | Self::Started(info) => info,
        }
    }
}

/// Sees to it that an edge runs: adopts the one that answers, starts one where none does, and again when it dies. The
/// edge is never stopped from here; it outlives the server.
#[derive(Debug)]
pub struct EdgeSupervisor {
    process: EdgeProcess,
    router: EdgeRouter,
    /// It was tried to replace an edge that had been started differently. Once is enough: two servers that share an edge
    /// must not take it from one another for ever.
    replaced: AtomicBool,
}

impl EdgeSupervisor {
    /// A supervisor that has done nothing yet.
    #[must_use]
    pub fn new(process: EdgeProcess) -> Self {
        let router = EdgeRouter::new(process.control.clone());
        Self { process, router, replaced: AtomicBool::new(false) }
    }

    /// Adopts the edge that answers, or starts one and waits until it answers. An edge that an earlier server started with
    /// other settings, or from another release, is replaced: the new one takes its listening sockets over.
    ///
    /// # Errors
    ///
    /// Permanent when an edge answers that speaks no common version, transient when a started one did not come up; the
    /// message has the end of its log.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: an edge that was started goes on and is adopted by the next call.
    pub async fn ensure(&self) -> Result<Ensured, Error> {
        match self.router.info().await {
            Ok(info) => return Ok(self.adopt(info).await),
            Err(error) if error.code() != "edge-unreachable" => return Err(error),
            Err(_) => {}
        }
        self.start(None).await.map(Ensured::Started)
    }

    async fn adopt(&self, info: EdgeInfo) -> Ensured {
        let differs = info.origin.is_some() && self.process.origin.is_some() && info.origin != self.process.origin;
        if !differs || self.replaced.swap(true, Ordering::Relaxed) {
            return Ensured::Adopted(info);
        }
        match self.start(Some(&info.boot)).await {
            Ok(new) => {
                tracing::info!(edge.pid = new.pid, "replaced an edge that had been started with other settings");
                Ensured::Replaced(new)
            }
            Err(error) => {
                tracing::warn!(
                    error = error.chain(),
                    "the edge that runs was started with other settings and cannot be replaced; going on with it"
                );
                Ensured::Adopted(info)
            }
        }
    }

    /// Starts another edge, which takes over from the one that runs: for an upgrade. No request is lost.
    ///
    /// # Errors
    ///
    /// Transient when the new one did not come up; the old one goes on then.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: the new edge takes over or fails by itself.
    pub async fn replace(&self) -> Result<EdgeInfo, Error> {
        let before = self.router.info().await.ok().map(|info| info.boot);
        self.start(before.as_deref()).await
    }

    /// Starts an edge and waits until one answers that is not `other`.
    async fn start(&self, other: Option<&str>) -> Result<EdgeInfo, Error> {
        let mut child = self.spawn().map_err(|error| {
            Error::new(ErrorKind::Transient, "edge-start", format!("start the edge {}", self.process.exe.display()))
                .because(error)
        })?;
        let deadline = Instant::now() + START;
        let mut pause = Duration::from_millis(1);
        loop {
            match self.router.info().await {
                Ok(info) if Some(info.boot.as_str()) != other => return Ok(info),
                Err(error) if error.code() != "edge-unreachable" => return Err(error),
                Ok(_) | Err(_) => {}
            }
            let ended = child.try_wait().ok().flatten();
            if ended.is_some() || Instant::now() >= deadline {
                let what = ended.map_or_else(
                    || format!("did not answer within {} s", START.as_secs()),
                    |status| format!("ended with {status}"),
                );
                let message = format!("the edge that was started {what}; its log ends with: {}", self.log_tail());
                return Err(Error::new(ErrorKind::Transient, "edge-start", message));
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// Watches the edge until `stop`, and starts it again as soon as it is gone.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop; the edge goes on.
    pub async fn watch(&self, stop: CancellationToken) {
        stop.run_until_cancelled(self.keep_running()).await;
    }

    async fn keep_running(&self) {
        let mut pause = RETRY.0;
        loop {
            match self.ensure().await {
                Ok(ensured) => {
                    if let Ensured::Started(info) = &ensured {
                        tracing::info!(edge.pid = info.pid, "started the edge");
                    }
                    pause = RETRY.0;
                    self.until_gone().await;
                }
                Err(error) => {
                    tracing::error!(error = %error.chain(), retry_ms = pause.as_millis() as u64, "no edge runs");
                    sleep(pause).await;
                    pause = (pause * 2).min(RETRY.1);
                }
            }
        }
    }

    /// Waits until the edge closes a connection that nobody talks on: it died, or handed over to another.
    async fn until_gone(&self) {
        if let Ok(mut stream) = connect(&self.process.control).await {
            let mut nothing = [0; 1];
            // An answer to nothing asked, an end, an error: all mean that it has to be looked at again.
            let _ = stream.read(&mut nothing).await;
        }
    }

    fn spawn(&self) -> io::Result<Child> {
        if let Some(folder) = self.process.log.parent() {
            fs::create_dir_all(folder)?;
        }
        let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.process.log)?;
        if log.metadata()?.len() > LOG_MAX {
            log.set_len(0)?;
        }
        Command::new(&self.process.exe)
            .args(&self.process.args)
            // What the server was started with may hold tokens, keys and passwords; the edge needs none, and outlives it.
            .env_clear()
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // The folder of the server may be anything, and may be unmounted while the edge lives on.
            .current_dir("/")
            .spawn()
    }

    fn log_tail(&self) -> String {
        let read = || -> io::Result<String> {
            let mut file = File::open(&self.process.log)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(600)))?;
            let mut tail = Vec::new();
            file.take(600).read_to_end(&mut tail)?;
            Ok(String::from_utf8_lossy(&tail).trim().replace('\n', " | "))
        };
        read().unwrap_or_default()
    }
}
