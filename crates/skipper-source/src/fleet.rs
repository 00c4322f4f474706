//! The documents that server, agent and data folder share: work orders, what became of them, nodes and their heartbeats.
//!
//! The names are those of the first control plane's users; see docs/fleet.md. What comes from an agent is bounded where it is
//! read: these shapes say nothing of sizes.

use std::{collections::BTreeMap, net::IpAddr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use skipper_core::{
    fleet::{OrderKind, OrderStatus, Outcome},
    id::OrderId,
    name::{NodeName, TenantName},
};

/// What stands for a secret wherever an order is stored or shown.
pub const MASK: &str = "***";
/// The version of what server and agent say to each other. Both sides serve this one and the one before.
pub const PROTOCOL: u32 = 1;
/// Header that names it.
pub const PROTOCOL_HEADER: &str = "x-skipper-protocol";

/// Header of an answer without an order that says so: the server wants to ask the node something, by a link that the agent is to open.
pub const LINK_WANTED: &str = "x-skipper-link";

/// One declarative order to a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkOrder {
    /// Its id.
    pub id: OrderId,
    /// What it asks for.
    #[serde(rename = "type")]
    pub kind: OrderKind,
    /// For whom.
    pub tenant: TenantName,
    /// By which node.
    pub node: NodeName,
    /// How far it is.
    pub status: OrderStatus,
    /// Goes up each time it is handed out, and from one order to the next; a node refuses a lower one than it has seen.
    pub generation: u64,
    /// Of the tenant's release.
    pub revision: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it is given up.
    pub deadline: Timestamp,
    /// Who has it, and until when.
    pub lease: Option<OrderLease>,
    /// Of the request that asked.
    pub idempotency_key: Option<String>,
    /// The same.
    pub request_id: String,
    /// What the caller calls the larger job.
    pub correlation_id: String,
    /// What is to be.
    pub desired: Desired,
    /// What became of it.
    pub result: Option<OrderResult>,
}

/// Who may carry an order out, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderLease {
    /// The agent's run: what it calls itself, or the address that it asks from.
    pub owner: String,
    /// From then on it is handed out again.
    pub expires_at: Timestamp,
}

/// A project as it is to be.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Desired {
    /// Its name.
    pub project: String,
    /// Its compose file and [`skipper_core::compose::ENV_FILE`]; secrets are filled in for the node that takes the order, and are [`MASK`] everywhere else.
    pub files: BTreeMap<String, String>,
    /// Its services, by name.
    pub services: BTreeMap<String, DesiredService>,
    /// Variables of the latter that are secrets, so that nothing that is told of the project tells them. `None`: any of them may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Vec<String>>,
}

/// A service of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DesiredService {
    /// What it is made of.
    pub image: String,
    /// The same by its content, where the reference says so.
    pub digest: Option<String>,
    /// How the node finds out whether it is healthy, as the tenant wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Value>,
}

/// What became of an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OrderResult {
    /// In one word.
    pub status: Outcome,
    /// When the node began.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default)]
    pub finished_at: Option<Timestamp>,
    /// Of compose.
    #[serde(default)]
    pub exit_code: Option<i32>,
    /// For people.
    #[serde(default)]
    pub summary: String,
    /// What is there now.
    #[serde(default)]
    pub services: BTreeMap<String, ServiceState>,
    /// The end of what compose said.
    #[serde(default)]
    pub logs_tail: String,
}

/// What is there of a service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ServiceState {
    /// `running`, `exited`, `restarting`, `absent`, …: the engine's word.
    pub state: String,
    /// The container's name or id.
    #[serde(default)]
    pub container: Option<String>,
}

/// A node's report on an order: the body of `POST /v1/work-orders/{id}/result`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Under which it was handed out.
    #[serde(default)]
    pub generation: Option<u64>,
    /// What became of it.
    pub status: Outcome,
    /// In detail.
    #[serde(default)]
    pub result: Option<OrderResult>,
    /// What the node would have written into resources.
    #[serde(default)]
    pub state_updates: Vec<StateUpdate>,
}

/// One change of a resource's status.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StateUpdate {
    /// `tenant`, `node` or `service`.
    pub kind: String,
    /// Which.
    pub id: String,
    /// What is to be said of it.
    #[serde(default)]
    pub status: Value,
}

/// A node, as `resources/nodes/<id>.json` and `GET /v1/resources/node/<id>` show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeResource {
    /// `node`.
    pub kind: String,
    /// Its name.
    pub id: NodeName,
    /// What people say of it.
    #[serde(default)]
    pub spec: NodeSpec,
    /// What is known of it.
    #[serde(default)]
    pub status: Option<NodeStatus>,
}

/// What people say of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSpec {
    /// `worker` unless another one was named.
    #[serde(default = "worker")]
    pub role: String,
    /// Where it stands.
    #[serde(default)]
    pub region: Option<String>,
    /// Whatever else.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Gets no new work; what it has goes on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cordoned: bool,
}

impl Default for NodeSpec {
    fn default() -> Self {
        Self { role: worker(), region: None, labels: BTreeMap::new(), cordoned: false }
    }
}

fn worker() -> String {
    "worker".to_owned()
}

/// What is known of a node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NodeStatus {
    /// When it last asked or told anything.
    #[serde(default)]
    pub last_seen: Option<Timestamp>,
    /// The version of its agent.
    #[serde(default)]
    pub agent_version: Option<String>,
    /// `ready`, `cordoned`, `draining`, `silent`, or `registered` where it never came.
    #[serde(default)]
    pub state: String,
    /// Accounts that are reached as `node:NODE/ACCOUNT`, and their kinds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub platforms: BTreeMap<String, String>,
    /// The connection by which the server asks the node, while there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<NodeLink>,
    /// What somebody should look at, as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// A node's open connection, and what is reached by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeLink {
    /// Since when.
    pub since: Timestamp,
    /// The agent's run.
    #[serde(default)]
    pub instance: Option<String>,
    /// Whether the node has an edge of its own.
    #[serde(default)]
    pub edge: bool,
}

/// The body of `POST /v1/nodes/{node}/heartbeat`; every field may be missing.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The agent's run, which a restart changes. Two that differ and both go on are two agents with one token.
    #[serde(default)]
    pub instance: Option<String>,
    /// The version of the agent.
    #[serde(default)]
    pub agent_version: Option<String>,
    /// Orders that it is at: their leases are renewed. Without it, those of all that it holds.
    #[serde(default)]
    pub orders: Option<Vec<OrderId>>,
    /// What is there of each tenant's project.
    #[serde(default)]
    pub projects: BTreeMap<String, BTreeMap<String, ServiceState>>,
    /// These are all that there are: a tenant that is not among them has nothing there.
    #[serde(default)]
    pub all_projects: bool,
    /// Accounts of platforms that it offers, and their kinds.
    #[serde(default)]
    pub platforms: BTreeMap<String, String>,
    /// The address at which its edge is reached, as far as it knows: the one by which it reaches the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// It opens a link when it is asked to: see [`HeartbeatAnswer::link`] and [`LINK_WANTED`].
    #[serde(default)]
    pub links: bool,
    /// It is ending, and takes nothing new.
    #[serde(default)]
    pub draining: bool,
    /// Why it takes nothing new although it is not ending, as a sentence for people: a full disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// What a tenant's project writes is asked for, on a node's link: `POST /projects/logs`. Answered by a line of JSON for each line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectLogs {
    /// The project.
    pub project: String,
    /// Of one service only.
    #[serde(default)]
    pub service: Option<String>,
    /// At most so many of the last lines of each container.
    #[serde(default)]
    pub tail: Option<usize>,
    /// Go on with what comes.
    #[serde(default)]
    pub follow: bool,
}

/// A command in a tenant's project, on a node's link: `POST /projects/exec`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectExec {
    /// The project.
    pub project: String,
    /// In the first container of that service; of the first by name when absent.
    #[serde(default)]
    pub service: Option<String>,
    /// Program and arguments.
    pub command: Vec<String>,
    /// How long it may take.
    pub deadline_ms: u64,
}

/// How such a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectExecuted {
    /// Exit status; `None` when killed by a signal.
    #[serde(default)]
    pub code: Option<i32>,
    /// Its output and error output.
    #[serde(default)]
    pub output: String,
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct HeartbeatAnswer {
    /// `ok`.
    pub status: String,
    /// Orders among those named that the node does not hold any more.
    #[serde(default)]
    pub lost: Vec<OrderId>,
    /// How long a lease lasts from now, in milliseconds.
    pub lease_ms: u64,
    /// The server wants to ask the node something, by a link that the agent is to open.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub link: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_written_as_its_users_know_it() {
        let text = r#"{"id":"wo_0197000000007000800000000000abcd","type":"deploy_service","tenant":"example-tenant","node":"host-1",
            "status":"active","generation":7,"revision":3,"created_at":"2026-11-22T10:00:00Z","deadline":"2026-11-22T11:00:00Z",
            "lease":{"owner":"a","expires_at":"2026-11-22T10:01:00Z"},"idempotency_key":"local-run-1","request_id":"r","correlation_id":"c",
            "desired":{"project":"example-tenant","files":{"docker-compose.yml":"services: {}\n",".env":""},"services":{"web":{"image":"hello:1","digest":null}}},
            "result":null}"#;
        let order: WorkOrder = serde_json::from_str(text).expect("an order");
        let again = serde_json::to_value(&order).expect("JSON");
        assert_eq!(again, serde_json::from_str::<Value>(text).expect("JSON"));
    }

    #[test]
    fn a_report_and_a_heartbeat_may_say_little() {
        let report: Report = serde_json::from_str(r#"{"status":"succeeded"}"#).expect("a report");
        assert_eq!((report.status, report.generation, report.result), (Outcome::Succeeded, None, None));
        assert_eq!(serde_json::from_str::<Heartbeat>("{}").expect("a heartbeat"), Heartbeat::default());
        let node: NodeResource = serde_json::from_str(r#"{"kind":"node","id":"host-1"}"#).expect("a node");
        assert_eq!(node.spec.role, "worker");
        serde_json::from_str::<NodeResource>(r#"{"kind":"node","id":"h","spec":{"rôle":1}}"#).expect_err("unknown key");
    }
}
