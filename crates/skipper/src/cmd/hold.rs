use std::time::Duration;

use skipper_server::api::own::wire::{HoldRequest, MaintenanceRequest};

use super::{Context, release_arg::ReleaseArg};
use crate::{
    client::Call,
    failure::Done,
    render::{lasted, parse_span},
};

/// Arguments of `hold`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Requests in flight go on; new ones wait until `skipper resume`, each at most --bound.")]
pub(crate) struct Hold {
    #[command(flatten)]
    release: ReleaseArg,
    /// Longest wait of one request; then it is answered with 503
    #[arg(long, value_name = "DURATION", value_parser = parse_span, default_value = "60s")]
    bound: Duration,
}

/// Arguments of `resume`.
#[derive(Debug, clap::Args)]
pub(crate) struct Resume {
    #[command(flatten)]
    release: ReleaseArg,
}

/// Arguments of `maintenance`.
#[derive(Debug, clap::Args)]
#[command(after_help = "`skipper resume NAME` ends it.")]
pub(crate) struct Maintenance {
    #[command(flatten)]
    release: ReleaseArg,
    /// What the page says
    #[arg(value_name = "MESSAGE", default_value = "Down for maintenance. Please come back in a moment.")]
    message: String,
}

impl Hold {
    pub(super) async fn run(self, context: &Context) -> Done {
        let name = self.release.name();
        let request = HoldRequest { bound: format!("{}ms", self.bound.as_millis()) };
        context.client()?.tell(&Call::post(&["v1", "releases", name, "hold"]).json(&request)).await?;
        said(context, name, "held", &format!("{name}: new requests wait, each at most {}", lasted(self.bound)))?;
        context.out.next(&format!("`skipper resume {name}` lets them through"));
        Ok(())
    }
}

impl Resume {
    pub(super) async fn run(self, context: &Context) -> Done {
        let name = self.release.name();
        context.client()?.tell(&Call::post(&["v1", "releases", name, "resume"])).await?;
        said(context, name, "open", &format!("{name}: requests go through"))
    }
}

impl Maintenance {
    pub(super) async fn run(self, context: &Context) -> Done {
        let name = self.release.name();
        let request = MaintenanceRequest { message: self.message };
        context.client()?.tell(&Call::post(&["v1", "releases", name, "maintenance"]).json(&request)).await?;
        said(context, name, "maintenance", &format!("{name}: requests get the maintenance page"))?;
        context.out.next(&format!("`skipper resume {name}` ends it"));
        Ok(())
    }
}

fn said(context: &Context, name: &str, mode: &str, text: &str) -> Done {
    if context.out.json {
        return context.out.json(&serde_json::json!({"release": name, "mode": mode}));
    }
    context.out.line(text)
}
