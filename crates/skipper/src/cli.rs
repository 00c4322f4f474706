//! The command line as a tree, and how it is read.

use std::{ffi::OsString, path::PathBuf};

use clap::{
    Arg, ArgMatches, Args as _, FromArgMatches as _, Subcommand as _, ValueHint,
    error::{ContextKind, ContextValue},
};

use crate::{
    agent::AgentArgs,
    cmd::{Command, edge::Edge, server::Server},
    complete, properties,
    render::Colour,
    spelling,
    targets::Connection,
};

/// What `skipper --help` says first.
const ABOUT: &str = "A release manager for your own servers: packages, numbered releases, upgrades without a dropped \
                     request, and a way back to any of them.";

const AFTER: &str = "\
Exit codes: 0 ok, 1 error, 2 usage, 3 auth, 4 not found, 5 deploy failed, 6 timeout, 130 stopped by Ctrl-C.
Results go to standard output, everything else to standard error; --json is stable, the text is for people.";

// Options that every command takes. (Not a doc comment: the library would take it for the description of a command.)
#[derive(Debug, clap::Args)]
struct Everywhere {
    /// Results as JSON, in a stable schema.
    #[arg(long, global = true, help_heading = "Output")]
    json: bool,
    /// When to colour.
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_default_value = true,
        help_heading = "Output"
    )]
    color: Colour,
    /// Nothing on standard error but errors.
    #[arg(long, short, global = true, help_heading = "Output")]
    quiet: bool,
}

// Options of commands that talk to a server. They are added to those commands by [`command`] rather than flattened into
// each, so that they are written down once and are not offered where they mean nothing.
#[derive(Debug, clap::Args)]
struct Remote {
    /// Address of the server [env: SKIPPER_URL] [default: http://127.0.0.1:7577].
    #[arg(long, visible_aliases = ["uri", "server"], value_name = "URL", value_hint = ValueHint::Url, help_heading = "Server")]
    url: Option<String>,
    /// Token that lets you in; seen by everybody on this machine, so better --token-file [env: SKIPPER_TOKEN].
    #[arg(
        long,
        visible_alias = "admin-token",
        value_name = "TOKEN",
        help_heading = "Server",
        conflicts_with = "token_file"
    )]
    token: Option<String>,
    /// File that holds the token [env: SKIPPER_TOKEN_FILE].
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Server")]
    token_file: Option<PathBuf>,
    /// Whose resources [env: SKIPPER_TENANT] [default: default].
    #[arg(long, value_name = "TENANT", help_heading = "Server")]
    tenant: Option<String>,
    /// Server from `skipper config` [env: SKIPPER_TARGET].
    #[arg(long, value_name = "NAME", help_heading = "Server", add = complete::targets())]
    target: Option<String>,
    /// PEM file with the certificate that vouches for the server [env: SKIPPER_CA_FILE].
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Server")]
    ca_file: Option<PathBuf>,
}

/// A command line that was understood.
#[derive(Debug)]
pub(crate) struct Cli {
    /// Results as JSON.
    pub(crate) json: bool,
    /// When to colour.
    pub(crate) colour: Colour,
    /// Nothing on standard error but errors.
    pub(crate) quiet: bool,
    /// Which server.
    pub(crate) connection: Connection,
    /// What to do; `None`: say what this is.
    pub(crate) command: Option<Command>,
}

/// Commands, by their path, that never talk to a server.
const OFFLINE: [&str; 21] = [
    "server",
    "edge",
    "agent",
    "keeper",
    "sample",
    "demo",
    "load",
    "config",
    "init",
    "validate",
    "tenant validate",
    "completions",
    "man",
    "markdown-help",
    "restore",
    "package create",
    "package lint",
    "package render",
    "package build",
    "help",
    "package help",
];

/// The whole tree.
pub(crate) fn command() -> clap::Command {
    let root = clap::Command::new("skipper")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .after_help(AFTER)
        .subcommand_required(false)
        .disable_help_subcommand(false)
        .infer_long_args(false)
        .max_term_width(110);
    let root = Command::augment_subcommands(Everywhere::augment_args(root));
    // Also before the verb: `skipper --url URL list`.
    with_remote(root, "")
}

fn with_remote(command: clap::Command, path: &str) -> clap::Command {
    if OFFLINE.contains(&path) {
        return command;
    }
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    // `manifest NAME` and `events` do something themselves, although there are verbs below them.
    let is_leaf = names.is_empty() || command.get_arguments().any(|arg| !arg.is_global_set());
    let command = names.into_iter().fold(command, |command, name| {
        let below = format!("{path} {name}");
        command.mut_subcommand(&name, |sub| with_remote(sub, below.trim_start()))
    });
    if !is_leaf && !path.is_empty() {
        return command;
    }
    let about = command.get_about().cloned().unwrap_or_default();
    let command = Remote::augment_args(with_usage(command, path)).about(about);
    match path {
        // There `--url` is where the repository is, as it is for Spring's users.
        "repo add" => command.mut_arg("url", |arg| arg.long("server-url")),
        // There `--token` is the node's, as its users have it.
        "node register" => command.mut_arg("token", |token| {
            let help = token.get_help().cloned().unwrap_or_default();
            Arg::new("token")
                .long("admin-token")
                .value_name("TOKEN")
                .help(help)
                .help_heading("Server")
                .conflicts_with("token_file")
        }),
        _ => command,
    }
}

/// Names can be given as words or by Spring's long flags, so the library takes the words for optional. Nearly everybody
/// uses the words, and usage says what these need.
fn with_usage(command: clap::Command, path: &str) -> clap::Command {
    let twin = |id: &str| command.get_arguments().any(|arg| arg.get_id() == id && arg.is_hide_set());
    let needs_name = twin("release_name") && !path.ends_with("list");
    let needs_package = twin("package_name") && !path.ends_with("upgrade");
    let needs_path = twin("spring_path");
    let (needs_node, needs_tenant) = (twin("node_id"), twin("tenant_id"));
    if !needs_name && !needs_package && !needs_path && !needs_node && !needs_tenant {
        return command;
    }
    let mut usage = format!("skipper {path} [OPTIONS]");
    for arg in command.get_positionals() {
        let name = arg.get_value_names().and_then(<[_]>::first).map(ToString::to_string).unwrap_or_default();
        let needed = match arg.get_id().as_str() {
            "name" => needs_name,
            "package" => needs_package,
            "path" => needs_path,
            "node" => needs_node,
            "of_tenant" => needs_tenant,
            "counts" => true,
            _ => arg.is_required_set(),
        };
        let dots = if matches!(arg.get_action(), clap::ArgAction::Append) { "..." } else { "" };
        usage.push_str(&if needed { format!(" <{name}>{dots}") } else { format!(" [{name}]{dots}") });
    }
    command.override_usage(usage)
}

/// Reads the command line.
///
/// # Errors
///
/// What `clap` has to say: usage, help, version.
pub(crate) fn parse(args: Vec<OsString>) -> Result<Cli, clap::Error> {
    let args = properties::hand_over(args);
    if let Some(resident) = resident(&args) {
        return Ok(resident);
    }
    let mut tree = command();
    let matches = tree.try_get_matches_from_mut(spelling::kebab(args));
    understood(&matches.map_err(|error| tactful(error, &tree))?)
}

/// An error about a command that is not there, without the advice to take one that nobody is meant to type.
pub(crate) fn tactful(mut error: clap::Error, tree: &clap::Command) -> clap::Error {
    let hidden = |name: &String| tree.find_subcommand(name).is_some_and(clap::Command::is_hide_set);
    let suggested = match error.get(ContextKind::SuggestedSubcommand) {
        Some(ContextValue::String(name)) => vec![name.clone()],
        Some(ContextValue::Strings(names)) => names.clone(),
        _ => return error,
    };
    let shown: Vec<String> = suggested.iter().filter(|name| !hidden(name)).cloned().collect();
    if shown.is_empty() {
        error.remove(ContextKind::SuggestedSubcommand);
        error.remove(ContextKind::Suggested);
    } else if shown.len() < suggested.len() {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(shown));
    }
    error
}

/// What the matches of the whole tree say.
///
/// # Errors
///
/// What `clap` has to say.
pub(crate) fn understood(matches: &ArgMatches) -> Result<Cli, clap::Error> {
    let everywhere = Everywhere::from_arg_matches(matches)?;
    let connection = connection(matches);
    let command = match matches.subcommand_name() {
        Some(_) => Some(Command::from_arg_matches(matches)?),
        None => None,
    };
    Ok(Cli { json: everywhere.json, colour: everywhere.color, quiet: everywhere.quiet, connection, command })
}

/// Reads the command line of a program that stays, by a tree of its own: the whole tree leaves a megabyte or two behind in
/// the memory of the process. What it does not understand, and whoever asks for help, is left to the whole tree.
fn resident(args: &[OsString]) -> Option<Cli> {
    let role = args.get(1)?.to_str().filter(|word| matches!(*word, "server" | "edge" | "agent"))?.to_owned();
    let verb = clap::Command::new(role.clone());
    let verb = match role.as_str() {
        "edge" => Edge::augment_args(verb),
        "agent" => AgentArgs::augment_args(verb),
        _ => Server::augment_args(verb),
    };
    let root = Everywhere::augment_args(clap::Command::new("skipper")).subcommand(verb);
    let matches = root.try_get_matches_from(args).ok()?;
    let everywhere = Everywhere::from_arg_matches(&matches).ok()?;
    let (_, below) = matches.subcommand()?;
    let command = match role.as_str() {
        "edge" => Command::Edge(Edge::from_arg_matches(below).ok()?),
        "agent" => Command::Agent(Box::new(AgentArgs::from_arg_matches(below).ok()?)),
        _ => Command::Server(Box::new(Server::from_arg_matches(below).ok()?)),
    };
    Some(Cli {
        json: everywhere.json,
        colour: everywhere.color,
        quiet: everywhere.quiet,
        connection: Connection::default(),
        command: Some(command),
    })
}

/// Collects the options of [`Remote`] wherever they stand; the one nearest to the verb's end wins.
fn connection(matches: &ArgMatches) -> Connection {
    let mut found = Connection::default();
    let mut level = Some(matches);
    while let Some(matches) = level {
        let text = |id: &str| matches.try_get_one::<String>(id).ok().flatten().cloned();
        let path = |id: &str| matches.try_get_one::<PathBuf>(id).ok().flatten().cloned();
        found.url = text("url").or(found.url);
        found.token = text("token").or(found.token);
        found.token_file = path("token_file").or(found.token_file);
        found.tenant = text("tenant").or(found.tenant);
        found.target = text("target").or(found.target);
        found.ca_file = path("ca_file").or(found.ca_file);
        level = matches.subcommand().map(|(_, below)| below);
    }
    found
}

/// Every argument of a command that is shown, for documents.
pub(crate) fn shown_args(command: &clap::Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| !arg.is_hide_set())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Cli {
        parse(line.split(' ').map(Into::into).collect()).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    #[test]
    fn the_tree_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn the_server_may_be_named_before_and_after_the_verb_by_any_of_its_names() {
        for line in [
            "skipper --url http://a list",
            "skipper list --uri http://a",
            "skipper package list --server http://a",
            "skipper manifest web --url http://a",
            "skipper manifest get web --url http://a",
            "skipper events --url http://a",
            "skipper events verify --url http://a",
        ] {
            assert_eq!(read(line).connection.url.as_deref(), Some("http://a"), "{line}");
        }
        assert_eq!(read("skipper --url http://a list --url http://b").connection.url.as_deref(), Some("http://b"));
        assert_eq!(read("skipper list --admin-token x").connection.token.as_deref(), Some("x"));
    }

    #[test]
    fn a_nodes_token_is_not_what_lets_us_in() {
        let cli = read("skipper node register --node-id host-1 --token its-own --admin-token ours --url http://a");
        assert_eq!(cli.connection.token.as_deref(), Some("ours"));
        let cli = read("skipper node register host-1 --token its-own");
        assert_eq!(cli.connection.token, None);
    }

    #[test]
    fn apply_is_a_verb_and_an_app_is_deployed_beside_it() {
        for line in
            ["skipper deploy apply --tenant-id t", "skipper deploy apply t --url http://a", "skipper deploy web v1"]
        {
            assert!(read(line).command.is_some(), "{line}");
        }
        for line in ["skipper deploy", "skipper deploy web", "skipper deploy apply"] {
            assert!(parse(line.split(' ').map(Into::into).collect()).is_err(), "{line}");
        }
    }

    #[test]
    fn offline_commands_do_not_offer_a_server() {
        assert!(parse(["skipper", "package", "lint", "x", "--url", "http://a"].map(Into::into).into()).is_err());
    }

    #[test]
    fn without_a_verb_there_is_no_error() {
        assert!(read("skipper").command.is_none());
    }

    #[test]
    fn programs_that_stay_are_read_as_the_whole_tree_reads_them() {
        let whole = |line: &str| {
            let matches = command().try_get_matches_from(line.split(' ')).expect("it is understood");
            Command::from_arg_matches(&matches).expect("it is a command")
        };
        for line in [
            "skipper edge",
            "skipper edge --http off --bind 127.0.0.2 --lame-duck 3s --detach --data-dir /x",
            "skipper server",
            "skipper agent",
            "skipper agent --node-id host-1 --url http://a --token-file /t --drain-timeout 5s --check",
            "skipper server --data-dir /x --listen 127.0.0.1:1 --edge-http off",
            "skipper server --strict --spring-argument=--server.port=9000 --spring-argument=-Da.b=1",
        ] {
            let args: Vec<_> = line.split(' ').map(OsString::from).collect();
            let short = resident(&args).and_then(|cli| cli.command).expect("it is understood");
            assert_eq!(format!("{short:?}"), format!("{:?}", whole(line)), "{line}");
        }
        let quiet = resident(&["skipper", "edge", "--quiet"].map(OsString::from)).expect("it is understood");
        assert!(quiet.quiet && !quiet.json);
        for line in ["skipper edge --help", "skipper server --nonsense", "skipper list", "skipper"] {
            assert!(resident(&line.split(' ').map(OsString::from).collect::<Vec<_>>()).is_none(), "{line}");
        }
    }

    #[test]
    fn every_offline_path_exists() {
        let root = command();
        for path in OFFLINE.iter().filter(|path| !path.ends_with("help")) {
            let found = path.split(' ').try_fold(&root, |command, name| command.find_subcommand(name));
            assert!(found.is_some(), "{path}");
        }
    }
}
