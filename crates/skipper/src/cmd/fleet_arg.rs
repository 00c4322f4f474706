//! Names of the fleet door: as a word, or by the flag of its first users.

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
