//! Work orders: shown to people, handed out to agents, reported on by them.

use std::time::Duration;

use serde_json::{Value, json};
use skipper_core::{
    fleet::{OrderKind, OrderStatus, Outcome, Verdict},
    id::OrderId,
    name::{NodeName, TenantName},
    policy::Action,
    port::RolloutStore as _,
};
use skipper_source::fleet::{Heartbeat, HeartbeatAnswer, OrderResult, Report, WorkOrder};
use skipper_store::{Order, OrderFilter, Renewed};
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use super::Caller;
use crate::{
    app::App,
    error::{Code, Error},
    fleet::{LEASE, filled, shown},
};

/// Most orders in one answer.
const MAX_LIST: u32 = 1000;
/// Longest end of compose's words that is kept.
const MAX_TAIL: usize = 64 << 10;
/// Longest summary.
const MAX_SUMMARY: usize = 4 << 10;
/// Most services in a result.
const MAX_SERVICES: usize = 1000;
/// Most changes of resources in a report.
const MAX_UPDATES: usize = 100;

/// Which orders.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Only a node's.
    pub node: Option<NodeName>,
    /// Only a tenant's.
    pub tenant: Option<TenantName>,
    /// Only those that are so far.
    pub status: Option<OrderStatus>,
    /// Only those made before that one.
    pub before: Option<OrderId>,
    /// At most so many.
    pub limit: Option<u32>,
}

/// Orders, newest first; only those of tenants that the caller may know of.
///
/// # Errors
///
/// Only the policy's and the store's.
pub async fn list(app: &App, caller: &Caller, wanted: &Wanted) -> Result<Vec<WorkOrder>, Error> {
    let tenant = wanted.tenant.as_ref().or_else(|| caller.actor().tenant());
    match tenant {
        Some(tenant) => caller.may(Action::Read, tenant)?,
        None => caller.may_all(Action::Read)?,
    }
    let filter = OrderFilter {
        node: wanted.node.as_ref(),
        tenant,
        status: wanted.status,
        before: wanted.before,
        limit: wanted.limit.unwrap_or(100).clamp(1, MAX_LIST),
    };
    Ok(app.store.order_list(filter).await?.iter().map(shown).collect())
}

/// An order.
///
/// # Errors
///
/// There is none of that id, or it is another tenant's.
pub async fn get(app: &App, caller: &Caller, id: OrderId) -> Result<WorkOrder, Error> {
    let order = app.store.order_get(id).await?.ok_or_else(|| unknown(id))?;
    caller.may(Action::Read, &order.tenant).map_err(|error| match error.code() {
        Code::TenantNotFound => unknown(id),
        _ => error,
    })?;
    Ok(shown(&order))
}

fn unknown(id: OrderId) -> Error {
    Error::new(Code::OrderNotFound, format!("there is no work order `{id}`")).hint("`skipper orders list` shows them")
}

/// What an agent that asks for work is told.
#[derive(Debug)]
pub enum Next {
    /// An order.
    Order(Box<WorkOrder>),
    /// It is to open a link: somebody wants to ask its node something.
    Link,
    /// There is nothing.
    Nothing,
}

/// Hands the next order to a node's agent, or waits for one.
///
/// # Errors
///
/// Only the store's.
///
/// # Cancel safety
///
/// An order that was taken for an agent that has gone is handed out again when its lease has run out.
pub async fn next(app: &App, node: &NodeName, owner: &str, wait: Duration) -> Result<Next, Error> {
    let until = Instant::now() + wait;
    let bell = app.fleet.mailroom().bell(node);
    loop {
        // Whoever stores an order rings afterwards: enlisted before the store is asked, nobody misses it.
        let rung = bell.notified();
        tokio::pin!(rung);
        rung.as_mut().enable();
        app.fleet.board().asked(node, app.clock.now());
        // In boxes of their own: whoever waits does not keep room for them.
        if let Some(order) = Box::pin(app.store.order_take(node, owner, LEASE)).await? {
            match Box::pin(open(app, &order)).await {
                Ok(document) => return Ok(Next::Order(Box::new(document))),
                Err(what) => Box::pin(fail(app, &order, &what)).await?,
            }
            continue;
        }
        // One that knows of no links would take an early answer for the work of a proxy.
        let links = app.fleet.board().sight(node).and_then(|sight| sight.links) == Some(true);
        if links && app.fleet.links().take_wanted(node) {
            return Ok(Next::Link);
        }
        let stopped = app.stop.cancelled();
        let more = tokio::select! {
            rung = timeout_at(until, rung) => rung.is_ok(),
            () = stopped => false,
        };
        if !more {
            return Ok(Next::Nothing);
        }
    }
}

/// The order with its secrets, for the node that has it now.
async fn open(app: &App, order: &Order) -> Result<WorkOrder, String> {
    let secrets = match app.store.secret_values(&order.tenant, &order.secrets).await {
        Ok(secrets) => secrets,
        Err(error) => return Err(format!("the secrets of the order cannot be read: {error}")),
    };
    info!(
        work_order = %order.id, node = %order.node, tenant = %order.tenant, generation = order.generation,
        request.id = %order.provenance.request, correlation.id = %order.provenance.correlation,
        "handed out"
    );
    if order.kind == OrderKind::RemoveService {
        return Ok(shown(order));
    }
    filled(order, &secrets)
}

/// An order that nobody could carry out.
async fn fail(app: &App, order: &Order, what: &str) -> Result<(), Error> {
    warn!(work_order = %order.id, "{what}");
    let result = json!({"status": "failed", "summary": what});
    app.store.order_report(order.id, &order.node, Some(order.generation), Outcome::Failed, &result).await?;
    app.fleet.mailroom().ended(order.id);
    Ok(())
}

/// Takes a node's sign of life: its leases go on.
///
/// # Errors
///
/// Only the store's.
///
/// # Cancel safety
///
/// Safe to drop: leases are renewed or not.
pub async fn heartbeat(app: &App, node: &NodeName, heartbeat: &Heartbeat) -> Result<HeartbeatAnswer, Error> {
    if app.fleet.board().heard(node, app.clock.now(), heartbeat) {
        warn!(node = %node, "two agents use the token of this node; `skipper node rotate-token` locks one of them out");
    }
    let Renewed { lost, let_go } = app.store.orders_renew(node, heartbeat.orders.as_deref(), LEASE).await?;
    if let_go {
        // What was lost on its way there can be had again.
        app.fleet.mailroom().ring(node);
    }
    let lease_ms = u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX);
    Ok(HeartbeatAnswer { status: "ok".to_owned(), lost, lease_ms, link: app.fleet.links().take_wanted(node) })
}

/// Takes a node's report on an order. The same again changes nothing.
///
/// # Errors
///
/// The order is another node's or is not known; it was handed out again since; it has ended otherwise.
///
/// # Cancel safety
///
/// Safe to drop: one transaction, then what resources say of themselves.
pub async fn report(app: &App, node: &NodeName, id: OrderId, report: Report) -> Result<WorkOrder, Error> {
    let result = bounded(&report);
    let taken = app.store.order_report(id, node, report.generation, report.status, &result).await?;
    let (verdict, order) = taken.ok_or_else(|| unknown(id))?;
    match verdict {
        Verdict::Take => {
            app.fleet.board().asked(node, app.clock.now());
            app.fleet.mailroom().ended(id);
            app.fleet.mailroom().ring(node);
            info!(
                work_order = %id, node = %node, tenant = %order.tenant,
                request.id = %order.provenance.request, correlation.id = %order.provenance.correlation,
                "the work order {}", order.status
            );
            update(app, &order, &report).await;
            Ok(shown(&order))
        }
        Verdict::Repeated => Ok(shown(&order)),
        Verdict::Stale => {
            let given = report.generation.map_or_else(|| "none".to_owned(), |given| given.to_string());
            let message = format!("order {id} is at generation {}, and the report is on {given}", order.generation);
            Err(Error::new(Code::StaleGeneration, message))
        }
        Verdict::Ended => Err(Error::new(Code::OrderEnded, format!("order {id} has ended: {}", order.status))),
    }
}

/// What is kept of a report.
fn bounded(report: &Report) -> Value {
    let mut result = report.result.clone().unwrap_or(OrderResult {
        status: report.status,
        started_at: None,
        finished_at: None,
        exit_code: None,
        summary: String::new(),
        services: Default::default(),
        logs_tail: String::new(),
    });
    result.status = report.status;
    result.summary = head(&result.summary, MAX_SUMMARY);
    result.logs_tail = tail(&result.logs_tail, MAX_TAIL);
    let services = std::mem::take(&mut result.services);
    result.services = services.into_iter().take(MAX_SERVICES).collect();
    serde_json::to_value(&result).unwrap_or_default()
}

fn head(text: &str, most: usize) -> String {
    text.get(..text.floor_char_boundary(most)).unwrap_or_default().to_owned()
}

fn tail(text: &str, most: usize) -> String {
    text.get(text.ceil_char_boundary(text.len().saturating_sub(most))..).unwrap_or_default().to_owned()
}

/// What a node would have written into resources: it has a say in those of the order's own tenant, and in no other.
async fn update(app: &App, order: &Order, report: &Report) {
    for update in report.state_updates.iter().take(MAX_UPDATES) {
        let found = app.store.resource_get(&update.kind, &update.id).await;
        let Ok(Some(resource)) = found else { continue };
        if resource.tenant != order.tenant || !update.status.is_object() || update.status.to_string().len() > MAX_TAIL {
            continue;
        }
        if let Err(error) = app.store.resource_status(&resource.kind, &resource.name, &update.status).await {
            warn!(%error, kind = update.kind, id = update.id, "the status of a resource is not stored");
        }
    }
}
