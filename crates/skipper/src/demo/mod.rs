//! The demo: the whole way from a package to a running, upgraded, rolled back and recovered application, with a real
//! server, a real edge and real processes, in a folder of its own.
//!
//! It is a user: it starts the same binary as `skipper server`, talks to it through its HTTP API, and believes nothing
//! that it has not asked through the edge. It ends with status 0 only if every claim it makes held.

mod ask;
mod failed_upgrade;
mod found;
mod killed_edge;
mod killed_server;
mod package;
mod rollout;
mod stage;
mod story;
mod tell;
mod timeline;
mod upgrade;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;

use crate::surroundings::Surroundings;
use tell::Tell;

/// Shows everything on this machine, with nothing installed: about half a minute.
///
/// It starts a server, its edge and a sample application in a folder of its own on free ports, upgrades under load, tries
/// a version that never gets healthy, rolls back, kills the server and the edge, and says what it measured. The exit
/// status is 0 only if everything held.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct DemoArgs {
    /// Leave everything running at the end, and say what to try.
    #[arg(long, conflicts_with = "stop")]
    keep: bool,
    /// Folder for it, empty or of an earlier demo; a temporary one otherwise.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Stop what an earlier `--keep` left running in this folder, and remove it.
    #[arg(long, value_name = "DIR", conflicts_with = "data_dir")]
    stop: Option<PathBuf>,
}

/// Runs the demo: status 0 when everything it shows held, 1 when not, 130 when it was interrupted.
///
/// Builds a runtime of its own, so call it outside of one.
pub(crate) fn run(args: &DemoArgs, surroundings: &Surroundings) -> ExitCode {
    let tell = Tell::new(surroundings.stdout_is_terminal && surroundings.var("NO_COLOR").is_none());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().context("start the runtime");
    let ended = runtime.and_then(|runtime| runtime.block_on(story::play(args, surroundings, &tell)));
    match ended {
        Ok(code) => code,
        Err(error) => {
            tell.error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
