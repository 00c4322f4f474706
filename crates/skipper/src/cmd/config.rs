use std::{io::Read as _, path::PathBuf};

use clap::ValueHint;
use serde_json::json;

use super::{Context, check, server, target::Target};
use crate::{
    client, complete,
    failure::{Doing as _, Done, Exit, Failure},
    render::Table,
    targets::{self, TargetEntry, TargetsFile, write_private},
};

/// Arguments of `config`.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  skipper config --uri https://skipper.example.org --username ann
  skipper config add-target prod --url https://skipper.example.org --token-file ~/.skipper-token
  skipper config use prod
With --uri the server is asked, and then remembered as the current target with what lets you in."
)]
pub(crate) struct Config {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Name a server
    #[command(after_help = "The first target becomes the current one.")]
    AddTarget {
        /// What to call it
        #[arg(value_name = "NAME")]
        name: String,
        /// Its address
        #[arg(long, visible_aliases = ["uri", "server"], value_name = "URL", value_hint = ValueHint::Url)]
        url: String,
        /// File that holds the token
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        token_file: Option<PathBuf>,
        /// Read the token from standard input and keep it in a file that only you can read
        #[arg(long, conflicts_with = "token_file")]
        token_stdin: bool,
        /// File that holds the key that deploys are signed with
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        secret_file: Option<PathBuf>,
        /// Whose resources
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
        /// PEM file with the certificate that vouches for it
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        ca_file: Option<PathBuf>,
        /// Make it the current one
        #[arg(long = "use")]
        make_current: bool,
    },
    /// Make a target the current one
    Use {
        /// Which
        #[arg(value_name = "NAME", add = complete::targets())]
        name: String,
    },
    /// Forget a target
    RemoveTarget {
        /// Which
        #[arg(value_name = "NAME", add = complete::targets())]
        name: String,
    },
    /// List the targets
    #[command(visible_alias = "ls")]
    List,
    /// Look at slip's configuration in a folder
    Check(check::Check),
    /// Show what holds here, and where each value comes from
    Show {
        /// What a server would run with, started here as `skipper server` with the same options
        #[arg(long)]
        server: bool,
        #[command(flatten)]
        settings: server::Settings,
    },
}

/// The server that somebody chose.
#[derive(Debug)]
pub(crate) enum Targeted {
    /// By its address, which becomes the current target if the server answers.
    Address(String),
    /// By the name of a target.
    Name(String),
}

impl Config {
    /// For the shell: the server that later lines are for once this was done.
    pub(super) fn targets(&self) -> Option<Targeted> {
        match &self.verb {
            None => self.target.uri().map(|uri| Targeted::Address(uri.to_owned())),
            Some(Verb::Use { name }) => Some(Targeted::Name(name.clone())),
            Some(_) => None,
        }
    }

    pub(super) async fn run(self, context: &Context) -> Done {
        let Some(verb) = self.verb else {
            return match self.target.is_asked() || context.out.guide {
                true => self.target.run(context).await,
                false => show(context),
            };
        };
        match verb {
            Verb::AddTarget { name, url, token_file, token_stdin, secret_file, tenant, ca_file, make_current } => {
                // Found out now rather than at the first use.
                client::base_url(&url)?;
                let here = |path: PathBuf| context.surroundings.resolve(&path);
                let token_file = if token_stdin { Some(keep_token(context, &name)?) } else { token_file.map(here) };
                let (ca_file, secret_file) = (ca_file.map(here), secret_file.map(here));
                let entry = TargetEntry { url, token_file, secret_file, tenant, ca_file, ..TargetEntry::default() };
                add(context, &name, entry, make_current)
            }
            Verb::Use { name } => {
                let mut file = TargetsFile::read(&context.surroundings)?;
                let entry = file.find(&name)?;
                file.current = Some(name.clone());
                file.write(&context.surroundings)?;
                context.out.line(&format!("{name} ({}) is the current target", entry.url))
            }
            Verb::RemoveTarget { name } => {
                let mut file = TargetsFile::read(&context.surroundings)?;
                file.find(&name)?;
                file.targets.remove(&name);
                file.current = file.current.filter(|current| *current != name);
                file.write(&context.surroundings)?;
                context.out.line(&format!("{name} is forgotten"))
            }
            Verb::List => list(context),
            Verb::Check(check) => check.run(context),
            Verb::Show { server: true, settings } => server::show_settings(context, &settings),
            Verb::Show { server: false, .. } => show(context),
        }
    }
}

fn add(context: &Context, name: &str, entry: TargetEntry, make_current: bool) -> Done {
    if name.is_empty() || name.starts_with('-') || name.contains(char::is_whitespace) {
        return Err(Failure::usage(format!("`{name}` cannot name a target")));
    }
    let mut file = TargetsFile::read(&context.surroundings)?;
    let url = entry.url.clone();
    let said = if file.targets.insert(name.to_owned(), entry).is_some() { "changed" } else { "added" };
    if make_current || file.current.is_none() {
        file.current = Some(name.to_owned());
    }
    let current = if file.current.as_deref() == Some(name) { ", the current target" } else { "" };
    file.write(&context.surroundings)?;
    context.out.line(&format!("{said} {name} ({url}){current}"))
}

fn keep_token(context: &Context, name: &str) -> Result<PathBuf, Failure> {
    let mut token = String::new();
    std::io::stdin().lock().take(4096).read_to_string(&mut token).doing(|| "read the token".to_owned())?;
    let token = token.trim();
    if token.is_empty() || token.contains(char::is_whitespace) {
        return Err(Failure::new(Exit::Usage, "standard input does not hold exactly one word"));
    }
    keep_secret(context, name, "token", token)
}

/// Keeps a secret in a file of its own that only the owner may read.
pub(super) fn keep_secret(context: &Context, name: &str, kind: &str, secret: &str) -> Result<PathBuf, Failure> {
    let file = TargetsFile::path(&context.surroundings).ok_or_else(|| {
        Failure::error("there is no folder for the configuration: neither XDG_CONFIG_HOME nor HOME is set")
    })?;
    // Told apart whatever the name holds.
    let word =
        format!("{}-{}.{kind}", skipper_core::name::slug(name, 40), skipper_core::Sha256::of(name.as_bytes()).short());
    let path = file.with_file_name("tokens").join(word);
    write_private(&path, format!("{secret}\n").as_bytes())?;
    Ok(path)
}

fn list(context: &Context) -> Done {
    let file = TargetsFile::read(&context.surroundings)?;
    if context.out.json {
        return context.out.json(&file);
    }
    let mut table = Table::new(["CURRENT", "NAME", "URL", "TENANT", "CREDENTIALS"]);
    for (name, entry) in &file.targets {
        table.row([
            if file.current.as_ref() == Some(name) { "*" } else { "" }.to_owned(),
            name.clone(),
            entry.url.clone(),
            entry.tenant.clone().unwrap_or_else(|| "-".to_owned()),
            credentials(entry),
        ]);
    }
    context.out.table(&table, "no target yet; `skipper config add-target NAME --url URL` adds one")
}

fn credentials(entry: &TargetEntry) -> String {
    match (&entry.token_file, &entry.credentials_command, &entry.username) {
        (Some(path), _, _) => path.display().to_string(),
        (None, Some(command), _) => format!("what `{command}` prints"),
        (None, None, Some(username)) => format!("password of {username}"),
        (None, None, None) => "-".to_owned(),
    }
}

fn show(context: &Context) -> Done {
    let target = targets::resolve(&context.connection, &context.surroundings)?;
    let file = TargetsFile::path(&context.surroundings);
    if context.out.json {
        return context.out.json(&json!({
            "file": file,
            "url": {"value": target.url.value, "origin": target.url.origin},
            "credentials": target.credentials.map(|found| json!({"kind": found.value.kind(), "origin": found.origin})),
            "tenant": target.tenant.map(|tenant| json!({"value": tenant.value, "origin": tenant.origin})),
            "ca_file": target.ca_file,
        }));
    }
    let mut table = Table::new(["SETTING", "VALUE", "ORIGIN"]);
    let none = || ("-".to_owned(), "not set".to_owned());
    let (credentials, origin) =
        target.credentials.map_or_else(none, |found| (format!("[{}]", found.value.kind()), found.origin));
    let (tenant, tenant_origin) = target
        .tenant
        .map_or_else(|| ("default".to_owned(), "the default".to_owned()), |tenant| (tenant.value, tenant.origin));
    table.row(["url".to_owned(), target.url.value, target.url.origin]);
    table.row(["credentials".to_owned(), credentials, origin]);
    table.row(["tenant".to_owned(), tenant, tenant_origin]);
    let ca = target.ca_file.map_or_else(|| "the system's".to_owned(), |path| path.display().to_string());
    let ca = if target.trust_anybody { "any at all".to_owned() } else { ca };
    table.row(["certificates".to_owned(), ca, String::new()]);
    let (path, there) = file.map_or_else(none, |path| {
        let there = if path.exists() { "is there" } else { "is not there yet" };
        (path.display().to_string(), there.to_owned())
    });
    table.row(["file".to_owned(), path, there]);
    context.out.table(&table, "")
}
