//! `init`: a server in one go. What is there already is kept, so that it can be run again.

mod agent;
mod ask;
mod before;
mod place;
mod texts;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use clap::ValueHint;
use serde_json::json;
use skipper_server::config::read_directory;
use skipper_source::app::{self, Directory, Environment};

use super::{Context, secrets::generated};
use crate::{
    failure::{Doing as _, Done, Failure},
    render::{Style, tame},
};
use place::{Owner, Place, State};
use texts::FirstApp;

/// Arguments of `init`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sudo skipper init                                   asks what it needs to know
  sudo skipper init --yes --app web --image ghcr.io/you/web --host web.example.com --start
  skipper init --dry-run --yes                        says what it would do
  sudo skipper init --agent --server-url https://skipper.example.com --node-id host-1 --agent-token-file token --start
It makes the user, keys in /etc/skipper/skipper.env (mode 600), slip.toml, the first app, and the units. What is there already
is kept as it is, so it can be run again; a slip.toml in /etc/slip is used where it is.")]
pub(crate) struct Init {
    /// Ask nothing: what no option says is the default
    #[arg(long, short)]
    yes: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Set up the machine below this folder, without touching anything else
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    root: Option<PathBuf>,
    /// Where `slip.toml` and `apps/` are [default: /etc/skipper; /etc/slip where that is set up]
    #[arg(long, value_name = "DIR")]
    config_dir: Option<PathBuf>,
    /// Where everything is kept
    #[arg(long, value_name = "DIR", default_value = "/var/lib/skipper")]
    data_dir: PathBuf,
    /// Address of the API
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7890")]
    listen: SocketAddr,
    /// Container engine
    #[arg(long, value_name = "ENGINE", value_parser = ["auto", "docker", "podman"], default_value = "auto")]
    backend: String,
    /// Admin API of a Caddy in front, instead of the edge itself
    #[arg(long, value_name = "URL")]
    caddy: Option<String>,
    /// Host name under which webhooks come in
    #[arg(long, value_name = "HOST")]
    webhook_domain: Option<String>,
    /// User that the server runs as; `root` for none of its own
    #[arg(long, value_name = "USER", default_value = "skipper", value_parser = user_name)]
    user: String,
    /// Name of the first app
    #[arg(long, value_name = "NAME", requires = "image", help_heading = "First app")]
    app: Option<String>,
    /// Its image, without a tag
    #[arg(long, value_name = "IMAGE", requires = "app", help_heading = "First app")]
    image: Option<String>,
    /// Its host name; without one it is a worker
    #[arg(long, value_name = "HOST", requires = "app", help_heading = "First app")]
    host: Option<String>,
    /// Its port in the container
    #[arg(long, value_name = "PORT", default_value_t = 8080, help_heading = "First app")]
    port: u16,
    /// Path that answers with success when it is healthy
    #[arg(long, value_name = "PATH", requires = "app", help_heading = "First app")]
    health_path: Option<String>,
    /// Start server and edge, or the agent, now and after each boot
    #[arg(long)]
    start: bool,
    #[command(flatten)]
    agent: agent::AgentArgs,
}

/// Where the program goes, as the units have it.
const PROGRAM: &str = "/usr/local/bin/skipper";

/// What is to be set up. Paths are those of the machine.
#[derive(Debug)]
struct Wanted {
    config_dir: PathBuf,
    data_dir: PathBuf,
    program: PathBuf,
    listen: SocketAddr,
    backend: String,
    caddy: Option<String>,
    webhook_domain: Option<String>,
    user: String,
    app: Option<FirstApp>,
}

impl Wanted {
    /// Whether a slip's configuration is used as it is.
    fn is_slips(&self) -> bool {
        self.config_dir == Path::new("/etc/slip")
    }

    fn env_file(&self) -> PathBuf {
        PathBuf::from("/etc/skipper/skipper.env")
    }
}

fn user_name(text: &str) -> Result<String, String> {
    let plain = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && text.len() <= 31
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'));
    if plain { Ok(text.to_owned()) } else { Err(format!("`{text}` cannot be the name of a user")) }
}

impl Init {
    pub(super) fn run(self, context: &Context) -> Done {
        let root = self.root.as_ref().map_or_else(|| PathBuf::from("/"), |root| context.surroundings.resolve(root));
        let mut place = Place::new(root, self.dry_run);
        if place.is_here() && !context.surroundings.is_root() {
            return Err(Failure::error("it sets up the machine, and so is for the superuser")
                .hint("sudo skipper init, or --dry-run to see what it would do"));
        }
        let start = self.start;
        if self.agent.agent {
            let next = agent::set_up(self.agent, context, &mut place, Path::new(PROGRAM), start)?;
            return tell(context, &place, &next);
        }
        let wanted = self.wanted(context, &place)?;
        let as_user = set_up(&mut place, &wanted)?;
        let started = place.is_here() && systemd(&mut place, start)?;
        let next = next(&wanted, started, as_user.is_some());
        tell(context, &place, &next)?;
        warn(context, &place, &wanted);
        Ok(())
    }

    fn wanted(self, context: &Context, place: &Place) -> Result<Wanted, Failure> {
        let slips = Path::new("/etc/slip");
        let own = Path::new("/etc/skipper");
        let taken_over = !place.has(&own.join("slip.toml")) && place.has(&slips.join("slip.toml"));
        let config_dir = self.config_dir.unwrap_or_else(|| if taken_over { slips.to_owned() } else { own.to_owned() });
        for path in [&config_dir, &self.data_dir] {
            let text = path.to_str().unwrap_or_default();
            if !path.is_absolute()
                || text.is_empty()
                || text.contains(|c: char| c.is_whitespace() || "\"'\\%$".contains(c))
            {
                return Err(Failure::usage(format!("`{}` is no path for a unit of systemd", path.display()))
                    .hint("name an absolute one, without blanks and quotes"));
            }
        }
        let mut app = self.app.map(|name| FirstApp {
            name,
            image: self.image.unwrap_or_default(),
            host: self.host,
            port: self.port,
            health: self.health_path,
        });
        let (mut listen, mut backend) = (self.listen, self.backend);
        if !self.yes {
            if !context.surroundings.stdin_is_terminal || !context.surroundings.stderr_is_terminal {
                return Err(Failure::usage("nobody is here to answer questions").hint("add --yes"));
            }
            let mut asker = ask::Asker::new(std::io::stdin().lock(), std::io::stderr());
            if !place.has(&config_dir.join("slip.toml")) {
                listen = asker.parsed("Address of the API", &listen)?;
                backend = asker.one_of("Container engine", &["auto", "docker", "podman"], &backend)?;
            }
            if app.is_none() {
                app = asker.app()?;
            }
        }
        if let Some(app) = &app {
            check_app(app)?;
        }
        Ok(Wanted {
            config_dir,
            data_dir: self.data_dir,
            program: PathBuf::from(PROGRAM),
            listen,
            backend,
            caddy: self.caddy,
            webhook_domain: self.webhook_domain,
            user: self.user,
            app,
        })
    }
}

/// Found out before anything is written: the file as the server reads it.
fn check_app(app: &FirstApp) -> Done {
    let env = [(app.variable(), "x".to_owned())].into();
    let file = format!("apps/{}.toml", app.name);
    let (read, _) = app::file(&file, &app.name, &app.text(), Environment::new(&env)).map_err(|faults| {
        let faults: Vec<String> = faults.findings().iter().map(|fault| tame(&fault.to_string())).collect();
        Failure::usage(format!("the first app cannot be like that\n{}", faults.join("\n")))
    })?;
    if read.image != app.image {
        let more = tame(app.image.strip_prefix(&read.image).unwrap_or(&app.image));
        return Err(Failure::usage(format!("the tag or digest `{more}` does not count here"))
            .hint(format!("each deploy brings its own; name the image alone: {}", read.image)));
    }
    let plain =
        !app.name.is_empty() && app.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if plain && !app.name.starts_with('-') && !app.name.ends_with('-') {
        return Ok(());
    }
    Err(Failure::usage(format!("`{}` cannot be the name of an app", tame(&app.name)))
        .hint("use a-z, 0-9 and hyphens, none at an end"))
}

/// Makes what is missing. Whom the server runs as, where it has a user of its own.
fn set_up(place: &mut Place, wanted: &Wanted) -> Result<Option<String>, Failure> {
    let owner = user(place, wanted)?;
    let has_docker = place.has_group("docker")?;
    // The socket of Podman is root's alone.
    let needs_root = wanted.backend == "podman"
        || (wanted.backend == "auto" && !has_docker && place.has(Path::new("/run/podman/podman.sock")));
    let as_user = (wanted.user != "root" && !needs_root).then(|| wanted.user.clone());
    let owner = owner.filter(|_| as_user.is_some());
    let of_group = owner.map(|owner| Owner { uid: 0, ..owner });
    let own = place.is_here().then_some(Owner { uid: 0, gid: 0 });

    let from = std::env::current_exe().doing(|| "find the own program".to_owned())?;
    place.program(&from, &wanted.program)?;
    place.folder(&wanted.data_dir, 0o700, owner)?;
    place.folder(Path::new("/etc/skipper"), 0o750, of_group)?;
    place.folder(&wanted.config_dir, 0o750, of_group)?;
    // The server writes the apps that are added through it.
    place.folder(&wanted.config_dir.join("apps"), 0o750, owner)?;
    if let Some(owner) = owner.filter(|_| wanted.is_slips() && place.is_here()) {
        before::share(place, &wanted.config_dir, owner)?;
    }
    keys(place, wanted, own)?;
    place.file(&wanted.config_dir.join("slip.toml"), &texts::server(wanted), 0o640, of_group, "")?;
    if let Some(app) = &wanted.app {
        let path = wanted.config_dir.join("apps").join(format!("{}.toml", app.name));
        let mode_owner = owner.or(of_group);
        place.file(
            &path,
            &app.text(),
            0o640,
            mode_owner,
            "it is another than was asked for; edit it, or `skipper apps edit`",
        )?;
    }
    let units = Path::new("/etc/systemd/system");
    let differs = "it is another than the one that comes with this version";
    let groups: &[&str] = if as_user.is_some() && has_docker { &["docker"] } else { &[] };
    for (name, unit, drop_in) in [
        ("skipper.service", texts::SERVER_UNIT, texts::server_drop_in(wanted, as_user.as_deref(), groups)),
        ("skipper-edge.service", texts::EDGE_UNIT, texts::edge_drop_in(wanted, as_user.as_deref())),
    ] {
        place.file(&units.join(name), unit, 0o644, own, differs)?;
        let drop_in_path = units.join(format!("{name}.d/10-init.conf"));
        place.file(&drop_in_path, &drop_in, 0o644, own, "it says something else than these options would")?;
    }
    Ok(as_user)
}

/// The server's user, made where it is missing and this is the machine.
fn user(place: &mut Place, wanted: &Wanted) -> Result<Option<Owner>, Failure> {
    let name = &wanted.user;
    let what = format!("user {name}");
    if name == "root" {
        return Ok(None);
    }
    if let Some(owner) = place.user(name)? {
        place.note(State::Kept, what, None);
        return Ok(place.is_here().then_some(owner));
    }
    if !place.is_here() {
        place.note(State::Planned, what, Some("a user is made on the machine itself alone".to_owned()));
        return Ok(None);
    }
    let made = Command::new("useradd")
        .args(["--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", "--home-dir"])
        .arg(&wanted.data_dir)
        .arg(name)
        .output()
        .doing(|| "run useradd".to_owned())?;
    if !made.status.success() {
        let why = tame(String::from_utf8_lossy(&made.stderr).trim());
        return Err(Failure::error(format!("useradd {name}: {why}"))
            .hint("make the user yourself and run this again, or --user root"));
    }
    place.note(State::Made, what, None);
    place.user(name)
}

/// The file of keys, readable by root alone: systemd reads it before it becomes the server's user.
fn keys(place: &mut Place, wanted: &Wanted, owner: Option<Owner>) -> Done {
    let path = wanted.env_file();
    let mut names = vec!["SLIP_SECRET".to_owned()];
    names.extend(wanted.app.iter().map(FirstApp::variable));
    let present = place.read(&path)?;
    // Pipelines sign with the keys that they have.
    let before = if wanted.is_slips() { before::variables(place) } else { BTreeMap::new() };
    names.extend(before.keys().filter(|name| !names.contains(name)).cloned().collect::<Vec<_>>());
    let was = present.as_deref().unwrap_or_default();
    names.retain(|name| !texts::has_variable(was, name));
    let head = "# Keys of the server, as its configuration names them. Nobody but root may read this file.\n";
    let text = texts::with_variables(present.as_deref().unwrap_or(head), &names, |name| {
        before.get(name).map_or_else(generated, |value| before::quoted(value))
    });
    let shown = path.display().to_string();
    let Some(text) = text else {
        place.note(State::Kept, shown, None);
        return Ok(());
    };
    place.write(&path, &text, 0o600, owner)?;
    let state = match (&present, place.is_dry()) {
        (_, true) => State::Planned,
        (Some(_), false) => State::Changed,
        (None, false) => State::Made,
    };
    let (kept, random): (Vec<String>, Vec<String>) = names.into_iter().partition(|name| before.contains_key(name));
    let mut notes = Vec::new();
    if !kept.is_empty() {
        notes.push(format!("{} as slip had them", kept.join(", ")));
    }
    if !random.is_empty() {
        notes.push(format!("{} with random values", random.join(", ")));
    }
    if wanted.is_slips() && random.iter().any(|name| name == "SLIP_SECRET") {
        notes.push("where slip's own key is was not found: write it there, or pipelines are refused".to_owned());
    }
    place.note(state, shown, Some(notes.join("; ")));
    Ok(())
}

/// Tells systemd, where it runs; whether the server was started.
fn systemd(place: &mut Place, start: bool) -> Result<bool, Failure> {
    if !Path::new("/run/systemd/system").is_dir() {
        place.note(State::Skipped, "systemctl daemon-reload", Some("systemd does not run here".to_owned()));
        return Ok(false);
    }
    systemctl(&["daemon-reload"])?;
    if start {
        systemctl(&["enable", "--now", "skipper-edge", "skipper"])?;
        place.note(State::Made, "skipper-edge and skipper are started, and at each boot", None);
    }
    Ok(start)
}

fn systemctl(args: &[&str]) -> Done {
    let ended = Command::new("systemctl").args(args).output().doing(|| "run systemctl".to_owned())?;
    if ended.status.success() {
        return Ok(());
    }
    let why = tame(String::from_utf8_lossy(&ended.stderr).trim());
    Err(Failure::error(format!("systemctl {}: {why}", args.join(" "))).hint("journalctl -u skipper says more"))
}

/// What comes next, as commands with what they do.
fn next(wanted: &Wanted, started: bool, has_user: bool) -> Vec<(String, String)> {
    let mut next = Vec::new();
    let mut step = |command: String, what: &str| next.push((command, what.to_owned()));
    let (config, env) = (wanted.config_dir.display(), wanted.env_file());
    let env = env.display();
    step(format!("sudo skipper config check {config} --env-file {env}"), "looks at the configuration");
    if !started {
        step("sudo systemctl enable --now skipper-edge skipper".to_owned(), "starts the server, and at each boot");
    }
    step(
        format!("export SLIP_SERVER=http://{} SLIP_TOKEN=$(sudo sed -n s/^SLIP_SECRET=//p {env})", wanted.listen),
        "lets `slip` in",
    );
    step("skipper doctor".to_owned(), "looks for what is wrong");
    match &wanted.app {
        Some(app) => {
            let key = format!("$(sudo sed -n s/^{}=//p {env})", app.variable());
            step(
                format!("SLIP_SECRET={key} slip deploy {} TAG --wait", app.name),
                "deploys it; CI signs with the same key",
            );
        }
        None => step("slip apps add NAME IMAGE HOST".to_owned(), "adds the first app"),
    }
    if has_user {
        step(format!("sudo usermod --append --groups {} $USER", wanted.user), "lets you read the configuration");
    }
    next
}

fn tell(context: &Context, place: &Place, next: &[(String, String)]) -> Done {
    let out = &context.out;
    if out.json {
        let next: Vec<_> = next.iter().map(|(command, what)| json!({"command": command, "what": what})).collect();
        return out.json(&json!({"items": place.deeds, "next": next}));
    }
    let mut text = String::new();
    for deed in &place.deeds {
        let style = match deed.state {
            State::Made | State::Changed => Style::Good,
            State::Planned => Style::Busy,
            State::Kept => Style::Dim,
            State::Skipped => Style::Warn,
        };
        let word = out.paint.style(style, &format!("{:<10}", deed.state.word()));
        let note = deed.note.as_deref().map_or(String::new(), |note| format!("  ({note})"));
        text.push_str(&format!("{word}  {}{note}\n", tame(&deed.what)));
    }
    out.text(&text)?;
    let mut text = String::from("\nNext:\n");
    for (command, what) in next {
        text.push_str(&format!("  {command}\n      {what}\n"));
    }
    out.text(&text)
}

/// What is odd about the configuration as it is now.
fn warn(context: &Context, place: &Place, wanted: &Wanted) {
    let Ok(texts) = read_directory(&place.at(&wanted.config_dir)) else { return };
    let env = place.read(&wanted.env_file()).ok().flatten().unwrap_or_default();
    let env = app::env_file(&env).unwrap_or_default();
    let found = app::check(&Directory { server: &texts.server, apps: &texts.apps, env: Environment::new(&env) });
    for finding in found.findings.iter().chain(&texts.unreadable) {
        context.out.warn(&tame(&finding.to_string()));
    }
}
