use std::time::Duration;

use skipper_server::api::own::wire::{ExecRequest, ExecView};

use super::{Context, release_arg::ReleaseArg};
use crate::{
    client::Call,
    complete,
    failure::{Done, Failure},
    render::{parse_span, tame},
};

/// Arguments of `exec`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  skipper exec shop -- env
  skipper exec shop --app web --instance 1 -- sh -c 'ls -l'
  skipper exec acme --tenant acme --container worker -- env

The command has no terminal and reads nothing; its output is printed when it has ended. On a node it goes by the agent's link.")]
pub(crate) struct Exec {
    #[command(flatten)]
    release: ReleaseArg,
    /// In this application; needed where there are several
    #[arg(long, value_name = "APP", add = complete::apps())]
    app: Option<String>,
    /// In this instance [default: the first]
    #[arg(long, value_name = "INDEX")]
    instance: Option<u32>,
    /// In this container of a pod, or this service of a tenant's project; needed where a project has several
    #[arg(long, value_name = "NAME")]
    container: Option<String>,
    /// Longest that it may take [default: what the server allows for a request]
    #[arg(long, value_name = "DURATION", value_parser = parse_span)]
    timeout: Option<Duration>,
    /// Program and arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Exec {
    pub(super) async fn run(self, context: &Context) -> Done {
        let request = ExecRequest {
            command: self.command,
            app: self.app,
            instance: self.instance,
            container: self.container,
            timeout_ms: self.timeout.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX)),
        };
        let call = Call::post(&["v1", "releases", self.release.name(), "exec"]).json(&request);
        let done: ExecView = context.client()?.ask(&call).await?;
        if context.out.json {
            context.out.json(&done)?;
        } else {
            for line in done.output.lines() {
                // A file gets what was written; a terminal is not to be steered by it.
                context.out.line(&if context.out.interactive { tame(line) } else { line.to_owned() })?;
            }
        }
        match done.code {
            Some(0) => Ok(()),
            Some(code) => Err(Failure::error(format!("the command ended with {code}"))),
            None => Err(Failure::error("the command was ended by a signal".to_owned())),
        }
    }
}
