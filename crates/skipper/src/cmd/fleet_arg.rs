//! Names of the fleet door: as a word, or by the flag of its first users.

use serde_json::{Value, json};
use skipper_core::spec::{OnFailure, Portion};

use crate::complete;

/// A node that is registered.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct NodeArg {
    /// The node
    #[arg(value_name = "NODE", required_unless_present = "node_id", add = complete::nodes())]
    node: Option<String>,
    /// The same by name: the node
    #[arg(long, value_name = "NODE", hide = true, conflicts_with = "node", add = complete::nodes())]
    node_id: Option<String>,
}

impl NodeArg {
    /// Its name.
    pub(crate) fn name(&self) -> &str {
        self.node.as_deref().or(self.node_id.as_deref()).unwrap_or_default()
    }
}

/// A tenant of the fleet.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct TenantArg {
    /// The tenant
    #[arg(value_name = "TENANT", required_unless_present = "tenant_id", add = complete::tenants())]
    of_tenant: Option<String>,
    /// The same by name: the tenant
    #[arg(long, value_name = "TENANT", hide = true, conflicts_with = "of_tenant", add = complete::tenants())]
    tenant_id: Option<String>,
}

impl TenantArg {
    /// Its name.
    pub(crate) fn name(&self) -> &str {
        self.of_tenant.as_deref().or(self.tenant_id.as_deref()).unwrap_or_default()
    }
}

/// How to go from node to node.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct WaysArg {
    /// Nodes of each wave, as 1,10%,rest; the last size counts for the waves behind it too [default: what the tenant's document says, else 1]
    #[arg(long, value_name = "SIZES", value_delimiter = ',', help_heading = "From node to node")]
    waves: Vec<Portion>,
    /// Most nodes that may be worked on, away or not healthy at a time: a number, or a share as 10%
    #[arg(long, value_name = "NUMBER", help_heading = "From node to node")]
    max_unavailable: Option<Portion>,
    /// What a bad node means to the others: stop, roll-back or continue; it goes back itself in any case
    #[arg(long, value_name = "WHAT", help_heading = "From node to node")]
    on_failure: Option<OnFailure>,
}

impl WaysArg {
    /// The body of a call; what is not given is left to the tenant's document.
    pub(crate) fn body(&self) -> Value {
        let mut rollout = serde_json::Map::new();
        if !self.waves.is_empty() {
            rollout.insert("waves".to_owned(), json!(self.waves));
        }
        if let Some(most) = self.max_unavailable {
            rollout.insert("max_unavailable".to_owned(), json!(most));
        }
        if let Some(what) = self.on_failure {
            rollout.insert("on_failure".to_owned(), json!(what));
        }
        if rollout.is_empty() { json!({}) } else { json!({"rollout": rollout}) }
    }
}
