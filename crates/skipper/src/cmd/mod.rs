//! The verbs, a file each. A verb reads its arguments, asks the server, and shows the answer; it decides nothing.

mod app_status;
mod apps;
mod backup;
mod cancel;
mod check;
mod completions;
mod config;
mod confirm;
mod delete;
mod deploy;
mod diff;
mod doctor;
pub(crate) mod edge;
mod events;
mod exec;
mod expression;
mod fleet;
mod fleet_arg;
mod follow;
mod health;
mod history;
mod hold;
mod import;
mod init;
mod install;
mod list;
mod local;
mod logs;
mod man;
mod manifest;
mod markdown;
mod node;
mod offline;
mod orders;
mod package;
mod package_arg;
mod password;
mod plan;
mod platform;
mod previews;
mod release_arg;
mod repo;
mod restore;
mod rollback;
mod scale;
mod secrets;
pub(crate) mod server;
mod status;
mod target;
mod tenant;
mod token;
mod upgrade;
mod validate;
mod values;
mod version;
mod welcome;
mod why;

pub(crate) use config::Targeted;
pub(crate) use previews::previews_of;
pub(crate) use secrets::AppSecrets;

use std::{cell::OnceCell, future::Future, process::ExitCode};

use crate::{
    agent::AgentArgs,
    client::Client,
    demo,
    failure::{Done, Exit, Failure},
    guide, load,
    render::Output,
    shell,
    surroundings::Surroundings,
    targets::{self, Connection},
};

/// What can be done.
#[derive(Debug, clap::Subcommand)]
#[command(disable_help_subcommand = true)]
pub(crate) enum Command {
    /// Install a package as a new release
    Install(Box<install::Install>),
    /// Move a release to another package, version or values
    Upgrade(Box<upgrade::Upgrade>),
    /// Go back to an earlier revision
    Rollback(rollback::Rollback),
    /// Stop a release and remove what runs of it
    #[command(visible_alias = "uninstall", aliases = ["del", "un"])]
    Delete(delete::Delete),
    /// Run more or fewer instances
    Scale(scale::Scale),
    /// Stop the open rollout of a release and undo it
    Cancel(cancel::Cancel),
    /// Show what runs of a release, and whether it should
    Status(status::Status),
    /// List releases
    #[command(visible_alias = "ls")]
    List(list::List),
    /// List the revisions of a release
    #[command(visible_alias = "hist")]
    History(history::History),
    /// Print the manifest of a revision
    #[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
    Manifest(manifest::Manifest),
    /// `get manifest NAME`, as Helm has it
    #[command(hide = true)]
    Get(manifest::Get),
    /// Compare the manifests of two revisions
    Diff(diff::Diff),
    /// Show what a verb would do, without doing it
    Plan(plan::Plan),
    /// Tell what a release is waiting for, or what broke it
    Why(why::Why),
    /// Print what the applications of a release write
    Logs(logs::Logs),
    /// Run a command in an instance of a release
    Exec(exec::Exec),
    /// List what happened
    #[command(args_conflicts_with_subcommands = true)]
    Events(events::Events),
    /// Keep new requests of a release waiting at the edge
    Hold(hold::Hold),
    /// Let requests through again after `hold` or `maintenance`
    Resume(hold::Resume),
    /// Answer requests of a release with a maintenance page
    Maintenance(hold::Maintenance),
    /// Make packages, and look after those on the server
    #[command(visible_alias = "pkg")]
    Package(package::Package),
    /// Search for packages
    Search(package::search::Search),
    /// Upload a package to the local repository
    Upload(package::upload::Upload),
    /// Say where packages come from: list, add, delete and refresh repositories
    Repo(repo::Repo),
    /// List the platforms that releases run on
    Platform(platform::Platform),
    /// Deploy an app of slip's configuration at a tag, or apply a tenant of the fleet
    #[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
    Deploy(Box<deploy::Deploy>),
    /// Look after the apps of slip's configuration
    #[command(visible_alias = "app")]
    Apps(apps::Apps),
    /// List previews of an app, and remove them
    #[command(visible_alias = "preview")]
    Previews(previews::Previews),
    /// Look after nodes: the hosts that an agent looks after
    #[command(visible_alias = "nodes")]
    Node(node::Node),
    /// Look after the tenants of the fleet
    #[command(visible_alias = "tenants")]
    Tenant(tenant::Tenant),
    /// Look at a tenant over all of its nodes, go on where a rollout stopped, or take all back
    Fleet(Box<fleet::Fleet>),
    /// Show what nodes were told to do, and what became of it
    #[command(visible_alias = "order")]
    Orders(orders::Orders),
    /// Keep secrets for applications
    #[command(visible_alias = "secret")]
    Secrets(secrets::Secrets),
    /// Manage the tokens that let people and programs in
    Token(token::Token),
    /// Take over what another system knew
    Import(import::Import),
    /// Save everything the server remembers, while it runs
    Backup(backup::Backup),
    /// Bring back what `backup` saved
    Restore(restore::Restore),
    /// Set up a server on this machine: user, keys, configuration, units, first app
    Init(Box<init::Init>),
    /// Look at the slip.toml that an image brings along
    Validate(validate::Validate),
    /// Name the servers you talk to
    Config(config::Config),
    /// Type commands one after the other, or run a script of them
    Shell(Box<shell::Shell>),
    /// Run the server
    Server(Box<server::Server>),
    /// Run the edge: what users' requests come in through
    Edge(edge::Edge),
    /// Run the agent of a node: it carries out the work orders that a server has for it
    Agent(Box<AgentArgs>),
    /// Ask a server whether it is well
    Health(health::Health),
    /// Look for what is wrong, and say how to mend it
    Doctor(doctor::Doctor),
    /// See it all on this machine: two versions, an upgrade under load, a failure that undoes itself
    Demo(demo::DemoArgs),
    /// Set up completion in your shell
    Completions(completions::Completions),
    /// Print the manual, or write its pages to a folder
    Man(man::Man),
    /// Show the versions of client and server
    Version(version::Version),
    /// Show what the server is, as Spring Cloud Skipper has it
    #[command(hide = true)]
    Info(Info),
    /// `release status NAME` and the like, as Spring Cloud Skipper has it
    #[command(hide = true)]
    Release(ReleaseGroup),
    /// Send load to an address and count what fails
    #[command(hide = true)]
    Load(load::LoadArgs),
    /// Print `docs/cli.md`
    #[command(hide = true)]
    MarkdownHelp(markdown::MarkdownHelp),
    /// The sample application
    #[command(hide = true, disable_help_flag = true)]
    Sample(Passed),
    /// What stands between the server and a process it started
    #[command(hide = true, disable_help_flag = true)]
    Keeper(Passed),
}

/// Arguments of `info`.
#[derive(Debug, clap::Args)]
pub(crate) struct Info {}

/// Arguments that are not ours to read: `main` has handed them on before this is reached.
#[derive(Debug, clap::Args)]
pub(crate) struct Passed {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    rest: Vec<String>,
}

/// Spring's names of verbs that stand at the top here.
#[derive(Debug, clap::Args)]
pub(crate) struct ReleaseGroup {
    #[command(subcommand)]
    verb: ReleaseVerb,
}

#[derive(Debug, clap::Subcommand)]
enum ReleaseVerb {
    /// As `skipper upgrade`; with --release-name, and in the shell, values are put over those of before
    Upgrade(Box<upgrade::Upgrade>),
    /// See `skipper rollback`
    Rollback(rollback::Rollback),
    /// See `skipper delete`
    Delete(delete::Delete),
    /// See `skipper status`
    Status(status::Status),
    /// See `skipper list`
    List(list::List),
    /// See `skipper history`
    History(history::History),
    /// See `skipper cancel`
    Cancel(cancel::Cancel),
}

/// What every verb is given.
#[derive(Debug)]
pub(crate) struct Context {
    /// Environment and terminals.
    pub(crate) surroundings: Surroundings,
    /// Where results go.
    pub(crate) out: Output,
    /// What the command line says about the server.
    pub(crate) connection: Connection,
    client: OnceCell<Client>,
}

impl Context {
    /// Nothing is looked up yet.
    pub(crate) fn new(surroundings: Surroundings, out: Output, connection: Connection) -> Self {
        Self { surroundings, out, connection, client: OnceCell::new() }
    }

    /// The server that this command is about.
    ///
    /// # Errors
    ///
    /// An address, target or token file that cannot be used.
    pub(crate) fn client(&self) -> Result<&Client, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let target = targets::resolve(&self.connection, &self.surroundings)?;
        if let Some(credentials) = &target.credentials
            && target.url.value.starts_with("http://")
            && !is_loopback(&target.url.value)
        {
            self.out.warn(&format!(
                "the {} ({}) goes to {} unencrypted; everybody in between can read it",
                credentials.value.kind(),
                credentials.origin,
                target.url.value
            ));
        }
        let client = Client::new(target)?;
        Ok(self.client.get_or_init(|| client))
    }
}

/// Whether an address leads to this machine only.
pub(crate) fn is_loopback(url: &str) -> bool {
    let Ok(url) = url::Url::parse(url) else { return false };
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

impl Command {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> ExitCode {
        let done = match self {
            Self::Server(server) => return server.run(context),
            Self::Edge(edge) => return edge.run(context),
            Self::Agent(agent) => return agent.run(context),
            Self::Shell(shell) => return shell.run(context),
            Self::Demo(args) => return demo::run(&args, &context.surroundings),
            Self::Load(args) => return load::run(&args),
            client_verb => client_verb.perform(context),
        };
        match done {
            Ok(()) => Exit::Ok.into(),
            Err(failure) => {
                failure.print();
                failure.exit.into()
            }
        }
    }

    /// Does what a client does. In the shell Ctrl-C ends the verb alone.
    ///
    /// # Errors
    ///
    /// What went wrong; nothing has been said about it yet.
    pub(crate) fn perform(self, context: &Context) -> Done {
        if !context.out.guide {
            return wait_for(self.go(context));
        }
        wait_for(async {
            tokio::select! {
                // A verb that waits for a rollout has more to say about it.
                biased;
                done = self.go(context) => done,
                Ok(()) = tokio::signal::ctrl_c() => Err(Failure::quiet(Exit::Interrupted)),
            }
        })
    }

    /// Whether it is a program that a container or a unit runs.
    pub(crate) const fn stays(&self) -> bool {
        matches!(self, Self::Server(_) | Self::Edge(_) | Self::Agent(_))
    }

    /// For the shell: the server that later lines are for once this was done.
    pub(crate) fn targets(&self) -> Option<config::Targeted> {
        match self {
            Self::Config(config) => config.targets(),
            _ => None,
        }
    }

    async fn go(self, context: &Context) -> Done {
        match self {
            Self::Install(verb) => verb.run(context).await,
            Self::Upgrade(verb) => verb.run(context).await,
            Self::Rollback(verb) => verb.run(context).await,
            Self::Delete(verb) => verb.run(context).await,
            Self::Scale(verb) => verb.run(context).await,
            Self::Cancel(verb) => verb.run(context).await,
            Self::Status(verb) => verb.run(context).await,
            Self::List(verb) => verb.run(context).await,
            Self::History(verb) => verb.run(context).await,
            Self::Init(verb) => verb.run(context),
            Self::Validate(verb) => verb.run(context),
            Self::Manifest(verb) => verb.run(context).await,
            Self::Get(verb) => verb.run(context).await,
            Self::Diff(verb) => verb.run(context).await,
            Self::Plan(verb) => verb.run(context).await,
            Self::Why(verb) => verb.run(context).await,
            Self::Logs(verb) => verb.run(context).await,
            Self::Exec(verb) => verb.run(context).await,
            Self::Events(verb) => verb.run(context).await,
            Self::Hold(verb) => verb.run(context).await,
            Self::Resume(verb) => verb.run(context).await,
            Self::Maintenance(verb) => verb.run(context).await,
            Self::Package(verb) => verb.run(context).await,
            Self::Search(verb) => verb.run(context).await,
            Self::Upload(verb) => verb.run(context).await,
            Self::Repo(verb) => verb.run(context).await,
            Self::Platform(verb) => verb.run(context).await,
            Self::Deploy(verb) => verb.run(context).await,
            Self::Apps(verb) => verb.run(context).await,
            Self::Previews(verb) => verb.run(context).await,
            Self::Node(verb) => verb.run(context).await,
            Self::Tenant(verb) => verb.run(context).await,
            Self::Fleet(verb) => verb.run(context).await,
            Self::Orders(verb) => verb.run(context).await,
            Self::Health(verb) => verb.run(context).await,
            Self::Secrets(verb) => verb.run(context).await,
            Self::Token(verb) => verb.run(context).await,
            Self::Import(verb) => verb.run(context).await,
            Self::Backup(verb) => verb.run(context).await,
            Self::Restore(verb) => verb.run(context).await,
            Self::Config(verb) => verb.run(context).await,
            Self::Doctor(verb) => verb.run(context).await,
            Self::Completions(verb) => verb.run(context),
            Self::Man(verb) => verb.run(context),
            Self::Version(verb) => verb.run(context).await,
            Self::Info(Info {}) => guide::about(context).await,
            Self::MarkdownHelp(verb) => verb.run(context),
            Self::Release(group) => match group.verb {
                ReleaseVerb::Upgrade(verb) => verb.of_second().run(context).await,
                ReleaseVerb::Rollback(verb) => verb.run(context).await,
                ReleaseVerb::Delete(verb) => verb.run(context).await,
                ReleaseVerb::Status(verb) => verb.run(context).await,
                ReleaseVerb::List(verb) => verb.run(context).await,
                ReleaseVerb::History(verb) => verb.of_second().run(context).await,
                ReleaseVerb::Cancel(verb) => verb.run(context).await,
            },
            Self::Server(_) | Self::Edge(_) | Self::Agent(_) | Self::Demo(_) | Self::Load(_) | Self::Shell(_) => {
                Err(Failure::usage("this command stays in the foreground; it runs outside of the shell"))
            }
            Self::Sample(_) | Self::Keeper(_) => {
                Err(Failure::usage("`sample` and `keeper` are recognised as the first argument only"))
            }
        }
    }
}

/// Says what this is, when nothing was asked.
pub(crate) fn welcome(context: &Context) -> ExitCode {
    match wait_for(welcome::run(context)) {
        Ok(()) => Exit::Ok.into(),
        Err(failure) => {
            failure.print();
            failure.exit.into()
        }
    }
}

/// Runs a client verb on this thread: it waits for the network and nothing else.
pub(crate) fn wait_for<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => Err(Failure::error(format!("start: {error}"))),
    }
}
