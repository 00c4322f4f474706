//! `deploy apply`: a tenant of the fleet is to be as its document says.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use skipper_core::{fleet::OrderStatus, id::OrderId, port::Ids as _};
use skipper_source::fleet::WorkOrder;

use super::super::{
    Context,
    fleet_arg::{TenantArg, WaysArg},
    orders::{Ended, Pursued, outcome, read, shown, until_ended},
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
  skipper deploy apply example-tenant --waves 1,10%,rest --max-unavailable 2
A tenant that is already as its document says is left as it is, and that is said.")]
pub(crate) struct Apply {
    #[command(flatten)]
    tenant: TenantArg,
    #[command(flatten)]
    ways: WaysArg,
    #[command(flatten)]
    pursuit: Pursuit,
}

/// How a call that makes orders is sent, and whether their end is waited for.
#[derive(Debug, clap::Args)]
pub(in super::super) struct Pursuit {
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

/// What an apply answers: the first order, and beside it what there is to know of all.
#[derive(Debug, Deserialize)]
struct Applied {
    /// All orders; the first one is the answer itself.
    #[serde(default)]
    orders: Vec<OrderId>,
    #[serde(default)]
    rollout: Option<String>,
    #[serde(default)]
    revision: Option<u64>,
    #[serde(default)]
    unchanged: bool,
}

impl Apply {
    pub(super) async fn run(self, context: &Context) -> Done {
        let name = self.tenant.name();
        let call = Call::post(&["v1", "deployments", name, "apply"]).json(&self.ways.body());
        self.pursuit.run(context, name, call, "it is as its document says").await
    }
}

impl Pursuit {
    /// Sends a call that makes orders, and waits for them where that is wanted. `unchanged` is what is said where nothing is to be done.
    pub(in super::super) async fn run(self, context: &Context, name: &str, call: Call, unchanged: &str) -> Done {
        let key = self.idempotency_key.unwrap_or_else(|| RandomIds.next().to_string());
        let answer: Value = context.client()?.ask(&call.key(key)).await?;
        let applied: Applied = read(answer.clone())?;
        let out = &context.out;
        if applied.unchanged {
            out.note(&tame(&format!("{name} is unchanged: {unchanged}")));
        }
        let waits = (self.wait || self.timeout.is_some()) && !applied.unchanged;
        if !waits {
            return tell(context, name, answer, &applied);
        }
        let pursued = Pursued { orders: applied.orders, rollout: applied.rollout };
        let ended = match until_ended(context, &pursued, self.timeout).await {
            Ok(ended) => ended,
            Err(failure) => {
                if out.json {
                    out.json(&answer)?;
                }
                return Err(failure);
            }
        };
        if out.json {
            out.json(&as_json(answer, &ended))?;
        }
        verdict(context, name, &ended)
    }
}

/// Shows what was accepted.
fn tell(context: &Context, name: &str, answer: Value, applied: &Applied) -> Done {
    let out = &context.out;
    if out.json {
        return out.json(&answer);
    }
    if !answer["id"].is_null() {
        out.text(&shown(&read(answer)?))?;
    } else if !applied.unchanged {
        let revision = applied.revision.map_or(String::new(), |revision| format!(", revision {revision}"));
        out.line(&tame(&format!("{name}: accepted{revision}; no node has anything to do yet")))?;
    }
    for other in applied.orders.iter().skip(1) {
        out.line(&format!("order        {other}"))?;
    }
    if let Some(first) = applied.orders.first().filter(|_| !applied.unchanged) {
        out.next(&format!("`skipper orders show {first}` shows how it goes; --wait waits for its end"));
    }
    Ok(())
}

/// The answer as it would be now.
fn as_json(answer: Value, ended: &Ended) -> Value {
    let (Value::Object(mut all), Some(first)) = (answer.clone(), ended.orders.first()) else { return answer };
    if let Ok(Value::Object(order)) = serde_json::to_value(first) {
        all.extend(order);
    }
    Value::Object(all)
}

/// Says how it ended.
fn verdict(context: &Context, tenant: &str, ended: &Ended) -> Done {
    let out = &context.out;
    let mut failed = Vec::new();
    for order in &ended.orders {
        let how = order.result.as_ref().map_or_else(|| order.status.to_string(), outcome);
        let line = tame(&format!("{} on {}: {how} ({})", order.tenant, order.node, order.id));
        if !order.status.is_final() || order.status == OrderStatus::Superseded {
            // Its wave never began.
            failed.push(tame(&format!("{} on {}: not begun ({})", order.tenant, order.node, order.id)));
        } else if order.status != OrderStatus::Succeeded {
            failed.push(line);
        } else if !out.json {
            out.line(&out.paint.style(Style::Good, &format!("✓ {line}")))?;
        }
    }
    let rollout = ended.rollout.as_ref().filter(|rollout| rollout.phase != "succeeded");
    if failed.is_empty() && rollout.is_none() {
        return Ok(());
    }
    if let Some(rollout) = rollout {
        let why = rollout.cause.as_ref().map_or(String::new(), |cause| format!(": {}", tame(&cause.message)));
        failed.push(tame(&format!("the rollout ended as {}{why}", rollout.phase)));
    }
    let is_bad = |order: &&WorkOrder| matches!(order.status, OrderStatus::Failed | OrderStatus::Expired);
    let bad = ended.orders.iter().find(is_bad);
    let hint = match bad {
        Some(order) if ended.orders.len() > 1 => tame(&format!(
            "`skipper orders show {}` shows what the node said, `skipper fleet status {tenant}` how far each is",
            order.id
        )),
        Some(order) => format!("`skipper orders show {}` shows what the node said", order.id),
        None => tame(&format!("`skipper why {tenant} --tenant {tenant}` tells more")),
    };
    let what = format!("the apply of {} did not work\n{}", tame(tenant), failed.join("\n"));
    Err(Failure::new(Exit::DeployFailed, what).hint(hint))
}
