//! `deploy apply`: a tenant of the fleet is to be as its document says.

use std::time::Duration;

use serde_json::Value;
use skipper_core::{fleet::OrderStatus, port::Ids as _};
use skipper_source::fleet::WorkOrder;

use super::super::{
    Context,
    fleet_arg::TenantArg,
    orders::{Waiting, outcome, read, shown, until_ended},
};
use crate::{
    client::Call,
    failure::{Done, Exit, Failure},
    render::{Style, parse_span, tame},
    world::RandomIds,
};

/// Arguments of `deploy apply`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  skipper deploy apply --url http://127.0.0.1:3000 --admin-token TOKEN --tenant-id example-tenant
  skipper deploy apply example-tenant --wait --timeout 5m
A tenant that is already as its document says is left as it is, and that is said.")]
pub(crate) struct Apply {
    #[command(flatten)]
    tenant: TenantArg,
    /// What makes a repetition of this call the same call: whatever is sent under it again gets the first answer
    /// [default: a new one]
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Wait until its orders have ended, and fail if one failed
    #[arg(long, short, help_heading = "Waiting")]
    wait: bool,
    /// Wait at most this long, as 90s or 5m; the orders go on
    #[arg(long, visible_alias = "wait-timeout", value_name = "DURATION", value_parser = parse_span, help_heading = "Waiting")]
    timeout: Option<Duration>,
}

impl Apply {
    pub(super) async fn run(self, context: &Context) -> Done {
        let name = self.tenant.name();
        let key = self.idempotency_key.unwrap_or_else(|| RandomIds.next().to_string());
        let call = Call::post(&["v1", "deployments", name, "apply"]).key(key);
        let answer: Value = context.client()?.ask(&call).await?;
        let out = &context.out;
        let is_unchanged = answer["unchanged"] == Value::Bool(true);
        let orders = orders_of(&answer)?;
        let open: Vec<_> = orders.iter().filter(|order| !order.status.is_final()).map(|order| order.id).collect();
        if is_unchanged {
            out.note(&tame(&format!("{name} is unchanged: it is already as its document says")));
        }
        if (!self.wait && self.timeout.is_none()) || open.is_empty() {
            match out.json {
                true => out.json(&answer)?,
                false => orders.iter().try_for_each(|order| out.text(&shown(order)))?,
            }
            if !open.is_empty() {
                let first = open.first().map(ToString::to_string).unwrap_or_default();
                out.next(&format!("`skipper orders show {first}` shows how it goes; --wait waits for its end"));
            }
            return verdict(context, name, &orders, true);
        }
        let ended = until_ended(context, &open, Waiting { at_most: self.timeout }).await;
        let ended = match ended {
            Ok(ended) => ended,
            Err(failure) => {
                if out.json {
                    out.json(&answer)?;
                }
                return Err(failure);
            }
        };
        if out.json {
            match ended.as_slice() {
                [order] => out.json(order)?,
                several => out.json(&serde_json::json!({"work_orders": several}))?,
            }
        }
        verdict(context, name, &ended, out.json)
    }
}

/// The orders of an answer: the answer is the first, and names those of other nodes beside it.
fn orders_of(answer: &Value) -> Result<Vec<WorkOrder>, Failure> {
    if answer["id"].is_null() {
        return Ok(Vec::new());
    }
    let mut orders: Vec<WorkOrder> = vec![read(answer.clone())?];
    for other in answer["orders"].as_array().into_iter().flatten().filter(|order| order["id"] != answer["id"]) {
        orders.push(read(other.clone())?);
    }
    Ok(orders)
}

/// Says how they ended, unless that has been said.
fn verdict(context: &Context, tenant: &str, orders: &[WorkOrder], said: bool) -> Done {
    let out = &context.out;
    let mut failed = Vec::new();
    for order in orders.iter().filter(|order| order.status.is_final()) {
        let how = order.result.as_ref().map_or_else(|| order.status.to_string(), outcome);
        let line = tame(&format!("{} on {}: {how} ({})", order.tenant, order.node, order.id));
        if order.status != OrderStatus::Succeeded {
            failed.push(line);
        } else if !said {
            out.line(&out.paint.style(Style::Good, &format!("✓ {line}")))?;
        }
    }
    let Some(first) = orders.iter().find(|order| order.status.is_final() && order.status != OrderStatus::Succeeded)
    else {
        return Ok(());
    };
    Err(Failure::new(Exit::DeployFailed, format!("the apply of {} did not work\n{}", tame(tenant), failed.join("\n")))
        .hint(format!("`skipper orders show {}` shows what the node said", first.id)))
}
