use serde_json::json;
use skipper_server::api::own::wire::Health;

use super::Context;
use crate::{client::Call, failure::Done};

/// Arguments of `version`.
#[derive(Debug, clap::Args)]
pub(crate) struct Version {
    /// Only this program's version; asks no server
    #[arg(long)]
    client: bool,
}

impl Version {
    pub(super) async fn run(self, context: &Context) -> Done {
        let own = env!("CARGO_PKG_VERSION");
        let server = if self.client { None } else { Some(ask(context).await) };
        if context.out.json {
            let server = server.map(|answer| match answer {
                Ok(health) => json!({"version": health.version}),
                Err(failure) => json!({"error": failure.message}),
            });
            return context.out.json(&json!({"client": {"version": own}, "server": server}));
        }
        context.out.line(&format!("client  {own}"))?;
        match server {
            Some(Ok(health)) => context.out.line(&format!("server  {}", health.version)),
            // That no server runs is no failure of this question.
            Some(Err(failure)) => {
                context.out.note(&format!("server  {failure}"));
                Ok(())
            }
            None => Ok(()),
        }
    }
}

async fn ask(context: &Context) -> Result<Health, crate::failure::Failure> {
    context.client()?.ask(&Call::get(&["healthz"])).await
}
