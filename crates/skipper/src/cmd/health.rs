use serde_json::Value;

use super::Context;
use crate::{
    client::Call,
    failure::{Done, Failure},
    render::tame,
};

/// Arguments of `health`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Ends with 0 when the server answers that it is well, else with 1: good for the health check of a container. Without --url and
SKIPPER_URL the server is asked that HOST and PORT describe, as a server started in the same environment understands them.")]
pub(crate) struct Health {}

impl Health {
    pub(super) async fn run(self, context: &Context) -> Done {
        let client = context.client()?;
        let answer: Value = client.ask(&Call::get(&["v1", "health"])).await?;
        let status = answer["status"].as_str().unwrap_or_default().to_owned();
        if context.out.json {
            context.out.json(&answer)?;
        } else {
            context.out.line(&tame(&format!("{status}: {}", client.url())))?;
        }
        if status == "ok" {
            return Ok(());
        }
        Err(Failure::error(format!("{} says that it is `{}`", client.url(), tame(&status))))
    }
}
