//! A tenant over all of its nodes: how far each is, the waves of an apply, the way on and the way back.

use serde::Deserialize;
use serde_json::Value;

use super::{
    Context,
    deploy::Pursuit,
    fleet_arg::{TenantArg, WaysArg},
    orders::read,
};
use crate::{
    client::Call,
    failure::Done,
    render::{Table, tame},
};

/// Arguments of `fleet`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  skipper fleet plan example-tenant --waves 1,10%,rest     which nodes an apply would change together
  skipper fleet status example-tenant                      which revision each node runs, and which is bad
  skipper fleet converge example-tenant --wait             go on where a rollout has stopped
  skipper fleet roll-back example-tenant --wait            all nodes back to what served before
A rollout goes wave by wave and stops at the first bad node, which goes back; those that are well stay. `skipper deploy apply`
begins one.")]
pub(crate) struct Fleet {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Show which revision each node of a tenant runs, and how far it is
    #[command(visible_alias = "show")]
    Status(TenantArg),
    /// Show what an apply would do, wave by wave, and do nothing
    Plan {
        #[command(flatten)]
        tenant: TenantArg,
        #[command(flatten)]
        ways: WaysArg,
    },
    /// Go on to what was last wanted, with the nodes that are not there yet
    Converge {
        #[command(flatten)]
        tenant: TenantArg,
        #[command(flatten)]
        ways: WaysArg,
        #[command(flatten)]
        pursuit: Pursuit,
    },
    /// Take every node back: to what serves where a rollout stopped half way, else to the revision before
    #[command(visible_aliases = ["rollback", "roll-back-all"])]
    RollBack {
        #[command(flatten)]
        tenant: TenantArg,
        /// To that revision
        #[arg(long, value_name = "REVISION")]
        to: Option<u64>,
        #[command(flatten)]
        ways: WaysArg,
        #[command(flatten)]
        pursuit: Pursuit,
    },
}

/// What `GET /v1/deployments/TENANT` answers.
#[derive(Debug, Deserialize)]
struct Status {
    release: String,
    revision: Option<u64>,
    wanted: Option<u64>,
    whole: bool,
    rollout: Option<Rollout>,
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Rollout {
    id: String,
    verb: String,
    phase: String,
    cause: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Node {
    node: String,
    wave: Option<u64>,
    revision: Option<u64>,
    state: String,
    health: String,
    order: Option<String>,
    message: Option<String>,
}

/// What a plan answers.
#[derive(Debug, Deserialize)]
struct Plan {
    #[serde(default)]
    unchanged: bool,
    #[serde(default)]
    revision: Option<u64>,
    #[serde(default)]
    plan: Option<String>,
    #[serde(default)]
    on_failure: Option<String>,
    #[serde(default)]
    max_unavailable: Option<u64>,
    waves: Vec<Wave>,
}

#[derive(Debug, Deserialize)]
struct Wave {
    nodes: Vec<String>,
    steps: u64,
}

impl Fleet {
    pub(super) async fn run(self, context: &Context) -> Done {
        match self.verb {
            Verb::Status(tenant) => status(context, tenant.name()).await,
            Verb::Plan { tenant, ways } => plan(context, tenant.name(), &ways).await,
            Verb::Converge { tenant, ways, pursuit } => {
                let name = tenant.name();
                let call = Call::post(&["v1", "deployments", name, "converge"]).json(&ways.body());
                pursuit.run(context, name, call, "every node runs what was last wanted").await
            }
            Verb::RollBack { tenant, to, ways, pursuit } => {
                let name = tenant.name();
                let mut body = ways.body();
                if let Some(revision) = to {
                    body["revision"] = revision.into();
                }
                let call = Call::post(&["v1", "deployments", name, "roll-back"]).json(&body);
                pursuit.run(context, name, call, "every node runs that already").await
            }
        }
    }
}

async fn status(context: &Context, name: &str) -> Done {
    let answer: Value = context.client()?.ask(&Call::get(&["v1", "deployments", name])).await?;
    let out = &context.out;
    if out.json {
        return out.json(&answer);
    }
    let seen: Status = read(answer)?;
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    out.line(&tame(&format!(
        "{}: revision {} serves, {} is wanted",
        seen.release,
        number(seen.revision),
        number(seen.wanted)
    )))?;
    if let Some(rollout) = &seen.rollout {
        let why = rollout.cause.as_ref().and_then(|cause| cause["message"].as_str());
        let why = why.map_or(String::new(), |why| format!(": {why}"));
        out.line(&tame(&format!("{} {} is {}{why}", rollout.verb, rollout.id, rollout.phase)))?;
    }
    let mut table =
        Table::new(["NODE", "WAVE", "REV", "STATE", "HEALTH", "LAST ORDER", "MESSAGE"]).states(3).right([1, 2]);
    for node in seen.nodes {
        table.row([
            node.node,
            number(node.wave),
            number(node.revision),
            node.state,
            node.health,
            node.order.unwrap_or_default(),
            node.message.unwrap_or_default(),
        ]);
    }
    out.table(&table, "no node has anything of it")?;
    if !seen.whole && seen.rollout.is_some_and(|rollout| matches!(rollout.phase.as_str(), "failed" | "cancelled")) {
        out.next(&tame(&format!(
            "`skipper fleet converge {name}` goes on, `skipper fleet roll-back {name}` takes all back"
        )));
    }
    Ok(())
}

async fn plan(context: &Context, name: &str, ways: &WaysArg) -> Done {
    let call = Call::post(&["v1", "deployments", name, "plan"]).json(&ways.body());
    let answer: Value = context.client()?.ask(&call).await?;
    let out = &context.out;
    if out.json {
        return out.json(&answer);
    }
    let planned: Plan = read(answer)?;
    if planned.unchanged {
        return out.line(&tame(&format!("{name} is unchanged: it is as its document says")));
    }
    let revision = planned.revision.map_or(String::new(), |revision| format!(" to revision {revision}"));
    out.line(&tame(&format!("{name}{revision}, plan {}", planned.plan.unwrap_or_default())))?;
    let mut table = Table::new(["WAVE", "NODES", "STEPS"]).right([0, 2]);
    for (index, wave) in planned.waves.iter().enumerate() {
        table.row([(index + 1).to_string(), wave.nodes.join(" "), wave.steps.to_string()]);
    }
    out.table(&table, "no node changes")?;
    if let Some(on_failure) = planned.on_failure {
        let most = planned.max_unavailable.map_or(String::new(), |most| format!(", at most {most} unavailable"));
        out.line(&tame(&format!("a bad node: {on_failure}{most}")))?;
    }
    Ok(())
}
