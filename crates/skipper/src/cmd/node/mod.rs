//! Nodes: the hosts that an agent looks after.

mod files;
mod register;

use clap::ValueHint;
use serde::Deserialize;
use serde_json::{Value, json};
use skipper_source::fleet::NodeResource;
use std::{path::PathBuf, time::Duration};

use super::{Context, confirm, fleet_arg::NodeArg, orders::read};
use crate::{
    client::Call,
    failure::{Done, Failure},
    render::{Table, at, lasted, parse_span, tame},
};

/// Arguments of `node`.
#[derive(Debug, clap::Args)]
pub(crate) struct Node {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Register a node, and print the token of its agent
    Register(Box<register::Register>),
    /// Show a node
    #[command(visible_alias = "get")]
    Show(NodeArg),
    /// List the nodes
    #[command(visible_alias = "ls")]
    List,
    /// Give a node no more work; what it has goes on
    Cordon(NodeArg),
    /// Give a node work again
    Uncordon(NodeArg),
    /// Give a node no more work, and tell how many orders it still has
    Drain(NodeArg),
    /// Make a new token for the agent of a node, and print it
    RotateToken {
        #[command(flatten)]
        node: NodeArg,
        /// How long the old one goes on, as 10m [default: not at all]
        #[arg(long, value_name = "DURATION", value_parser = parse_span)]
        grace: Option<Duration>,
    },
    /// Forget a node: its token stops working at once; what runs there goes on
    #[command(visible_aliases = ["rm", "delete"])]
    Remove {
        #[command(flatten)]
        node: NodeArg,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Make a token with which an agent fetches its own, once, and print it
    Enrol {
        #[command(flatten)]
        node: NodeArg,
        /// Fetch the agent's token with this one-time token, and print it
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        with_file: Option<PathBuf>,
    },
}

/// A list of nodes.
#[derive(Debug, Deserialize)]
struct Page {
    nodes: Vec<NodeResource>,
}

/// A node and its new token.
#[derive(Debug, Deserialize)]
struct WithToken {
    token: String,
}

impl Node {
    pub(super) async fn run(self, context: &Context) -> Done {
        match self.verb {
            Verb::Register(verb) => verb.run(context).await,
            Verb::Show(node) => {
                let answer: Value =
                    context.client()?.ask(&Call::get(&["v1", "resources", "node", node.name()])).await?;
                if context.out.json {
                    return context.out.json(&answer);
                }
                context.out.text(&shown(&read(answer)?))
            }
            Verb::List => list(context).await,
            Verb::Cordon(node) => cordon(context, node.name(), true).await,
            Verb::Uncordon(node) => cordon(context, node.name(), false).await,
            Verb::Drain(node) => {
                let name = node.name();
                let answer: Value = context.client()?.ask(&Call::post(&["v1", "nodes", name, "drain"])).await?;
                if context.out.json {
                    return context.out.json(&answer);
                }
                let open = answer["open_orders"].as_u64().unwrap_or_default();
                context.out.line(&format!("{name} is draining; open orders: {open}"))?;
                context.out.next(&format!("`skipper orders list --node {name}` shows them"));
                Ok(())
            }
            Verb::RotateToken { node, grace } => {
                let name = node.name();
                let body = grace.map_or_else(|| json!({}), |grace| json!({"grace_seconds": grace.as_secs()}));
                let call = Call::post(&["v1", "nodes", name, "rotate-token"]).json(&body);
                let answer: Value = context.client()?.ask(&call).await?;
                let old = match grace {
                    Some(grace) if !grace.is_zero() => format!("the old one goes on for {}", lasted(grace)),
                    _ => "the old one lets nobody in any more".to_owned(),
                };
                print_token(context, answer, &format!("new token of {name}; this is the only time it is shown; {old}"))
            }
            Verb::Remove { node, yes } => {
                let name = node.name();
                asked(context, &format!("Forget {name}?"), yes)?;
                context.client()?.tell(&Call::delete(&["v1", "nodes", name])).await?;
                if context.out.json {
                    return context.out.json(&json!({"id": name}));
                }
                context.out.line(&format!("{name} is removed"))
            }
            Verb::Enrol { node, with_file: None } => {
                let name = node.name();
                let answer: Value = context.client()?.ask(&Call::post(&["v1", "nodes", name, "enrolments"])).await?;
                let until =
                    answer["expires_at"].as_str().map_or(String::new(), |until| format!(" until {}", at(until)));
                print_token(context, answer, &format!("good once, for {name} alone{until}"))
            }
            Verb::Enrol { node, with_file: Some(path) } => {
                let path = context.surroundings.resolve(&path);
                let token = crate::targets::one_word(&path, "--with-file")?;
                let call = Call::post(&["v1", "nodes", node.name(), "enrol"]);
                let call = call.header("authorization", format!("Bearer {token}")).alone();
                let answer: Value = context.client()?.ask(&call).await?;
                print_token(context, answer, &format!("token of {}; this is the only time it is shown", node.name()))
            }
        }
    }
}

/// Asks where somebody can answer; a script has meant what it says.
fn asked(context: &Context, question: &str, yes: bool) -> Done {
    if context.surroundings.stdin_is_terminal && context.surroundings.stderr_is_terminal {
        confirm::ask(context, question, yes)?;
    }
    Ok(())
}

/// The token alone on standard output, so that a script can take it.
fn print_token(context: &Context, answer: Value, note: &str) -> Done {
    if context.out.json {
        return context.out.json(&answer);
    }
    let with: WithToken = read(answer).map_err(|failure| {
        // Asked for a second time because the first answer got lost: it never holds the token again.
        Failure { message: format!("the token got lost on the way: {}", failure.message), ..failure }
            .hint("`skipper node rotate-token NODE` makes another")
    })?;
    context.out.line(&tame(&with.token))?;
    context.out.note(note);
    Ok(())
}

async fn list(context: &Context) -> Done {
    let answer: Value = context.client()?.ask(&Call::get(&["v1", "nodes"])).await?;
    if context.out.json {
        return context.out.json(&answer);
    }
    let page: Page = read(answer)?;
    let mut table = Table::new(["NODE", "ROLE", "REGION", "STATE", "AGENT", "LAST SEEN", "LABELS"]).states(3);
    for node in page.nodes {
        let status = node.status.unwrap_or_default();
        let labels: Vec<String> = node.spec.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        table.row([
            node.id.to_string(),
            node.spec.role,
            node.spec.region.unwrap_or_default(),
            status.state,
            status.agent_version.unwrap_or_default(),
            status.last_seen.map_or_else(|| "never".to_owned(), |seen| at(&seen.to_string())),
            labels.join(" "),
        ]);
    }
    context.out.table(&table, "no node; `skipper node register --node-id NAME` registers one")
}

async fn cordon(context: &Context, name: &str, cordoned: bool) -> Done {
    let call = Call::post(&["v1", "nodes", name, "cordon"]).json(&json!({"cordoned": cordoned}));
    let answer: Value = context.client()?.ask(&call).await?;
    if context.out.json {
        return context.out.json(&answer);
    }
    let now = if cordoned { "gets no more work" } else { "gets work again" };
    context.out.line(&format!("{name} {now}"))
}

fn shown(node: &NodeResource) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| text.push_str(&format!("{name:<10} {}\n", tame(value)));
    line("node", node.id.as_str());
    line("role", &node.spec.role);
    if let Some(region) = &node.spec.region {
        line("region", region);
    }
    for (name, value) in &node.spec.labels {
        line("label", &format!("{name}={value}"));
    }
    if let Some(status) = &node.status {
        line("state", &status.state);
        line("agent", status.agent_version.as_deref().unwrap_or("unknown"));
        line("last seen", &status.last_seen.map_or_else(|| "never".to_owned(), |seen| at(&seen.to_string())));
        if let Some(link) = &status.link {
            line("link", &format!("since {}", at(&link.since.to_string())));
            line("edge", if link.edge { "yes" } else { "no" });
        }
        for name in status.platforms.keys() {
            line("platform", &format!("node:{}/{name}", node.id));
        }
        if let Some(trouble) = &status.trouble {
            line("trouble", trouble);
        }
    }
    text
}
