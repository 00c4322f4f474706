use std::path::PathBuf;

use clap::ValueHint;

use super::{Context, confirm, offline, server::Settings};
use crate::failure::{Done, Exit, Failure};

/// Arguments of `restore`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The server must not run. What the backup knows is brought back as it was; what runs is compared with it when the server
starts: revisions that are newer than the backup are replaced by those of the backup. Edge and applications accept the
restored server, because it starts a new epoch.")]
pub(crate) struct Restore {
    /// File that `skipper backup` wrote
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// Data directory to restore into [default: as the server's]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    data_dir: Option<PathBuf>,
    /// Database to restore into, where it is not in the data directory
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Configuration file of the server
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// Replace what is there
    #[arg(long)]
    force: bool,
    /// Take a backup whose chain of events is broken
    #[arg(long)]
    accept_broken_chain: bool,
    /// Do not ask; without a terminal nobody is asked
    #[arg(long, short)]
    yes: bool,
}

impl Restore {
    pub(super) async fn run(self, context: &Context) -> Done {
        let path = context.surroundings.resolve(&self.file);
        if !path.is_file() {
            return Err(Failure::new(Exit::NotFound, format!("there is no file {}", self.file.display())));
        }
        if self.force && context.surroundings.stdin_is_terminal && context.surroundings.stderr_is_terminal {
            confirm::ask(context, "Replace what the server remembers now?", self.yes)?;
        }
        let settings = Settings::of(self.config, self.data_dir, self.database);
        let how = skipper_store::Restore { overwrite: self.force, accept_broken_chain: self.accept_broken_chain };
        offline::restore(context, &settings, &path, how).await
    }
}
