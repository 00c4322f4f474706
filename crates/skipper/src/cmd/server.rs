use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::ValueHint;
use skipper_server::{
    apps::LiveApps,
    config::{self, Loaded, Sources},
};

use super::Context;
use crate::{
    failure::{Done, Exit, Failure},
    properties,
    render::Table,
    surroundings::Surroundings,
};

/// Arguments of `server`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
An empty data directory is all it needs. Without any token it only listens on loopback addresses and lets in whoever is on
this machine; `skipper token create NAME --role admin` makes the first token. Stopping the server stops neither the edge
nor any application. Environment: HOST, PORT, DATA_DIR, ADMIN_TOKEN, SKIPPER_DATABASE, SKIPPER_LISTEN, RUST_LOG and one
SKIPPER_… for each setting; `skipper config show --server` lists the settings with their origins.

Spring Cloud Skipper's configuration is understood: --spring.config.location=FILE, --spring.profiles.active=NAME,
--server.port=9000 and any other --key=value, SPRING_APPLICATION_JSON, SPRING_… variables, and an application.yml here or in
./config that speaks of spring.cloud.skipper.server. What has no effect is named; docs/spring-configuration.md lists the keys.

Called as slipd: --config DIR is /etc/slip unless it is said, and --check [--env-file FILE] looks the directory over and ends.")]
pub(crate) struct Server {
    #[command(flatten)]
    settings: Settings,
}

/// What a server is started with.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Settings {
    /// Configuration file, or a folder with slip's slip.toml and apps/ [default: skipper.toml in the data directory, else
    /// /etc/skipper/skipper.toml]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath, help_heading = "Settings")]
    config: Option<PathBuf>,
    /// Where everything is kept [default: /var/lib/skipper for root, else ~/.local/share/skipper]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "Settings")]
    data_dir: Option<String>,
    /// Addresses of the API, separated by commas; port 0 picks a free one, found in `address` in the data directory
    /// [default: 127.0.0.1:7577]
    #[arg(long, value_name = "ADDRESS", help_heading = "Settings")]
    listen: Option<String>,
    /// `postgres://…` instead of a file in the data directory; a password in it is seen by everybody on this machine, so
    /// better SKIPPER_DATABASE
    #[arg(long, visible_alias = "database-url", value_name = "URL", help_heading = "Settings")]
    database: Option<String>,
    /// Platform of applications that name none
    #[arg(long, value_name = "NAME", help_heading = "Settings")]
    default_platform: Option<String>,
    /// Where host names are served: `auto` (80, else 8080), `off`, a port or an address
    #[arg(long, value_name = "ADDRESS", help_heading = "Settings")]
    edge_http: Option<String>,
    /// Where host names are served with TLS: `auto` (443, else 8443), `off`, a port or an address
    #[arg(long, value_name = "ADDRESS", help_heading = "Settings")]
    edge_https: Option<String>,
    /// Folder of certificates
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "Settings")]
    edge_tls_dir: Option<String>,
    /// Control socket of the edge
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath, help_heading = "Settings")]
    edge_socket: Option<String>,
    /// Ports for applications that name neither host nor port [default: 30000-32767]
    #[arg(long, value_name = "FROM-TO", help_heading = "Settings")]
    edge_ports: Option<String>,
    /// `text` or `json`
    #[arg(long, value_name = "FORMAT", value_parser = ["text", "json"], help_heading = "Settings")]
    log_format: Option<String>,
    /// Refuse to start where a Spring configuration says what nobody knows, or what cannot be had here
    #[arg(long, help_heading = "Settings")]
    strict: bool,
    #[arg(long = properties::OPTION, value_name = "ARGUMENT", hide = true)]
    arguments: Vec<String>,
    /// What is logged, as `info` or `skipper_engine=debug,info`
    #[arg(long, value_name = "FILTER", help_heading = "Settings")]
    log_level: Option<String>,
}

impl Settings {
    /// Settings of a server on this data directory, for commands that work beside it.
    pub(super) fn of(config: Option<PathBuf>, data_dir: Option<PathBuf>, database: Option<String>) -> Self {
        let data_dir = data_dir.map(|dir| dir.display().to_string());
        Self { config, data_dir, database, ..Self::default() }
    }

    /// Flags, environment, file and defaults, merged and checked.
    ///
    /// # Errors
    ///
    /// Every fault of all sources at once.
    pub(super) fn load(&self, surroundings: &Surroundings) -> Result<Loaded, Failure> {
        let mut sources = self.sources(surroundings);
        let apps = match sources.file.take_if(|path| path.is_dir()) {
            Some(dir) => directory(dir, surroundings)?,
            None => LiveApps::default(),
        };
        let again = sources.clone();
        if let Some(apps) = apps.get() {
            sources.add_directory(&apps);
        }
        let mut loaded = config::load(&sources).map_err(|faults| {
            Failure::new(Exit::Usage, format!("the configuration has faults\n{faults}"))
                .hint("`skipper server --help` lists the settings; `skipper config show --server` shows their origins")
        })?;
        loaded.config.apps = apps;
        loaded.config.again = again.into();
        Ok(loaded)
    }

    fn sources(&self, surroundings: &Surroundings) -> Sources {
        let given: [(&str, &Option<String>); 11] = [
            ("data_dir", &self.data_dir),
            ("listen", &self.listen),
            ("database.url", &self.database),
            ("default_platform", &self.default_platform),
            ("edge.http", &self.edge_http),
            ("edge.https", &self.edge_https),
            ("edge.tls_dir", &self.edge_tls_dir),
            ("edge.socket", &self.edge_socket),
            ("edge.ports", &self.edge_ports),
            ("log.format", &self.log_format),
            ("log.level", &self.log_level),
        ];
        let flags: BTreeMap<String, String> =
            given.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?))).collect();
        let default_data_dir = surroundings.default_data_dir();
        let data_dir =
            self.data_dir.as_ref().map_or(default_data_dir.clone(), |dir| surroundings.resolve(Path::new(dir)));
        Sources {
            flags,
            env: surroundings.vars().clone(),
            file: self.config.as_ref().map(|path| surroundings.resolve(path)),
            search: vec![data_dir.join("skipper.toml"), PathBuf::from("/etc/skipper/skipper.toml")],
            default_data_dir,
            arguments: self.arguments.clone(),
            strict: self.strict,
            working_dir: surroundings.working_dir.clone(),
        }
    }
}

/// slip's configuration. An app that is broken is told of in the log, and disabled.
fn directory(dir: PathBuf, surroundings: &Surroundings) -> Result<LiveApps, Failure> {
    let hint = format!("`skipper config check {}` looks at all of it", dir.display());
    LiveApps::open(dir, surroundings.vars().clone())
        .map_err(|what| Failure::new(Exit::Usage, format!("the configuration has faults\n{what}")).hint(hint))
}

impl Server {
    pub(super) fn run(self, context: &Context) -> ExitCode {
        match self
            .settings
            .load(&context.surroundings)
            .and_then(|loaded| crate::serve::run(&context.surroundings, loaded))
        {
            Ok(()) => Exit::Ok.into(),
            Err(failure) => {
                failure.print();
                failure.exit.into()
            }
        }
    }
}

/// `config show --server`.
pub(super) fn show_settings(context: &Context, settings: &Settings) -> Done {
    let loaded = settings.load(&context.surroundings)?;
    for warning in &loaded.warnings {
        context.out.warn(&warning.to_string());
    }
    if context.out.json {
        let items: Vec<_> = loaded
            .shown
            .iter()
            .map(
                |shown| serde_json::json!({"key": shown.key, "value": shown.value, "origin": shown.origin.to_string()}),
            )
            .collect();
        return context.out.json(&serde_json::json!({"items": items}));
    }
    let mut table = Table::new(["SETTING", "VALUE", "ORIGIN"]);
    for shown in loaded.shown {
        let value = if shown.value.is_empty() { "-".to_owned() } else { shown.value };
        table.row([shown.key, value, shown.origin.to_string()]);
    }
    context.out.table(&table, "")
}
