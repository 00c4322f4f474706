use std::{collections::BTreeMap, path::PathBuf};

use clap::ValueHint;
use serde_json::{Value, json};
use skipper_core::name::NodeName;
use skipper_source::fleet::NodeSpec;

use super::{files, print_token};
use crate::{
    client::Call,
    cmd::{Context, server::Settings},
    failure::{Done, Failure},
};

/// Arguments of `node register`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  DATA_DIR=/opt/skipper/data skipper node register --node-id host-1 --role worker --region se-sto-1
  skipper node register host-2 --url https://skipper.example.com --admin-token TOKEN

Without --url, and without SKIPPER_URL where no data directory is named, it works on the data directory of the server, whether
that runs or not: it writes resources/nodes/NODE.json and auth/nodes/NODE.json, and the server takes them in. The token stands
alone on standard output, and nowhere else: only its hash is kept. It is the AGENT_TOKEN of the agent.")]
pub(crate) struct Register {
    /// What to call it: a-z, 0-9, dots and hyphens
    #[arg(value_name = "NODE", required_unless_present = "node_id")]
    node: Option<String>,
    /// The same by name: what to call it
    #[arg(long, value_name = "NODE", hide = true, conflicts_with = "node")]
    node_id: Option<String>,
    /// What it is for [default of a new one: worker]
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// Where it stands, as se-sto-1
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// Something else to know it by; may be given several times
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// Token of its agent, 8 to 512 visible characters; seen by everybody on this machine [default: a new one]
    #[arg(long = "token", value_name = "TOKEN")]
    node_token: Option<String>,
    /// Give a node that is registered already another token; the old one lets nobody in any more
    #[arg(long)]
    rotate_token: bool,
    /// Data directory of the server [default: as the server's]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    data_dir: Option<PathBuf>,
    /// Configuration file of that server
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not NAME=VALUE")),
    }
}

/// What is said of a node on the command line.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) node: NodeName,
    pub(super) role: Option<String>,
    pub(super) region: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) token: Option<String>,
    pub(super) rotate: bool,
}

impl Wanted {
    /// What is said of the node, over what was said before.
    pub(super) fn over(&self, before: NodeSpec) -> NodeSpec {
        let mut spec = before;
        if let Some(role) = &self.role {
            role.clone_into(&mut spec.role);
        }
        if self.region.is_some() {
            spec.region.clone_from(&self.region);
        }
        spec.labels.extend(self.labels.clone());
        spec
    }
}

impl Register {
    pub(super) async fn run(self, context: &Context) -> Done {
        let name = self.node.or(self.node_id).unwrap_or_default();
        let node = NodeName::new(name).map_err(|error| Failure::usage(error.to_string()))?;
        let wanted = Wanted {
            node,
            role: self.role,
            region: self.region,
            labels: self.labels.into_iter().collect(),
            token: self.node_token,
            rotate: self.rotate_token,
        };
        let says = |name: &str| context.surroundings.var(name).is_some();
        let says_folder =
            self.data_dir.is_some() || self.config.is_some() || ["SKIPPER_DATA_DIR", "DATA_DIR"].into_iter().any(says);
        let says_server = ["SKIPPER_URL", "SKIPPER_TARGET"].into_iter().any(says);
        let asks_server =
            context.connection.url.is_some() || context.connection.target.is_some() || (says_server && !says_folder);
        if !asks_server {
            let dir = data_dir(context, self.data_dir, self.config.clone())?;
            let settings = Settings::of(self.config, Some(dir.clone()), None);
            return files::register(context, &dir, &settings, &wanted).await;
        }
        if self.data_dir.is_some() || self.config.is_some() {
            return Err(Failure::usage("--data-dir and --config are for work without a server, and --url names one"));
        }
        online(context, &wanted).await
    }
}

/// The data directory: as named, else that of the server's settings.
fn data_dir(context: &Context, given: Option<PathBuf>, config: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let surroundings = &context.surroundings;
    let named = surroundings.var("SKIPPER_DATA_DIR").or_else(|| surroundings.var("DATA_DIR"));
    match (given, config) {
        (Some(dir), _) => Ok(surroundings.resolve(&dir)),
        (None, None) if named.is_some() => Ok(surroundings.default_data_dir()),
        (None, config) => Ok(Settings::of(config, None, None).load(surroundings)?.config.data_dir),
    }
}

async fn online(context: &Context, wanted: &Wanted) -> Done {
    let mut body = json!({"id": wanted.node, "labels": wanted.labels, "rotate_token": wanted.rotate});
    if let Some(role) = &wanted.role {
        body["role"] = role.as_str().into();
    }
    if let Some(region) = &wanted.region {
        body["region"] = region.as_str().into();
    }
    if let Some(token) = &wanted.token {
        body["token"] = token.as_str().into();
    }
    let answer: Value = context.client()?.ask(&Call::post(&["v1", "nodes"]).json(&body)).await.map_err(|failure| {
        if failure.message.starts_with("no server answers") {
            return failure
                .hint("or register it without a server: leave --url out, and name the data directory in DATA_DIR");
        }
        failure
    })?;
    print_token(
        context,
        answer,
        &format!("token of {}; this is the only time it is shown: give it to the agent as AGENT_TOKEN", wanted.node),
    )
}
