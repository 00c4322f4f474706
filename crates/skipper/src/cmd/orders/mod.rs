//! Work orders: what nodes are told to do, and what became of it.

mod ended;

pub(super) use ended::{Ended, Pursued, until_ended};

use serde::Deserialize;
use serde_json::Value;
use skipper_source::fleet::{OrderResult, WorkOrder};

use super::Context;
use crate::{
    client::Call,
    complete,
    failure::{Done, Failure},
    render::{Table, at, lasted, tame},
};

/// Arguments of `orders`.
#[derive(Debug, clap::Args)]
pub(crate) struct Orders {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List work orders, the newest first
    #[command(visible_alias = "ls")]
    List(List),
    /// Show a work order: what it asks for, who has it, what became of it; secrets are masked
    Show {
        /// The order
        #[arg(value_name = "ORDER", add = complete::orders())]
        id: String,
    },
}

/// Arguments of `orders list`.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Only those to this node
    #[arg(long, visible_alias = "node-id", value_name = "NODE", add = complete::nodes())]
    node: Option<String>,
    /// Only those for this tenant
    #[arg(long, value_name = "TENANT", add = complete::tenants())]
    tenant_id: Option<String>,
    /// Only those that are so far
    #[arg(long, value_name = "STATUS", value_parser = ["pending", "active", "succeeded", "failed", "expired", "superseded"])]
    status: Option<String>,
    /// At most so many
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u32>,
}

/// A list of orders.
#[derive(Debug, Deserialize)]
struct Page {
    work_orders: Vec<WorkOrder>,
}

impl Orders {
    pub(super) async fn run(self, context: &Context) -> Done {
        match self.verb {
            Verb::List(list) => list.run(context).await,
            Verb::Show { id } => {
                let answer: Value = context.client()?.ask(&Call::get(&["v1", "work-orders", &id])).await?;
                if context.out.json {
                    return context.out.json(&answer);
                }
                context.out.text(&shown(&read(answer)?))
            }
        }
    }
}

impl List {
    async fn run(self, context: &Context) -> Done {
        let client = context.client()?;
        let tenant = match (self.tenant_id, client.tenant()) {
            (Some(given), Some(other)) if given != other => {
                return Err(Failure::usage(format!("--tenant-id says {given}, and --tenant or its like says {other}")));
            }
            // The client names that one by itself.
            (_, Some(_)) => None,
            (given, None) => given,
        };
        let call = Call::get(&["v1", "work-orders"])
            .maybe("node", self.node)
            .maybe("tenant", tenant)
            .maybe("status", self.status)
            .maybe("limit", self.limit);
        let answer: Value = client.ask(&call).await?;
        if context.out.json {
            return context.out.json(&answer);
        }
        let page: Page = read(answer)?;
        let mut table =
            Table::new(["ORDER", "TYPE", "TENANT", "NODE", "STATUS", "REV", "CREATED"]).states(4).right([5]);
        for order in page.work_orders {
            table.row([
                order.id.to_string(),
                order.kind.as_str().to_owned(),
                order.tenant.to_string(),
                order.node.to_string(),
                order.status.to_string(),
                order.revision.to_string(),
                at(&order.created_at.to_string()),
            ]);
        }
        context.out.table(&table, "no work order")
    }
}

/// What a server said, in the form that is expected here.
///
/// # Errors
///
/// It is none.
pub(super) fn read<T: serde::de::DeserializeOwned>(answer: Value) -> Result<T, Failure> {
    serde_json::from_value(answer).map_err(|error| {
        Failure::error(format!("the answer is not understood: {error}"))
            .hint("is the server of about this version? compare `skipper version`; --json shows the answer as it is")
    })
}

/// An order for people.
pub(super) fn shown(order: &WorkOrder) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| text.push_str(&format!("{name:<12} {}\n", tame(value)));
    line("order", &order.id.to_string());
    line("type", order.kind.as_str());
    line("tenant", &format!("{}, revision {}", order.tenant, order.revision));
    line("node", order.node.as_str());
    line("status", &format!("{}, generation {}", order.status, order.generation));
    line("created", &at(&order.created_at.to_string()));
    line("deadline", &at(&order.deadline.to_string()));
    if let Some(lease) = &order.lease {
        line("lease", &format!("{} until {}", lease.owner, at(&lease.expires_at.to_string())));
    }
    if let Some(key) = &order.idempotency_key {
        line("key", key);
    }
    line("request", &order.request_id);
    line("correlation", &order.correlation_id);
    for (name, service) in &order.desired.services {
        line("service", &format!("{name}: {}", service.digest.as_deref().unwrap_or(&service.image)));
    }
    if let Some(result) = &order.result {
        line("result", &outcome(result));
        for (name, service) in &result.services {
            let container = service.container.as_deref().map_or(String::new(), |container| format!(" ({container})"));
            line("now", &format!("{name}: {}{container}", service.state));
        }
        for said in result.logs_tail.lines() {
            line("log", said);
        }
    }
    text
}

/// What became of it, in a sentence.
pub(super) fn outcome(result: &OrderResult) -> String {
    let mut text = result.status.status().to_string();
    if let Some(code) = result.exit_code.filter(|code| *code != 0) {
        text.push_str(&format!(", exit code {code}"));
    }
    if let (Some(from), Some(to)) = (result.started_at, result.finished_at)
        && let Ok(took) = to.duration_since(from).try_into()
    {
        text.push_str(&format!(", after {}", lasted(took)));
    }
    if !result.summary.is_empty() {
        text.push_str(&format!(": {}", result.summary));
    }
    text
}
