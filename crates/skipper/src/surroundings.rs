//! What the process was started with, read once by `main` and handed on: nobody else looks at the environment.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::IsTerminal as _,
    path::{Path, PathBuf},
};

/// Environment, working directory and terminals of this process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surroundings {
    vars: BTreeMap<String, String>,
    /// The program was called as `slip`: what it says and asks is slip's where both have a way.
    pub(crate) is_slip: bool,
    /// Where relative paths start.
    pub(crate) working_dir: PathBuf,
    /// Whether a person can type into standard input.
    pub(crate) stdin_is_terminal: bool,
    /// Whether a person reads standard output.
    pub(crate) stdout_is_terminal: bool,
    /// Whether a person reads standard error.
    pub(crate) stderr_is_terminal: bool,
}

impl Surroundings {
    /// Takes over the given environment. Variables that are not UTF-8 are none of ours and are left out.
    pub(crate) fn new(vars: impl Iterator<Item = (OsString, OsString)>, working_dir: PathBuf) -> Self {
        let vars = vars.filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect();
        Self {
            vars,
            is_slip: false,
            working_dir,
            stdin_is_terminal: std::io::stdin().is_terminal(),
            stdout_is_terminal: std::io::stdout().is_terminal(),
            stderr_is_terminal: std::io::stderr().is_terminal(),
        }
    }

    /// Surroundings of a test: these variables, no terminal.
    #[cfg(test)]
    pub(crate) fn of(vars: &[(&str, &str)]) -> Self {
        let vars = vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Self { vars, ..Self::default() }
    }

    /// A variable; an empty one counts as absent.
    pub(crate) fn var(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// All variables.
    pub(crate) fn vars(&self) -> &BTreeMap<String, String> {
        &self.vars
    }

    /// Adds variables; those that are there already stay.
    pub(crate) fn add(&mut self, more: BTreeMap<String, String>) {
        for (name, value) in more {
            self.vars.entry(name).or_insert(value);
        }
    }

    /// Whether this is the superuser, whose data lives in the system's folders.
    pub(crate) fn is_root(&self) -> bool {
        rustix::process::geteuid().is_root()
    }

    /// Whether the terminal shows more than ASCII.
    pub(crate) fn shows_unicode(&self) -> bool {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| self.var(name)).unwrap_or_default();
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    }

    /// The folder of the client's own configuration.
    pub(crate) fn config_dir(&self) -> Option<PathBuf> {
        match (self.absolute("XDG_CONFIG_HOME"), self.absolute("HOME")) {
            (Some(xdg), _) => Some(xdg.join("skipper")),
            (None, Some(home)) => Some(home.join(".config/skipper")),
            (None, None) => None,
        }
    }

    /// The folder of what the client remembers by itself.
    pub(crate) fn state_dir(&self) -> Option<PathBuf> {
        match (self.absolute("XDG_STATE_HOME"), self.absolute("HOME")) {
            (Some(xdg), _) => Some(xdg.join("skipper")),
            (None, Some(home)) => Some(home.join(".local/state/skipper")),
            (None, None) => None,
        }
    }

    /// The server's data directory where nobody named one.
    pub(crate) fn default_data_dir(&self) -> PathBuf {
        if let Some(dir) = self.var("SKIPPER_DATA_DIR").or_else(|| self.var("DATA_DIR")) {
            return self.resolve(Path::new(dir));
        }
        if self.is_root() {
            return PathBuf::from("/var/lib/skipper");
        }
        match (self.absolute("XDG_DATA_HOME"), self.absolute("HOME")) {
            (Some(xdg), _) => xdg.join("skipper"),
            (None, Some(home)) => home.join(".local/share/skipper"),
            (None, None) => self.resolve(Path::new("skipper-data")),
        }
    }

    /// Where sockets with short names can live.
    pub(crate) fn runtime_dir(&self) -> Option<PathBuf> {
        self.absolute("XDG_RUNTIME_DIR")
    }

    /// A path as the user meant it.
    pub(crate) fn resolve(&self, path: &Path) -> PathBuf {
        self.working_dir.join(path)
    }

    fn absolute(&self, name: &str) -> Option<PathBuf> {
        self.var(name).map(PathBuf::from).filter(|path| path.is_absolute())
    }
}
