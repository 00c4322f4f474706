//! Looks at everything that usually goes wrong, from the outside in, and says how to mend it.

mod door;
mod engine;
mod fix;
mod machine;
mod remote;

use std::path::{Path, PathBuf};

use clap::ValueHint;
use serde::Serialize;
use skipper_core::port::Clock as _;
use skipper_server::config::{read_directory, read_text};
use skipper_source::app;

use super::{Context, check, is_loopback, server::Settings};
use crate::{
    failure::{Done, Exit, Failure},
    render::{Style, tame_lines},
    surroundings::Surroundings,
    targets,
    world::SystemClock,
};
use door::Door;
use fix::Fix;

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Ends with 1 if something is broken. Nothing is changed without --fix, which does what stands beside a finding: closes files of keys to
others, makes folders that are missing, starts an engine that systemd knows, lets the network set the clock.
slip.toml is looked for in /etc/skipper and /etc/slip, where no --config and no --data-dir says otherwise.")]
pub(crate) struct Doctor {
    /// Data directory of the server on this machine [default: as the server's]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    data_dir: Option<PathBuf>,
    /// Configuration of the server on this machine: a file, or a folder with slip.toml and apps/
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    config: Option<PathBuf>,
    /// File of variables that the server is given [default: /etc/skipper/skipper.env]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    env_file: Option<PathBuf>,
    /// Mend what can be mended without taking anything away
    #[arg(long)]
    fix: bool,
}

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Fixed,
    Warning,
    Broken,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    state: State,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
    /// What `--fix` does, and did.
    #[serde(skip)]
    fix: Option<Fix>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fixed: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, state: State::Ok, detail: detail.into(), advice: None, fix: None, fixed: None }
    }

    fn warning(check: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { state: State::Warning, advice: Some(advice.into()), ..Self::ok(check, detail) }
    }

    fn broken(check: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { state: State::Broken, advice: Some(advice.into()), ..Self::ok(check, detail) }
    }

    /// With a way to mend it.
    fn fix(mut self, fix: Fix) -> Self {
        self.fix = Some(fix);
        self
    }
}

impl Doctor {
    pub(super) async fn run(self, context: &Context) -> Done {
        let mut findings = Vec::new();
        let target = targets::resolve(&context.connection, &context.surroundings)?;
        let is_default = target.url.origin == targets::THE_DEFAULT;
        let fix = self.fix;
        let mut connection = context.connection.clone();
        // A server elsewhere has its files elsewhere.
        if is_loopback(&target.url.value) || self.data_dir.is_some() || self.config.is_some() {
            let of_door = self.machine(context, &mut findings).await?;
            // Whoever names no server means the one that is configured here.
            if let Some(found) = of_door.filter(|_| is_default) {
                connection.url = Some(found.url);
                if target.credentials.is_none() {
                    connection.token = found.token;
                }
            }
        }
        findings.extend(client_files(&context.surroundings));
        if fix {
            fix::mend(&mut findings);
        }
        remote::look(&connection, context, &mut findings).await;
        show(context, &findings, fix)
    }

    /// Looks at this machine; where its server is by slip's configuration, if it has one.
    async fn machine(self, context: &Context, findings: &mut Vec<Finding>) -> Result<Option<OfDoor>, Failure> {
        let mut surroundings = context.surroundings.clone();
        let of_system =
            || ["/etc/skipper", "/etc/slip"].map(PathBuf::from).into_iter().find(|dir| dir.join("slip.toml").exists());
        let named = self.config.map(|path| check::folder(surroundings.resolve(&path)));
        // Another data directory is another server's.
        let config = named.or_else(|| of_system().filter(|_| self.data_dir.is_none()));
        let dir = config.clone().filter(|path| path.is_dir());
        let env_file = match (&self.env_file, &dir) {
            (Some(path), _) => Some(surroundings.resolve(path)),
            (None, Some(_)) => Some(PathBuf::from(ENV_FILE)).filter(|path| path.exists()),
            (None, None) => None,
        };
        let mut knows_variables = true;
        if let Some(path) = &env_file {
            findings.extend(door::private(path, "key files", 0o600));
            match read_text(path).map_err(Some).and_then(|text| app::env_file(&text).map_err(|_| None)) {
                Ok(vars) => surroundings.add(vars),
                Err(Some(why)) => {
                    knows_variables = false;
                    findings.push(Finding::warning("variables", why, "run it as a user who may read that file"));
                }
                Err(None) => {
                    let detail = format!("{} has lines that are not NAME=value", path.display());
                    findings.push(Finding::broken("variables", detail, "mend these lines"));
                }
            }
        }
        let mut of_door = None;
        let mut backend = None;
        let mut read = None;
        if let Some(dir) = dir {
            match read_directory(&dir) {
                Ok(texts) => {
                    let door = Door { dir, texts, knows_variables };
                    let apps = door::look(&door, surroundings.vars(), findings).await;
                    backend = apps.as_ref().map(|apps| apps.server.backend.clone());
                    of_door = apps.map(|apps| OfDoor {
                        url: format!("http://{}", reached(apps.server.listen)),
                        token: apps.secret().map(|secret| secret.expose().to_owned()),
                    });
                    read = Some(door);
                }
                Err(why) => findings.push(Finding::broken("directory", why, "make it readable, or `skipper init`")),
            }
        }
        if let Some(backend) = &backend {
            findings.push(engine::look(backend, &surroundings).await);
        }
        findings.extend(engine::clock(SystemClock.now().as_micros()));
        let settings = Settings::of(config, self.data_dir, None);
        let loaded = settings.load(&surroundings);
        if let Some(door) = &read {
            door::readers(door, loaded.as_ref().ok().map(|loaded| loaded.config.data_dir.as_path()), findings);
        }
        match loaded {
            Ok(loaded) => {
                findings.push(Finding::ok("configuration", format!("{} settings", loaded.shown.len())));
                machine::look(&loaded.config, &surroundings, findings).await;
            }
            // The directory's own faults have been told.
            Err(_)
                if of_door.is_none()
                    && backend.is_none()
                    && findings.iter().any(|found| found.check == "app files") => {}
            Err(failure) => findings.push(Finding::broken(
                "configuration",
                failure.message,
                "mend the file or the variable that is named",
            )),
        }
        Ok(of_door)
    }
}

/// Variables of a server that `init` set up.
const ENV_FILE: &str = "/etc/skipper/skipper.env";

/// Where the server is that a directory configures, and what lets in whoever can read that.
struct OfDoor {
    url: String,
    token: Option<String>,
}

/// An address to connect to, where the server listens on all.
fn reached(listen: std::net::SocketAddr) -> std::net::SocketAddr {
    match (listen.ip().is_unspecified(), listen.is_ipv6()) {
        (true, false) => std::net::SocketAddr::from(([127, 0, 0, 1], listen.port())),
        (true, true) => std::net::SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, listen.port())),
        (false, _) => listen,
    }
}

/// Files of this client that hold what lets it in.
fn client_files(surroundings: &Surroundings) -> Vec<Finding> {
    let Ok(file) = targets::TargetsFile::read(surroundings) else { return Vec::new() };
    let of_target = |entry: &targets::TargetEntry| {
        [&entry.token_file, &entry.secret_file, &entry.password_file].map(Clone::clone).into_iter().flatten()
    };
    let files: std::collections::BTreeSet<PathBuf> = file.targets.values().flat_map(of_target).collect();
    files.iter().filter_map(|path: &PathBuf| door::private(Path::new(path), "client keys", 0o600)).collect()
}

fn show(context: &Context, findings: &[Finding], fix: bool) -> Done {
    let broken = findings.iter().filter(|finding| finding.state == State::Broken).count();
    let warnings = findings.iter().filter(|finding| finding.state == State::Warning).count();
    let out = &context.out;
    if out.json {
        out.json(&serde_json::json!({"items": findings, "broken": broken, "warnings": warnings}))?;
    } else {
        let mut text = String::new();
        for finding in findings {
            let mark = match finding.state {
                State::Ok => out.paint.style(Style::Good, "ok     "),
                State::Fixed => out.paint.style(Style::Good, "fixed  "),
                State::Warning => out.paint.style(Style::Warn, "warning"),
                State::Broken => out.paint.style(Style::Bad, "broken "),
            };
            let detail = in_column(&finding.detail);
            text.push_str(&format!("{mark}  {:<14} {detail}\n", finding.check));
            let said = match (&finding.fixed, &finding.advice, &finding.fix) {
                (Some(fixed), _, _) => Some(format!("done: {fixed}")),
                (None, Some(advice), Some(way)) if !fix => Some(format!("{advice}\n--fix does: {}", way.text())),
                (None, advice, _) => advice.clone(),
            };
            if let Some(advice) = &said {
                let advice = in_column(advice);
                text.push_str(&format!("{:25}{}\n", "", out.paint.style(Style::Busy, &format!("-> {advice}"))));
            }
        }
        out.text(&text)?;
        if broken == 0 && warnings == 0 {
            out.note("everything is as it should be");
        }
    }
    if broken > 0 { Err(Failure::quiet(Exit::Error)) } else { Ok(()) }
}

/// Further lines stand below the first.
fn in_column(text: &str) -> String {
    tame_lines(text).replace('\n', &format!("\n{:25}", ""))
}
