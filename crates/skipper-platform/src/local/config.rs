//! What a `local` account is told when it is opened.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use skipper_core::{name::PlatformName, port::Clock, spec::Target};
use tokio_util::task::TaskTracker;

use super::{deployer::DeployerSettings, ports::PortPool};
use crate::artifact::Cache;

/// How the keeper is started: it must end up in [`super::keeper::main`] with the arguments that are appended.
#[derive(Debug, Clone)]
pub struct KeeperCommand {
    /// Absolute path; it must stay valid while the account is in use.
    pub program: PathBuf,
    /// Arguments before the keeper's own.
    pub args: Vec<OsString>,
}

/// How much of an instance's output is kept.
#[derive(Debug, Clone, Copy)]
pub struct LogBounds {
    /// A file is closed and the next begun once it holds this many bytes.
    pub file_bytes: u64,
    /// This many files are kept.
    pub files: u32,
}

impl Default for LogBounds {
    fn default() -> Self {
        // 40 MiB an instance: a day of a chatty service, and no surprise on a small disk.
        Self { file_bytes: 8 << 20, files: 5 }
    }
}

/// Settings of one `local` account.
#[derive(Debug, Clone)]
pub struct LocalConfig {
    /// The account's name.
    pub account: PlatformName,
    /// Its folder, `DATA/local/<account>`.
    pub root: PathBuf,
    /// The folder of managed volumes, `DATA/volumes`.
    pub volumes: PathBuf,
    /// Where resources are kept.
    pub artifacts: Arc<Cache>,
    /// How a keeper is started.
    pub keeper: KeeperCommand,
    /// What `builtin:NAME` runs: program and arguments.
    pub builtins: BTreeMap<String, Vec<OsString>>,
    /// Ports to give out; shared by all accounts of this host.
    pub ports: Arc<PortPool>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What every process finds in its environment, before what its application says. Never the server's own.
    pub base_env: BTreeMap<String, String>,
    /// How applications are run that were written for Spring's deployers, and which Java runs jars.
    pub deployer: DeployerSettings,
    /// The account with a container engine that applications are handed over to which are images; `None` where there is none.
    pub engine: Option<Target>,
    /// How much output is kept.
    pub logs: LogBounds,
    /// Where the account's tasks run; wait for it after [`super::LocalPlatform::close`].
    pub tasks: TaskTracker,
}

impl LocalConfig {
    /// The usual settings below the data directory: this executable is the keeper (`<exe> keeper …`) and the sample
    /// (`<exe> sample`).
    ///
    /// # Errors
    ///
    /// When the running executable's path cannot be told.
    pub fn new(
        account: PlatformName,
        data: &Path,
        artifacts: Arc<Cache>,
        ports: Arc<PortPool>,
        clock: Arc<dyn Clock>,
        tasks: TaskTracker,
    ) -> io::Result<Self> {
        let exe = std::env::current_exe()?;
        Ok(Self {
            root: data.join("local").join(account.as_str()),
            account,
            volumes: data.join("volumes"),
            artifacts,
            keeper: KeeperCommand { program: exe.clone(), args: vec!["keeper".into()] },
            builtins: BTreeMap::from([("sample".to_owned(), vec![exe.into_os_string(), "sample".into()])]),
            ports,
            clock,
            base_env: base_env(),
            deployer: DeployerSettings::default(),
            engine: None,
            logs: LogBounds::default(),
            tasks,
        })
    }
}

/// What a process finds when nobody says otherwise. `HOME`, `TMPDIR` and the working folder are the instance's own.
#[must_use]
pub fn base_env() -> BTreeMap<String, String> {
    let mut env = BTreeMap::from([
        ("PATH".to_owned(), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
        ("LANG".to_owned(), "C.UTF-8".to_owned()),
    ]);
    let uid = rustix::process::getuid().as_raw().to_string();
    // Not getpwnam: a static binary cannot ask the name service.
    if let Ok(passwd) = std::fs::read_to_string("/etc/passwd")
        && let Some(user) = passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)? == uid).then(|| name.to_owned())
        })
    {
        env.insert("USER".to_owned(), user);
    }
    env
}
