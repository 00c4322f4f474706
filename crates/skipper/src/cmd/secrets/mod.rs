mod app;
mod value;

pub(crate) use app::AppSecrets;
pub(super) use app::generated;

use std::path::PathBuf;

use clap::ValueHint;
use skipper_server::api::own::wire::{SecretList, SecretView};

use super::{Context, confirm, server::Settings};
use crate::{
    client::Call,
    complete,
    failure::{Done, Failure},
    render::{Table, at},
};
use value::read_value;

/// Arguments of `secrets`.
#[derive(Debug, clap::Args)]
pub(crate) struct Secrets {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Set a secret, or secrets of an app
    #[command(after_help = "\
Examples:
  skipper secrets set db-password                    asks, without showing what is typed
  skipper secrets set tls-key < key.pem              the whole input is the value
  skipper secrets set web DATABASE_URL < url         a secret of the app web: its variable DATABASE_URL
  skipper secrets set web A=1 B=2                    as slip has it; what stands here is seen by everybody on this machine
  skipper secrets set web API_KEY --preview < key    for previews of web as well
  skipper secrets set web SLIP_SECRET --data-dir /var/lib/skipper < key    before the server ever ran
One line end at the end of the input is not part of the value, unless --exact is given. Releases get the new value with
their next rollout. SLIP_SECRET of an app is the key of its webhooks, and no variable.")]
    Set {
        /// The secret, or an app
        #[arg(value_name = "NAME", add = complete::secrets())]
        name: String,
        /// Secrets of that app: one key whose value is read, or any number of KEY=VALUE
        #[arg(value_name = "KEY[=VALUE]", add = complete::app_secrets())]
        keys: Vec<String>,
        /// Read the value from this file instead of standard input
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        from_file: Option<PathBuf>,
        /// Keep the line end at the end of the input
        #[arg(long)]
        exact: bool,
        /// Previews of the app get it as well: adds it to `preview.secrets` of the app
        #[arg(long, requires = "keys", conflicts_with = "data_dir")]
        preview: bool,
        #[command(flatten)]
        store: AtRest,
    },
    /// Give a secret of an app a new value: a random one, unless one is given
    #[command(after_help = "\
Examples:
  skipper secrets rotate web SLIP_SECRET             prints the new key, this once
  skipper secrets rotate web API_KEY --from-file new")]
    Rotate {
        /// The app
        #[arg(value_name = "APP", add = complete::configured())]
        app: String,
        /// The key of the secret
        #[arg(value_name = "KEY", add = complete::app_secrets())]
        key: String,
        /// Read the value from this file, `-` for standard input
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        from_file: Option<PathBuf>,
        /// Previews of the app get it as well: adds it to `preview.secrets` of the app
        #[arg(long, conflicts_with = "data_dir")]
        preview: bool,
        #[command(flatten)]
        store: AtRest,
    },
    /// List secrets, or the keys of those of an app: never values
    #[command(visible_alias = "ls")]
    List {
        /// Of this app
        #[arg(value_name = "APP", add = complete::configured())]
        app: Option<String>,
        #[command(flatten)]
        store: AtRest,
    },
    /// Remove a secret, or one of an app
    #[command(visible_aliases = ["remove", "delete"])]
    Rm {
        /// The secret, or an app
        #[arg(value_name = "NAME", add = complete::secrets())]
        name: String,
        /// The secret of that app
        #[arg(value_name = "KEY", add = complete::app_secrets())]
        key: Option<String>,
        /// Also when something runs with it
        #[arg(long)]
        force: bool,
        /// Do not ask; without a terminal nobody is asked
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        store: AtRest,
    },
}

/// Work on the store itself, of a server that does not run.
#[derive(Debug, clap::Args)]
struct AtRest {
    /// In this data directory, of a server that does not run
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    data_dir: Option<PathBuf>,
    /// Configuration of that server
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath, requires = "data_dir")]
    config: Option<PathBuf>,
}

impl AtRest {
    fn settings(self) -> Option<Settings> {
        let Self { data_dir, config } = self;
        data_dir.map(|dir| Settings::of(config, Some(dir), None))
    }
}

impl Secrets {
    pub(super) async fn run(self, context: &Context) -> Done {
        match self.verb {
            Verb::Set { name, keys, from_file, exact, preview, store } if !keys.is_empty() => {
                let pairs = app::pairs(context, keys, from_file.as_deref(), exact)?;
                app::set(context, &name, pairs, preview, store.settings()).await
            }
            Verb::Set { name, .. } if context.surroundings.is_slip => {
                Err(Failure::usage("nothing to set").hint(format!("slip secrets set {name} KEY=VALUE, or KEY < FILE")))
            }
            Verb::Set { name, from_file, exact, store, .. } => {
                if let Some(settings) = store.settings() {
                    let value = read_value(context, &name, from_file.as_deref(), exact)?;
                    let set = super::offline::set_secrets(context, &settings, vec![(name, value)]).await?;
                    return set.first().map_or(Ok(()), |secret| shown(context, secret));
                }
                // Asked for first, so that nobody types a value for a server that is not there.
                let client = context.client()?;
                let value = read_value(context, &name, from_file.as_deref(), exact)?;
                let call =
                    Call::new(reqwest::Method::PUT, &["v1", "secrets", &name]).bytes("application/octet-stream", value);
                shown(context, &client.ask(&call).await?)
            }
            Verb::Rotate { app, key, from_file, preview, store } => {
                app::rotate(context, &app, key, from_file.as_deref(), preview, store.settings()).await
            }
            Verb::List { app: Some(app), store } => app::list(context, &app, store.settings()).await,
            Verb::List { app: None, store } => list(context, store.settings()).await,
            Verb::Rm { name, key: Some(key), store, .. } => app::remove(context, &name, &key, store.settings()).await,
            Verb::Rm { name, key: None, force, yes, store } => {
                let out = &context.out;
                if context.surroundings.stdin_is_terminal && context.surroundings.stderr_is_terminal {
                    confirm::ask(context, &format!("Remove secret {name}?"), yes)?;
                }
                match store.settings() {
                    Some(settings) => super::offline::remove_secret(context, &settings, &name, force).await?,
                    None => {
                        let call = Call::delete(&["v1", "secrets", &name]).maybe("force", force.then_some(true));
                        context.client()?.tell(&call).await?;
                    }
                }
                if out.json {
                    return out.json(&serde_json::json!({"name": name}));
                }
                out.line(&format!("{name} is removed"))
            }
        }
    }
}

fn shown(context: &Context, secret: &SecretView) -> Done {
    if context.out.json {
        return context.out.json(secret);
    }
    context.out.line(&format!("{} is set, version {}", secret.name, secret.version))
}

async fn list(context: &Context, settings: Option<Settings>) -> Done {
    let list: SecretList = match settings {
        Some(settings) => super::offline::list_secrets(context, &settings).await?,
        None => context.client()?.ask(&Call::get(&["v1", "secrets"])).await?,
    };
    if context.out.json {
        return context.out.json(&list);
    }
    let mut table = Table::new(["NAME", "VERSION", "SET", "USED"]).right([1]);
    for secret in list.items {
        let used = if secret.used { "yes" } else { "no" };
        table.row([secret.name, secret.version.to_string(), at(&secret.updated_at), used.to_owned()]);
    }
    context.out.table(&table, "no secret yet; `skipper secrets set NAME` sets one")
}
